import { zeros } from '../ops/create.js';
import { allocateArray, type DType, type TypedArray } from '../tensor/dtype.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Two tensors filled by turns: the next batch is written while the program still reads the one before. */
export class InputRing implements Disposable {
  readonly #tensors: readonly [Tensor, Tensor];
  #turn = 0;
  #padded: TypedArray | undefined;

  constructor(shape: Shape, dtype: DType) {
    this.#tensors = [zeros(shape, dtype), zeros(shape, dtype)];
  }

  /** Copies a batch in; one that does not fill the tensor is followed by zeros. Valid until the second call after this one. */
  load(data: TypedArray): Tensor {
    const tensor = this.#tensors[this.#turn];
    this.#turn = 1 - this.#turn;
    if (data.length === tensor.size) {
      tensor.write(data);
      return tensor;
    }
    if (data.length > tensor.size) {
      throw new ShapeError(`a batch of ${data.length} elements does not fit into ${formatShape(tensor.shape)}`);
    }
    this.#padded ??= allocateArray(tensor.dtype, tensor.size);
    this.#padded.set(data);
    this.#padded.fill(0, data.length);
    tensor.write(this.#padded);
    return tensor;
  }

  dispose(): void {
    for (const tensor of this.#tensors) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
