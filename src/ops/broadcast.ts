import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, type Index, load, loadBroadcast, reduced } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { checkOptions, ShapeError } from '../tensor/errors.js';
import {
  broadcastShapes,
  checkShape,
  formatShape,
  normalizeAxes,
  type Shape,
  sameShape,
  stridesOf,
} from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { REDUCE_OPTIONS } from './checks.js';
import { identity } from './identity.js';
import { broadcastReader, forEachPosition } from './loops.js';
import { reshape } from './reshape.js';

// Broadcasting and summation are each other's gradients, hence one file.

const broadcastOperator: Operator<{ shape: Shape }> = {
  name: 'broadcast',
  infer([x], { shape }) {
    checkShape('broadcastTo', shape);
    const joint = broadcastShapes(x.shape, shape);
    if (joint === undefined || !sameShape(joint, shape)) {
      throw new ShapeError(`broadcastTo: ${formatShape(x.shape)} does not stretch to ${formatShape(shape)}`);
    }
    return [{ dtype: x.dtype, shape }];
  },
  reference([x], [y], { shape }) {
    const read = broadcastReader(x, shape.length);
    forEachPosition(shape, (position, flat) => {
      y.data[flat] = read(position);
    });
  },
  gradient: ({ inputs: [x], gradients: [g] }) => [g && sumTo(g, x.shape)],
  lower: ([x], [y]) => mapNest(y.shape, loadBroadcast(0, x.dtype, x.shape, y.shape.length)),
};

const sumOperator: Operator<{ axes: readonly number[] }> = {
  name: 'sum',
  infer([x], { axes }) {
    if (x.dtype !== 'f32' && x.dtype !== 'f64' && x.dtype !== 'i32') {
      throw new ShapeError(`sum: needs f32 or i32, got ${x.dtype}; cast first`);
    }
    return [{ dtype: x.dtype, shape: x.shape.filter((_, axis) => !axes.includes(axis)) }];
  },
  reference([x], [y], { axes }) {
    const { shape } = x.type;
    const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    const strides = stridesOf(y.type.shape);
    const sums = new Float64Array(y.data.length);
    forEachPosition(shape, (position, flat) => {
      let at = 0;
      for (let i = 0; i < kept.length; i++) at += strides[i] * position[kept[i]];
      sums[at] += x.data[flat];
    });
    y.data.set(sums);
  },
  gradient: ({ inputs: [x], gradients: [g], attributes: { axes } }) => [
    g &&
      broadcastTo(
        reshape(
          g,
          x.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent)),
        ),
        x.shape,
      ),
  ],
  lower([x], [y], { axes }) {
    const { parallel, reduce, index } = reductionAxes(x.shape, axes);
    return {
      kind: 'nest',
      parallel,
      reduce,
      reducers: [{ kind: 'sum', body: load(0, x.dtype, index) }],
      outputs: [reduced(0, y.dtype)],
    };
  },
};

/** Extents and the operand's indices for a nest that reduces `axes` of `shape`. */
export function reductionAxes(
  shape: Shape,
  axes: readonly number[],
): { parallel: number[]; reduce: number[]; index: Index[] } {
  const parallel = shape.filter((_, axis) => !axes.includes(axis));
  const reduce = shape.filter((_, axis) => axes.includes(axis));
  let p = 0;
  let r = parallel.length;
  const index = shape.map((_, axis) => axisIndex(axes.includes(axis) ? r++ : p++));
  return { parallel, reduce, index };
}

/** Stretches extents of one, as in NumPy. */
export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? identity(x) : applyOperator(broadcastOperator, [x], { shape: [...shape] })[0];
}

/** Options of {@link sum} and the other reductions. */
export interface ReduceOptions {
  /** Keep reduced axes with extent one; default false. */
  readonly keepDims?: boolean;
}

/** Sum over `axes` (default: all). */
export function sum(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  checkOptions('sum', options, REDUCE_OPTIONS);
  const list = reducedAxes('sum', x, axes);
  const y = list.length === 0 ? identity(x) : applyOperator(sumOperator, [x], { axes: list })[0];
  return options.keepDims ? keepDims(y, x.shape, list) : y;
}

export function reducedAxes(where: string, x: Tensor, axes: readonly number[] | number | undefined): number[] {
  const list = axes === undefined ? x.shape.map((_, axis) => axis) : typeof axes === 'number' ? [axes] : axes;
  return normalizeAxes(where, list, x.rank).sort((a, b) => a - b);
}

/** Puts reduced axes back with extent one. */
export function keepDims(y: Tensor, shape: Shape, axes: readonly number[]): Tensor {
  return reshape(
    y,
    shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent)),
  );
}

/** Sums away what broadcasting to `x.shape` stretched: the gradient of a broadcast operand of shape `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return identity(x);
  const skip = x.rank - shape.length;
  const axes = x.shape.map((_, axis) => axis).filter((a) => a < skip || (shape[a - skip] === 1 && x.shape[a] !== 1));
  return reshape(sum(x, axes), shape);
}
