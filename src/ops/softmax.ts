import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { div, exp, log, stopGradient, sub } from './elementwise.js';
import { max } from './reduce.js';

// log Σ exp(x) = m + log Σ exp(x − m) for every m, so m = max x counts as a constant in derivatives of any order.

/** x − max x along `axis`. */
function shifted(x: Tensor, axis: number): Tensor {
  return sub(x, stopGradient(max(x, axis, { keepDims: true })));
}

/** exp(x) / Σ exp(x) along `axis` (default the last); never overflows. */
export function softmax(x: Tensor, axis = -1): Tensor {
  const e = exp(shifted(x, axis));
  return div(e, sum(e, axis, { keepDims: true }));
}

/** The logarithm of {@link softmax}, precise where probabilities are tiny. */
export function logSoftmax(x: Tensor, axis = -1): Tensor {
  const z = shifted(x, axis);
  return sub(z, log(sum(exp(z), axis, { keepDims: true })));
}
