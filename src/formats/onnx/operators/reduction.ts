import { sum } from '../../../ops/broadcast.js';
import { iota } from '../../../ops/create.js';
import { abs, add, cast, equal, exp, log, mul, neg, sqrt, stopGradient, sub, where } from '../../../ops/elementwise.js';
import { flip } from '../../../ops/flip.js';
import { argmax, max, min, product } from '../../../ops/reduce.js';
import { reshape } from '../../../ops/reshape.js';
import { logSoftmax, softmax } from '../../../ops/softmax.js';
import { sizeOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorRow, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';
import { OnnxValue } from '../value.js';
import { divideWhole } from './whole-numbers.js';

type Reduce = (x: Tensor, axes: readonly number[], options: { keepDims: boolean }, c: OperatorContext) => Tensor;

/** Axes are an attribute in older sets of operators, an input in newer ones; none means all, or nothing to do. */
const reduction = (f: Reduce): OperatorRow => ({
  attributes: ['axes', 'keepdims', 'noop_with_empty_axes'],
  statics: [1],
  run: (c) => {
    const value = c.value(0);
    const x = value.type === 'bool' ? cast(c.x(0), 'i32') : c.x(0);
    const list = c.listOf('axes', 1) ?? [];
    const all = list.length === 0 && !c.flag('noop_with_empty_axes');
    const axes = all ? x.shape.map((_, axis) => axis) : c.axes(list, x.rank);
    const y = f(x, axes, { keepDims: c.flag('keepdims', true) }, c);
    return c.like(value.type === 'bool' ? cast(y, 'bool') : y);
  },
});

const mean: Reduce = (x, axes, options, c) => {
  const total = sum(x, axes, options);
  const count = sizeOf(axes.map((axis) => x.shape[axis]));
  if (!isWhole(c.value(0).type)) return mul(total, 1 / count);
  return divideWhole(total, add(mul(total, 0), count)).quotient;
};

/** √ and log compute whole numbers as floats. */
const asFloat =
  (f: Reduce): Reduce =>
  (x, axes, options, c) =>
    isWhole(c.value(0).type) ? cast(f(cast(x, 'f32'), axes, options, c), 'i32') : f(x, axes, options, c);

/** log Σ exp(x), around the largest element. */
const logSumExp: Reduce = (x, axes, options) => {
  const top = stopGradient(max(x, axes, { keepDims: true }));
  const finite = where(equal(sub(top, top), 0), top, 0);
  const total = add(log(sum(exp(sub(x, finite)), axes, { keepDims: true })), finite);
  return options.keepDims ? total : sum(total, axes);
};

const choice =
  (prepare: (x: Tensor) => Tensor) =>
  (c: OperatorContext): Results => {
    const x = prepare(c.x());
    const axis = c.axis(c.int('axis', 0), x.rank);
    const options = { keepDims: c.flag('keepdims', true) };
    if (!c.flag('select_last_index')) return [OnnxValue.of('int64', argmax(x, [axis], options))];
    return [OnnxValue.of('int64', sub(x.shape[axis] - 1, argmax(flip(x, axis), [axis], options)))];
  };

/** Softmax and its kin: along an axis, or before version 13 over all axes from one on, joined. */
const along = (f: (x: Tensor, axis: number) => Tensor): OperatorRow => ({
  attributes: ['axis'],
  run: (c) => {
    const x = c.x();
    if (c.opset >= 13) return c.like(f(x, c.axis(c.int('axis', -1), x.rank)));
    const axis = c.axis(c.int('axis', 1), x.rank);
    const rows = reshape(x, [sizeOf(x.shape.slice(0, axis)), sizeOf(x.shape.slice(axis))]);
    return c.like(reshape(f(rows, 1), x.shape));
  },
});

/** One where the largest element of an axis lies first, zero elsewhere. */
function hardmax(x: Tensor, axis: number): Tensor {
  const positions = iota(
    x.shape.map((extent, i) => (i === axis ? extent : 1)),
    axis,
  );
  return cast(equal(positions, argmax(x, [axis], { keepDims: true })), x.dtype);
}

const l2: Reduce = (x, axes, options) => {
  const total = sum(mul(x, x), axes, options);
  const some = where(equal(total, 0), 1, total);
  return where(equal(total, 0), 0, sqrt(some));
};

const CHOICE_ATTRIBUTES: readonly string[] = ['axis', 'keepdims', 'select_last_index'];

export const REDUCTION: OperatorTable = {
  ArgMax: { attributes: CHOICE_ATTRIBUTES, run: choice((x) => x) },
  ArgMin: { attributes: CHOICE_ATTRIBUTES, run: choice(neg) },
  Hardmax: along(hardmax),
  LogSoftmax: along(logSoftmax),
  ReduceL1: reduction((x, axes, options) => sum(abs(x), axes, options)),
  ReduceL2: reduction(asFloat(l2)),
  ReduceLogSum: reduction(asFloat((x, axes, options) => log(sum(x, axes, options)))),
  ReduceLogSumExp: reduction(asFloat(logSumExp)),
  ReduceMax: reduction((x, axes, options) => max(x, axes, options)),
  ReduceMean: reduction(mean),
  ReduceMin: reduction((x, axes, options) => min(x, axes, options)),
  ReduceProd: reduction((x, axes, options) => product(x, axes, options)),
  ReduceSum: reduction((x, axes, options) => sum(x, axes, options)),
  ReduceSumSquare: reduction((x, axes, options) => sum(mul(x, x), axes, options)),
  Softmax: along(softmax),
};
