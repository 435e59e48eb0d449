import type { Operator } from '../graph/operator.js';
import { applyOperator, currentTrace, tracedValue } from '../graph/trace.js';
import { Tensor } from '../tensor/tensor.js';

const identityOperator: Operator<object> = {
  name: 'identity',
  infer: ([x]) => [x],
  reference([x], [y]) {
    y.data.set(x.data);
  },
  gradient: ({ gradients: [g] }) => [g],
  lower: () => ({ kind: 'reshape' }),
};

/**
 * The same value as a tensor of its own: what operators return where nothing is to do. Outside of traced functions that
 * is a copy, so that disposing of a result never takes its operand along.
 */
export function identity(x: Tensor): Tensor {
  return currentTrace() ? Tensor.fromTraced(tracedValue(x)) : applyOperator(identityOperator, [x], {})[0];
}
