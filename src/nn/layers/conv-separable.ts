import { type Padding, type PerAxis, perAxis, resolvePadding } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, type LayerConfig } from '../config.js';
import { Module } from '../module.js';
import { Conv1d, Conv2d, Conv3d, type ConvLayerOptions, ConvNd } from './conv.js';
import {
  activationModule,
  type ConvCommonOptions,
  type ConvFactory,
  checkLayerOptions,
  configOptions,
  type PaddingModeOptions,
} from './conv-base.js';

export interface DepthwiseConvOptions extends ConvCommonOptions, PaddingModeOptions {
  /** around the input: a number, one per axis, `[low, high]` per axis, `same`, `valid` or (1-D) `causal`; default 0 */
  readonly padding?: Padding;
  /** filters for each input channel; default 1 */
  readonly depthMultiplier?: number;
}

/** `bias` is that of the pointwise convolution; the depthwise one has none. */
export type SeparableConvOptions = DepthwiseConvOptions;

const OPTIONS = [
  'stride',
  'padding',
  'dilation',
  'depthMultiplier',
  'bias',
  'paddingMode',
  'paddingValue',
  'dataFormat',
  'activation',
];

/** Checks what does not get into the options of a {@link ConvNd} under the same name. */
function checkMultiplier(where: string, inChannels: number, options: DepthwiseConvOptions): void {
  checkOptions(where, options, [...OPTIONS, 'random']);
  checkCount(where, 'inChannels', inChannels);
  checkCount(where, 'depthMultiplier', options.depthMultiplier ?? 1);
}

/** The options without the multiplier, for the convolution with as many groups as there are input channels. */
function grouped({ depthMultiplier: _, ...options }: DepthwiseConvOptions, groups: number): ConvLayerOptions {
  return { ...options, groups };
}

/**
 * Depthwise convolution layers of every rank: every input channel has `depthMultiplier` filters of its own, and output
 * channel c · depthMultiplier + q is filter q of input channel c. The weight is [in · depthMultiplier, 1, …kernel].
 */
export abstract class DepthwiseConvNd extends ConvNd {
  readonly depthMultiplier: number;

  constructor(where: string, rank: number, inChannels: number, kernelSize: PerAxis, options: DepthwiseConvOptions) {
    checkMultiplier(where, inChannels, options);
    const { depthMultiplier = 1 } = options;
    super(where, rank, inChannels, inChannels * depthMultiplier, kernelSize, grouped(options, inChannels));
    this.depthMultiplier = depthMultiplier;
  }

  override config(): LayerConfig {
    const { outChannels: _, groups: __, ...config } = super.config();
    return { ...config, type: this.type, depthMultiplier: this.depthMultiplier };
  }
}

function depthwiseFactory<M>(
  make: (inChannels: number, kernel: PerAxis, options: DepthwiseConvOptions) => M,
): ConvFactory<M> {
  return (config, build) => {
    const options = configOptions<DepthwiseConvOptions>(config, ['inChannels', 'kernelSize'], OPTIONS, build);
    return make(config.inChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** {@link DepthwiseConv2d} of sequences. */
export class DepthwiseConv1d extends DepthwiseConvNd {
  readonly type = 'DepthwiseConv1d';
  static readonly fromConfig: ConvFactory<DepthwiseConv1d> = depthwiseFactory(
    (...args) => new DepthwiseConv1d(...args),
  );

  constructor(inChannels: number, kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('DepthwiseConv1d', 1, inChannels, kernelSize, options);
  }
}

/** Convolution of images, each channel by itself, to in channels · depthMultiplier channels. */
export class DepthwiseConv2d extends DepthwiseConvNd {
  readonly type = 'DepthwiseConv2d';
  static readonly fromConfig: ConvFactory<DepthwiseConv2d> = depthwiseFactory(
    (...args) => new DepthwiseConv2d(...args),
  );

  constructor(inChannels: number, kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('DepthwiseConv2d', 2, inChannels, kernelSize, options);
  }
}

/** {@link DepthwiseConv2d} of volumes. */
export class DepthwiseConv3d extends DepthwiseConvNd {
  readonly type = 'DepthwiseConv3d';
  static readonly fromConfig: ConvFactory<DepthwiseConv3d> = depthwiseFactory(
    (...args) => new DepthwiseConv3d(...args),
  );

  constructor(inChannels: number, kernelSize: PerAxis, options: DepthwiseConvOptions = {}) {
    super('DepthwiseConv3d', 3, inChannels, kernelSize, options);
  }
}

const CONVOLUTIONS = [Conv1d, Conv2d, Conv3d];

/**
 * Depthwise separable convolution of every rank: a depthwise convolution (child `depthwise`, without bias), then one
 * with a kernel of 1 across the channels (child `pointwise`). It costs 1 / outChannels + 1 / taps of the ordinary one.
 * (Chollet, "Xception: deep learning with depthwise separable convolutions", 2017; no nonlinearity in between.)
 */
export abstract class SeparableConvNd extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly depthMultiplier: number;
  readonly depthwise: ConvNd;
  readonly pointwise: ConvNd;
  readonly activation: Module | undefined;

  constructor(
    where: string,
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerAxis,
    options: SeparableConvOptions,
  ) {
    super();
    checkMultiplier(where, inChannels, options);
    checkCount(where, 'outChannels', outChannels);
    checkLayerOptions(where, options);
    const { bias, activation, depthMultiplier = 1, ...rest } = options;
    const { dataFormat, random } = options;
    // The children check again, under names that the user did not write.
    const kernel = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    const stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
    const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
    resolvePadding(where, options.padding ?? 0, kernel, stride, dilation, kernel);
    const Conv = CONVOLUTIONS[rank - 1];
    const between = inChannels * depthMultiplier;
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.depthMultiplier = depthMultiplier;
    const depthwise = { ...rest, stride, dilation, groups: inChannels, bias: false };
    this.depthwise = this.child('depthwise', new Conv(inChannels, between, kernel, depthwise));
    const pointwise = { bias: bias ?? true, ...(dataFormat && { dataFormat }), ...(random && { random }) };
    this.pointwise = this.child('pointwise', new Conv(between, outChannels, 1, pointwise));
    this.activation = activationModule(where, activation);
    if (this.activation !== undefined) this.child('activation', this.activation);
  }

  forward(x: Tensor): Tensor {
    const y = this.pointwise.call(this.depthwise.call(x));
    return this.activation === undefined ? y : this.activation.call(y);
  }

  override config(): LayerConfig {
    const { outChannels: _, groups: __, ...depthwise } = this.depthwise.config();
    const { type, outChannels, depthMultiplier, activation } = this;
    return {
      ...depthwise,
      type,
      outChannels,
      depthMultiplier,
      bias: this.pointwise.bias !== undefined,
      ...(activation === undefined ? {} : { activation: activation.config() }),
    };
  }
}

type Make<M> = (a: number, b: number, kernel: PerAxis, options: SeparableConvOptions) => M;

function separableFactory<M>(make: Make<M>): ConvFactory<M> {
  return (config, build) => {
    const positional = ['inChannels', 'outChannels', 'kernelSize'];
    const options = configOptions<SeparableConvOptions>(config, positional, OPTIONS, build);
    return make(config.inChannels as number, config.outChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** {@link SeparableConv2d} of sequences. */
export class SeparableConv1d extends SeparableConvNd {
  readonly type = 'SeparableConv1d';
  static readonly fromConfig: ConvFactory<SeparableConv1d> = separableFactory(
    (...args) => new SeparableConv1d(...args),
  );

  constructor(inChannels: number, outChannels: number, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv1d', 1, inChannels, outChannels, kernelSize, options);
  }
}

/** Depthwise separable convolution of images; see {@link SeparableConvNd}. */
export class SeparableConv2d extends SeparableConvNd {
  readonly type = 'SeparableConv2d';
  static readonly fromConfig: ConvFactory<SeparableConv2d> = separableFactory(
    (...args) => new SeparableConv2d(...args),
  );

  constructor(inChannels: number, outChannels: number, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv2d', 2, inChannels, outChannels, kernelSize, options);
  }
}

/** {@link SeparableConv2d} of volumes. */
export class SeparableConv3d extends SeparableConvNd {
  readonly type = 'SeparableConv3d';
  static readonly fromConfig: ConvFactory<SeparableConv3d> = separableFactory(
    (...args) => new SeparableConv3d(...args),
  );

  constructor(inChannels: number, outChannels: number, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv3d', 3, inChannels, outChannels, kernelSize, options);
  }
}
