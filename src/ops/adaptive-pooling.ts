import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { broadcastTo, sum } from './broadcast.js';
import { concat } from './concat.js';
import { linear } from './conv.js';
import { iota } from './create.js';
import type { DataFormatOption } from './data-format.js';
import { add, cast, div, greater, less, logicalAnd, mul } from './elementwise.js';
import { maxPoolWithTaps, pickTaps, type WindowAxis } from './maxpool.js';
import { flatPositions, type MaxPoolResult } from './maxunpool.js';
import { avgPool, maxPool, pooled } from './pooling.js';
import { mean } from './reduce.js';
import { reshape } from './reshape.js';
import { transpose } from './transpose.js';
import { checkImages } from './window.js';

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
  const { inputs, outputs } = adaptiveExtents(where, x, size);
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

/** An adaptive pooling function of one rank. */
export type AdaptiveFunction = (x: Tensor, size: AdaptiveSize) => Tensor;

function ofRank(
  rank: number,
  where: string,
  pool: (x: Tensor, size: AdaptiveSize, where: string) => Tensor,
): AdaptiveFunction {
  return (x, size) => {
    checkImages(where, x.shape, rank);
    return pool(x, size, where);
  };
}

/** {@link adaptiveAvgPool} of [batch, channels, length]. */
export const adaptiveAvgPool1d: AdaptiveFunction = ofRank(1, 'adaptiveAvgPool1d', adaptiveAvgPool);
/** {@link adaptiveAvgPool} of images [batch, channels, height, width]. */
export const adaptiveAvgPool2d: AdaptiveFunction = ofRank(2, 'adaptiveAvgPool2d', adaptiveAvgPool);
/** {@link adaptiveAvgPool} of volumes [batch, channels, depth, height, width]. */
export const adaptiveAvgPool3d: AdaptiveFunction = ofRank(3, 'adaptiveAvgPool3d', adaptiveAvgPool);

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

/** Largest elements of the windows that {@link adaptiveAvgPool} averages. */
export function adaptiveMaxPool(x: Tensor, size: AdaptiveSize, where = 'adaptiveMaxPool'): Tensor {
  const { inputs, outputs } = adaptiveExtents(where, x, size);
  if (inputs.every((input, s) => input % outputs[s] === 0)) {
    return maxPool(
      x,
      inputs.map((input, s) => input / outputs[s]),
      {},
      where,
    );
  }
  return outputs.reduce((y, output, s) => largestAlong(s, output, y)[0], x);
}

/** {@link adaptiveMaxPool} and where in the input the elements were found. */
export function adaptiveMaxPoolWithIndices(
  x: Tensor,
  size: AdaptiveSize,
  where = 'adaptiveMaxPoolWithIndices',
): MaxPoolResult {
  const { inputs, outputs } = adaptiveExtents(where, x, size);
  const positions = broadcastTo(flatPositions(inputs), x.shape);
  // The last axis first, so that the first of equals in row-major order wins.
  return outputs.reduceRight<MaxPoolResult>(
    (found, output, s) => {
      const [values, indices] = largestAlong(s, output, found.values, found.indices);
      return { values, indices };
    },
    { values: x, indices: positions },
  );
}

function adaptiveExtents(where: string, x: Tensor, size: AdaptiveSize): { inputs: number[]; outputs: number[] } {
  const rank = x.rank - 2;
  checkImages(where, x.shape, rank);
  const inputs = x.shape.slice(2);
  const empty = inputs.indexOf(0);
  if (empty >= 0) {
    throw new ShapeError(`${where}: nothing to pool: axis ${2 + empty} of ${formatShape(x.shape)} has no elements`);
  }
  return { inputs, outputs: adaptiveSize(where, size, rank).map((n, s) => n ?? inputs[s]) };
}

/**
 * Adaptive max pooling along one spatial axis, of `x` and with the same choice of the `others`. With g = gcd(in, out), the
 * outputs r, r + out/g, r + 2 · out/g … have windows of one size at the stride in/g: one regular pooling for each r.
 */
function largestAlong(axis: number, output: number, x: Tensor, ...others: Tensor[]): Tensor[] {
  const input = x.shape[2 + axis];
  if (input === output) return [x, ...others];
  const groups = gcd(input, output);
  const residues = output / groups;
  const parts = Array.from({ length: residues }, (_, r): Tensor[] => {
    const start = Math.floor((r * input) / output);
    const end = Math.ceil(((r + 1) * input) / output);
    const axes = x.shape.slice(2).map((extent, s): WindowAxis => {
      const here = { input: extent, stride: 1, dilation: 1 };
      return s === axis
        ? { ...here, kernel: end - start, output: groups, stride: input / groups, padLow: -start }
        : { ...here, kernel: 1, output: extent, padLow: 0 };
    });
    const { values, taps } = maxPoolWithTaps(x, axes);
    return [values, ...others.map((other) => pickTaps(other, taps, axes))];
  });
  const joined = x.shape.map((extent, a) => (a === 2 + axis ? output : extent));
  return [x, ...others].map((_, t) => {
    const rows = parts.map(({ [t]: part }) => {
      const { shape } = part;
      return reshape(part, [...shape.slice(0, 3 + axis), 1, ...shape.slice(3 + axis)]);
    });
    return reshape(concat(rows, 3 + axis), joined);
  });
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

/** {@link adaptiveMaxPool} of [batch, channels, length]. */
export const adaptiveMaxPool1d: AdaptiveFunction = ofRank(1, 'adaptiveMaxPool1d', adaptiveMaxPool);
/** {@link adaptiveMaxPool} of images [batch, channels, height, width]. */
export const adaptiveMaxPool2d: AdaptiveFunction = ofRank(2, 'adaptiveMaxPool2d', adaptiveMaxPool);
/** {@link adaptiveMaxPool} of volumes [batch, channels, depth, height, width]. */
export const adaptiveMaxPool3d: AdaptiveFunction = ofRank(3, 'adaptiveMaxPool3d', adaptiveMaxPool);

/** Options of {@link globalAvgPool} and {@link globalMaxPool}. */
export interface GlobalPoolOptions extends DataFormatOption {
  /** Keep the spatial axes with extent one, as ONNX does; default false: [batch, channels], as in Keras. */
  readonly keepDims?: boolean;
}

/** Average over all positions: [batch, channels, …spatial] to [batch, channels]. */
export function globalAvgPool(x: Tensor, options: GlobalPoolOptions = {}, where = 'globalAvgPool'): Tensor {
  return globalPool(where, x, options, adaptiveAvgPool);
}

/** Largest element over all positions: [batch, channels, …spatial] to [batch, channels]. */
export function globalMaxPool(x: Tensor, options: GlobalPoolOptions = {}, where = 'globalMaxPool'): Tensor {
  return globalPool(where, x, options, adaptiveMaxPool);
}

function globalPool(where: string, x: Tensor, options: GlobalPoolOptions, pool: typeof adaptiveAvgPool): Tensor {
  checkOptions(where, options, ['keepDims', 'dataFormat']);
  return pooled(where, x, options, (images) => {
    const y = pool(images, 1, where);
    return options.keepDims ? y : reshape(y, images.shape.slice(0, 2));
  });
}
