import { type Padding, type PerAxis, perAxis, resolvePadding } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, type LayerConfig } from '../config.js';
import { Module } from '../module.js';
import type { Maps } from '../signature.js';
import { Conv1d, Conv2d, Conv3d, type ConvLayerOptions, ConvNd } from './conv.js';
import {
  activationModule,
  type ConvCommonOptions,
  type ConvFactory,
  checkLayerOptions,
  configOptions,
  type PaddingModeOptions,
} from './conv-base.js';
import { UNKNOWN, type Unknown } from './lazy.js';

/** Options of {@link DepthwiseConv2d} and its kin. */
export interface DepthwiseConvOptions<Multiplier extends number = number>
  extends ConvCommonOptions,
    PaddingModeOptions {
  /** around the input: a number, one per axis, `[low, high]` per axis, `same`, `valid` or (1-D) `causal`; default 0 */
  readonly padding?: Padding;
  /** filters for each input channel; default 1 */
  readonly depthMultiplier?: Multiplier;
}

/** As many channels come out as go in, where each has one filter. */
export type DepthwiseChannels<In extends number, Multiplier extends number> = [Multiplier] extends [1] ? In : number;

/** `bias` is that of the pointwise convolution; the depthwise one has none. */
export type SeparableConvOptions = DepthwiseConvOptions;

export const DEPTHWISE_OPTIONS: readonly string[] = [
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
function checkMultiplier(where: string, inChannels: number | Unknown, options: DepthwiseConvOptions): void {
  checkOptions(where, options, [...DEPTHWISE_OPTIONS, 'random']);
  if (inChannels !== UNKNOWN) checkCount(where, 'inChannels', inChannels);
  checkCount(where, 'depthMultiplier', options.depthMultiplier ?? 1);
}

/**
 * Depthwise convolution layers of every rank: every input channel has `depthMultiplier` filters of its own, and output
 * channel c · depthMultiplier + q is filter q of input channel c. The weight is [in · depthMultiplier, 1, …kernel].
 */
export abstract class DepthwiseConvNd<
  Rank extends number = number,
  In extends number = number,
  Out extends number = number,
> extends ConvNd<Rank, In, Out> {
  readonly depthMultiplier: number;

  constructor(
    where: string,
    rank: number,
    inChannels: number | Unknown,
    kernelSize: PerAxis,
    options: DepthwiseConvOptions,
  ) {
    checkMultiplier(where, inChannels, options);
    const { depthMultiplier = 1, ...rest } = options;
    super(where, rank, inChannels, { perChannel: depthMultiplier }, kernelSize, rest);
    this.depthMultiplier = depthMultiplier;
  }

  override config(): LayerConfig {
    return { ...super.config(), depthMultiplier: this.depthMultiplier };
  }
}

function depthwiseFactory<M>(
  make: (inChannels: number, kernel: PerAxis, options: DepthwiseConvOptions) => M,
): ConvFactory<M> {
  return (config, build) => {
    const options = configOptions<DepthwiseConvOptions>(config, ['inChannels', 'kernelSize'], DEPTHWISE_OPTIONS, build);
    return make(config.inChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** {@link DepthwiseConv2d} of sequences. */
export class DepthwiseConv1d<In extends number = number, Multiplier extends number = 1> extends DepthwiseConvNd<
  1,
  In,
  DepthwiseChannels<In, Multiplier>
> {
  readonly type = 'DepthwiseConv1d';
  static readonly fromConfig: ConvFactory<DepthwiseConv1d> = depthwiseFactory(
    (...args) => new DepthwiseConv1d(...args),
  );

  constructor(inChannels: In, kernelSize: PerAxis, options: DepthwiseConvOptions<Multiplier> = {}) {
    super('DepthwiseConv1d', 1, inChannels, kernelSize, options);
  }
}

/** Convolution of images, each channel by itself, to in channels · depthMultiplier channels. */
export class DepthwiseConv2d<In extends number = number, Multiplier extends number = 1> extends DepthwiseConvNd<
  2,
  In,
  DepthwiseChannels<In, Multiplier>
> {
  readonly type = 'DepthwiseConv2d';
  static readonly fromConfig: ConvFactory<DepthwiseConv2d> = depthwiseFactory(
    (...args) => new DepthwiseConv2d(...args),
  );

  constructor(inChannels: In, kernelSize: PerAxis, options: DepthwiseConvOptions<Multiplier> = {}) {
    super('DepthwiseConv2d', 2, inChannels, kernelSize, options);
  }
}

/** {@link DepthwiseConv2d} of volumes. */
export class DepthwiseConv3d<In extends number = number, Multiplier extends number = 1> extends DepthwiseConvNd<
  3,
  In,
  DepthwiseChannels<In, Multiplier>
> {
  readonly type = 'DepthwiseConv3d';
  static readonly fromConfig: ConvFactory<DepthwiseConv3d> = depthwiseFactory(
    (...args) => new DepthwiseConv3d(...args),
  );

  constructor(inChannels: In, kernelSize: PerAxis, options: DepthwiseConvOptions<Multiplier> = {}) {
    super('DepthwiseConv3d', 3, inChannels, kernelSize, options);
  }
}

const ORDINARY = {
  depthwise: [DepthwiseConv1d, DepthwiseConv2d, DepthwiseConv3d],
  pointwise: [Conv1d, Conv2d, Conv3d],
};

/** Makes the children of a {@link SeparableConvNd}. */
export interface SeparableParts {
  depthwise(kernelSize: PerAxis, options: DepthwiseConvOptions): DepthwiseConvNd;
  pointwise(outChannels: number, options: ConvLayerOptions): ConvNd;
}

function ordinaryParts(rank: number, inChannels: number, depthMultiplier: number): SeparableParts {
  const [Depthwise, Pointwise] = [ORDINARY.depthwise[rank - 1], ORDINARY.pointwise[rank - 1]];
  return {
    depthwise: (kernelSize, options) => new Depthwise(inChannels, kernelSize, options),
    pointwise: (outChannels, options) => new Pointwise(inChannels * depthMultiplier, outChannels, 1, options),
  };
}

/**
 * Depthwise separable convolution of every rank: a depthwise convolution (child `depthwise`, without bias), then one
 * with a kernel of 1 across the channels (child `pointwise`). It costs 1 / outChannels + 1 / taps of the ordinary one.
 * (Chollet, "Xception: deep learning with depthwise separable convolutions", 2017; no nonlinearity in between.)
 */
export abstract class SeparableConvNd<
  Rank extends number = number,
  In extends number = number,
  Out extends number = number,
> extends Module<Maps<In, Out, Rank>> {
  readonly outChannels: Out;
  readonly depthMultiplier: number;
  readonly depthwise: DepthwiseConvNd;
  readonly pointwise: ConvNd;
  readonly activation: Module | undefined;

  /** @param channels of the input, or the lazy parts that learn them at the first call */
  constructor(
    where: string,
    rank: number,
    channels: In | SeparableParts,
    outChannels: Out,
    kernelSize: PerAxis,
    options: SeparableConvOptions,
  ) {
    super();
    checkMultiplier(where, typeof channels === 'object' ? UNKNOWN : channels, options);
    checkCount(where, 'outChannels', outChannels);
    checkLayerOptions(where, options);
    const { bias = true, activation, ...rest } = options;
    const { dataFormat, random, depthMultiplier = 1 } = options;
    // The children check again, under names that the user did not write.
    const kernel = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    const stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
    const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
    resolvePadding(where, options.padding ?? 0, kernel, stride, dilation, kernel);
    const make = typeof channels === 'object' ? channels : ordinaryParts(rank, channels, depthMultiplier);
    this.outChannels = outChannels;
    this.depthMultiplier = depthMultiplier;
    this.depthwise = this.child('depthwise', make.depthwise(kernel, { ...rest, stride, dilation, bias: false }));
    const pointwise = { bias, ...(dataFormat && { dataFormat }), ...(random && { random }) };
    this.pointwise = this.child('pointwise', make.pointwise(outChannels, pointwise));
    this.activation = activationModule(where, activation);
    if (this.activation !== undefined) this.child('activation', this.activation);
  }

  /** @throws GaborError before the first call of a lazy layer */
  get inChannels(): In {
    return this.depthwise.inChannels as In;
  }

  forward(x: Tensor): Tensor {
    const y = this.pointwise.call(this.depthwise.call(x));
    return this.activation === undefined ? y : this.activation.call(y);
  }

  override config(): LayerConfig {
    const { outChannels, activation } = this;
    const { type, ...depthwise } = this.depthwise.config();
    return {
      ...depthwise,
      type: this.depthwise.initialized ? this.type.replace(/^Lazy/, '') : this.type,
      outChannels,
      bias: this.pointwise.hasBias,
      ...(activation === undefined ? {} : { activation: activation.config() }),
    };
  }
}

type Make<M> = (a: number, b: number, kernel: PerAxis, options: SeparableConvOptions) => M;

function separableFactory<M>(make: Make<M>): ConvFactory<M> {
  return (config, build) => {
    const positional = ['inChannels', 'outChannels', 'kernelSize'];
    const options = configOptions<SeparableConvOptions>(config, positional, DEPTHWISE_OPTIONS, build);
    return make(config.inChannels as number, config.outChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** {@link SeparableConv2d} of sequences. */
export class SeparableConv1d<In extends number = number, Out extends number = number> extends SeparableConvNd<
  1,
  In,
  Out
> {
  readonly type = 'SeparableConv1d';
  static readonly fromConfig: ConvFactory<SeparableConv1d> = separableFactory(
    (...args) => new SeparableConv1d(...args),
  );

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv1d', 1, inChannels, outChannels, kernelSize, options);
  }
}

/** Depthwise separable convolution of images; see {@link SeparableConvNd}. */
export class SeparableConv2d<In extends number = number, Out extends number = number> extends SeparableConvNd<
  2,
  In,
  Out
> {
  readonly type = 'SeparableConv2d';
  static readonly fromConfig: ConvFactory<SeparableConv2d> = separableFactory(
    (...args) => new SeparableConv2d(...args),
  );

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv2d', 2, inChannels, outChannels, kernelSize, options);
  }
}

/** {@link SeparableConv2d} of volumes. */
export class SeparableConv3d<In extends number = number, Out extends number = number> extends SeparableConvNd<
  3,
  In,
  Out
> {
  readonly type = 'SeparableConv3d';
  static readonly fromConfig: ConvFactory<SeparableConv3d> = separableFactory(
    (...args) => new SeparableConv3d(...args),
  );

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: SeparableConvOptions = {}) {
    super('SeparableConv3d', 3, inChannels, outChannels, kernelSize, options);
  }
}
