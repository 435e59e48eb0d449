import type { TypedArray } from './dtype.js';
import type { TensorType } from './shape.js';

/** Where a tensor's elements lie, row-major; made by a device. */
export interface Storage {
  readonly type: TensorType;
  /** A copy of the elements. */
  read(): TypedArray;
  /** Replaces all elements. */
  write(data: ArrayLike<number>): void;
  /** Sets all elements to zero, without an array of zeros. */
  clear(): void;
  /**
   * Lets `fill` write the elements where they lie: their bytes, row-major and in the byte order of this machine. Only where that memory can be
   * written to while other things happen; elsewhere use {@link write}. Nobody may use the tensor meanwhile.
   */
  fill?(fill: (bytes: Uint8Array) => Promise<void>): Promise<void>;
  /** Gives the memory back; any later use is an error. */
  dispose(): void;
}
