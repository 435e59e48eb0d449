import { checkCount, checkNumber, type Json } from '../../nn/config.js';
import type { Module } from '../../nn/module.js';
import type { DataFormat } from '../../ops/data-format.js';
import { type PerAxis, perAxis } from '../../ops/window.js';
import { OptionError } from '../../tensor/errors.js';
import { BasicLayer, type Layer, type LayerOptions } from '../layer.js';
import { ChannelsLast, Operation } from '../modules.js';
import { engineFormat, type KerasDataFormat } from '../shapes.js';

function operation(
  where: string,
  className: string,
  options: LayerOptions,
  known: readonly string[],
  make: () => Module,
): Layer {
  return new BasicLayer(where, className, options, known, () => ({ module: make() }));
}

export interface DataFormatOptions extends LayerOptions {
  /** default `channelsLast` */
  readonly dataFormat?: KerasDataFormat;
}

/** [batch, …] to [batch, elements]; channels last, whatever the data format. */
export function flatten(options: DataFormatOptions = {}): Layer {
  const format = engineFormat('flatten', options.dataFormat);
  return operation('flatten', 'Flatten', options, ['dataFormat'], () => {
    return new Operation(format === 'channels-last' ? 'flatten' : 'flattenChannelsFirst');
  });
}

export interface ReshapeOptions extends LayerOptions {
  /** extents after the batch; one may be −1 or null, which is worked out */
  readonly targetShape: readonly (number | null)[];
}

/** The same elements in another shape. */
export function reshape(options: ReshapeOptions): Layer {
  const layer = operation('reshape', 'Reshape', options, ['targetShape'], () => new Operation('reshape', { shape }));
  const shape = (options.targetShape ?? []).map((n) => n ?? -1);
  if (shape.length === 0 || !shape.every((n) => Number.isInteger(n) && (n === -1 || n >= 1))) {
    throw new OptionError(
      `reshape: targetShape must be integers ≥ 1 or −1, got ${JSON.stringify(options.targetShape)}`,
    );
  }
  return layer;
}

export interface PermuteOptions extends LayerOptions {
  /** from 1, the batch is 0: axis i + 1 of the result is axis `dims[i]` of the input */
  readonly dims: readonly number[];
}

/** The axes after the batch in another order. */
export function permute(options: PermuteOptions): Layer {
  return operation('permute', 'Permute', options, ['dims'], () => new Operation('permute', { order: options.dims }));
}

export interface RepeatVectorOptions extends LayerOptions {
  readonly n: number;
}

/** [batch, features] to [batch, n, features]. */
export function repeatVector(options: RepeatVectorOptions): Layer {
  const { n } = options;
  const layer = operation('repeatVector', 'RepeatVector', options, ['n'], () => new Operation('repeatVector', { n }));
  checkCount('repeatVector', 'n', n);
  return layer;
}

/** How much on the low and the high side of each axis: one number, one per axis, or a pair per axis. */
export type Sides = number | readonly (number | readonly [number, number])[];

/** Pairs per axis. */
function sides(where: string, name: string, value: Sides, rank: number): [number, number][] {
  // For one axis [low, high] is a pair.
  const list: readonly (number | readonly number[])[] =
    typeof value === 'number'
      ? new Array<number>(rank).fill(value)
      : rank === 1 && value.length === 2
        ? [value as readonly number[]]
        : value;
  const pairs = Array.isArray(list) ? list.map((side) => (typeof side === 'number' ? [side, side] : side)) : [];
  const valid = (pair: readonly number[]): boolean =>
    Array.isArray(pair) && pair.length === 2 && pair.every((n) => Number.isInteger(n) && n >= 0);
  if (pairs.length !== rank || !pairs.every(valid)) {
    throw new OptionError(
      `${where}: ${name} must be an integer ≥ 0, ${rank} of them or ${rank} pairs [low, high], got ${JSON.stringify(value)}`,
    );
  }
  return pairs as [number, number][];
}

export interface ZeroPaddingOptions extends DataFormatOptions {
  /** default 1 */
  readonly padding?: Sides;
}

export interface CroppingOptions extends DataFormatOptions {
  /** default 0 for images, 1 otherwise, as in Keras */
  readonly cropping?: Sides;
}

function zeroPadding(rank: number): (options?: ZeroPaddingOptions) => Layer {
  return (options = {}) => {
    const where = `zeroPadding${rank}d`;
    const layer = operation(where, `ZeroPadding${rank}D`, options, ['padding', 'dataFormat'], () => {
      return new Operation('zeroPadding', { padding: padding as Json, channelsLast });
    });
    const padding = sides(where, 'padding', options.padding ?? 1, rank);
    const channelsLast = engineFormat(where, options.dataFormat) === 'channels-last';
    return layer;
  };
}

function croppingLayer(rank: number): (options?: CroppingOptions) => Layer {
  return (options = {}) => {
    const where = `cropping${rank}D`;
    const layer = operation(where, `Cropping${rank}D`, options, ['cropping', 'dataFormat'], () => {
      return new Operation('cropping', { cropping: cropping as Json, channelsLast });
    });
    const cropping = sides(where, 'cropping', options.cropping ?? (rank === 2 ? 0 : 1), rank);
    const channelsLast = engineFormat(where, options.dataFormat) === 'channels-last';
    return layer;
  };
}

/** Zeros around [batch, length, channels]. */
export const zeroPadding1d: (options?: ZeroPaddingOptions) => Layer = zeroPadding(1);
/** Zeros around [batch, height, width, channels]. */
export const zeroPadding2d: (options?: ZeroPaddingOptions) => Layer = zeroPadding(2);
/** Zeros around [batch, depth, height, width, channels]. */
export const zeroPadding3d: (options?: ZeroPaddingOptions) => Layer = zeroPadding(3);
/** Cuts off both ends of [batch, length, channels]. */
export const cropping1d: (options?: CroppingOptions) => Layer = croppingLayer(1);
/** Cuts off the borders of [batch, height, width, channels]. */
export const cropping2d: (options?: CroppingOptions) => Layer = croppingLayer(2);
/** Cuts off the borders of [batch, depth, height, width, channels]. */
export const cropping3d: (options?: CroppingOptions) => Layer = croppingLayer(3);
// The name in TensorFlow.js.
export { cropping2d as cropping2D };

export interface UpSamplingOptions extends DataFormatOptions {
  /** by how much; default 2 */
  readonly size?: PerAxis;
}

export interface UpSampling2dOptions extends UpSamplingOptions {
  /** default `nearest` */
  readonly interpolation?: 'nearest' | 'bilinear';
}

function inFormat(module: Module, format: DataFormat): Module {
  return format === 'channels-last' ? new ChannelsLast(module) : module;
}

function upSampling(rank: number, options: UpSampling2dOptions): Layer {
  const where = `upSampling${rank}d`;
  const known = ['size', 'dataFormat', ...(rank === 2 ? ['interpolation'] : [])];
  const layer = operation(where, `UpSampling${rank}D`, options, known, () => {
    return inFormat(new Operation('upSampling', { size, mode: interpolation }), format);
  });
  const size = perAxis(where, 'size', options.size ?? 2, rank, 1);
  const format = engineFormat(where, options.dataFormat);
  const { interpolation = 'nearest' } = options;
  checkInterpolation(where, interpolation);
  return layer;
}

function checkInterpolation(where: string, interpolation: unknown): void {
  if (interpolation === 'nearest' || interpolation === 'bilinear') return;
  throw new OptionError(
    `${where}: interpolation must be "nearest" or "bilinear", got ${JSON.stringify(interpolation)}`,
  );
}

/** Every element of [batch, length, channels] `size` times. */
export function upSampling1d(options: UpSamplingOptions = {}): Layer {
  return upSampling(1, options);
}

/** Every pixel of [batch, height, width, channels] `size` times, or between pixels (half-pixel centres). */
export function upSampling2d(options: UpSampling2dOptions = {}): Layer {
  return upSampling(2, options);
}

/** Every voxel of [batch, depth, height, width, channels] `size` times. */
export function upSampling3d(options: UpSamplingOptions = {}): Layer {
  return upSampling(3, options);
}

export interface RescalingOptions extends LayerOptions {
  readonly scale: number;
  /** default 0 */
  readonly offset?: number;
}

/** x · scale + offset. */
export function rescaling(options: RescalingOptions): Layer {
  const { scale, offset = 0 } = options;
  const layer = operation('rescaling', 'Rescaling', options, ['scale', 'offset'], () => {
    return new Operation('rescaling', { scale, offset });
  });
  checkNumber('rescaling', 'scale', scale, -Infinity);
  checkNumber('rescaling', 'offset', offset, -Infinity);
  return layer;
}

export interface ResizingOptions extends DataFormatOptions {
  readonly height: number;
  readonly width: number;
  /** default `bilinear`, with half-pixel centres as in Keras */
  readonly interpolation?: 'nearest' | 'bilinear';
}

/** [batch, height, width, channels] to another height and width. */
export function resizing(options: ResizingOptions): Layer {
  const where = 'resizing';
  const { height, width, interpolation = 'bilinear' } = options;
  const layer = operation(where, 'Resizing', options, ['height', 'width', 'interpolation', 'dataFormat'], () => {
    // Keras takes the nearest pixel by centres.
    const mode = interpolation === 'nearest' ? 'nearest-exact' : interpolation;
    return inFormat(new Operation('resize', { size: [height, width], mode }), format);
  });
  const format = engineFormat(where, options.dataFormat);
  checkCount(where, 'height', height);
  checkCount(where, 'width', width);
  checkInterpolation(where, interpolation);
  return layer;
}
