import { full, tensor } from '../../ops/create.js';
import type { TypedArray } from '../../tensor/dtype.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type ElementType, rowOf } from './element-types.js';
import type { HostArray } from './tensor-proto.js';

/**
 * A value of an ONNX graph while it is traced: a tensor, or elements that are known before anything runs (constants, and all that
 * is computed from shapes), or both.
 */
export class OnnxValue {
  readonly type: ElementType;
  readonly shape: Shape;
  /** Elements that are known while tracing; floats as f32, whole numbers as i32, bool as bytes. */
  readonly known: TypedArray | undefined;
  #tensor: Tensor | undefined;

  constructor(type: ElementType, shape: Shape, tensor: Tensor | undefined, known: TypedArray | undefined) {
    this.type = type;
    this.shape = shape;
    this.known = known;
    this.#tensor = tensor;
  }

  static of(type: ElementType, tensor: Tensor, known?: TypedArray): OnnxValue {
    return new OnnxValue(type, tensor.shape, tensor, known);
  }

  static known({ type, shape, data }: HostArray): OnnxValue {
    return new OnnxValue(type, shape, undefined, data);
  }

  /** Whole numbers along one axis: shapes, positions. */
  static integers(values: readonly number[], shape: Shape = [values.length]): OnnxValue {
    return OnnxValue.known({ type: 'int64', shape, data: Int32Array.from(values) });
  }

  get size(): number {
    return sizeOf(this.shape);
  }

  /** Whether it is a tensor, not (yet) a mere constant. */
  get computed(): boolean {
    return this.#tensor !== undefined;
  }

  /** The value in the trace: constants become part of the program where they are one number, otherwise its data. */
  get tensor(): Tensor {
    if (this.#tensor === undefined) {
      const data = this.known as TypedArray;
      const { dtype } = rowOf(this.type);
      const plain = data.length > 0 && Number.isFinite(data[0]) && data.every((value) => Object.is(value, data[0]));
      this.#tensor =
        plain || data.length === 0 ? full(this.shape, data[0] ?? 0, dtype) : tensor(data, { shape: this.shape, dtype });
    }
    return this.#tensor;
  }
}
