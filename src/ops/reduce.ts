import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { load, reduced } from '../kernel/expression.js';
import { type ReducerKind, reducerIdentity } from '../kernel/kernel.js';
import { evaluateScalar } from '../kernel/scalar.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { checkOptions, ShapeError } from '../tensor/errors.js';
import { formatShape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { keepDims, type ReduceOptions, reducedAxes, reductionAxes, sum } from './broadcast.js';
import { REDUCE_OPTIONS } from './checks.js';
import { cast, div, equal, mul, sub } from './elementwise.js';
import { forEachPosition } from './loops.js';
import { reshape } from './reshape.js';
import { pad } from './slice.js';
import { transpose } from './transpose.js';

interface ReduceAttributes {
  readonly axes: readonly number[];
}

/** Reductions to the largest, the smallest, the product, or the position of the largest element. */
function reduction(
  name: string,
  kind: ReducerKind,
  better: (value: number, best: number, dtype: DType) => number | undefined,
  gradient?: Operator<ReduceAttributes>['gradient'],
): Reduction {
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
        const value = better(x.data[flat], best[at], x.type.dtype);
        if (value === undefined) return;
        best[at] = value;
        where[at] = axes.reduce((a, axis, i) => a + inner[i] * position[axis], 0);
      });
      y.data.set(kind === 'argmax' ? where : best);
    },
    gradient,
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
    checkOptions(name, options, REDUCE_OPTIONS);
    const list = reducedAxes(name, x, axes);
    const y = applyOperator(operator, [x], { axes: list })[0];
    return options.keepDims ? keepDims(y, x.shape, list) : y;
  };
}

type Reduction = (x: Tensor, axes?: readonly number[] | number, options?: ReduceOptions) => Tensor;

/** What a choice passes back: the gradient goes to the chosen element, in equal parts where several are equal. */
const choiceGradient: Operator<ReduceAttributes>['gradient'] = (context) => {
  const { inputs, outputs, gradients, attributes } = context;
  const [x] = inputs;
  const [g] = gradients;
  const { axes } = attributes;
  if (g === undefined) return [undefined];
  const ties = cast(equal(x, keepDims(outputs[0], x.shape, axes)), x.dtype);
  const count = keepDims(sum(ties, axes), x.shape, axes);
  return [mul(ties, div(keepDims(g, x.shape, axes), count))];
};

/** Each factor's gradient is the product of all others; dividing by the factor would fail for zeros. */
const productGradient: Operator<ReduceAttributes>['gradient'] = (context) => {
  const { inputs, gradients, attributes } = context;
  const [x] = inputs;
  const [g] = gradients;
  const { axes } = attributes;
  if (g === undefined) return [undefined];
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
  const order = [...kept, ...axes];
  const rows = transpose(x, order);
  const count = sizeOf(axes.map((axis) => x.shape[axis]));
  const others = reshape(productsOfOthers(reshape(rows, [sizeOf(g.shape), count])), rows.shape);
  const back = order.map((_, axis) => order.indexOf(axis));
  return [mul(transpose(others, back), keepDims(g, x.shape, axes))];
};

/**
 * Π over j ≠ i of x[m, j], as the product of everything before and everything after i. Both are prefix scans in
 * log₂ n steps (Hillis and Steele, "Data parallel algorithms", CACM 1986).
 */
function productsOfOthers(x: Tensor): Tensor {
  const shift = (t: Tensor, by: number): Tensor => pad(t, [0, by], [0, -by], 1);
  const scan = (direction: number): Tensor => {
    let t = shift(x, direction);
    for (let d = 1; d < x.shape[1]; d *= 2) t = mul(t, shift(t, direction * d));
    return t;
  };
  return mul(scan(1), scan(-1));
}

const larger = (value: number, best: number): number | undefined =>
  value > best || (Number.isNaN(value) && !Number.isNaN(best)) ? value : undefined;

/** The largest element over `axes` (default: all); ties share the gradient. NaN counts as largest. */
export const max: Reduction = reduction('reduceMax', 'max', larger, choiceGradient);
/** The smallest element over `axes` (default: all); ties share the gradient. NaN counts as smallest. */
export const min: Reduction = reduction(
  'reduceMin',
  'min',
  (value, best) => (value < best || Number.isNaN(value) ? value : undefined),
  choiceGradient,
);
/** The product over `axes` (default: all). */
export const product: Reduction = reduction(
  'reduceProduct',
  'product',
  (value, so, dtype) => evaluateScalar('mul', dtype, value, so),
  productGradient,
);
/** Where the largest element lies, as i32, row-major over `axes` (default: all); the first of equals. */
export const argmax: Reduction = reduction('argmax', 'argmax', larger);

function checkFloat(name: string, x: Tensor): void {
  if (!isFloat(x.dtype)) throw new ShapeError(`${name}: needs f32, got ${x.dtype}; cast first`);
}

/** Mean over `axes` (default: all). */
export function mean(x: Tensor, axes?: readonly number[] | number, options: ReduceOptions = {}): Tensor {
  checkOptions('mean', options, REDUCE_OPTIONS);
  checkFloat('mean', x);
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
  const { keepDims = false, correction = 0 } = options;
  checkOptions('variance', options, [...REDUCE_OPTIONS, 'correction']);
  checkFloat('variance', x);
  const list = reducedAxes('variance', x, axes);
  const count = list.reduce((n, axis) => n * x.shape[axis], 1);
  const centred = sub(x, mean(x, list, { keepDims: true }));
  return mul(sum(mul(centred, centred), list, { keepDims }), 1 / Math.max(0, count - correction));
}
