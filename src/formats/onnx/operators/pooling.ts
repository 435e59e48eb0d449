import { globalAvgPool, globalMaxPool } from '../../../ops/adaptive-pooling.js';
import { sum } from '../../../ops/broadcast.js';
import { contract } from '../../../ops/convolution.js';
import { full, iota, tensor } from '../../../ops/create.js';
import { abs, add, cast, div, maximum, mul, notEqual, pow, sqrt, sub, where } from '../../../ops/elementwise.js';
import { indexAdd } from '../../../ops/gather.js';
import { maxPoolWithTaps, type WindowAxis } from '../../../ops/maxpool.js';
import { divide } from '../../../ops/maxunpool.js';
import { reshape } from '../../../ops/reshape.js';
import { windowOutputs } from '../../../ops/window.js';
import { sizeOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';
import { OnnxValue } from '../value.js';
import { WINDOW_ATTRIBUTES, windowsOf } from './convolution.js';

interface PoolAxis extends WindowAxis {
  readonly padHigh: number;
}

/** The windows of a pool; x is [batch, channels, …spatial]. */
function poolAxes(c: OperatorContext, x: Tensor): PoolAxis[] {
  if (x.rank < 3) c.broken(`needs [batch, channels, …spatial], got ${c.shapes()}`);
  const inputs = x.shape.slice(2);
  const { kernel, stride, dilation, padding } = windowsOf(c, inputs);
  const ceilMode = c.flag('ceil_mode');
  const outputs = windowOutputs(c.where, inputs, { kernel, stride, dilation, padding, ceilMode });
  return inputs.map((input, s) => ({
    input,
    kernel: kernel[s],
    output: outputs[s],
    stride: stride[s],
    dilation: dilation[s],
    padLow: padding[s][0],
    padHigh: padding[s][1],
  }));
}

const plain = ({ padHigh: _, ...axis }: PoolAxis): WindowAxis => axis;

function maxPool(c: OperatorContext): Results {
  const { type } = c.value(0);
  const whole = isWhole(type);
  const x = whole ? cast(c.x(), 'f32') : c.x();
  const axes = poolAxes(c, x).map(plain);
  const { values, taps } = maxPoolWithTaps(x, axes);
  const y = OnnxValue.of(type, whole ? cast(values, 'i32') : values);
  return c.wants(1) ? [y, OnnxValue.of('int64', positions(x, taps, axes, c.int('storage_order', 0) === 1))] : [y];
}

/** Flat positions in the whole input, batch and channels included, of taps, which are flat positions in the window. */
function positions(x: Tensor, taps: Tensor, axes: readonly WindowAxis[], columnMajor: boolean): Tensor {
  const along: Tensor[] = [];
  let rest = taps;
  for (let s = axes.length - 1; s >= 0; s--) {
    const [quotient, tap] = s === 0 ? [rest, rest] : divide(rest, axes[s].kernel);
    along.unshift(tap);
    rest = quotient;
  }
  const spatial = axes.map((a) => a.input);
  const order = axes.map((_, s) => s);
  // The axis that varies fastest comes last here.
  if (columnMajor) order.reverse();
  let total = mul(add(mul(indexAlong(0, taps), x.shape[1]), indexAlong(1, taps)), sizeOf(spatial));
  let step = 1;
  for (const s of order.reverse()) {
    const { stride, dilation, padLow } = axes[s];
    const at = add(sub(mul(indexAlong(2 + s, taps), stride), padLow), mul(along[s], dilation));
    total = add(total, mul(maximum(at, 0), step));
    step *= spatial[s];
  }
  return total;
}

function indexAlong(axis: number, like: Tensor): Tensor {
  return iota(
    like.shape.map((extent, i) => (i === axis ? extent : 1)),
    axis,
  );
}

/** `factor` times the sum of every window: a depthwise convolution with a constant filter. */
function windowSums(x: Tensor, axes: readonly WindowAxis[], factor: number): Tensor {
  const [batch, channels] = x.shape;
  const filter = full([channels, 1, ...axes.map((a) => a.kernel)], factor, x.dtype);
  return contract('output', x, filter, { batch, groups: channels, channelsIn: 1, channelsOut: 1, axes });
}

/** How many taps of every window along an axis count. */
function counts({ input, kernel, output, stride, dilation, padLow, padHigh }: PoolAxis, includePad: boolean): number[] {
  const [first, end] = includePad ? [-padLow, input + padHigh] : [0, input];
  return Array.from({ length: output }, (_, o) => {
    // Taps k with first ≤ stride · o + dilation · k − padLow < end.
    const before = (limit: number): number =>
      Math.min(Math.max(Math.ceil((limit - stride * o + padLow) / dilation), 0), kernel);
    return before(end) - before(first);
  });
}

function averagePool(c: OperatorContext): Results {
  const x = c.x();
  const axes = poolAxes(c, x);
  const perAxis = axes.map((a) => counts(a, c.flag('count_include_pad')));
  const uniform = perAxis.every((list) => list.every((n) => n === list[0]));
  const windows = axes.map(plain);
  if (uniform) return c.like(windowSums(x, windows, 1 / perAxis.reduce((area, list) => area * list[0], 1)));
  const scales = perAxis.map((list, s) =>
    tensor(
      list.map((n) => 1 / Math.max(1, n)),
      { shape: [1, 1, ...perAxis.map((other, t) => (t === s ? other.length : 1))] },
    ),
  );
  return c.like(scales.reduce((y, scale) => mul(y, scale), windowSums(x, windows, 1)));
}

/** (Σ |x|ᵖ)^(1/p); the gradient is 0 where the sum is 0. */
function norm(p: number, x: Tensor, total: (powers: Tensor) => Tensor): Tensor {
  if (p === 1) return total(abs(x));
  const sums = total(p === 2 ? mul(x, x) : pow(abs(x), p));
  const some = notEqual(sums, 0);
  const safe = where(some, sums, 1);
  return where(some, p === 2 ? sqrt(safe) : pow(safe, 1 / p), 0);
}

function lpPool(c: OperatorContext): Results {
  const x = c.x();
  const axes = poolAxes(c, x).map(plain);
  return c.like(norm(c.int('p', 2), x, (powers) => windowSums(powers, axes, 1)));
}

function globalLpPool(c: OperatorContext): Results {
  const x = c.x();
  const axes = x.shape.map((_, axis) => axis).slice(2);
  return c.like(norm(c.int('p', 2), x, (powers) => sum(powers, axes, { keepDims: true })));
}

function maxUnpool(c: OperatorContext): Results {
  const x = c.x(0);
  const rank = x.rank - 2;
  const { kernel, stride, padding } = windowsOf(c, x.shape.slice(2));
  const usual = x.shape.slice(2).map((n, s) => (n - 1) * stride[s] - padding[s][0] - padding[s][1] + kernel[s]);
  const given = c.numbersOr(2, undefined);
  const shape = given ?? [...x.shape.slice(0, 2), ...usual];
  if (shape.length !== rank + 2) c.broken(`output_shape ${shape} needs ${rank + 2} extents`);
  const size = sizeOf(shape);
  const flat = indexAdd(full([size], 0, x.dtype), reshape(c.x(1), [x.size]), reshape(x, [x.size]));
  return c.like(reshape(flat, shape));
}

/** p-norms along an axis, to one. */
function lpNormalization(c: OperatorContext): Results {
  const x = c.x();
  const length = norm(c.int('p', 2), x, (powers) =>
    sum(powers, [c.axis(c.int('axis', -1), x.rank)], { keepDims: true }),
  );
  return c.like(where(notEqual(length, 0), div(x, where(notEqual(length, 0), length, 1)), 0));
}

const ATTRIBUTES: readonly string[] = [...WINDOW_ATTRIBUTES, 'ceil_mode'];

export const POOLING: OperatorTable = {
  AveragePool: { attributes: [...ATTRIBUTES, 'count_include_pad'], run: averagePool },
  GlobalAveragePool: { run: (c) => c.like(globalAvgPool(c.x(), { keepDims: true }, c.where)) },
  GlobalLpPool: { attributes: ['p'], run: globalLpPool },
  GlobalMaxPool: { run: (c) => c.like(globalMaxPool(c.x(), { keepDims: true }, c.where)) },
  LpNormalization: { attributes: ['axis', 'p'], run: lpNormalization },
  LpPool: { attributes: [...ATTRIBUTES, 'p'], run: lpPool },
  MaxPool: { attributes: [...ATTRIBUTES, 'storage_order'], run: maxPool },
  MaxUnpool: { attributes: ['kernel_shape', 'pads', 'strides'], statics: [2], since: 9, run: maxUnpool },
};
