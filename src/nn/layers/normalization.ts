import { assign } from '../../graph/trace.js';
import { ones, zeros } from '../../ops/create.js';
import { checkDataFormat, type DataFormat, type DataFormatOption, inChannelsFirst } from '../../ops/data-format.js';
import { add, cast, div, mul } from '../../ops/elementwise.js';
import {
  batchNorm,
  batchNormInference,
  groupNorm,
  instanceNorm,
  type LocalResponseNormOptions,
  layerNorm,
  localResponseNorm,
} from '../../ops/normalization.js';
import { mean as meanOver } from '../../ops/reduce.js';
import { checkImages, splitText } from '../../ops/window.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape, type Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, checkNumber, type LayerConfig } from '../config.js';
import { Module } from '../module.js';
import type { Keeps } from '../signature.js';
import { FormattedLayer } from './formatted-layer.js';
import { InputSized, UNKNOWN, type Unknown } from './lazy.js';

/** Options of {@link BatchNorm2d} and its kin. */
export interface BatchNormOptions extends DataFormatOption {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
  /** weight of a new batch in the running statistics; null averages all batches alike; default 0.1 */
  readonly momentum?: number | null;
  /** Learn a scale and a shift; default true. */
  readonly affine?: boolean;
  /** Keep running statistics for use after training; without them every batch uses its own; default true. */
  readonly trackRunningStats?: boolean;
}

export const BATCH_NORM_OPTIONS: readonly string[] = ['eps', 'momentum', 'affine', 'trackRunningStats', 'dataFormat'];

/** What batch and instance normalisation share: scale and shift, and running statistics, per channel. */
abstract class ChannelNorm<Rank extends number, Features extends number> extends InputSized<Keeps<Rank, Features>> {
  readonly eps: number;
  readonly momentum: number | null;
  readonly affine: boolean;
  readonly trackRunningStats: boolean;
  readonly dataFormat: DataFormat;
  protected readonly axes: number;
  #affine: { readonly weight?: Tensor; readonly bias?: Tensor } = {};
  #running: { readonly mean?: Tensor; readonly variance?: Tensor; readonly batches?: Tensor } = {};

  /**
   * @param axes the spatial ones
   * @param usual the default of `affine` and `trackRunningStats`
   */
  constructor(where: string, axes: number, numFeatures: Features | Unknown, options: BatchNormOptions, usual: boolean) {
    super();
    checkOptions(where, options, BATCH_NORM_OPTIONS);
    const { eps = 1e-5, momentum = 0.1, affine = usual, trackRunningStats = usual } = options;
    if (numFeatures !== UNKNOWN) checkCount(where, 'numFeatures', numFeatures);
    checkNumber(where, 'eps', eps, 0);
    if (momentum !== null) checkNumber(where, 'momentum', momentum, 0, 1);
    checkBoolean(where, 'affine', affine);
    checkBoolean(where, 'trackRunningStats', trackRunningStats);
    checkDataFormat(where, options.dataFormat ?? 'channels-first');
    this.axes = axes;
    this.dataFormat = options.dataFormat ?? 'channels-first';
    this.eps = eps;
    this.momentum = momentum;
    this.affine = affine;
    this.trackRunningStats = trackRunningStats;
    if (numFeatures !== UNKNOWN) this.initialize(where, numFeatures);
  }

  protected build(_where: string, numFeatures: number): void {
    if (this.affine) {
      this.#affine = {
        weight: this.parameter('weight', ones([numFeatures])),
        bias: this.parameter('bias', zeros([numFeatures])),
      };
    }
    if (this.trackRunningStats) {
      this.#running = {
        mean: this.buffer('running_mean', zeros([numFeatures])),
        variance: this.buffer('running_var', ones([numFeatures])),
        batches: this.buffer('num_batches_tracked', zeros([], 'i32')),
      };
    }
  }

  /** @throws GaborError before the first call of a lazy layer */
  get numFeatures(): Features {
    return this.inputSize as Features;
  }

  /** [features]: the scale, 1 at first */
  get weight(): Tensor | undefined {
    return this.#affine.weight;
  }

  /** [features]: the shift, 0 at first */
  get bias(): Tensor | undefined {
    return this.#affine.bias;
  }

  get runningMean(): Tensor | undefined {
    return this.#running.mean;
  }

  get runningVar(): Tensor | undefined {
    return this.#running.variance;
  }

  /** i32[]: training steps seen. (PyTorch holds it in 64 bits.) */
  get numBatchesTracked(): Tensor | undefined {
    return this.#running.batches;
  }

  forward(x: Tensor): Tensor {
    const { type, dataFormat } = this;
    // [batch, features], as after a linear layer, is a line of no extent.
    const axes = this.acceptsVectors && x.rank === 2 ? 0 : this.axes;
    checkImages(type, x.shape, axes, this.initialized ? this.numFeatures : undefined, dataFormat);
    if (!this.initialized) this.initialize(type, x.shape[dataFormat === 'channels-last' ? x.rank - 1 : 1]);
    return inChannelsFirst(x, dataFormat, (images) => this.withRunning(images) ?? this.normalize(images));
  }

  /** Whether [batch, features] will do. */
  protected get acceptsVectors(): boolean {
    return false;
  }

  /** With the statistics of x, [batch, features, …spatial], and what they do to the running ones. */
  protected abstract normalize(x: Tensor): Tensor;

  /** With the running statistics; undefined while they are not to be used. */
  protected withRunning(x: Tensor): Tensor | undefined {
    const { eps, weight, bias, runningMean, runningVar, type } = this;
    if (this.training || runningMean === undefined || runningVar === undefined) return undefined;
    return batchNormInference(x, { mean: runningMean, variance: runningVar }, { weight, bias }, { eps }, type);
  }

  override config(): LayerConfig {
    const { eps, momentum, affine, trackRunningStats, dataFormat } = this;
    return {
      type: this.configType(),
      ...(this.initialized ? { numFeatures: this.numFeatures } : {}),
      eps,
      momentum,
      affine,
      trackRunningStats,
      ...(dataFormat === 'channels-first' ? {} : { dataFormat }),
    };
  }
}

/** (1 − rate) · running + rate · batch */
function moveTowards(running: Tensor, batch: Tensor, rate: number | Tensor): void {
  const kept = typeof rate === 'number' ? 1 - rate : add(mul(rate, -1), 1);
  assign(running, add(mul(running, kept), mul(batch, rate)));
}

/** Makes a layer of its configuration: the number of features comes first, the rest are options. */
function featureLayer<L>(Layer: new (numFeatures: number, options: BatchNormOptions) => L, config: LayerConfig): L {
  const { type, numFeatures, ...options } = config;
  checkOptions(type, options, BATCH_NORM_OPTIONS);
  return new Layer(numFeatures as number, options as BatchNormOptions);
}

/** Batch normalisation of every rank; see {@link BatchNorm2d}. */
export abstract class BatchNormNd<Rank extends number = number, Features extends number = number> extends ChannelNorm<
  Rank,
  Features
> {
  constructor(where: string, axes: number, numFeatures: Features | Unknown, options: BatchNormOptions) {
    super(where, axes, numFeatures, options, true);
  }

  protected override get acceptsVectors(): boolean {
    return this.axes === 1;
  }

  protected normalize(x: Tensor): Tensor {
    const { eps, weight, bias, type } = this;
    const { y, mean, variance, count } = batchNorm(x, { weight, bias }, { eps }, type);
    if (this.training) this.#track(mean, mul(variance, count / (count - 1)));
    return y;
  }

  /** Moves the running statistics towards those of a batch; the running variance is unbiased. */
  #track(mean: Tensor, unbiased: Tensor): void {
    const { runningMean, runningVar, numBatchesTracked, momentum } = this;
    if (runningMean === undefined || runningVar === undefined || numBatchesTracked === undefined) return;
    const seen = add(numBatchesTracked, 1);
    assign(numBatchesTracked, seen);
    const rate = momentum ?? div(1, cast(seen, mean.dtype));
    moveTowards(runningMean, mean, rate);
    moveTowards(runningVar, unbiased, rate);
  }
}

/**
 * {@link BatchNorm2d} of [batch, features] or [batch, features, length]. As `torch.nn.BatchNorm1d`.
 *
 * @throws ShapeError in training for one value per channel.
 */
export class BatchNorm1d<Features extends number = number> extends BatchNormNd<0 | 1, Features> {
  readonly type = 'BatchNorm1d';

  constructor(numFeatures: Features, options: BatchNormOptions = {}) {
    super('BatchNorm1d', 1, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): BatchNorm1d {
    return featureLayer(BatchNorm1d, config);
  }
}

/**
 * Batch normalisation of images [batch, features, height, width]: training uses the statistics of the batch and updates the
 * running ones, which are used after `eval()`. As `torch.nn.BatchNorm2d`.
 *
 * @throws ShapeError in training for one value per channel.
 */
export class BatchNorm2d<Features extends number = number> extends BatchNormNd<2, Features> {
  readonly type = 'BatchNorm2d';

  constructor(numFeatures: Features, options: BatchNormOptions = {}) {
    super('BatchNorm2d', 2, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): BatchNorm2d {
    return featureLayer(BatchNorm2d, config);
  }
}

/** {@link BatchNorm2d} of volumes [batch, features, depth, height, width]. As `torch.nn.BatchNorm3d`. */
export class BatchNorm3d<Features extends number = number> extends BatchNormNd<3, Features> {
  readonly type = 'BatchNorm3d';

  constructor(numFeatures: Features, options: BatchNormOptions = {}) {
    super('BatchNorm3d', 3, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): BatchNorm3d {
    return featureLayer(BatchNorm3d, config);
  }
}

/** Options of {@link InstanceNorm2d} and its kin. */
export interface InstanceNormOptions extends DataFormatOption {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
  /** weight of a new batch in the running statistics; null leaves them as they are, as in PyTorch; default 0.1 */
  readonly momentum?: number | null;
  /** Learn a scale and a shift; default false. */
  readonly affine?: boolean;
  /** Keep running statistics for use after training; without them every image uses its own; default false. */
  readonly trackRunningStats?: boolean;
}

/** Instance normalisation of every rank; see {@link InstanceNorm2d}. */
export abstract class InstanceNormNd<
  Rank extends number = number,
  Features extends number = number,
> extends ChannelNorm<Rank, Features> {
  constructor(where: string, axes: number, numFeatures: Features | Unknown, options: InstanceNormOptions) {
    super(where, axes, numFeatures, options, false);
  }

  protected normalize(x: Tensor): Tensor {
    const { eps, weight, bias, runningMean, runningVar, momentum, type } = this;
    const { y, mean, variance, count } = instanceNorm(x, { weight, bias }, { eps }, type);
    if (this.training && runningMean !== undefined && runningVar !== undefined && momentum !== null) {
      moveTowards(runningMean, meanOver(mean, 0), momentum);
      moveTowards(runningVar, mul(meanOver(variance, 0), count / (count - 1)), momentum);
    }
    return y;
  }
}

/** {@link InstanceNorm2d} of [batch, features, length]. As `torch.nn.InstanceNorm1d`. */
export class InstanceNorm1d<Features extends number = number> extends InstanceNormNd<1, Features> {
  readonly type = 'InstanceNorm1d';

  constructor(numFeatures: Features, options: InstanceNormOptions = {}) {
    super('InstanceNorm1d', 1, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): InstanceNorm1d {
    return featureLayer(InstanceNorm1d, config);
  }
}

/**
 * Normalises every channel of every image [batch, features, height, width] over its positions. With
 * `trackRunningStats` the statistics are averaged over training and used after `eval()`. As `torch.nn.InstanceNorm2d`, which
 * never counts in `num_batches_tracked` either.
 *
 * @throws ShapeError for one position per channel.
 */
export class InstanceNorm2d<Features extends number = number> extends InstanceNormNd<2, Features> {
  readonly type = 'InstanceNorm2d';

  constructor(numFeatures: Features, options: InstanceNormOptions = {}) {
    super('InstanceNorm2d', 2, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): InstanceNorm2d {
    return featureLayer(InstanceNorm2d, config);
  }
}

/** {@link InstanceNorm2d} of volumes [batch, features, depth, height, width]. As `torch.nn.InstanceNorm3d`. */
export class InstanceNorm3d<Features extends number = number> extends InstanceNormNd<3, Features> {
  readonly type = 'InstanceNorm3d';

  constructor(numFeatures: Features, options: InstanceNormOptions = {}) {
    super('InstanceNorm3d', 3, numFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): InstanceNorm3d {
    return featureLayer(InstanceNorm3d, config);
  }
}

/** Options of {@link LayerNorm}. */
export interface LayerNormOptions {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
  /** Learn a scale and a shift per element; default true. */
  readonly elementwiseAffine?: boolean;
  /** Learn the shift, too; default true. */
  readonly bias?: boolean;
}

const LAYER_NORM_OPTIONS = ['eps', 'elementwiseAffine', 'bias'];

/** Normalises over the last axes, whose extents are `normalizedShape`. As `torch.nn.LayerNorm`. */
export class LayerNorm extends Module<Keeps> {
  readonly type = 'LayerNorm';
  readonly normalizedShape: readonly number[];
  readonly eps: number;
  readonly elementwiseAffine: boolean;
  /** of shape `normalizedShape`: the scale, 1 at first */
  readonly weight: Tensor | undefined;
  /** of shape `normalizedShape`: the shift, 0 at first */
  readonly bias: Tensor | undefined;
  readonly #bias: boolean;

  constructor(normalizedShape: number | Shape, options: LayerNormOptions = {}) {
    super();
    checkOptions('LayerNorm', options, LAYER_NORM_OPTIONS);
    const { eps = 1e-5, elementwiseAffine = true, bias = true } = options;
    const shape: unknown = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    if (!Array.isArray(shape) || shape.length === 0 || !shape.every((n) => Number.isInteger(n) && n >= 1)) {
      throw new OptionError(
        `LayerNorm: normalizedShape must be an integer ≥ 1 or some of them, got ${JSON.stringify(normalizedShape)}`,
      );
    }
    checkNumber('LayerNorm', 'eps', eps, 0);
    checkBoolean('LayerNorm', 'elementwiseAffine', elementwiseAffine);
    checkBoolean('LayerNorm', 'bias', bias);
    this.normalizedShape = [...shape];
    this.eps = eps;
    this.elementwiseAffine = elementwiseAffine;
    this.#bias = bias;
    if (elementwiseAffine) {
      this.weight = this.parameter('weight', ones(this.normalizedShape));
      if (bias) this.bias = this.parameter('bias', zeros(this.normalizedShape));
    }
  }

  forward(x: Tensor): Tensor {
    const { normalizedShape, weight, bias, eps, type } = this;
    return layerNorm(x, normalizedShape, { weight, bias }, { eps }, type);
  }

  override config(): LayerConfig {
    const { type, normalizedShape, eps, elementwiseAffine } = this;
    return { type, normalizedShape, eps, elementwiseAffine, bias: this.#bias };
  }

  static fromConfig(this: void, config: LayerConfig): LayerNorm {
    const { type, normalizedShape, ...options } = config;
    checkOptions(type, options, LAYER_NORM_OPTIONS);
    return new LayerNorm(normalizedShape as number | Shape, options as LayerNormOptions);
  }
}

/** Options of {@link GroupNorm}. */
export interface GroupNormOptions extends DataFormatOption {
  /** added to the variance; default 1e-5 */
  readonly eps?: number;
  /** Learn a scale and a shift per channel; default true. */
  readonly affine?: boolean;
}

const GROUP_NORM_OPTIONS = ['eps', 'affine', 'dataFormat'];

/**
 * Splits the channels of [batch, channels, …] into groups and normalises each group of each sample. As `torch.nn.GroupNorm`.
 *
 * @throws OptionError for channels that do not split into the groups.
 */
export class GroupNorm<Channels extends number = number> extends FormattedLayer<Keeps<number, Channels>> {
  readonly type = 'GroupNorm';
  readonly numGroups: number;
  readonly numChannels: Channels;
  readonly eps: number;
  readonly affine: boolean;
  /** [channels]: the scale, 1 at first */
  readonly weight: Tensor | undefined;
  /** [channels]: the shift, 0 at first */
  readonly bias: Tensor | undefined;

  constructor(numGroups: number, numChannels: Channels, options: GroupNormOptions = {}) {
    checkOptions('GroupNorm', options, GROUP_NORM_OPTIONS);
    super('GroupNorm', options);
    const { eps = 1e-5, affine = true } = options;
    checkCount('GroupNorm', 'numGroups', numGroups);
    checkCount('GroupNorm', 'numChannels', numChannels);
    checkNumber('GroupNorm', 'eps', eps, 0);
    checkBoolean('GroupNorm', 'affine', affine);
    if (numChannels % numGroups !== 0) {
      throw new OptionError(`GroupNorm: numChannels ${numChannels} ${splitText(numChannels, numGroups)}`);
    }
    this.numGroups = numGroups;
    this.numChannels = numChannels;
    this.eps = eps;
    this.affine = affine;
    if (affine) {
      this.weight = this.parameter('weight', ones([numChannels]));
      this.bias = this.parameter('bias', zeros([numChannels]));
    }
  }

  forward(x: Tensor): Tensor {
    const { numGroups, numChannels, weight, bias, eps, type } = this;
    const last = this.dataFormat === 'channels-last';
    if (x.rank < 2 || x.shape[last ? x.rank - 1 : 1] !== numChannels) {
      const expected = last ? `[batch, …, ${numChannels}]` : `[batch, ${numChannels}, …]`;
      throw new ShapeError(`${type}: expected ${expected}, got ${formatShape(x.shape)}`);
    }
    return this.inChannelsFirst(x, (images) => groupNorm(images, numGroups, { weight, bias }, { eps }, type));
  }

  override config(): LayerConfig {
    const { type, numGroups, numChannels, eps, affine } = this;
    return this.withFormat({ type, numGroups, numChannels, eps, affine });
  }

  static fromConfig(this: void, config: LayerConfig): GroupNorm {
    const { type, numGroups, numChannels, ...options } = config;
    checkOptions(type, options, GROUP_NORM_OPTIONS);
    return new GroupNorm(numGroups as number, numChannels as number, options as GroupNormOptions);
  }
}

const RESPONSE_OPTIONS = ['alpha', 'beta', 'k', 'dataFormat'];

/**
 * x / (k + alpha · mean of x² over `size` neighbouring channels)^beta, for [batch, channels, …spatial]. As
 * `torch.nn.LocalResponseNorm`.
 */
export class LocalResponseNorm extends FormattedLayer<Keeps> {
  readonly type = 'LocalResponseNorm';
  readonly size: number;
  readonly alpha: number;
  readonly beta: number;
  readonly k: number;

  constructor(size: number, options: LocalResponseNormOptions & DataFormatOption = {}) {
    checkOptions('LocalResponseNorm', options, RESPONSE_OPTIONS);
    super('LocalResponseNorm', options);
    const { alpha = 1e-4, beta = 0.75, k = 1 } = options;
    checkCount('LocalResponseNorm', 'size', size);
    for (const [name, value] of Object.entries({ alpha, beta, k })) {
      checkNumber('LocalResponseNorm', name, value, Number.NEGATIVE_INFINITY);
    }
    this.size = size;
    this.alpha = alpha;
    this.beta = beta;
    this.k = k;
  }

  forward(x: Tensor): Tensor {
    const { size, alpha, beta, k, type } = this;
    if (x.rank < 3) {
      const expected = this.dataFormat === 'channels-last' ? '…spatial, channels' : 'channels, …spatial';
      throw new ShapeError(`${type}: expected [batch, ${expected}], got ${formatShape(x.shape)}`);
    }
    return this.inChannelsFirst(x, (images) => localResponseNorm(images, size, { alpha, beta, k }, type));
  }

  override config(): LayerConfig {
    const { type, size, alpha, beta, k } = this;
    return this.withFormat({ type, size, alpha, beta, k });
  }

  static fromConfig(this: void, config: LayerConfig): LocalResponseNorm {
    const { type, size, ...options } = config;
    checkOptions(type, options, RESPONSE_OPTIONS);
    return new LocalResponseNorm(size as number, options as LocalResponseNormOptions);
  }
}
