import { castValue } from '../kernel/scalar.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { OptionError } from '../tensor/errors.js';

/** Throws unless tensors of `dtype` can hold `value`: nothing is rounded or wrapped silently. */
export function checkRepresentable(where: string, value: number, dtype: DType): void {
  if (typeof value !== 'number' || (!isFloat(dtype) && castValue(dtype, value) !== value)) {
    throw new OptionError(`${where}: ${value} does not fit into ${dtype}; cast the tensor to f32, or round the number`);
  }
}

/** The options of every reduction. */
export const REDUCE_OPTIONS: readonly string[] = ['keepDims'];
