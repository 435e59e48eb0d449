import { zeros } from '../../ops/create.js';
import { checkDataFormat, type DataFormat } from '../../ops/data-format.js';
import { checkPaddingMode, type PaddingMode } from '../../ops/padding.js';
import { checkImages, type PerAxis, perAxis, splitText } from '../../ops/window.js';
import { checkOptions, GaborError, OptionError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import type { Shape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, type LayerConfig, type RandomOption } from '../config.js';
import { defaultInit } from '../init.js';
import { Module } from '../module.js';
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

export interface PaddingModeOptions {
  /** what the padding consists of; default `zeros` */
  readonly paddingMode?: PaddingMode;
  /** of paddingMode `constant`; default 0 */
  readonly paddingValue?: number;
}

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

/** Weights and options of (transposed) convolution layers. Input channels may stay unknown until the first call. */
export abstract class ConvLayer extends Module {
  readonly outChannels: number;
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly groups: number;
  readonly dataFormat: DataFormat;
  readonly activation: Module | undefined;
  readonly #random: Random | undefined;
  readonly #hasBias: boolean;
  #inChannels: number | undefined;
  #weight: Tensor | undefined;
  #bias: Tensor | undefined;

  constructor(
    where: string,
    rank: number,
    inChannels: number | undefined,
    outChannels: number,
    kernelSize: PerAxis,
    options: ConvCommonOptions & GroupsOption,
  ) {
    super();
    const { groups = 1 } = options;
    checkLayerOptions(where, options);
    checkChannels(where, inChannels === undefined ? { outChannels } : { inChannels, outChannels }, groups);
    this.outChannels = outChannels;
    this.groups = groups;
    this.kernelSize = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    this.stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
    this.dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
    this.dataFormat = options.dataFormat ?? 'channels-first';
    this.activation = activationModule(where, options.activation);
    if (this.activation !== undefined) this.child('activation', this.activation);
    this.#random = options.random;
    this.#hasBias = options.bias ?? true;
  }

  /** The shape of the weight for so many input channels. */
  protected abstract weightShape(inChannels: number): Shape;

  /** Declares weight and bias. Constructors call it where they know the channels. */
  protected initialize(where: string, inChannels: number): void {
    checkChannels(where, { inChannels, outChannels: this.outChannels }, this.groups);
    this.#inChannels = inChannels;
    this.#weight = this.parameter('weight', zeros(this.weightShape(inChannels)));
    this.#bias = this.#hasBias ? this.parameter('bias', zeros([this.outChannels])) : undefined;
    defaultInit(this.#weight, this.#bias, this.#random);
  }

  private get initialized(): boolean {
    return this.#weight !== undefined;
  }

  /** @throws GaborError before the first call of a lazy layer */
  get inChannels(): number {
    if (this.#inChannels === undefined) throw this.uninitialized();
    return this.#inChannels;
  }

  /** @throws GaborError before the first call of a lazy layer */
  get weight(): Tensor {
    if (this.#weight === undefined) throw this.uninitialized();
    return this.#weight;
  }

  /** [out channels] */
  get bias(): Tensor | undefined {
    return this.#bias;
  }

  private uninitialized(path = ''): GaborError {
    const name = path === '' ? this.type : `"${path}" (${this.type})`;
    return new GaborError(
      `${name} has no parameters before its first call, which tells it the input channels; call the model once with an example, then train, save, load or list it`,
    );
  }

  /** Gives a lazy layer the channels of its first input; tensors can be made inside of a traced function, too. */
  protected prepare(x: Tensor): void {
    if (this.initialized) return;
    const { type, dataFormat, kernelSize } = this;
    checkImages(type, x.shape, kernelSize.length, undefined, dataFormat);
    this.initialize(type, x.shape[dataFormat === 'channels-last' ? x.rank - 1 : 1]);
  }

  protected override checkInitialized(path: string): void {
    if (!this.initialized) throw this.uninitialized(path);
  }

  protected activate(y: Tensor): Tensor {
    return this.activation === undefined ? y : this.activation.call(y);
  }

  /** What all kinds share; options that PyTorch lacks are left out at their defaults. Lazy layers become ordinary ones. */
  protected commonConfig(): LayerConfig {
    const type = this.initialized ? this.type.replace(/^Lazy/, '') : this.type;
    const { outChannels, kernelSize, stride, dilation, groups, dataFormat, activation } = this;
    return {
      type,
      ...(this.#inChannels === undefined ? {} : { inChannels: this.#inChannels }),
      outChannels,
      kernelSize,
      stride,
      dilation,
      groups,
      bias: this.#hasBias,
      ...(dataFormat === 'channels-first' ? {} : { dataFormat }),
      ...(activation === undefined ? {} : { activation: activation.config() }),
    };
  }
}
