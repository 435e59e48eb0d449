import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { ShapeError } from '../tensor/errors.js';
import { checkShape, formatShape, normalizeAxes, type Shape, sameShape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { identity } from './identity.js';

const reshapeOperator: Operator<{ shape: Shape }> = {
  name: 'reshape',
  infer([x], { shape }) {
    checkShape('reshape', shape);
    if (sizeOf(x.shape) !== sizeOf(shape)) {
      throw new ShapeError(
        `reshape: ${formatShape(x.shape)} has ${sizeOf(x.shape)} elements, ${formatShape(shape)} has ${sizeOf(shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference([x], [y]) {
    y.data.set(x.data);
  },
  gradient: ({ inputs: [x], gradients: [g] }) => [g && reshape(g, x.shape)],
  lower: () => ({ kind: 'reshape' }),
};

/** The same elements, row-major, under another shape. One extent may be −1: it takes what is left. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const unknown = shape.indexOf(-1);
  let target = shape;
  if (unknown >= 0) {
    const known = shape.reduce((product, extent, axis) => (axis === unknown ? product : product * extent), 1);
    const rest = x.size / known;
    if (!Number.isInteger(rest) || shape.indexOf(-1, unknown + 1) >= 0) {
      throw new ShapeError(`reshape: ${formatShape(x.shape)} does not fit into ${formatShape(shape)}`);
    }
    target = shape.map((extent, axis) => (axis === unknown ? rest : extent));
  }
  return sameShape(x.shape, target) ? identity(x) : applyOperator(reshapeOperator, [x], { shape: [...target] })[0];
}

/** Joins the axes from `start` to `end` (inclusive) into one; the defaults keep the batch axis. */
export function flatten(x: Tensor, start = 1, end = -1): Tensor {
  const [first] = normalizeAxes('flatten', [start], x.rank);
  const [last] = normalizeAxes('flatten', [end], x.rank);
  if (first > last) throw new ShapeError(`flatten: axis ${start} comes after axis ${end} of ${formatShape(x.shape)}`);
  return reshape(x, [...x.shape.slice(0, first), sizeOf(x.shape.slice(first, last + 1)), ...x.shape.slice(last + 1)]);
}
