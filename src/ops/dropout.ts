import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { greaterEqual, mul, where } from './elementwise.js';
import { uniform } from './random.js';

/** Throws unless p is a probability. */
export function checkProbability(name: string, p: number): void {
  if (!(typeof p === 'number' && p >= 0 && p <= 1)) {
    throw new OptionError(`${name}: p must lie between 0 and 1, got ${JSON.stringify(p)}`);
  }
}

/**
 * Zeroes each element with probability `p` and multiplies the others by 1 / (1 − p).
 *
 * @param key i32[2]; the same key gives the same choice
 */
export function dropout(x: Tensor, key: Tensor, p = 0.5): Tensor {
  checkProbability('dropout', p);
  if (p === 0) return x;
  return where(greaterEqual(uniform(key, x.shape), p), mul(x, p < 1 ? 1 / (1 - p) : 0), 0);
}
