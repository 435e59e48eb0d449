import type { Geometry } from '../kernel/contraction.js';
import type { DType } from '../tensor/dtype.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { contract } from './convolution.js';
import { full, iota } from './create.js';
import { add, cast, div, maximum, minimum, mul, notEqual, pow, where as select, sqrt, sub } from './elementwise.js';
import { maxPoolWithTaps, type WindowAxis } from './maxpool.js';
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

export interface PoolWindows {
  readonly axes: WindowAxis[];
  /** elements of padding behind the input, per axis */
  readonly padHigh: number[];
}

/** Checks the options of a pooling operator and computes its windows. */
export function poolWindows(
  where: string,
  x: Tensor,
  rank: number,
  kernel: PerAxis,
  options: MaxPoolOptions,
): PoolWindows {
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

/** {@link maxPool} of [batch, channels, length]. */
export const maxPool1d: WindowFunction<MaxPoolOptions> = ofRank(1, 'maxPool1d', maxPool);
/** {@link maxPool} of images [batch, channels, height, width]. */
export const maxPool2d: WindowFunction<MaxPoolOptions> = ofRank(2, 'maxPool2d', maxPool);
/** {@link maxPool} of volumes [batch, channels, depth, height, width]. */
export const maxPool3d: WindowFunction<MaxPoolOptions> = ofRank(3, 'maxPool3d', maxPool);

/** A pooling function of one rank. */
export type WindowFunction<O> = (x: Tensor, kernel: PerAxis, options?: O) => Tensor;

function ofRank<O extends object>(
  rank: number,
  where: string,
  pool: (x: Tensor, kernel: PerAxis, options: O | undefined, where: string) => Tensor,
): WindowFunction<O> {
  return (x, kernel, options) => {
    checkImages(where, x.shape, rank);
    return pool(x, kernel, options, where);
  };
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

/** {@link avgPool} of [batch, channels, length]. */
export const avgPool1d: WindowFunction<AvgPoolOptions> = ofRank(1, 'avgPool1d', avgPool);
/** {@link avgPool} of images [batch, channels, height, width]. */
export const avgPool2d: WindowFunction<AvgPoolOptions> = ofRank(2, 'avgPool2d', avgPool);
/** {@link avgPool} of volumes [batch, channels, depth, height, width]. */
export const avgPool3d: WindowFunction<AvgPoolOptions> = ofRank(3, 'avgPool3d', avgPool);

export interface LPPoolOptions {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** Count windows that start inside the input but do not end there, scaled up to a whole window; default false. */
  readonly ceilMode?: boolean;
}

/** Throws unless `normType` is the exponent of a norm. */
export function checkNormType(where: string, normType: number): void {
  if (typeof normType === 'number' && Number.isFinite(normType) && normType > 0) return;
  throw new OptionError(
    `${where}: normType must be a finite number > 0, got ${normType}${normType === Infinity ? '; use max pooling of abs(x)' : ''}`,
  );
}

/**
 * (Σ xᵖ)^(1/p) over every window, p = `normType`; x is [batch, channels, …spatial]. As in PyTorch there is no absolute
 * value, so odd and broken p want x ≥ 0, and the gradient is 0 where the sum is 0.
 */
export function lpPool(
  x: Tensor,
  normType: number,
  kernel: PerAxis,
  options: LPPoolOptions = {},
  where = 'lpPool',
): Tensor {
  checkOptions(where, options, ['stride', 'ceilMode']);
  checkNormType(where, normType);
  const rank = x.rank - 2;
  checkImages(where, x.shape, rank);
  const size = perAxis(where, 'kernelSize', kernel, rank, 1);
  const area = size.reduce((product, extent) => product * extent, 1);
  const powers = normType === 1 ? x : normType === 2 ? mul(x, x) : pow(x, normType);
  const sums = mul(avgPool(powers, size, options, where), area);
  if (normType === 1) return sums;
  const some = notEqual(sums, 0);
  const safe = select(some, sums, 1);
  return select(some, normType === 2 ? sqrt(safe) : pow(safe, 1 / normType), 0);
}

/** {@link lpPool} of one rank. */
export type LPPoolFunction = (x: Tensor, normType: number, kernel: PerAxis, options?: LPPoolOptions) => Tensor;

const lpPoolOfRank =
  (rank: number, where: string): LPPoolFunction =>
  (x, normType, kernel, options) => {
    checkImages(where, x.shape, rank);
    return lpPool(x, normType, kernel, options, where);
  };

/** {@link lpPool} of [batch, channels, length]. */
export const lpPool1d: LPPoolFunction = lpPoolOfRank(1, 'lpPool1d');
/** {@link lpPool} of images [batch, channels, height, width]. */
export const lpPool2d: LPPoolFunction = lpPoolOfRank(2, 'lpPool2d');
/** {@link lpPool} of volumes [batch, channels, depth, height, width]. */
export const lpPool3d: LPPoolFunction = lpPoolOfRank(3, 'lpPool3d');

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
