import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { load, reduced } from '../kernel/expression.js';
import { type ReducerKind, reducerIdentity } from '../kernel/kernel.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { keepDims, type ReduceOptions, reducedAxes, reductionAxes, sum } from './broadcast.js';
import { cast, div, equal, mul, sub } from './elementwise.js';
import { forEachPosition } from './loops.js';

interface ReduceAttributes {
  readonly axes: readonly number[];
}

/** Reductions to the largest, the smallest, the product, or the position of the largest element. */
function reduction(name: string, kind: ReducerKind, better: (value: number, best: number) => number | undefined) {
  const operator: Operator<ReduceAttributes> = {
    name,
    infer([x], { axes }) {
      if (x.dtype !== 'f32' && x.dtype !== 'f64' && x.dtype !== 'i32') {
        throw new ShapeError(`${name}: needs f32 or i32, got ${x.dtype}; cast first`);
      }
      if (kind !== 'product' && axes.some((axis) => x.shape[axis] === 0)) {
        throw new ShapeError(`${name}: nothing to choose from along an empty axis of ${formatShape(x.shape)}`);
      }
      const shape = x.shape.filter((_, axis) => !axes.includes(axis));
      return [{ dtype: kind === 'argmax' ? 'i32' : x.dtype, shape }];
    },
    reference([x], [y], { axes }) {
      const { shape } = x.type;
      const kept = shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
      const outer = stridesOf(y.type.shape);
      const inner = stridesOf(axes.map((axis) => shape[axis]));
      const best = new Float64Array(y.data.length).fill(reducerIdentity(kind, 'f64'));
      const where = new Int32Array(y.data.length);
      forEachPosition(shape, (position, flat) => {
        const at = kept.reduce((a, axis, i) => a + outer[i] * position[axis], 0);
        const value = better(x.data[flat], best[at]);
        if (value === undefined) return;
        best[at] = value;
        where[at] = axes.reduce((a, axis, i) => a + inner[i] * position[axis], 0);
      });
      y.data.set(kind === 'argmax' ? where : best);
    },
    gradient:
      kind === 'max' || kind === 'min'
        ? ({ inputs: [x], outputs: [y], gradients: [g], attributes: { axes } }) => {
            if (g === undefined) return [undefined];
            const ties = cast(equal(x, keepDims(y, x.shape, axes)), x.dtype);
            const count = keepDims(sum(ties, axes), x.shape, axes);
            return [mul(ties, div(keepDims(g, x.shape, axes), count))];
          }
        : undefined,
    lower([x], [y], { axes }) {
      const { parallel, reduce, index } = reductionAxes(x.shape, axes);
      return {
        kind: 'nest',
        parallel,
        reduce,
        reducers: [{ kind, body: load(0, x.dtype, index) }],
        outputs: [reduced(0, y.dtype, kind === 'argmax' ? 'index' : 'value')],
      };
    },
  };
  return (x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor => {
    const list = reducedAxes(name, x, axes);
    const y = applyOperator(operator, [x], { axes: list })[0];
    return options.keepDims ? keepDims(y, x.shape, list) : y;
  };
}

type Reduction = (x: Tensor, axes?: readonly number[] | number, options?: ReduceOptions) => Tensor;

const larger = (value: number, best: number): number | undefined =>
  value > best || (Number.isNaN(value) && !Number.isNaN(best)) ? value : undefined;

/** The largest element over `axes` (default: all); ties share the gradient. NaN counts as largest. */
export const max: Reduction = reduction('reduceMax', 'max', larger);
/** The smallest element over `axes` (default: all); ties share the gradient. NaN counts as smallest. */
export const min: Reduction = reduction('reduceMin', 'min', (value, best) =>
  value < best || Number.isNaN(value) ? value : undefined,
);
/** The product over `axes` (default: all). No gradient. */
export const product: Reduction = reduction('reduceProduct', 'product', (value, best) => value * best);
/** Where the largest element lies, as i32, row-major over `axes` (default: all); the first of equals. */
export const argmax: Reduction = reduction('argmax', 'argmax', larger);

/** Mean over `axes` (default: all). */
export function mean(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  const list = reducedAxes('mean', x, axes);
  const count = list.reduce((n, axis) => n * x.shape[axis], 1);
  return mul(sum(x, list, options), 1 / count);
}

/** Mean squared distance from the mean over `axes` (default: all); `correction` 1 gives the unbiased estimate. */
export function variance(
  x: Tensor,
  axes?: readonly number[] | number,
  options: ReduceOptions & { readonly correction?: number } = {},
): Tensor {
  const list = reducedAxes('variance', x, axes);
  const count = list.reduce((n, axis) => n * x.shape[axis], 1);
  const centred = sub(x, mean(x, list, { keepDims: true }));
  return mul(sum(mul(centred, centred), list, options), 1 / (count - (options.correction ?? 0)));
}
