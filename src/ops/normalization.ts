import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { channelwise } from './conv.js';
import { contract } from './convolution.js';
import { iota } from './create.js';
import { add, cast, div, lessEqual, logicalAnd, mul, pow, sqrt, stopGradient, sub } from './elementwise.js';
import { mean as meanOver } from './reduce.js';
import { reshape } from './reshape.js';
import { splitText } from './window.js';

/** Batch statistics and what they were taken of. */
export interface BatchNormResult {
  /** of the shape of the input */
  readonly y: Tensor;
  /** [channels] */
  readonly mean: Tensor;
  /** [channels]: mean squared distance from the mean (biased) */
  readonly variance: Tensor;
  /** elements per channel */
  readonly count: number;
}

/** Scale and shift after normalisation, [channels] each. */
export interface Affine {
  readonly weight?: Tensor;
  readonly bias?: Tensor;
}

function checkChannels(where: string, x: Tensor, ...vectors: (Tensor | undefined)[]): void {
  if (x.rank < 2) throw new ShapeError(`${where}: expected [batch, channels, …], got ${formatShape(x.shape)}`);
  for (const vector of vectors) {
    if (vector !== undefined && (vector.rank !== 1 || vector.shape[0] !== x.shape[1])) {
      throw new ShapeError(
        `${where}: expected ${vector.shape[0]} channels (axis 1), got ${x.shape[1]} in ${formatShape(x.shape)}`,
      );
    }
  }
}

/**
 * Normalises every channel (axis 1) with its mean and variance over the batch and all positions, then scales and shifts
 * (Ioffe and Szegedy, "Batch Normalization", 2015, algorithm 1).
 *
 * Two passes for the statistics, since E[x²] − E[x]² loses all digits where the mean is large. Below, m is the mean and c
 * the same number as a constant. Written around c, all that flows back through the mean is a [channels] vector:
 *
 *     Σ(x − m)² = Σ(x − c)² + 2(c − m)(Σx − n·c) + n(c − m)²
 *     (x − m)·a + b = (x − c)·a + (b + (c − m)·a)
 *
 * These hold for every c, hence in derivatives of any order, and save the passes over the activations that differentiating the
 * left sides takes: the backward pass reads the activations once for both sums and once for the result.
 */
export function batchNorm(
  x: Tensor,
  affine: Affine = {},
  options: { readonly eps?: number } = {},
  where = 'batchNorm',
): BatchNormResult {
  const { weight, bias } = affine;
  const { eps = 1e-5 } = options;
  checkChannels(where, x, weight, bias);
  const axes = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
  const count = axes.reduce((product, axis) => product * x.shape[axis], 1);
  if (count < 2) {
    throw new ShapeError(
      `${where}: training needs more than one value per channel, got ${formatShape(x.shape)}; use a larger batch or eval()`,
    );
  }
  const total = sum(x, axes);
  const mean = mul(total, 1 / count);
  const constant = stopGradient(mean);
  const offset = sub(constant, mean);
  const centred = sub(x, channelwise(constant, x.rank));
  const squares = add(
    add(sum(mul(centred, centred), axes), mul(mul(offset, 2), sub(total, mul(constant, count)))),
    mul(mul(offset, offset), count),
  );
  const variance = mul(squares, 1 / count);
  const scale = div(weight ?? 1, sqrt(add(variance, eps)));
  const shift = bias ? add(bias, mul(offset, scale)) : mul(offset, scale);
  const y = add(mul(centred, channelwise(scale, x.rank)), channelwise(shift, x.rank));
  return { y, mean, variance, count };
}

/** Normalises every channel with given statistics: one multiply-add per element, which fuses into a convolution before it. */
export function batchNormInference(
  x: Tensor,
  statistics: { readonly mean: Tensor; readonly variance: Tensor },
  affine: Affine = {},
  options: { readonly eps?: number } = {},
  where = 'batchNorm',
): Tensor {
  const { mean, variance } = statistics;
  const { weight, bias } = affine;
  checkChannels(where, x, mean, variance, weight, bias);
  const scale = div(weight ?? 1, sqrt(add(variance, options.eps ?? 1e-5)));
  const shift = sub(bias ?? 0, mul(mean, scale));
  return add(mul(x, channelwise(scale, x.rank)), channelwise(shift, x.rank));
}

/** What normalisations have in common. */
export interface NormOptions {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
}

/** x over `axes` with mean 0 and variance 1 (biased), and both with those axes kept at extent one. */
function standardize(x: Tensor, axes: readonly number[], eps: number): { y: Tensor; mean: Tensor; variance: Tensor } {
  const mean = meanOver(x, axes, { keepDims: true });
  const centred = sub(x, mean);
  const variance = meanOver(mul(centred, centred), axes, { keepDims: true });
  return { y: mul(centred, div(1, sqrt(add(variance, eps)))), mean, variance };
}

/** y · weight + bias, each where given; they broadcast against `y`. */
function scaleAndShift(y: Tensor, weight: Tensor | undefined, bias: Tensor | undefined): Tensor {
  const scaled = weight === undefined ? y : mul(y, weight);
  return bias === undefined ? scaled : add(scaled, bias);
}

/**
 * Normalises over the last axes, whose extents are `normalizedShape`, then scales and shifts (Ba, Kiros and Hinton, "Layer
 * Normalization", 2016).
 *
 * @param affine weight and bias of shape `normalizedShape`
 */
export function layerNorm(
  x: Tensor,
  normalizedShape: number | Shape,
  affine: Affine = {},
  options: NormOptions = {},
  where = 'layerNorm',
): Tensor {
  checkOptions(where, affine, ['weight', 'bias']);
  checkOptions(where, options, ['eps']);
  const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
  const fits = (t: Tensor): boolean => {
    const last = t.shape.slice(Math.max(0, t.rank - shape.length));
    return last.length === shape.length && last.every((extent, i) => extent === shape[i]);
  };
  if (shape.length === 0) throw new OptionError(`${where}: normalizedShape must have at least one extent, got []`);
  if (!fits(x)) throw new ShapeError(`${where}: expected […, ${shape.join(', ')}], got ${formatShape(x.shape)}`);
  for (const [name, t] of Object.entries(affine) as [string, Tensor | undefined][]) {
    if (t !== undefined && (t.rank !== shape.length || !fits(t))) {
      throw new ShapeError(`${where}: the ${name} must be ${formatShape(shape)}, got ${formatShape(t.shape)}`);
    }
  }
  const axes = shape.map((_, i) => x.rank - shape.length + i);
  return scaleAndShift(standardize(x, axes, options.eps ?? 1e-5).y, affine.weight, affine.bias);
}

/**
 * Splits the channels into groups and normalises each group of each sample, then scales and shifts every channel (Wu and He,
 * "Group Normalization", 2018). One group is layer normalisation over all but the batch; as many as channels is
 * instance normalisation.
 *
 * @param x [batch, channels, …]
 */
export function groupNorm(
  x: Tensor,
  numGroups: number,
  affine: Affine = {},
  options: NormOptions = {},
  where = 'groupNorm',
): Tensor {
  checkOptions(where, affine, ['weight', 'bias']);
  checkOptions(where, options, ['eps']);
  const { weight, bias } = affine;
  checkChannels(where, x, weight, bias);
  if (!Number.isInteger(numGroups) || numGroups < 1) {
    throw new OptionError(`${where}: numGroups must be an integer ≥ 1, got ${numGroups}`);
  }
  const [batch, channels, ...rest] = x.shape;
  if (channels % numGroups !== 0) {
    throw new ShapeError(
      `${where}: ${channels} channels (axis 1 of ${formatShape(x.shape)}) ${splitText(channels, numGroups)}`,
    );
  }
  const grouped = reshape(x, [batch, numGroups, channels / numGroups, ...rest]);
  const axes = grouped.shape.map((_, axis) => axis).slice(2);
  const y = reshape(standardize(grouped, axes, options.eps ?? 1e-5).y, x.shape);
  return scaleAndShift(y, weight && channelwise(weight, x.rank), bias && channelwise(bias, x.rank));
}

/** Statistics of every channel of every sample, and what they were taken of. */
export interface InstanceNormResult {
  /** of the shape of the input */
  readonly y: Tensor;
  /** [batch, channels] */
  readonly mean: Tensor;
  /** [batch, channels], biased */
  readonly variance: Tensor;
  /** positions per channel */
  readonly count: number;
}

/**
 * Normalises every channel of every sample over its positions, then scales and shifts (Ulyanov, Vedaldi and Lempitsky,
 * "Instance Normalization", 2016).
 *
 * @param x [batch, channels, …spatial], of more than one position
 */
export function instanceNorm(
  x: Tensor,
  affine: Affine = {},
  options: NormOptions = {},
  where = 'instanceNorm',
): InstanceNormResult {
  checkOptions(where, affine, ['weight', 'bias']);
  checkOptions(where, options, ['eps']);
  const { weight, bias } = affine;
  checkChannels(where, x, weight, bias);
  const [batch, channels, ...extents] = x.shape;
  const count = sizeOf(extents);
  if (count < 2) {
    throw new ShapeError(
      `${where}: needs more than one position per channel, got ${count} in ${formatShape(x.shape)}; one value minus its mean is always 0`,
    );
  }
  const axes = extents.map((_, s) => 2 + s);
  const { y, mean, variance } = standardize(x, axes, options.eps ?? 1e-5);
  return {
    y: scaleAndShift(y, weight && channelwise(weight, x.rank), bias && channelwise(bias, x.rank)),
    mean: reshape(mean, [batch, channels]),
    variance: reshape(variance, [batch, channels]),
    count,
  };
}

/** Options of {@link localResponseNorm}. */
export interface LocalResponseNormOptions {
  /** default 1e-4 */
  readonly alpha?: number;
  /** default 0.75 */
  readonly beta?: number;
  /** default 1 */
  readonly k?: number;
}

/**
 * x / (k + alpha · mean of x² over `size` neighbouring channels)^beta; channels beyond the first and last count as zeros
 * (Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional networks", 2012, section 3.3, with PyTorch's
 * mean in place of the sum).
 *
 * @param x [batch, channels, …spatial]
 * @param size for even numbers there is one channel more below than above
 */
export function localResponseNorm(
  x: Tensor,
  size: number,
  options: LocalResponseNormOptions = {},
  where = 'localResponseNorm',
): Tensor {
  checkOptions(where, options, ['alpha', 'beta', 'k']);
  const { alpha = 1e-4, beta = 0.75, k = 1 } = options;
  checkChannels(where, x);
  if (!Number.isInteger(size) || size < 1) throw new OptionError(`${where}: size must be an integer ≥ 1, got ${size}`);
  const [batch, channels, ...extents] = x.shape;
  // The sum over neighbours is a pointwise convolution with a band matrix of ones.
  const distance = sub(iota([channels, channels], 1), iota([channels, channels], 0));
  const near = logicalAnd(lessEqual(-Math.floor(size / 2), distance), lessEqual(distance, Math.floor((size - 1) / 2)));
  const axes = extents.map((extent) => ({
    input: extent,
    kernel: 1,
    output: extent,
    stride: 1,
    dilation: 1,
    padLow: 0,
  }));
  const filter = reshape(cast(near, x.dtype), [channels, channels, ...extents.map(() => 1)]);
  const geometry = { batch, groups: 1, channelsIn: channels, channelsOut: channels, axes };
  const sums = contract('output', mul(x, x), filter, geometry);
  return div(x, pow(add(mul(sums, alpha / size), k), beta));
}
