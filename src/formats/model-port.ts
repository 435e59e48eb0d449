import type { DType } from '../tensor/dtype.js';

/** An input or output of a model, as far as it is known. */
export interface ModelPort {
  readonly name: string;
  /** What it is computed in; whole numbers of every width are `i32`. */
  readonly dtype: DType | undefined;
  /** Batch included. Extents: numbers, names of free ones, null where any will do; undefined altogether: any rank. */
  readonly shape: readonly (number | string | null)[] | undefined;
}
