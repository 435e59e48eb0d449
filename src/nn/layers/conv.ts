import { conv } from '../../ops/conv.js';
import { zeros } from '../../ops/create.js';
import { type Padding, type PerAxis, perAxis, resolvePadding } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, type LayerConfig, type RandomOption } from '../config.js';
import { defaultInit } from '../init.js';
import { Module } from '../module.js';

export interface ConvLayerOptions extends RandomOption {
  /** default 1 */
  readonly stride?: PerAxis;
  /** zeros around the input: a number, one per axis, `same` (stride 1 only) or `valid`; default 0 */
  readonly padding?: Padding;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** channels are split into so many independent convolutions; default 1 */
  readonly groups?: number;
  /** default true */
  readonly bias?: boolean;
  /** only `zeros` */
  readonly paddingMode?: 'zeros';
}

const OPTIONS = ['stride', 'padding', 'dilation', 'groups', 'bias', 'paddingMode'];

/** Convolution layers of every rank; see {@link Conv2d}. */
export abstract class ConvNd extends Module {
  readonly inChannels: number;
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: Padding;
  readonly dilation: readonly number[];
  readonly groups: number;
  /** [out channels, in channels / groups, …kernel] */
  readonly weight: Tensor;
  /** [out channels] */
  readonly bias: Tensor | undefined;

  constructor(
    where: string,
    rank: number,
    inChannels: number,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvLayerOptions,
  ) {
    super();
    checkOptions(where, options, [...OPTIONS, 'random']);
    const { stride = 1, padding = 0, dilation = 1, groups = 1, bias = true, paddingMode = 'zeros' } = options;
    checkCount(where, 'inChannels', inChannels);
    checkCount(where, 'outChannels', outChannels);
    checkCount(where, 'groups', groups);
    checkBoolean(where, 'bias', bias);
    if (paddingMode !== 'zeros') {
      throw new OptionError(`${where}: paddingMode ${JSON.stringify(paddingMode)} is not there; only "zeros" is`);
    }
    for (const [name, channels] of Object.entries({ inChannels, outChannels })) {
      if (channels % groups !== 0) {
        throw new OptionError(`${where}: ${name} ${channels} does not split into ${groups} groups`);
      }
    }
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.kernelSize = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    this.stride = perAxis(where, 'stride', stride, rank, 1);
    this.dilation = perAxis(where, 'dilation', dilation, rank, 1);
    this.padding = padding;
    resolvePadding(where, padding, this.kernelSize, this.stride, this.dilation); // throws for padding that makes no sense
    this.groups = groups;
    this.weight = this.parameter('weight', zeros([outChannels, inChannels / groups, ...this.kernelSize]));
    this.bias = bias ? this.parameter('bias', zeros([outChannels])) : undefined;
    defaultInit(this.weight, this.bias, options.random);
  }

  forward(x: Tensor): Tensor {
    const { bias, stride, padding, dilation, groups } = this;
    return conv(x, this.weight, { bias, stride, padding, dilation, groups }, this.type);
  }

  override config(): LayerConfig {
    const { type, inChannels, outChannels, kernelSize, stride, padding, dilation, groups } = this;
    return {
      type,
      inChannels,
      outChannels,
      kernelSize,
      stride,
      padding,
      dilation,
      groups,
      bias: this.bias !== undefined,
    };
  }
}

/**
 * Convolution of images: [batch, in channels, height, width] to [batch, out channels, height′, width′], where
 * height′ = ⌊(height + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1. As `torch.nn.Conv2d`.
 *
 * @throws OptionError for sizes that are not positive integers, channels that do not split into the groups, unknown options.
 */
export class Conv2d extends ConvNd {
  readonly type = 'Conv2d';

  constructor(inChannels: number, outChannels: number, kernelSize: PerAxis, options: ConvLayerOptions = {}) {
    super('Conv2d', 2, inChannels, outChannels, kernelSize, options);
  }

  static fromConfig(this: void, config: LayerConfig): Conv2d {
    const { type, inChannels, outChannels, kernelSize, ...options } = config;
    checkOptions(type, options, OPTIONS);
    return new Conv2d(inChannels as number, outChannels as number, kernelSize as PerAxis, options as ConvLayerOptions);
  }
}
