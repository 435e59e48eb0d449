import { conv } from '../../ops/conv.js';
import type { PaddingMode } from '../../ops/padding.js';
import { type Padding, type PerAxis, resolvePadding } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig } from '../config.js';
import {
  type ConvCommonOptions,
  type ConvFactory,
  ConvLayer,
  configOptions,
  type Filters,
  type GroupsOption,
  type PaddingModeOptions,
} from './conv-base.js';
import { UNKNOWN, type Unknown } from './lazy.js';

/** Options of {@link Conv2d} and its kin. */
export interface ConvLayerOptions extends ConvCommonOptions, PaddingModeOptions, GroupsOption {
  /** around the input: a number, one per axis, `[low, high]` per axis, `same`, `valid` or (1-D) `causal`; default 0 */
  readonly padding?: Padding;
}

export const CONV_OPTIONS: readonly string[] = [
  'stride',
  'padding',
  'dilation',
  'groups',
  'bias',
  'paddingMode',
  'paddingValue',
  'dataFormat',
  'activation',
];

/** Convolution layers of every rank; see {@link Conv2d}. The weight is [out channels, in channels / groups, …kernel]. */
export abstract class ConvNd<
  Rank extends number = number,
  In extends number = number,
  Out extends number = number,
> extends ConvLayer<Rank, In, Out> {
  readonly padding: Padding;
  readonly paddingMode: PaddingMode;
  readonly paddingValue: number | undefined;

  constructor(
    where: string,
    rank: number,
    inChannels: number | Unknown,
    filters: Filters,
    kernelSize: PerAxis,
    options: ConvLayerOptions,
  ) {
    checkOptions(where, options, [...CONV_OPTIONS, 'random']);
    super(where, rank, inChannels, filters, kernelSize, options);
    this.padding = options.padding ?? 0;
    this.paddingMode = options.paddingMode ?? 'zeros';
    this.paddingValue = options.paddingValue;
    // Throws for padding that makes no sense.
    resolvePadding(where, this.padding, this.kernelSize, this.stride, this.dilation, this.kernelSize);
    if (inChannels !== UNKNOWN) this.initialize(where, inChannels);
  }

  protected weightShape(inChannels: number, outChannels: number, groups: number): Shape {
    return [outChannels, inChannels / groups, ...this.kernelSize];
  }

  forward(x: Tensor): Tensor {
    this.prepare(x);
    const { bias, stride, padding, dilation, groups, paddingMode, paddingValue, dataFormat } = this;
    const options = { bias, stride, padding, dilation, groups, paddingMode, paddingValue, dataFormat };
    return this.activate(conv(x, this.weight, options, this.type));
  }

  override config(): LayerConfig {
    const { padding, paddingMode, paddingValue } = this;
    return {
      ...this.commonConfig(),
      padding,
      ...(paddingMode === 'zeros' ? {} : { paddingMode }),
      ...(paddingValue === undefined ? {} : { paddingValue }),
    };
  }
}

/** A factory for layers of (inChannels, outChannels, kernelSize, options). */
function factory<M>(make: (a: number, b: number, kernel: PerAxis, options: ConvLayerOptions) => M): ConvFactory<M> {
  return (config, build) => {
    const options = configOptions<ConvLayerOptions>(
      config,
      ['inChannels', 'outChannels', 'kernelSize'],
      CONV_OPTIONS,
      build,
    );
    return make(config.inChannels as number, config.outChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** Convolution of sequences [batch, in channels, length]; see {@link Conv2d}. As `torch.nn.Conv1d`. */
export class Conv1d<In extends number = number, Out extends number = number> extends ConvNd<1, In, Out> {
  readonly type = 'Conv1d';
  static readonly fromConfig: ConvFactory<Conv1d> = factory((...args) => new Conv1d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('Conv1d', 1, inChannels, outChannels, kernelSize, options);
  }
}

/**
 * Convolution of images: [batch, in channels, height, width] to [batch, out channels, height′, width′], where
 * height′ = ⌊(height + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1. As `torch.nn.Conv2d`. Channels are in the type:
 * `new Conv2d(3, 64, 3)` is a `Conv2d<3, 64>`.
 *
 * @throws OptionError for sizes that are not positive integers, channels that do not split into the groups, unknown options.
 */
export class Conv2d<In extends number = number, Out extends number = number> extends ConvNd<2, In, Out> {
  readonly type = 'Conv2d';
  static readonly fromConfig: ConvFactory<Conv2d> = factory((...args) => new Conv2d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('Conv2d', 2, inChannels, outChannels, kernelSize, options);
  }
}

/** Convolution of volumes [batch, in channels, depth, height, width]; see {@link Conv2d}. As `torch.nn.Conv3d`. */
export class Conv3d<In extends number = number, Out extends number = number> extends ConvNd<3, In, Out> {
  readonly type = 'Conv3d';
  static readonly fromConfig: ConvFactory<Conv3d> = factory((...args) => new Conv3d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('Conv3d', 3, inChannels, outChannels, kernelSize, options);
  }
}
