import { ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { sum } from './broadcast.js';
import { channelwise } from './conv.js';
import { add, div, mul, sqrt, stopGradient, sub } from './elementwise.js';

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
