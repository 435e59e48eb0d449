import { type ConvTransposeOptions, convTranspose, transposedWindows } from '../../ops/conv-transpose.js';
import { type PerAxis, perAxis } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig } from '../config.js';
import { type ConvCommonOptions, type ConvFactory, ConvLayer, configOptions, type GroupsOption } from './conv-base.js';
import { UNKNOWN, type Unknown } from './lazy.js';

/** Options of {@link ConvTranspose2d} and its kin. */
export interface ConvTransposeLayerOptions extends ConvCommonOptions, GroupsOption {
  /** taken off the result: a number, one per axis, `[low, high]` per axis, `valid` or `same` (input · stride); default 0 */
  readonly padding?: ConvTransposeOptions['padding'];
  /** added to the high end of the result, less than max(stride, dilation); default 0 */
  readonly outputPadding?: PerAxis;
  /** only `zeros` has a meaning here */
  readonly paddingMode?: 'zeros';
}

export const CONV_TRANSPOSE_OPTIONS: readonly string[] = [
  'stride',
  'padding',
  'outputPadding',
  'groups',
  'bias',
  'dilation',
  'paddingMode',
  'dataFormat',
  'activation',
];

/**
 * Transposed convolution layers of every rank; see {@link ConvTranspose2d}. The weight is
 * [in channels, out channels / groups, …kernel].
 */
export abstract class ConvTransposeNd<
  Rank extends number = number,
  In extends number = number,
  Out extends number = number,
> extends ConvLayer<Rank, In, Out> {
  readonly padding: NonNullable<ConvTransposeOptions['padding']>;
  readonly outputPadding: readonly number[];

  constructor(
    where: string,
    rank: number,
    inChannels: number | Unknown,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvTransposeLayerOptions,
  ) {
    checkOptions(where, options, [...CONV_TRANSPOSE_OPTIONS, 'random']);
    super(where, rank, inChannels, outChannels, kernelSize, options);
    const { paddingMode = 'zeros' } = options;
    if (paddingMode !== 'zeros') {
      throw new OptionError(
        `${where}: paddingMode must be "zeros", got ${JSON.stringify(paddingMode)}; a transposed convolution has no other`,
      );
    }
    this.padding = options.padding ?? 0;
    this.outputPadding = perAxis(where, 'outputPadding', options.outputPadding ?? 0, rank, 0);
    transposedWindows(where, this.kernelSize, this); // throws for combinations that make no sense
    if (inChannels !== UNKNOWN) this.initialize(where, inChannels);
  }

  protected weightShape(inChannels: number, outChannels: number, groups: number): Shape {
    return [inChannels, outChannels / groups, ...this.kernelSize];
  }

  /** @param outputSize extents of the result's spatial axes, in place of `outputPadding` */
  forward(x: Tensor, outputSize?: PerAxis): Tensor {
    this.prepare(x);
    const { bias, stride, padding, dilation, groups, dataFormat } = this;
    const size = outputSize === undefined ? { outputPadding: this.outputPadding } : { outputSize };
    const options = { bias, stride, padding, dilation, groups, dataFormat, ...size };
    return this.activate(convTranspose(x, this.weight, options, this.type));
  }

  override config(): LayerConfig {
    const { padding, outputPadding } = this;
    return { ...this.commonConfig(), padding, outputPadding };
  }
}

type Make<M> = (a: number, b: number, kernel: PerAxis, options: ConvTransposeLayerOptions) => M;

/** A factory for layers of (inChannels, outChannels, kernelSize, options). */
function factory<M>(make: Make<M>): ConvFactory<M> {
  return (config, build) => {
    const positional = ['inChannels', 'outChannels', 'kernelSize'];
    const options = configOptions<ConvTransposeLayerOptions>(config, positional, CONV_TRANSPOSE_OPTIONS, build);
    return make(config.inChannels as number, config.outChannels as number, config.kernelSize as PerAxis, options);
  };
}

/** Transposed convolution of sequences [batch, in channels, length]; see {@link ConvTranspose2d}. */
export class ConvTranspose1d<In extends number = number, Out extends number = number> extends ConvTransposeNd<
  1,
  In,
  Out
> {
  readonly type = 'ConvTranspose1d';
  static readonly fromConfig: ConvFactory<ConvTranspose1d> = factory((...args) => new ConvTranspose1d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('ConvTranspose1d', 1, inChannels, outChannels, kernelSize, options);
  }
}

/**
 * Transposed convolution of images: [batch, in channels, height, width] to [batch, out channels, height′, width′], where
 * height′ = (height − 1) · stride − 2 · padding + dilation · (kernel − 1) + outputPadding + 1. As
 * `torch.nn.ConvTranspose2d`.
 *
 * @throws OptionError for sizes that are not positive integers, channels that do not split into the groups,
 *   outputPadding ≥ max(stride, dilation), unknown options.
 */
export class ConvTranspose2d<In extends number = number, Out extends number = number> extends ConvTransposeNd<
  2,
  In,
  Out
> {
  readonly type = 'ConvTranspose2d';
  static readonly fromConfig: ConvFactory<ConvTranspose2d> = factory((...args) => new ConvTranspose2d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('ConvTranspose2d', 2, inChannels, outChannels, kernelSize, options);
  }
}

/** Transposed convolution of volumes [batch, in channels, depth, height, width]; see {@link ConvTranspose2d}. */
export class ConvTranspose3d<In extends number = number, Out extends number = number> extends ConvTransposeNd<
  3,
  In,
  Out
> {
  readonly type = 'ConvTranspose3d';
  static readonly fromConfig: ConvFactory<ConvTranspose3d> = factory((...args) => new ConvTranspose3d(...args));

  constructor(inChannels: In, outChannels: Out, kernelSize: PerAxis, options: ConvTransposeLayerOptions = {}) {
    super('ConvTranspose3d', 3, inChannels, outChannels, kernelSize, options);
  }
}
