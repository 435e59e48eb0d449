import { zeros } from '../../ops/create.js';
import { checkDataFormat, type DataFormat } from '../../ops/data-format.js';
import { checkPaddingMode, type PaddingMode } from '../../ops/padding.js';
import { checkImages, type PerAxis, perAxis, splitText } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import type { Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, type LayerConfig, type RandomOption } from '../config.js';
import { defaultInit } from '../init.js';
import { Module } from '../module.js';
import type { Maps } from '../signature.js';
import {
  ELU,
  GELU,
  Hardsigmoid,
  Hardswish,
  Identity,
  LeakyReLU,
  Mish,
  ReLU,
  ReLU6,
  SELU,
  Sigmoid,
  SiLU,
  Softplus,
  Softsign,
  Tanh,
} from './activation.js';
import { InputSized, UNKNOWN, type Unknown } from './lazy.js';

/** Activations by name; others are given as a module. */
export type ActivationName =
  | 'elu'
  | 'gelu'
  | 'hard_sigmoid'
  | 'hard_swish'
  | 'leaky_relu'
  | 'linear'
  | 'mish'
  | 'relu'
  | 'relu6'
  | 'selu'
  | 'sigmoid'
  | 'silu'
  | 'softplus'
  | 'softsign'
  | 'tanh';

const ACTIVATIONS: Readonly<Record<ActivationName, () => Module>> = {
  elu: () => new ELU(),
  gelu: () => new GELU(),
  hard_sigmoid: () => new Hardsigmoid(),
  hard_swish: () => new Hardswish(),
  leaky_relu: () => new LeakyReLU(),
  linear: () => new Identity(),
  mish: () => new Mish(),
  relu: () => new ReLU(),
  relu6: () => new ReLU6(),
  selu: () => new SELU(),
  sigmoid: () => new Sigmoid(),
  silu: () => new SiLU(),
  softplus: () => new Softplus(),
  softsign: () => new Softsign(),
  tanh: () => new Tanh(),
};

/** Options of every convolution layer. */
export interface ConvCommonOptions extends RandomOption {
  /** default 1 */
  readonly stride?: PerAxis;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** default true */
  readonly bias?: boolean;
  /** applied to the result, in its data format; a module becomes the child `activation`; default none */
  readonly activation?: ActivationName | Module;
  /** of input and result; the weights are the same for both; default `channels-first` */
  readonly dataFormat?: DataFormat;
}

/** What convolutions read beyond the border. */
export interface PaddingModeOptions {
  /** what the padding consists of; default `zeros` */
  readonly paddingMode?: PaddingMode;
  /** of paddingMode `constant`; default 0 */
  readonly paddingValue?: number;
}

/** Of convolutions whose channels may be divided. */
export interface GroupsOption {
  /** channels are split into so many independent convolutions; default 1 */
  readonly groups?: number;
}

/** The module for an `activation` option. */
export function activationModule(where: string, activation: ActivationName | Module | undefined): Module | undefined {
  if (activation === undefined || activation instanceof Module) return activation;
  if (typeof activation === 'string' && Object.hasOwn(ACTIVATIONS, activation)) return ACTIVATIONS[activation]();
  const known = Object.keys(ACTIVATIONS)
    .map((name) => `"${name}"`)
    .join(', ');
  throw new OptionError(`${where}: activation must be a module or one of ${known}, got ${JSON.stringify(activation)}`);
}

/** Throws unless `groups` divides both numbers of channels; unknown input channels are checked once they are known. */
export function checkChannels(
  where: string,
  channels: { readonly inChannels?: number; readonly outChannels: number },
  groups: number,
): void {
  for (const [name, count] of Object.entries(channels)) checkCount(where, name, count);
  checkCount(where, 'groups', groups);
  for (const [name, count] of Object.entries(channels)) {
    if (count % groups !== 0) throw new OptionError(`${where}: ${name} ${count} ${splitText(count, groups)}`);
  }
}

/** Checks what convolution layers of every kind share, and the padding mode of those that have one. */
export function checkLayerOptions(where: string, options: ConvCommonOptions & PaddingModeOptions): void {
  checkBoolean(where, 'bias', options.bias ?? true);
  checkDataFormat(where, options.dataFormat ?? 'channels-first');
  checkPaddingMode(where, 'paddingMode', options.paddingMode ?? 'zeros', options.paddingValue);
}

/** Makes a layer of its configuration; `build` makes the module of its activation. */
export type ConvFactory<M> = (config: LayerConfig, build: (config: LayerConfig) => Module) => M;

/** The options in a configuration, with the activation as a module. */
export function configOptions<O>(
  config: LayerConfig,
  positional: readonly string[],
  known: readonly string[],
  build: (config: LayerConfig) => Module,
): O {
  const entries = Object.entries(config).filter(([name]) => name !== 'type' && !positional.includes(name));
  checkOptions(config.type, Object.fromEntries(entries), known);
  const { activation } = config;
  const module = typeof activation === 'object' ? { activation: build(activation as LayerConfig) } : {};
  return { ...Object.fromEntries(entries), ...module } as O;
}

/** Output channels: so many, or so many for each input channel, which then is a group of its own. */
export type Filters = number | { readonly perChannel: number };

/** Weights and options of (transposed) convolution layers. Input channels may stay unknown until the first call. */
export abstract class ConvLayer<
  Rank extends number = number,
  In extends number = number,
  Out extends number = number,
> extends InputSized<Maps<In, Out, Rank>> {
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly dataFormat: DataFormat;
  readonly activation: Module | undefined;
  /** also where a lazy layer has none yet */
  readonly hasBias: boolean;
  readonly #filters: Filters;
  readonly #groups: number;
  readonly #random: Random | undefined;
  #weight: Tensor | undefined;
  #bias: Tensor | undefined;

  constructor(
    where: string,
    rank: number,
    inChannels: number | Unknown,
    filters: Filters,
    kernelSize: PerAxis,
    options: ConvCommonOptions & GroupsOption,
  ) {
    super();
    const { groups = 1 } = options;
    checkLayerOptions(where, options);
    if (typeof filters === 'number') {
      const channels = inChannels === UNKNOWN ? {} : { inChannels };
      checkChannels(where, { ...channels, outChannels: filters }, groups);
    }
    this.#filters = filters;
    this.#groups = groups;
    this.kernelSize = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    this.stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
    this.dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
    this.dataFormat = options.dataFormat ?? 'channels-first';
    this.activation = activationModule(where, options.activation);
    if (this.activation !== undefined) this.child('activation', this.activation);
    this.#random = options.random;
    this.hasBias = options.bias ?? true;
  }

  /** The shape of the weight. */
  protected abstract weightShape(inChannels: number, outChannels: number, groups: number): Shape;

  protected build(where: string, inChannels: number): void {
    const filters = this.#filters;
    const outChannels = typeof filters === 'number' ? filters : inChannels * filters.perChannel;
    const groups = typeof filters === 'number' ? this.#groups : inChannels;
    checkChannels(where, { inChannels, outChannels }, groups);
    this.#weight = this.parameter('weight', zeros(this.weightShape(inChannels, outChannels, groups)));
    this.#bias = this.hasBias ? this.parameter('bias', zeros([outChannels])) : undefined;
    defaultInit(this.#weight, this.#bias, this.#random);
  }

  /** @throws GaborError before the first call of a lazy layer */
  get inChannels(): In {
    return this.inputSize as In;
  }

  /** @throws GaborError before the first call of a lazy layer with so many for each input channel */
  get outChannels(): Out {
    const filters = this.#filters;
    return (typeof filters === 'number' ? filters : this.inputSize * filters.perChannel) as Out;
  }

  /** @throws GaborError before the first call of a lazy layer with a group for each input channel */
  get groups(): number {
    return typeof this.#filters === 'number' ? this.#groups : this.inputSize;
  }

  /** @throws GaborError before the first call of a lazy layer */
  get weight(): Tensor {
    this.checkInitialized('');
    return this.#weight as Tensor;
  }

  /** [out channels] */
  get bias(): Tensor | undefined {
    return this.#bias;
  }

  /** Gives a lazy layer the channels of its first input; tensors can be made inside of a traced function, too. */
  protected prepare(x: Tensor): void {
    if (this.initialized) return;
    const { type, dataFormat, kernelSize } = this;
    checkImages(type, x.shape, kernelSize.length, undefined, dataFormat);
    this.initialize(type, x.shape[dataFormat === 'channels-last' ? x.rank - 1 : 1]);
  }

  protected activate(y: Tensor): Tensor {
    return this.activation === undefined ? y : this.activation.call(y);
  }

  /** What all kinds share; options that PyTorch lacks are left out at their defaults. */
  protected commonConfig(): LayerConfig {
    const { kernelSize, stride, dilation, dataFormat, activation } = this;
    const filters = this.#filters;
    return {
      type: this.configType(),
      ...(this.initialized ? { inChannels: this.inChannels } : {}),
      ...(typeof filters === 'number' ? { outChannels: filters } : {}),
      kernelSize,
      stride,
      dilation,
      ...(typeof filters === 'number' ? { groups: this.#groups } : {}),
      bias: this.hasBias,
      ...(dataFormat === 'channels-first' ? {} : { dataFormat }),
      ...(activation === undefined ? {} : { activation: activation.config() }),
    };
  }
}
