import { linear } from '../../ops/conv.js';
import { zeros } from '../../ops/create.js';
import { checkOptions, ShapeError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import { formatShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, checkCount, type LayerConfig, type RandomOption } from '../config.js';
import { defaultInit } from '../init.js';
import type { Maps } from '../signature.js';
import { InputSized, UNKNOWN, type Unknown } from './lazy.js';

/** Options of {@link Linear}. */
export interface LinearOptions extends RandomOption {
  /** default true */
  readonly bias?: boolean;
}

abstract class LinearBase<In extends number, Out extends number> extends InputSized<Maps<In, Out>> {
  protected override readonly sizeName = 'input features';
  readonly outFeatures: Out;
  readonly #hasBias: boolean;
  readonly #random: Random | undefined;
  #weight: Tensor | undefined;
  #bias: Tensor | undefined;

  constructor(where: string, inFeatures: In | Unknown, outFeatures: Out, options: LinearOptions) {
    super();
    checkOptions(where, options, ['bias', 'random']);
    const { bias = true, random } = options;
    if (inFeatures !== UNKNOWN) checkCount(where, 'inFeatures', inFeatures);
    checkCount(where, 'outFeatures', outFeatures);
    checkBoolean(where, 'bias', bias);
    this.outFeatures = outFeatures;
    this.#hasBias = bias;
    this.#random = random;
    if (inFeatures !== UNKNOWN) this.initialize(where, inFeatures);
  }

  protected build(_where: string, inFeatures: number): void {
    this.#weight = this.parameter('weight', zeros([this.outFeatures, inFeatures]));
    this.#bias = this.#hasBias ? this.parameter('bias', zeros([this.outFeatures])) : undefined;
    defaultInit(this.#weight, this.#bias, this.#random);
  }

  /** @throws GaborError before the first call of a lazy layer */
  get inFeatures(): In {
    return this.inputSize as In;
  }

  /** [out features, in features]; @throws GaborError before the first call of a lazy layer */
  get weight(): Tensor {
    this.checkInitialized('');
    return this.#weight as Tensor;
  }

  /** [out features] */
  get bias(): Tensor | undefined {
    return this.#bias;
  }

  forward(x: Tensor): Tensor {
    if (!this.initialized) {
      if (x.rank === 0) throw new ShapeError(`${this.type}: expected […, in features], got ${formatShape(x.shape)}`);
      this.initialize(this.type, x.shape[x.rank - 1]);
    }
    return linear(x, this.weight, this.bias, this.type);
  }

  override config(): LayerConfig {
    return {
      type: this.configType(),
      ...(this.initialized ? { inFeatures: this.inFeatures } : {}),
      outFeatures: this.outFeatures,
      bias: this.#hasBias,
    };
  }
}

/**
 * x · weightᵀ + bias over the last axis: […, in features] to […, out features]. As `torch.nn.Linear`. Features are in the
 * type: `new Linear(84, 10)` is a `Linear<84, 10>`.
 */
export class Linear<In extends number = number, Out extends number = number> extends LinearBase<In, Out> {
  readonly type = 'Linear';

  constructor(inFeatures: In, outFeatures: Out, options: LinearOptions = {}) {
    super('Linear', inFeatures, outFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): Linear {
    const { type, inFeatures, outFeatures, ...options } = config;
    checkOptions(type, options, ['bias']);
    return new Linear(inFeatures as number, outFeatures as number, options as LinearOptions);
  }
}

/** {@link Linear} that takes its input features from its first input. As `torch.nn.LazyLinear`. */
export class LazyLinear<Out extends number = number> extends LinearBase<number, Out> {
  readonly type = 'LazyLinear';

  constructor(outFeatures: Out, options: LinearOptions = {}) {
    super('LazyLinear', UNKNOWN, outFeatures, options);
  }

  static fromConfig(this: void, config: LayerConfig): LazyLinear {
    const { type, outFeatures, ...options } = config;
    checkOptions(type, options, ['bias']);
    return new LazyLinear(outFeatures as number, options as LinearOptions);
  }
}
