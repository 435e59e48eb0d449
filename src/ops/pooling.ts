import type { Geometry } from '../kernel/contraction.js';
import type { DType } from '../tensor/dtype.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { linear } from './conv.js';
import { contract } from './convolution.js';
import { full, iota } from './create.js';
import { add, cast, div, greater, less, logicalAnd, maximum, minimum, mul, sub } from './elementwise.js';
import { maxPoolWithTaps, type WindowAxis } from './maxpool.js';
import { mean } from './reduce.js';
import { transpose } from './transpose.js';
import { checkImages, type PerAxis, perAxis, resolvePadding, windowOutputs } from './window.js';

export interface MaxPoolOptions {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** at most half of the window; padding never wins; default 0 */
  readonly padding?: PerAxis;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** Count windows that start inside the padded input but do not end there; default false. */
  readonly ceilMode?: boolean;
}

export interface AvgPoolOptions {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** at most half of the window; default 0 */
  readonly padding?: PerAxis;
  /** Count windows that start inside the padded input but do not end there; default false. */
  readonly ceilMode?: boolean;
  /** Whether zeros of the padding count in the average; default true. */
  readonly countIncludePad?: boolean;
  /** Divide by this instead of the number of elements. */
  readonly divisorOverride?: number;
}

interface Windows {
  readonly axes: WindowAxis[];
  /** elements of padding behind the input, per axis */
  readonly padHigh: number[];
}

/** Checks the options of a pooling operator and computes its windows. */
function poolWindows(where: string, x: Tensor, rank: number, kernel: PerAxis, options: MaxPoolOptions): Windows {
  checkImages(where, x.shape, rank);
  const size = perAxis(where, 'kernelSize', kernel, rank, 1);
  const stride = perAxis(where, 'stride', options.stride ?? size, rank, 1);
  const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
  const padding = resolvePadding(where, options.padding ?? 0, size, stride, dilation);
  checkPoolPadding(where, padding, size);
  const inputs = x.shape.slice(2);
  const { ceilMode } = options;
  const outputs = windowOutputs(where, inputs, { kernel: size, stride, dilation, padding, ceilMode });
  const axes = inputs.map((input, s) => ({
    input,
    kernel: size[s],
    output: outputs[s],
    stride: stride[s],
    dilation: dilation[s],
    padLow: padding[s][0],
  }));
  return { axes, padHigh: padding.map(([, high]) => high) };
}

/** A window must meet the input, hence at most half of it may be padding. */
export function checkPoolPadding(
  where: string,
  padding: readonly (readonly [number, number])[],
  kernel: readonly number[],
): void {
  padding.forEach((pair, axis) => {
    if (Math.max(...pair) > kernel[axis] / 2) {
      throw new OptionError(
        `${where}: padding ${Math.max(...pair)} is more than half of the window of ${kernel[axis]}; at most ${Math.floor(kernel[axis] / 2)} fits`,
      );
    }
  });
}

/** Largest element of every window; x is [batch, channels, …spatial]. */
export function maxPool(x: Tensor, kernel: PerAxis, options: MaxPoolOptions = {}, where = 'maxPool'): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'dilation', 'ceilMode']);
  return maxPoolWithTaps(x, poolWindows(where, x, x.rank - 2, kernel, options).axes).values;
}

/** {@link maxPool} of images [batch, channels, height, width]. */
export function maxPool2d(x: Tensor, kernel: PerAxis, options: MaxPoolOptions = {}): Tensor {
  checkImages('maxPool2d', x.shape, 2);
  return maxPool(x, kernel, options, 'maxPool2d');
}

/** Average of every window; x is [batch, channels, …spatial]. */
export function avgPool(x: Tensor, kernel: PerAxis, options: AvgPoolOptions = {}, where = 'avgPool'): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'ceilMode', 'countIncludePad', 'divisorOverride']);
  const { stride, padding, ceilMode, countIncludePad = true, divisorOverride } = options;
  if (divisorOverride !== undefined && !(Number.isInteger(divisorOverride) && divisorOverride !== 0)) {
    throw new OptionError(`${where}: divisorOverride must be an integer other than 0, got ${divisorOverride}`);
  }
  const { axes, padHigh } = poolWindows(where, x, x.rank - 2, kernel, { stride, padding, ceilMode });
  // Where every window holds the same number of elements, the division is part of the (constant) filter.
  const area = axes.reduce((product, a) => product * a.kernel, 1);
  const clipped = axes.some((a, s) => {
    const end = (a.output - 1) * a.stride - a.padLow + a.kernel;
    return countIncludePad ? end > a.input + padHigh[s] : a.padLow > 0 || end > a.input;
  });
  if (divisorOverride !== undefined || !clipped) return windowSum(x, axes, 1 / (divisorOverride ?? area));
  return div(windowSum(x, axes, 1), windowCounts(axes, countIncludePad ? padHigh : undefined, x.dtype));
}

/** {@link avgPool} of images [batch, channels, height, width]. */
export function avgPool2d(x: Tensor, kernel: PerAxis, options: AvgPoolOptions = {}): Tensor {
  checkImages('avgPool2d', x.shape, 2);
  return avgPool(x, kernel, options, 'avgPool2d');
}

/** `factor` times the sum of every window: a depthwise convolution with a constant filter. */
function windowSum(x: Tensor, axes: readonly WindowAxis[], factor: number): Tensor {
  const [batch, channels] = x.shape;
  const geometry: Geometry = { batch, groups: channels, channelsIn: 1, channelsOut: 1, axes };
  return contract('output', x, full([channels, 1, ...axes.map((a) => a.kernel)], factor, x.dtype), geometry);
}

/** How many elements each window holds, [1, 1, …output]; padding counts as far as `padHigh` says, or not at all. */
function windowCounts(axes: readonly WindowAxis[], padHigh: readonly number[] | undefined, dtype: DType): Tensor {
  const counts = axes.map((a, s) => {
    const shape = new Array<number>(axes.length + 2).fill(1);
    shape[2 + s] = a.output;
    const start = sub(mul(iota(shape, 2 + s), a.stride), a.padLow);
    const end = minimum(add(start, a.kernel), a.input + (padHigh?.[s] ?? 0));
    return sub(end, padHigh === undefined ? maximum(start, 0) : start);
  });
  return cast(
    counts.reduce((product, count) => mul(product, count)),
    dtype,
  );
}

/** An extent per axis; `null` keeps the input's. */
export type AdaptiveSize = number | null | readonly (number | null)[];

/** One extent (or null) per axis, checked. */
export function adaptiveSize(where: string, size: AdaptiveSize, rank: number): (number | null)[] {
  const list = size === null || typeof size === 'number' ? new Array<number | null>(rank).fill(size) : size;
  const valid = (n: number | null): boolean => n === null || (Number.isInteger(n) && n >= 1);
  if (!Array.isArray(list) || list.length !== rank || !list.every(valid)) {
    throw new OptionError(
      `${where}: outputSize must be an integer ≥ 1 or null, or ${rank} of them, got ${JSON.stringify(size)}`,
    );
  }
  return [...list];
}

/**
 * Average pooling to a given size: output o averages the inputs ⌊o · in / out⌋ … ⌈(o + 1) · in / out⌉ − 1, as in
 * PyTorch, so neighbouring windows may overlap.
 */
export function adaptiveAvgPool(x: Tensor, size: AdaptiveSize, where = 'adaptiveAvgPool'): Tensor {
  const rank = x.rank - 2;
  checkImages(where, x.shape, rank);
  const inputs = x.shape.slice(2);
  const outputs = adaptiveSize(where, size, rank).map((n, s) => n ?? inputs[s]);
  if (outputs.every((n) => n === 1)) {
    return mean(
      x,
      inputs.map((_, s) => 2 + s),
      { keepDims: true },
    );
  }
  if (inputs.every((input, s) => input % outputs[s] === 0)) {
    const kernel = inputs.map((input, s) => input / outputs[s]);
    return avgPool(x, kernel, {}, where);
  }
  return outputs.reduce((y, output, s) => (output === inputs[s] ? y : averageAlong(y, 2 + s, output)), x);
}

/** {@link adaptiveAvgPool} of images [batch, channels, height, width]. */
export function adaptiveAvgPool2d(x: Tensor, size: AdaptiveSize): Tensor {
  checkImages('adaptiveAvgPool2d', x.shape, 2);
  return adaptiveAvgPool(x, size, 'adaptiveAvgPool2d');
}

/** A matrix product along one axis with the rows of averages. */
function averageAlong(x: Tensor, axis: number, output: number): Tensor {
  const input = x.shape[axis];
  const shape: Shape = [output, input];
  const o = iota(shape, 0);
  const i = iota(shape, 1);
  // i ≥ ⌊o · input / output⌋ and i < ⌈(o + 1) · input / output⌉ without division.
  const inside = logicalAnd(
    greater(mul(add(i, 1), output), mul(o, input)),
    less(mul(i, output), mul(add(o, 1), input)),
  );
  const ones = cast(inside, x.dtype);
  const rows = div(ones, sum(ones, 1, { keepDims: true }));
  if (axis === x.rank - 1) return linear(x, rows);
  const order = x.shape.map((_, a) => a);
  order[axis] = x.rank - 1;
  order[x.rank - 1] = axis;
  return transpose(linear(transpose(x, order), rows), order);
}
