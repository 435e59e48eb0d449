import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { adaptiveAvgPool } from './adaptive-pooling.js';
import { broadcastTo } from './broadcast.js';
import { contract } from './convolution.js';
import { tensor } from './create.js';
import { checkDataFormat, type DataFormatOption, inChannelsFirst } from './data-format.js';
import { identity } from './identity.js';
import { reshape } from './reshape.js';
import { type PerAxis, perAxis } from './window.js';

/**
 * `nearest` and `area` work for every number of spatial axes, `linear` for one, `bilinear` and `bicubic` for two,
 * `trilinear` for three. `nearest-exact` takes the pixel whose area holds the centre of the new one; `nearest` rounds
 * down and thus shifts by up to half a pixel.
 */
export type ResizeMode = 'nearest' | 'nearest-exact' | 'linear' | 'bilinear' | 'trilinear' | 'bicubic' | 'area';

/** How many spatial axes a mode needs; undefined: any. */
const RANKS: Readonly<Record<ResizeMode, number | undefined>> = {
  nearest: undefined,
  'nearest-exact': undefined,
  linear: 1,
  bilinear: 2,
  trilinear: 3,
  bicubic: 2,
  area: undefined,
};

/** Options of {@link interpolate}. */
export interface ResizeOptions extends DataFormatOption {
  /** extents of the result, one for all spatial axes or one for each; this or `scaleFactor` */
  readonly size?: PerAxis;
  /** by how much extents grow, one for all spatial axes or one for each; results are rounded down */
  readonly scaleFactor?: number | readonly number[];
  /** default `nearest` */
  readonly mode?: ResizeMode;
  /**
   * Whether the centres of the corner pixels of input and result coincide; default false: their outer edges do (pixels
   * have an area, "half-pixel"). For `linear`, `bilinear`, `trilinear` and `bicubic` only.
   */
  readonly alignCorners?: boolean;
  /** Compute with the ratio of the extents instead of `scaleFactor`, which differ where extents were rounded; default false. */
  readonly recomputeScaleFactor?: boolean;
}

export const RESIZE_OPTIONS: readonly string[] = [
  'size',
  'scaleFactor',
  'mode',
  'alignCorners',
  'recomputeScaleFactor',
  'dataFormat',
];

/** Checks everything that does not need the input. */
export function checkResizeOptions(where: string, options: ResizeOptions): void {
  checkOptions(where, options, RESIZE_OPTIONS);
  const { size, scaleFactor, mode = 'nearest', alignCorners, dataFormat = 'channels-first' } = options;
  checkDataFormat(where, dataFormat);
  if (!Object.hasOwn(RANKS, mode)) {
    const known = Object.keys(RANKS).map((m) => `"${m}"`);
    throw new OptionError(`${where}: mode must be one of ${known.join(', ')}, got ${JSON.stringify(mode)}`);
  }
  if ((size === undefined) === (scaleFactor === undefined)) {
    throw new OptionError(`${where}: needs either size or scaleFactor, got ${size === undefined ? 'none' : 'both'}`);
  }
  if (alignCorners !== undefined && RANKS[mode] === undefined) {
    throw new OptionError(`${where}: alignCorners means nothing for mode "${mode}"; leave it out`);
  }
  if (options.recomputeScaleFactor && scaleFactor === undefined) {
    throw new OptionError(`${where}: recomputeScaleFactor needs a scaleFactor`);
  }
}

/** One axis to resize: `scale` is the distance of neighbouring results in pixels of the input. */
interface ResizeAxis {
  readonly input: number;
  readonly output: number;
  readonly scale: number;
}

/**
 * Resizes the spatial axes, as `torch.nn.functional.interpolate` does (without antialiasing).
 *
 * Every mode is separable: one matrix product per axis, or, for `nearest` by an integer, a mere repetition. Gradients
 * are the products with the transposed matrices.
 *
 * @param x [batch, channels, …spatial], or as `dataFormat` says
 * @param where named in messages
 */
export function interpolate(x: Tensor, options: ResizeOptions, where = 'interpolate'): Tensor {
  checkResizeOptions(where, options);
  const { mode = 'nearest', dataFormat = 'channels-first' } = options;
  const rank = RANKS[mode] ?? x.rank - 2;
  if (x.rank - 2 !== rank || rank < 1) {
    const axes = RANKS[mode] === undefined ? '…spatial' : ['length', 'height, width', 'depth, height, width'][rank - 1];
    const expected = dataFormat === 'channels-first' ? `channels, ${axes}` : `${axes}, channels`;
    throw new ShapeError(`${where}: mode "${mode}" needs [batch, ${expected}], got ${formatShape(x.shape)}`);
  }
  return inChannelsFirst(x, dataFormat, (images) => resize(images, options, where));
}

function resize(x: Tensor, options: ResizeOptions, where: string): Tensor {
  const { mode = 'nearest', alignCorners = false } = options;
  const inputs = x.shape.slice(2);
  const axes = resizeAxes(where, inputs, options);
  if (mode === 'area') {
    return adaptiveAvgPool(
      x,
      axes.map((a) => a.output),
      where,
    );
  }
  const resized = axes.reduce((y, a, s) => resizeAxis(y, 2 + s, a, mode, alignCorners), x);
  return resized === x ? identity(x) : resized;
}

function resizeAxes(where: string, inputs: readonly number[], options: ResizeOptions): ResizeAxis[] {
  const rank = inputs.length;
  const { size, scaleFactor = 1, alignCorners = false, recomputeScaleFactor = false } = options;
  const factors = typeof scaleFactor === 'number' ? inputs.map(() => scaleFactor) : scaleFactor;
  if (!Array.isArray(factors) || factors.length !== rank || !factors.every((f) => f > 0 && Number.isFinite(f))) {
    throw new OptionError(
      `${where}: scaleFactor must be a number > 0${rank > 1 ? ` or ${rank} of them` : ''}, got ${JSON.stringify(scaleFactor)}`,
    );
  }
  const outputs =
    size === undefined
      ? inputs.map((input, s) => Math.floor(input * factors[s]))
      : perAxis(where, 'size', size, rank, 1);
  return inputs.map((input, s) => {
    const output = outputs[s];
    if (input < 1 || output < 1) {
      const how = size === undefined ? `⌊${input} · ${factors[s]}⌋ = ${output}` : `${input} to ${output}`;
      throw new ShapeError(`${where}: axis ${2 + s} would be resized to nothing or from nothing: ${how}`);
    }
    if (alignCorners) return { input, output, scale: output > 1 ? (input - 1) / (output - 1) : 0 };
    const given = size === undefined && !recomputeScaleFactor;
    return { input, output, scale: given ? 1 / factors[s] : input / output };
  });
}

function resizeAxis(x: Tensor, axis: number, a: ResizeAxis, mode: ResizeMode, alignCorners: boolean): Tensor {
  if (a.input === a.output && a.scale === 1) return x;
  const nearest = mode === 'nearest' || mode === 'nearest-exact';
  const factor = a.output / a.input;
  if (nearest && Number.isInteger(factor) && a.scale * factor === 1) return repeatElements(x, axis, factor);
  return resampleAxis(x, axis, resizeMatrix(a, mode, alignCorners), a.output);
}

/** Results along an axis as sums of its elements: `matrix` holds the weights [output, input], row-major. */
export function resampleAxis(x: Tensor, axis: number, matrix: Float64Array, output: number): Tensor {
  const input = x.shape[axis];
  const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis + 1)];
  // The axis takes the place of the channels of a pointwise convolution: Z[b, o, i] = Σ_k X[b, k, i] · W[o, k].
  const inner = sizeOf(after);
  const spatial = inner === 1 ? [] : [{ input: inner, kernel: 1, output: inner, stride: 1, dilation: 1, padLow: 0 }];
  const geometry = { batch: sizeOf(before), groups: 1, channelsIn: input, channelsOut: output, axes: spatial };
  const rows = reshape(x, [geometry.batch, input, ...spatial.map(() => inner)]);
  const weight = tensor(matrix, { shape: [output, input, ...spatial.map(() => 1)], dtype: x.dtype });
  return reshape(contract('output', rows, weight, geometry), [...before, output, ...after]);
}

/** Every element of an axis `count` times. */
export function repeatElements(x: Tensor, axis: number, count: number): Tensor {
  const [before, after] = [x.shape.slice(0, axis + 1), x.shape.slice(axis + 1)];
  const repeated = broadcastTo(reshape(x, [...before, 1, ...after]), [...before, count, ...after]);
  return reshape(repeated, [...x.shape.slice(0, axis), x.shape[axis] * count, ...after]);
}

/** The weights [output, input], row-major, by which results are sums of inputs. */
function resizeMatrix(a: ResizeAxis, mode: ResizeMode, alignCorners: boolean): Float64Array {
  const { input, output, scale } = a;
  const matrix = new Float64Array(output * input);
  for (let o = 0; o < output; o++) {
    const addWeight = (i: number, weight: number): void => {
      // Beyond the border is what is at the border.
      matrix[o * input + Math.min(Math.max(i, 0), input - 1)] += weight;
    };
    if (mode === 'nearest' || mode === 'nearest-exact') {
      // In single precision as in PyTorch, so that ties fall on the same side.
      const position = Math.fround((o + (mode === 'nearest' ? 0 : 0.5)) * Math.fround(scale));
      addWeight(Math.floor(position), 1);
      continue;
    }
    const source = alignCorners ? o * scale : (o + 0.5) * scale - 0.5;
    if (mode === 'bicubic') {
      const first = Math.floor(source);
      for (let k = -1; k <= 2; k++) addWeight(first + k, cubicWeight(Math.abs(source - first - k)));
    } else {
      const first = Math.min(Math.floor(Math.max(source, 0)), input - 1);
      const rest = Math.min(Math.max(source, 0) - first, 1);
      addWeight(first, 1 - rest);
      addWeight(first + 1, rest);
    }
  }
  return matrix;
}

/** Cubic convolution (Keys, 1981) with A = −0.75, as in PyTorch and OpenCV. */
function cubicWeight(distance: number): number {
  const A = -0.75;
  const d = distance;
  if (d <= 1) return ((A + 2) * d - (A + 3)) * d * d + 1;
  return d < 2 ? ((d - 5) * d + 8) * d * A - 4 * A : 0;
}
