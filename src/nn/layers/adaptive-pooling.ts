import {
  type AdaptiveSize,
  adaptiveAvgPool,
  adaptiveMaxPool,
  adaptiveMaxPoolWithIndices,
  adaptiveSize,
  type GlobalPoolOptions,
  globalAvgPool,
  globalMaxPool,
} from '../../ops/adaptive-pooling.js';
import { type DataFormatOption, fromChannelsFirst, toChannelsFirst } from '../../ops/data-format.js';
import type { MaxPoolResult } from '../../ops/maxunpool.js';
import { checkImages } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, type LayerConfig } from '../config.js';
import type { Keeps, Same, Signature } from '../signature.js';
import { FormattedLayer, formatOption } from './formatted-layer.js';

/** Pooling to a given size, in every rank. */
abstract class AdaptivePool<Rank extends number = number> extends FormattedLayer<Keeps<Rank>> {
  readonly outputSize: readonly (number | null)[];
  protected readonly rank: number;

  constructor(where: string, rank: number, outputSize: AdaptiveSize, options: DataFormatOption) {
    checkOptions(where, options, ['dataFormat']);
    super(where, options);
    this.rank = rank;
    this.outputSize = adaptiveSize(where, outputSize, rank);
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, outputSize: this.outputSize });
  }
}

function sizeOfConfig(config: LayerConfig): AdaptiveSize {
  checkOptions(config.type, config, ['type', 'outputSize', 'dataFormat']);
  return config.outputSize as AdaptiveSize;
}

/** Adaptive average pooling of every rank; see {@link AdaptiveAvgPool2d}. */
export abstract class AdaptiveAvgPoolNd<Rank extends number = number> extends AdaptivePool<Rank> {
  forward(x: Tensor): Tensor {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
    return this.inChannelsFirst(x, (images) => adaptiveAvgPool(images, this.outputSize, this.type));
  }
}

/** Adaptive max pooling of every rank; see {@link AdaptiveMaxPool2d}. */
export abstract class AdaptiveMaxPoolNd<Rank extends number = number> extends AdaptivePool<Rank> {
  forward(x: Tensor): Tensor {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
    return this.inChannelsFirst(x, (images) => adaptiveMaxPool(images, this.outputSize, this.type));
  }

  /** {@link forward}, and where the elements were found: `returnIndices` in PyTorch. */
  forwardWithIndices(x: Tensor): MaxPoolResult {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
    const images = toChannelsFirst(x, this.dataFormat);
    const { values, indices } = adaptiveMaxPoolWithIndices(images, this.outputSize, this.type);
    return {
      values: fromChannelsFirst(values, this.dataFormat),
      indices: fromChannelsFirst(indices, this.dataFormat),
    };
  }
}

/** {@link AdaptiveAvgPool2d} of [batch, channels, length]. As `torch.nn.AdaptiveAvgPool1d`. */
export class AdaptiveAvgPool1d extends AdaptiveAvgPoolNd<1> {
  readonly type = 'AdaptiveAvgPool1d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveAvgPool1d', 1, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveAvgPool1d {
    return new AdaptiveAvgPool1d(sizeOfConfig(config), formatOption(config));
  }
}

/**
 * Average pooling to a given size, whatever the input's: [batch, channels, height, width] to
 * [batch, channels, …outputSize]; `null` keeps an extent. As `torch.nn.AdaptiveAvgPool2d`.
 */
export class AdaptiveAvgPool2d extends AdaptiveAvgPoolNd<2> {
  readonly type = 'AdaptiveAvgPool2d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveAvgPool2d', 2, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveAvgPool2d {
    return new AdaptiveAvgPool2d(sizeOfConfig(config), formatOption(config));
  }
}

/** {@link AdaptiveAvgPool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.AdaptiveAvgPool3d`. */
export class AdaptiveAvgPool3d extends AdaptiveAvgPoolNd<3> {
  readonly type = 'AdaptiveAvgPool3d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveAvgPool3d', 3, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveAvgPool3d {
    return new AdaptiveAvgPool3d(sizeOfConfig(config), formatOption(config));
  }
}

/** {@link AdaptiveMaxPool2d} of [batch, channels, length]. As `torch.nn.AdaptiveMaxPool1d`. */
export class AdaptiveMaxPool1d extends AdaptiveMaxPoolNd<1> {
  readonly type = 'AdaptiveMaxPool1d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveMaxPool1d', 1, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveMaxPool1d {
    return new AdaptiveMaxPool1d(sizeOfConfig(config), formatOption(config));
  }
}

/** Largest elements of the windows of {@link AdaptiveAvgPool2d}. As `torch.nn.AdaptiveMaxPool2d`. */
export class AdaptiveMaxPool2d extends AdaptiveMaxPoolNd<2> {
  readonly type = 'AdaptiveMaxPool2d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveMaxPool2d', 2, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveMaxPool2d {
    return new AdaptiveMaxPool2d(sizeOfConfig(config), formatOption(config));
  }
}

/** {@link AdaptiveMaxPool2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.AdaptiveMaxPool3d`. */
export class AdaptiveMaxPool3d extends AdaptiveMaxPoolNd<3> {
  readonly type = 'AdaptiveMaxPool3d';

  constructor(outputSize: AdaptiveSize, options: DataFormatOption = {}) {
    super('AdaptiveMaxPool3d', 3, outputSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveMaxPool3d {
    return new AdaptiveMaxPool3d(sizeOfConfig(config), formatOption(config));
  }
}

/** Options as `globalAvgPool` takes them; `keepDims` in the type decides the rank of what comes out. */
export interface GlobalPoolLayerOptions<KeepDims extends boolean = boolean> extends GlobalPoolOptions {
  readonly keepDims?: KeepDims;
}

/** The rank after global pooling. */
export type GlobalPoolRank<KeepDims extends boolean> = [KeepDims] extends [false]
  ? 0
  : [KeepDims] extends [true]
    ? Same
    : number;

/** Pooling over all positions, in every rank. */
abstract class GlobalPool<Rank extends number = number, KeepDims extends boolean = boolean> extends FormattedLayer<
  Signature<number, Same, Rank, GlobalPoolRank<KeepDims>>
> {
  readonly keepDims: boolean;
  protected readonly rank: number;

  constructor(where: string, rank: number, options: GlobalPoolOptions) {
    checkOptions(where, options, ['keepDims', 'dataFormat']);
    super(where, options);
    const { keepDims = false } = options;
    checkBoolean(where, 'keepDims', keepDims);
    this.rank = rank;
    this.keepDims = keepDims;
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, keepDims: this.keepDims });
  }
}

function optionsOfConfig({ type, ...options }: LayerConfig): GlobalPoolLayerOptions {
  checkOptions(type, options, ['keepDims', 'dataFormat']);
  return options as GlobalPoolLayerOptions;
}

/** Global average pooling of every rank; see {@link GlobalAvgPool2d}. */
export abstract class GlobalAvgPoolNd<
  Rank extends number = number,
  KeepDims extends boolean = boolean,
> extends GlobalPool<Rank, KeepDims> {
  forward(x: Tensor): Tensor {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
    return globalAvgPool(x, { keepDims: this.keepDims, dataFormat: this.dataFormat }, this.type);
  }
}

/** Global max pooling of every rank; see {@link GlobalMaxPool2d}. */
export abstract class GlobalMaxPoolNd<
  Rank extends number = number,
  KeepDims extends boolean = boolean,
> extends GlobalPool<Rank, KeepDims> {
  forward(x: Tensor): Tensor {
    checkImages(this.type, x.shape, this.rank, undefined, this.dataFormat);
    return globalMaxPool(x, { keepDims: this.keepDims, dataFormat: this.dataFormat }, this.type);
  }
}

/** Average over all positions: [batch, channels, length] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalAvgPool1d<KeepDims extends boolean = false> extends GlobalAvgPoolNd<1, KeepDims> {
  readonly type = 'GlobalAvgPool1d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalAvgPool1d', 1, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalAvgPool1d<boolean> {
    return new GlobalAvgPool1d(optionsOfConfig(config));
  }
}

/** Average over all positions: [batch, channels, height, width] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalAvgPool2d<KeepDims extends boolean = false> extends GlobalAvgPoolNd<2, KeepDims> {
  readonly type = 'GlobalAvgPool2d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalAvgPool2d', 2, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalAvgPool2d<boolean> {
    return new GlobalAvgPool2d(optionsOfConfig(config));
  }
}

/** Average over all positions: [batch, channels, depth, height, width] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalAvgPool3d<KeepDims extends boolean = false> extends GlobalAvgPoolNd<3, KeepDims> {
  readonly type = 'GlobalAvgPool3d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalAvgPool3d', 3, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalAvgPool3d<boolean> {
    return new GlobalAvgPool3d(optionsOfConfig(config));
  }
}

/** Largest element over all positions: [batch, channels, length] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalMaxPool1d<KeepDims extends boolean = false> extends GlobalMaxPoolNd<1, KeepDims> {
  readonly type = 'GlobalMaxPool1d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalMaxPool1d', 1, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalMaxPool1d<boolean> {
    return new GlobalMaxPool1d(optionsOfConfig(config));
  }
}

/** Largest element over all positions: [batch, channels, height, width] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalMaxPool2d<KeepDims extends boolean = false> extends GlobalMaxPoolNd<2, KeepDims> {
  readonly type = 'GlobalMaxPool2d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalMaxPool2d', 2, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalMaxPool2d<boolean> {
    return new GlobalMaxPool2d(optionsOfConfig(config));
  }
}

/** Largest element over all positions: [batch, channels, depth, height, width] to [batch, channels], or to extents of one with `keepDims`. */
export class GlobalMaxPool3d<KeepDims extends boolean = false> extends GlobalMaxPoolNd<3, KeepDims> {
  readonly type = 'GlobalMaxPool3d';

  constructor(options: GlobalPoolLayerOptions<KeepDims> = {}) {
    super('GlobalMaxPool3d', 3, options);
  }

  static fromConfig(this: void, config: LayerConfig): GlobalMaxPool3d<boolean> {
    return new GlobalMaxPool3d(optionsOfConfig(config));
  }
}
