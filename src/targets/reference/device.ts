import type { Device, Executable } from '../../graph/device.js';
import { expandOperators } from '../../graph/expand.js';
import type { Graph, Value } from '../../graph/graph.js';
import type { NdArray } from '../../graph/operator.js';
import { allocateArray, type TypedArray } from '../../tensor/dtype.js';
import { checkOptions, GaborError, OptionError } from '../../tensor/errors.js';
import { formatType, sizeOf, type TensorType } from '../../tensor/shape.js';
import type { Storage } from '../../tensor/storage.js';

/** A plain JavaScript array; f32 tensors are held in double precision when the device computes in it. */
class HostStorage implements Storage {
  readonly type: TensorType;
  #data: TypedArray | undefined;

  constructor(type: TensorType, data: TypedArray) {
    this.type = type;
    this.#data = data;
  }

  get data(): TypedArray {
    if (this.#data === undefined) throw new GaborError(`this ${formatType(this.type)} was disposed`);
    return this.#data;
  }

  read(): TypedArray {
    return this.data.slice();
  }

  write(data: ArrayLike<number>): void {
    this.data.set(data);
  }

  clear(): void {
    this.data.fill(0);
  }

  dispose(): void {
    this.#data = undefined;
  }
}

/** Options of {@link ReferenceDevice}. */
export interface ReferenceOptions {
  /** `f64` computes and stores every floating-point value in double precision. Default `f32`: rounded after every operator. */
  readonly precision?: 'f32' | 'f64';
}

/** The oracle: runs a graph node by node with the operators' plain loops. Slow, and obviously right. */
export class ReferenceDevice implements Device {
  readonly name: string;
  readonly #precision: 'f32' | 'f64';

  constructor(options: ReferenceOptions = {}) {
    checkOptions('ReferenceDevice', options, ['precision']);
    const { precision = 'f32' } = options;
    if (precision !== 'f32' && precision !== 'f64') {
      throw new OptionError(`ReferenceDevice: precision must be f32 or f64, got ${precision}`);
    }
    this.#precision = precision;
    this.name = this.#precision === 'f64' ? 'reference (f64)' : 'reference';
  }

  #array(type: TensorType): TypedArray {
    const dtype = type.dtype === 'f32' ? this.#precision : type.dtype;
    return allocateArray(dtype, sizeOf(type.shape));
  }

  allocate(type: TensorType): Storage {
    return new HostStorage(type, this.#array(type));
  }

  compile(whole: Graph): Executable {
    const graph = expandOperators(whole);
    const runSync = (inputs: readonly Storage[]): Storage[] => {
      const arrays = new Map<Value, NdArray>();
      graph.inputs.forEach((value, i) => {
        const storage = inputs[i];
        if (!(storage instanceof HostStorage)) {
          throw new GaborError(
            `a ${formatType(value.type)} lives on another device, this is ${this.name}; make a new tensor from its data()`,
          );
        }
        arrays.set(value, { type: value.type, data: storage.data });
      });
      for (const node of graph.nodes) {
        const outputs = node.outputs.map((value) => ({ type: value.type, data: this.#array(value.type) }));
        node.operator.reference(
          node.inputs.map((value) => arrays.get(value) as NdArray),
          outputs,
          node.attributes,
        );
        node.outputs.forEach((value, i) => {
          arrays.set(value, outputs[i]);
        });
      }
      const data = (value: Value): TypedArray => (arrays.get(value) as NdArray).data;
      const results = graph.outputs.map((value) => new HostStorage(value.type, data(value).slice()));
      // All updates see the old contents: copy first.
      const updates = graph.updates.map(({ input, value }) => ({ input, data: data(value).slice() }));
      for (const update of updates) inputs[update.input.index].write(update.data);
      return results;
    };
    return { run: async (inputs) => runSync(inputs), runSync, dispose: () => undefined };
  }
}
