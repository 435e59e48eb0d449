import type { TypedArray } from './dtype.js';
import type { TensorType } from './shape.js';

/** Where a tensor's elements lie, row-major; made by a device. */
export interface Storage {
  readonly type: TensorType;
  /** A copy of the elements. */
  read(): TypedArray;
  /** Replaces all elements. */
  write(data: ArrayLike<number>): void;
  /** Gives the memory back; any later use is an error. */
  dispose(): void;
}
