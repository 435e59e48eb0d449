import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, normalizeAxes, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { identity } from './identity.js';
import { forEachPosition } from './loops.js';

const transposeOperator: Operator<{ order: readonly number[] }> = {
  name: 'transpose',
  infer([x], { order }) {
    if (order.length !== x.shape.length) {
      throw new ShapeError(
        `transpose: order ${formatShape(order)} does not name every axis of ${formatShape(x.shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape: order.map((axis) => x.shape[axis]) }];
  },
  reference([x], [y], { order }) {
    const strides = stridesOf(x.type.shape);
    forEachPosition(y.type.shape, (position, flat) => {
      let at = 0;
      for (let i = 0; i < order.length; i++) at += position[i] * strides[order[i]];
      y.data[flat] = x.data[at];
    });
  },
  gradient: ({ gradients: [g], attributes: { order } }) => [g && transpose(g, inverse(order))],
  lower([x], [y], { order }) {
    const index = inverse(order).map((axis) => axisIndex(axis));
    return mapNest(y.shape, load(0, x.dtype, index));
  },
};

function inverse(order: readonly number[]): number[] {
  const result = new Array<number>(order.length);
  order.forEach((axis, i) => {
    result[axis] = i;
  });
  return result;
}

/** Axis `i` of the result is axis `order[i]` of `x`; default: reversed. */
export function transpose(x: Tensor, order?: readonly number[]): Tensor {
  const axes = order ? normalizeAxes('transpose', order, x.rank) : x.shape.map((_, i) => x.rank - 1 - i);
  return axes.every((axis, i) => axis === i) && axes.length === x.rank
    ? identity(x)
    : applyOperator(transposeOperator, [x], { order: axes })[0];
}
