// For users whose target is older: declarations that go with the package name Disposable.
/// <reference lib="esnext.disposable" preserve="true" />
import type { DType, TypedArray } from './dtype.js';
import { GaborError, ShapeError } from './errors.js';
import { formatShape, formatType, type Shape, sizeOf, type TensorType } from './shape.js';
import type { Storage } from './storage.js';

/** A value of a graph under construction, as far as tensors know it; see `graph/graph.ts`. */
export interface Traced {
  readonly type: TensorType;
}

/** For messages: what was given in place of a tensor, and how to make one. */
export function tensorOf(given: unknown): string {
  const name = typeof given === 'object' && given !== null ? (given.constructor?.name ?? 'object') : String(given);
  return `${name} is none: tensor(values, { shape }) makes one of numbers, tensor(array) of what readNpy gives`;
}

const storages = new FinalizationRegistry<Storage>((storage) => storage.dispose());

/**
 * What users hold: an n-dimensional array on a device or, while a function is being traced, a placeholder for a value of
 * the graph. A tensor on a device owns its memory: `dispose()` (or `using`) gives it back at once, the garbage collector
 * sooner or later.
 */
export class Tensor implements Disposable {
  readonly type: TensorType;
  #storage: Storage | undefined;
  readonly #traced: Traced | undefined;

  private constructor(type: TensorType, storage: Storage | undefined, traced: Traced | undefined) {
    this.type = type;
    this.#storage = storage;
    this.#traced = traced;
    if (storage !== undefined) storages.register(this, storage, this);
  }

  static fromStorage(storage: Storage): Tensor {
    return new Tensor(storage.type, storage, undefined);
  }

  static fromTraced(traced: Traced): Tensor {
    return new Tensor(traced.type, undefined, traced);
  }

  get dtype(): DType {
    return this.type.dtype;
  }

  get shape(): Shape {
    return this.type.shape;
  }

  get rank(): number {
    return this.type.shape.length;
  }

  get size(): number {
    return sizeOf(this.type.shape);
  }

  /** The graph value that this placeholder stands for; undefined for tensors with data. */
  get traced(): Traced | undefined {
    return this.#traced;
  }

  get disposed(): boolean {
    return this.#storage === undefined && this.#traced === undefined;
  }

  /** The memory behind the tensor; throws for placeholders and disposed tensors. */
  get storage(): Storage {
    if (this.#storage !== undefined) return this.#storage;
    if (this.#traced !== undefined) {
      throw new GaborError(
        `a ${formatType(this.type)} inside a traced function has no data yet; return it from the function to read it`,
      );
    }
    throw new GaborError(`this ${formatType(this.type)} was disposed`);
  }

  /** A copy of the elements, row-major. */
  data(): TypedArray {
    return this.storage.read();
  }

  /** The only element of a tensor of size one. */
  item(): number {
    if (this.size !== 1) {
      throw new ShapeError(`item() needs a tensor with one element; this one has the shape ${formatShape(this.shape)}`);
    }
    return this.data()[0];
  }

  /** Replaces all elements in place. The length must be the tensor's size. */
  write(data: ArrayLike<number>): void {
    if (data.length !== this.size) {
      throw new ShapeError(`write: ${data.length} elements do not fill ${formatShape(this.shape)} = ${this.size}`);
    }
    this.storage.write(data);
  }

  dispose(): void {
    if (this.#storage === undefined) return;
    storages.unregister(this);
    this.#storage.dispose();
    this.#storage = undefined;
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  toString(): string {
    return `Tensor(${formatType(this.type)})`;
  }
}

/** Under this name Node’s `console.log` finds how a thing shows itself. */
export const INSPECT: unique symbol = Symbol.for('nodejs.util.inspect.custom');

Object.defineProperty(Tensor.prototype, INSPECT, { value: Tensor.prototype.toString });
