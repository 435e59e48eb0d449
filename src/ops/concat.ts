import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, constant, type Expression, guard, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatType, normalizeAxes, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { identity } from './identity.js';
import { forEachPosition } from './loops.js';
import { slice } from './slice.js';

const concatOperator: Operator<{ axis: number }> = {
  name: 'concat',
  infer(inputs, { axis }) {
    const [first, ...rest] = inputs;
    for (const x of rest) {
      const fits =
        x.dtype === first.dtype &&
        x.shape.length === first.shape.length &&
        x.shape.every((extent, i) => i === axis || extent === first.shape[i]);
      if (!fits) {
        throw new ShapeError(`concat: ${formatType(first)} and ${formatType(x)} may differ along axis ${axis} only`);
      }
    }
    const joined = inputs.reduce((total, x) => total + x.shape[axis], 0);
    return [{ dtype: first.dtype, shape: first.shape.map((extent, i) => (i === axis ? joined : extent)) }];
  },
  reference(inputs, [y], { axis }) {
    const strides = stridesOf(y.type.shape);
    let from = 0;
    for (const x of inputs) {
      forEachPosition(x.type.shape, (position, flat) => {
        let at = from * strides[axis];
        for (let i = 0; i < position.length; i++) at += position[i] * strides[i];
        y.data[at] = x.data[flat];
      });
      from += x.type.shape[axis];
    }
  },
  gradient({ inputs, gradients: [g], attributes: { axis } }) {
    let from = 0;
    return inputs.map((x) => {
      const start = x.shape.map((_, i) => (i === axis ? from : 0));
      from += x.shape[axis];
      return g && slice(g, start, x.shape);
    });
  },
  lower(inputs, [y], { axis }) {
    let from = y.shape[axis];
    let expression: Expression = constant(0, y.dtype);
    for (let i = inputs.length - 1; i >= 0; i--) {
      const x = inputs[i];
      from -= x.shape[axis];
      const index = x.shape.map((_, a) => axisIndex(a, 1, a === axis ? -from : 0));
      expression = guard([{ index: index[axis], extent: x.shape[axis] }], load(i, x.dtype, index), expression);
    }
    return mapNest(y.shape, expression);
  },
};

/** Joins tensors along one axis; all other extents must be equal. */
export function concat(tensors: readonly Tensor[], axis = 0): Tensor {
  if (tensors.length === 0) throw new ShapeError('concat: needs at least one tensor');
  const [a] = normalizeAxes('concat', [axis], tensors[0].rank);
  if (tensors.length === 1) return identity(tensors[0]);
  return applyOperator(concatOperator, tensors, { axis: a })[0];
}
