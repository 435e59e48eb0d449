import type { DType, TypedArray } from '../tensor/dtype.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { InputRing } from '../train/input-ring.js';

/** What a model takes or is to return: one tensor, one for each input (or output), or one by the name of each. */
export type TensorData = Tensor | readonly Tensor[] | Readonly<Record<string, Tensor>>;

/** A data set in the memory of JavaScript, of which batches are made. */
export interface HostData {
  /** with the number of examples in front */
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: TypedArray;
}

/** One tensor for each name, in this order. */
export function listTensors(where: string, what: string, given: TensorData, names: readonly string[]): Tensor[] {
  const wrong = (problem: string): OptionError =>
    new OptionError(`${where}: ${what} must be ${names.length} tensors (${names.join(', ')}), ${problem}`);
  let list: readonly unknown[];
  if (given instanceof Tensor) list = [given];
  else if (Array.isArray(given)) list = given;
  else if (typeof given === 'object' && given !== null) {
    const unknown = Object.keys(given).find((key) => !names.includes(key));
    if (unknown !== undefined) throw wrong(`there is no "${unknown}"`);
    list = names.map((name) => (given as Readonly<Record<string, Tensor>>)[name]);
  } else throw wrong(`got ${String(given)}`);
  if (list.length !== names.length) throw wrong(`got ${list.length}`);
  return list.map((tensor, i) => {
    if (!(tensor instanceof Tensor)) throw wrong(`"${names[i]}" is none`);
    return tensor;
  });
}

export function toHostData(where: string, what: string, tensors: readonly Tensor[]): HostData[] {
  return tensors.map((tensor) => {
    if (tensor.rank < 1) throw new ShapeError(`${where}: ${what} needs a batch axis, got a scalar`);
    return { shape: tensor.shape, dtype: tensor.dtype, data: tensor.data() };
  });
}

/** The number of examples, which must be the same for all. */
export function countExamples(where: string, ...groups: readonly (readonly HostData[])[]): number {
  const counts = groups.flat().map(({ shape }) => shape[0]);
  if (counts.some((count) => count !== counts[0])) {
    throw new ShapeError(`${where}: inputs and targets differ in their numbers of examples: ${counts.join(', ')}`);
  }
  if (counts.length === 0 || counts[0] === 0) throw new OptionError(`${where}: there are no examples`);
  return counts[0];
}

/** Examples from `from` to before `to`. */
export function examples({ shape, dtype, data }: HostData, from: number, to: number): HostData {
  const size = sizeOf(shape.slice(1));
  return { shape: [to - from, ...shape.slice(1)], dtype, data: data.subarray(from * size, to * size) };
}

/** Makes batches of some examples; the tensors are used again and again. */
export class Batches implements Disposable {
  readonly #sets: readonly { readonly host: HostData; readonly dtype: DType; readonly rings: Map<number, InputRing> }[];

  /** @param dtypes of the batches */
  constructor(sets: readonly HostData[], dtypes: readonly DType[]) {
    this.#sets = sets.map((host, i) => ({ host, dtype: dtypes[i], rings: new Map() }));
  }

  /**
   * Examples by number. The tensors hold them until the second call after this one.
   *
   * @param size of the batch; zeros fill it up
   */
  gather(numbers: ArrayLike<number>, size: number = numbers.length): Tensor[] {
    return this.#sets.map(({ host: { shape, data }, dtype, rings }) => {
      const rest = shape.slice(1);
      const length = sizeOf(rest);
      let ring = rings.get(size);
      if (ring === undefined) {
        ring = new InputRing([size, ...rest], dtype);
        rings.set(size, ring);
      }
      const rows = dtype === 'i32' ? new Int32Array(length * size) : new Float32Array(length * size);
      for (let i = 0; i < numbers.length; i++) {
        const from = numbers[i] * length;
        rows.set(data.subarray(from, from + length), i * length);
      }
      return ring.load(rows);
    });
  }

  dispose(): void {
    for (const { rings } of this.#sets) for (const ring of rings.values()) ring.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** `low` to before `high`. */
export function range(low: number, high: number): Int32Array {
  return Int32Array.from({ length: high - low }, (_, i) => low + i);
}

/** Checks shapes of one batch against those of a model, apart from the batch axis. */
export function checkShapes(
  where: string,
  what: string,
  found: readonly { readonly shape: Shape }[],
  expected: readonly { readonly name: string; readonly shape: readonly (number | null)[] }[],
): void {
  found.forEach(({ shape }, i) => {
    const wanted = expected[i].shape;
    if (shape.length === wanted.length && wanted.every((n, axis) => axis === 0 || n === null || n === shape[axis]))
      return;
    const hint = shape.length === wanted.length - 1 ? '; put a batch axis in front' : '';
    throw new ShapeError(
      `${where}: ${what} "${expected[i].name}" must be [batch, ${wanted.slice(1).join(', ')}], got ${formatShape(shape)}${hint}`,
    );
  });
}
