import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, load } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { normalizeAxes, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { identity } from './identity.js';
import { forEachPosition } from './loops.js';

const flipOperator: Operator<{ axes: readonly number[] }> = {
  name: 'flip',
  infer: ([x]) => [x],
  reference([x], [y], { axes }) {
    const { shape } = x.type;
    const strides = stridesOf(shape);
    forEachPosition(shape, (position, flat) => {
      let at = 0;
      for (let i = 0; i < shape.length; i++) {
        at += (axes.includes(i) ? shape[i] - 1 - position[i] : position[i]) * strides[i];
      }
      y.data[flat] = x.data[at];
    });
  },
  // Its own inverse and, as every permutation, the inverse's transpose.
  gradient: ({ gradients: [g], attributes: { axes } }) => [g && flip(g, axes)],
  lower([x], [y], { axes }) {
    const index = x.shape.map((extent, i) => (axes.includes(i) ? axisIndex(i, -1, extent - 1) : axisIndex(i)));
    return mapNest(y.shape, load(0, x.dtype, index));
  },
};

/** The elements in reverse order along `axes` (negative ones count from the last), as `torch.flip`. */
export function flip(x: Tensor, axes: readonly number[] | number): Tensor {
  const list = normalizeAxes('flip', typeof axes === 'number' ? [axes] : axes, x.rank);
  const moved = list.filter((axis) => x.shape[axis] > 1).sort((a, b) => a - b);
  return moved.length === 0 ? identity(x) : applyOperator(flipOperator, [x], { axes: moved })[0];
}
