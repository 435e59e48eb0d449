import { checkBoolean, checkCount } from '../../nn/config.js';
import type { CellActivation, CellKind } from '../../ops/recurrent-cell.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import type { Activation, ActivationIdentifier } from '../activations.js';
import { getInitializer, type Initializer, type InitializerName } from '../initializers.js';
import { type Built, Layer, type LayerOptions, type StoredPart, type Weight, type WeightSpec } from '../layer.js';
import {
  KerasBidirectional,
  KerasRecurrent,
  KerasTimeDistributed,
  MERGE_MODES,
  type MergeMode,
} from '../recurrent-modules.js';
import { getRegularizer, type Regularizer, type RegularizerName } from '../regularizers.js';
import { extents, formatKerasShape, type KerasShape } from '../shapes.js';

/** Options of recurrent layers. */
export interface RecurrentOptions extends LayerOptions {
  /** numbers in the state, which come out */
  readonly units: number;
  /** of the state; default `tanh`. One of those that work on numbers alone, by name. */
  readonly activation?: ActivationIdentifier;
  /** default true */
  readonly useBias?: boolean;
  /** default `glorotUniform` */
  readonly kernelInitializer?: InitializerName | Initializer;
  /** default `orthogonal` */
  readonly recurrentInitializer?: InitializerName | Initializer;
  /** default `zeros` */
  readonly biasInitializer?: InitializerName | Initializer;
  readonly kernelRegularizer?: RegularizerName | Regularizer;
  readonly recurrentRegularizer?: RegularizerName | Regularizer;
  readonly biasRegularizer?: RegularizerName | Regularizer;
  readonly activityRegularizer?: RegularizerName | Regularizer;
  /** Which part of the inputs becomes 0 in training, the same at all times; default 0. */
  readonly dropout?: number;
  /** The state at every time, [batch, time, units], instead of the last, [batch, units]; default false. */
  readonly returnSequences?: boolean;
  /** From the last time to the first; sequences come out in this order. Default false. */
  readonly goBackwards?: boolean;
}

export interface LSTMOptions extends RecurrentOptions {
  /** of the gates; default `sigmoid` */
  readonly recurrentActivation?: ActivationIdentifier;
  /** The forget gate's bias starts as 1; default true. */
  readonly unitForgetBias?: boolean;
}

export interface GRUOptions extends RecurrentOptions {
  /** of the gates; default `sigmoid` */
  readonly recurrentActivation?: ActivationIdentifier;
  /** The reset gate acts after the product with the weights, with a bias of its own (default, as in Keras since 2.3), or before it. */
  readonly resetAfter?: boolean;
}

const OPTIONS: readonly string[] = [
  'units',
  'activation',
  'useBias',
  'kernelInitializer',
  'recurrentInitializer',
  'biasInitializer',
  'kernelRegularizer',
  'recurrentRegularizer',
  'biasRegularizer',
  'activityRegularizer',
  'dropout',
  'returnSequences',
  'goBackwards',
];

/** Activations that work on numbers alone, as cells have them. */
const CELL_ACTIVATIONS: Partial<Record<ActivationIdentifier, CellActivation>> = {
  celu: { name: 'elu' },
  elu: { name: 'elu' },
  exponential: { name: 'exponential' },
  gelu: { name: 'gelu' },
  gelu_new: { name: 'geluTanh' },
  hardSigmoid: { name: 'hardSigmoid', alpha: 0.2, beta: 0.5 },
  hardSigmoid6: { name: 'hardSigmoid', alpha: 1 / 6, beta: 0.5 },
  hardTanh: { name: 'hardTanh' },
  leakyReLU: { name: 'leakyRelu', alpha: 0.2 },
  linear: { name: 'linear' },
  relu: { name: 'relu' },
  relu6: { name: 'relu6' },
  selu: { name: 'selu' },
  sigmoid: { name: 'sigmoid' },
  silu: { name: 'silu' },
  softplus: { name: 'softplus' },
  softsign: { name: 'softsign' },
  swish: { name: 'silu' },
  tanh: { name: 'tanh' },
};

function cellActivation(where: string, name: Activation): CellActivation {
  const found = typeof name === 'string' ? CELL_ACTIVATIONS[name] : undefined;
  if (found !== undefined) return found;
  throw new OptionError(
    `${where} of a recurrent layer must be one of ${Object.keys(CELL_ACTIVATIONS).join(', ')}; got ${typeof name === 'string' ? JSON.stringify(name) : 'a module'}`,
  );
}

type AnyOptions = LSTMOptions & GRUOptions;

/** SimpleRNN, LSTM, GRU: [batch, time, features] to [batch, units] or [batch, time, units]. */
class RecurrentLayer extends Layer {
  readonly #kind: CellKind;
  readonly #where: string;
  readonly #known: readonly string[];
  declare readonly options: AnyOptions;

  constructor(kind: CellKind, where: string, className: string, options: AnyOptions, more: readonly string[]) {
    super(where, className, options, [...OPTIONS, ...more]);
    const { units, dropout = 0, activation = 'tanh', recurrentActivation = 'sigmoid' } = options;
    checkCount(where, 'units', units);
    for (const name of ['useBias', 'returnSequences', 'goBackwards', 'resetAfter', 'unitForgetBias'] as const) {
      checkBoolean(where, name, options[name] ?? true);
    }
    if (!(typeof dropout === 'number' && dropout >= 0 && dropout < 1)) {
      throw new OptionError(`${where}: dropout must be at least 0 and below 1, got ${JSON.stringify(dropout)}`);
    }
    cellActivation(`${where}: activation`, activation);
    cellActivation(`${where}: recurrentActivation`, recurrentActivation);
    this.#kind = kind;
    this.#where = where;
    this.#known = more;
  }

  /** One like this, with weights of its own, under another name. */
  another(name: string, goBackwards: boolean): RecurrentLayer {
    const { inputShape: _i, batchInputShape: _b, ...options } = this.options;
    const own = { ...options, name, goBackwards, trainable: this.trainable };
    return new RecurrentLayer(this.#kind, this.#where, this.className, own, this.#known);
  }

  override get storage(): readonly StoredPart[] {
    return [{ path: ['cell', 'vars'], weights: this.weights }];
  }

  protected create(shapes: readonly KerasShape[]): Built {
    const where = this.#where;
    const [shape] = shapes;
    if (shapes.length !== 1 || shape.length !== 3) {
      throw new ShapeError(
        `${where}: expected [batch, time, features], got ${shapes.map(formatKerasShape).join(', ')}`,
      );
    }
    const { options } = this;
    const { units, useBias = true, resetAfter = true, returnSequences = false, goBackwards = false } = options;
    const { activation = 'tanh', recurrentActivation = 'sigmoid', dropout = 0, unitForgetBias = true } = options;
    const inputSize = shape[2];
    if (inputSize === null)
      throw new ShapeError(`${where}: the number of features must be known, got ${formatKerasShape(shape)}`);
    const module = new KerasRecurrent({
      kind: this.#kind,
      inputSize,
      units,
      useBias,
      activation: cellActivation(`${where}: activation`, activation),
      recurrentActivation: cellActivation(`${where}: recurrentActivation`, recurrentActivation),
      resetAfter,
      returnSequences,
      goBackwards,
      dropout,
    });
    const weight = (
      name: string,
      tensor: WeightSpec['tensor'],
      initializer: Initializer,
      regularizer: RegularizerName | Regularizer | undefined,
    ): WeightSpec => ({
      name,
      tensor,
      // Biases lie as in Keras.
      ...(name === 'bias' ? {} : { order: [1, 0] }),
      initializer,
      regularizer: getRegularizer(`${where}: ${name}`, regularizer),
    });
    const initializer = (name: string, given: InitializerName | Initializer): Initializer =>
      getInitializer(`${where}: ${name}`, given);
    const bias = initializer('biasInitializer', options.biasInitializer ?? 'zeros');
    return {
      module,
      weights: [
        weight(
          'kernel',
          module.kernel,
          initializer('kernelInitializer', options.kernelInitializer ?? 'glorotUniform'),
          options.kernelRegularizer,
        ),
        weight(
          'recurrent_kernel',
          module.recurrentKernel,
          initializer('recurrentInitializer', options.recurrentInitializer ?? 'orthogonal'),
          options.recurrentRegularizer,
        ),
        ...(module.bias === undefined
          ? []
          : [
              weight(
                'bias',
                module.bias,
                this.#kind === 'lstm' && unitForgetBias ? forgetting(bias, units) : bias,
                options.biasRegularizer,
              ),
            ]),
      ],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  }
}

/** Ones for the forget gate, whose bias is the second (Gers, Schmidhuber and Cummins, 2000, remember by default). */
function forgetting(bias: Initializer, units: number): Initializer {
  return {
    className: bias.className,
    values: (shape) => bias.values(shape).fill(1, units, 2 * units),
  };
}

/** Plain recurrent layer: h ← activation(x · kernel + h · recurrent kernel + bias). Kernel [features, units]. */
export function simpleRNN(options: RecurrentOptions): Layer {
  return new RecurrentLayer('rnn', 'simpleRNN', 'SimpleRNN', options, []);
}

/** Long short-term memory (Hochreiter and Schmidhuber, 1997). Kernels [features, 4 · units] with gates in the order i, f, c, o. */
export function lstm(options: LSTMOptions): Layer {
  return new RecurrentLayer('lstm', 'lstm', 'LSTM', options, ['recurrentActivation', 'unitForgetBias']);
}

/** Gated recurrent unit (Cho et al., 2014). Kernels [features, 3 · units] with gates in the order z, r, h; bias [2, 3 · units] with `resetAfter`. */
export function gru(options: GRUOptions): Layer {
  return new RecurrentLayer('gru', 'gru', 'GRU', options, ['recurrentActivation', 'resetAfter']);
}

/** A layer around others, whose weights are its own. */
abstract class Wrapper extends Layer {
  abstract override get inner(): Readonly<Record<string, Layer>>;

  get #layers(): readonly Layer[] {
    return Object.values(this.inner);
  }

  override get trainable(): boolean {
    return super.trainable;
  }

  override set trainable(trainable: boolean) {
    super.trainable = trainable;
    for (const layer of this.#layers) layer.trainable = trainable;
  }

  override get trainableWeights(): readonly Weight[] {
    return this.trainable ? this.#layers.flatMap((layer) => layer.trainableWeights) : [];
  }

  override get nonTrainableWeights(): readonly Weight[] {
    const fixed = this.#layers.flatMap((layer) => layer.nonTrainableWeights);
    return this.trainable ? fixed : [...this.#layers.flatMap((layer) => layer.trainableWeights), ...fixed];
  }

  override get storage(): readonly StoredPart[] {
    return Object.entries(this.inner).flatMap(([name, layer]) =>
      layer.storage.map(({ path, weights }) => ({ path: [name, ...path], weights })),
    );
  }
}

function checkInner(where: string, layer: unknown): asserts layer is Layer {
  if (!(layer instanceof Layer)) throw new OptionError(`${where}: layer must be a layer, such as lstm({ units: 8 })`);
  if (layer.inboundNodes.length > 0 || (layer.built && layer instanceof RecurrentLayer)) {
    throw new OptionError(`${where}: the layer "${layer.name}" has been called already; give one of its own`);
  }
}

export interface BidirectionalOptions extends LayerOptions {
  /** a SimpleRNN, LSTM or GRU */
  readonly layer: Layer;
  /** How both results become one; default `concat`, along the last axis. */
  readonly mergeMode?: MergeMode;
  /** The layer for the other direction, with the opposite `goBackwards`; default: one like `layer`. */
  readonly backwardLayer?: Layer;
}

class Bidirectional extends Wrapper {
  readonly #pair: { readonly forward_layer: RecurrentLayer; readonly backward_layer: RecurrentLayer };
  readonly #mergeMode: MergeMode;

  constructor(options: BidirectionalOptions) {
    const where = 'bidirectional';
    const { mergeMode = 'concat' } = options;
    const layer = recurrentWithin(where, options.layer);
    const backwards = layer.options.goBackwards ?? false;
    // Files of Keras 3 have the name that the layer gets here.
    const name = layer.name.replace(/^forward_/, '');
    const other =
      options.backwardLayer === undefined
        ? layer.another(`backward_${name}`, !backwards)
        : recurrentWithin(where, options.backwardLayer);
    const sequences = [layer, other].map(({ options: { returnSequences = false } }) => returnSequences);
    if ((other.options.goBackwards ?? false) === backwards || sequences[0] !== sequences[1]) {
      throw new OptionError(`${where}: backwardLayer needs the opposite goBackwards and the same returnSequences`);
    }
    if (!MERGE_MODES.includes(mergeMode)) {
      throw new OptionError(`${where}: mergeMode must be ${MERGE_MODES.join(', ')}, got ${JSON.stringify(mergeMode)}`);
    }
    super(where, 'Bidirectional', inputOf(options, layer), ['layer', 'mergeMode', 'backwardLayer']);
    this.#mergeMode = mergeMode;
    this.#pair = { forward_layer: layer.another(`forward_${name}`, backwards), backward_layer: other };
    if (options.trainable !== undefined) this.trainable = options.trainable;
  }

  override get inner(): Readonly<Record<string, Layer>> {
    return this.#pair;
  }

  protected create(shapes: readonly KerasShape[]): Built {
    const { forward_layer: forward, backward_layer: backward } = this.#pair;
    forward.build(shapes);
    backward.build(shapes);
    return { module: new KerasBidirectional(forward.module, backward.module, this.#mergeMode) };
  }
}

function recurrentWithin(where: string, layer: Layer): RecurrentLayer {
  checkInner(where, layer);
  if (!(layer instanceof RecurrentLayer)) {
    throw new OptionError(`${where}: layer must be a SimpleRNN, LSTM or GRU, got ${layer.className}`);
  }
  if (layer.options.activityRegularizer !== undefined) {
    throw new OptionError(`${where}: the layer inside cannot have an activityRegularizer`);
  }
  return layer;
}

/** The shape of the input, where the inner layer says it. */
function inputOf<Options extends LayerOptions>(options: Options, { batchInputShape }: Layer): Options {
  if (options.inputShape !== undefined || options.batchInputShape !== undefined || batchInputShape === undefined) {
    return options;
  }
  return { ...options, batchInputShape };
}

/** A recurrent layer in both directions, with weights of their own for each. Sequences come out in the order of time. */
export function bidirectional(options: BidirectionalOptions): Layer {
  return new Bidirectional(options);
}

export interface TimeDistributedOptions extends LayerOptions {
  /** what is done at every time */
  readonly layer: Layer;
}

class TimeDistributed extends Wrapper {
  readonly #every: Layer;

  constructor(options: TimeDistributedOptions) {
    checkInner('timeDistributed', options.layer);
    super('timeDistributed', 'TimeDistributed', options, ['layer']);
    this.#every = options.layer;
    if (options.trainable === false) options.layer.trainable = false;
  }

  override get inner(): Readonly<Record<string, Layer>> {
    return { layer: this.#every };
  }

  protected create([shape, ...more]: readonly KerasShape[]): Built {
    const layer = this.#every;
    if (more.length > 0 || shape.length < 3) {
      throw new ShapeError(`timeDistributed: expected [batch, time, …], got ${formatKerasShape(shape)}`);
    }
    extents('timeDistributed', shape.slice(1));
    layer.build([[null, ...shape.slice(2)]]);
    return { module: new KerasTimeDistributed(layer.module) };
  }
}

/** The same layer at every time: [batch, time, …] to [batch, time, …]. */
export function timeDistributed(options: TimeDistributedOptions): Layer {
  return new TimeDistributed(options);
}
