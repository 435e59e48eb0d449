import type { Geometry } from '../kernel/contraction.js';
import type { DType } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { contract } from './convolution.js';
import { full, iota } from './create.js';
import { checkDataFormat, type DataFormatOption, inChannelsFirst } from './data-format.js';
import { add, cast, div, maximum, minimum, mul, notEqual, pow, where as select, sqrt, sub } from './elementwise.js';
import { maxPoolWithTaps, type WindowAxis } from './maxpool.js';
import { checkImages, type Padding, type PerAxis, perAxis, resolvePadding, windowOutputs } from './window.js';

/**
 * What goes around the input of a pooling, as for convolutions: numbers of at most half of the window, `valid` for none, or
 * `same` for ⌈input / stride⌉ windows with the odd element at the high side.
 */
export type PoolPadding = Exclude<Padding, 'causal'>;

/** Options of {@link maxPool} and its kin. */
export interface MaxPoolOptions extends DataFormatOption {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** padding never wins; default 0 */
  readonly padding?: PoolPadding;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** Count windows that start inside the padded input but do not end there; default false. */
  readonly ceilMode?: boolean;
}

/** Options of {@link avgPool} and its kin. */
export interface AvgPoolOptions extends DataFormatOption {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** default 0 */
  readonly padding?: PoolPadding;
  /** Count windows that start inside the padded input but do not end there; default false. */
  readonly ceilMode?: boolean;
  /** Whether zeros of the padding count in the average; default true, as in PyTorch (in Keras and ONNX they do not). */
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
  const inputs = x.shape.slice(2);
  const padding = poolPadding(where, options.padding ?? 0, size, stride, dilation, inputs);
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

/**
 * `[low, high]` per axis.
 *
 * @throws OptionError for padding that is none; ShapeError where a window would lie in the padding with all of its taps
 */
export function poolPadding(
  where: string,
  padding: PoolPadding,
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
  inputs: Shape,
): [number, number][] {
  const resolved = resolvePadding(where, padding, kernel, stride, dilation, inputs, false);
  resolved.forEach(([low, high], axis) => {
    const [k, d, input] = [kernel[axis], dilation[axis], inputs[axis]];
    const most = Math.max(low, high);
    if (padding !== 'same' && most > k / 2) {
      throw new OptionError(
        `${where}: padding ${most} is more than half of the window of ${k}: ${most} > ${k} / 2; at most ${Math.floor(k / 2)} fits`,
      );
    }
    // Between the taps of an even, dilated window the whole input may fit.
    const start = (window: number): number => window * stride[axis] - low;
    const meets = (window: number): boolean =>
      Array.from({ length: k }, (_, tap) => start(window) + d * tap).some((i) => i >= 0 && i < input);
    const windows = Math.ceil(input / stride[axis]);
    const missed = padding === 'same' ? Array.from({ length: windows }, (_, o) => o).find((o) => !meets(o)) : undefined;
    if (missed === undefined) return;
    throw new ShapeError(
      `${where}: with padding "same" window ${missed} (axis ${2 + axis}) sees padding only: ${k} taps from ${start(missed)} in steps of ${d} miss the input 0 … ${input - 1}`,
    );
  });
  return resolved;
}

/** Checks what does not depend on the input. */
export function checkPoolPadding(where: string, padding: PoolPadding, kernel: readonly number[]): void {
  const ones = kernel.map(() => 1);
  poolPadding(where, padding, kernel, ones, ones, kernel);
}

export const MAX_POOL_OPTIONS: readonly string[] = ['stride', 'padding', 'dilation', 'ceilMode', 'dataFormat'];

/** Largest element of every window; x is [batch, channels, …spatial]. */
export function maxPool(x: Tensor, kernel: PerAxis, options: MaxPoolOptions = {}, where = 'maxPool'): Tensor {
  checkOptions(where, options, MAX_POOL_OPTIONS);
  return pooled(where, x, options, (images) => {
    return maxPoolWithTaps(images, poolWindows(where, images, images.rank - 2, kernel, options).axes).values;
  });
}

/** `pool`, which knows [batch, channels, …spatial] alone, on images of the format that the options name. */
export function pooled(where: string, x: Tensor, options: DataFormatOption, pool: (x: Tensor) => Tensor): Tensor {
  const { dataFormat = 'channels-first' } = options;
  checkDataFormat(where, dataFormat);
  checkImages(where, x.shape, Math.max(1, x.rank - 2), undefined, dataFormat);
  return inChannelsFirst(x, dataFormat, pool);
}

/** {@link maxPool} of [batch, channels, length]. */
export const maxPool1d: WindowFunction<MaxPoolOptions> = ofRank(1, 'maxPool1d', maxPool);
/** {@link maxPool} of images [batch, channels, height, width]. */
export const maxPool2d: WindowFunction<MaxPoolOptions> = ofRank(2, 'maxPool2d', maxPool);
/** {@link maxPool} of volumes [batch, channels, depth, height, width]. */
export const maxPool3d: WindowFunction<MaxPoolOptions> = ofRank(3, 'maxPool3d', maxPool);

/** A pooling function of one rank. */
export type WindowFunction<O> = (x: Tensor, kernel: PerAxis, options?: O) => Tensor;

function ofRank<O extends DataFormatOption>(
  rank: number,
  where: string,
  pool: (x: Tensor, kernel: PerAxis, options: O | undefined, where: string) => Tensor,
): WindowFunction<O> {
  return (x, kernel, options) => {
    checkImages(where, x.shape, rank, undefined, options?.dataFormat);
    return pool(x, kernel, options, where);
  };
}

/** Average of every window; x is [batch, channels, …spatial]. */
export function avgPool(x: Tensor, kernel: PerAxis, options: AvgPoolOptions = {}, where = 'avgPool'): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'ceilMode', 'countIncludePad', 'divisorOverride', 'dataFormat']);
  return pooled(where, x, options, (images) => average(images, kernel, options, where));
}

function average(x: Tensor, kernel: PerAxis, options: AvgPoolOptions, where: string): Tensor {
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

/** Options of {@link lpPool} and its kin. */
export interface LPPoolOptions extends DataFormatOption {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** zeros; default 0 */
  readonly padding?: PoolPadding;
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
  checkOptions(where, options, ['stride', 'padding', 'ceilMode', 'dataFormat']);
  checkNormType(where, normType);
  const size = perAxis(where, 'kernelSize', kernel, x.rank - 2, 1);
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
    checkImages(where, x.shape, rank, undefined, options?.dataFormat);
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
