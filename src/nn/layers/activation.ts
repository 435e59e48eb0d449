import {
  celu,
  elu,
  type GeluApproximation,
  gatedTanh,
  gelu,
  glu,
  hardsigmoid,
  hardswish,
  hardtanh,
  logSigmoid,
  mish,
  prelu,
  relu6,
  selu,
  silu,
  softplus,
  softsign,
} from '../../ops/activations.js';
import { zeros } from '../../ops/create.js';
import type { DataFormatOption } from '../../ops/data-format.js';
import { leakyRelu, relu, sigmoid, tanh } from '../../ops/elementwise.js';
import { logSoftmax, softmax } from '../../ops/softmax.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, checkNumber, type LayerConfig } from '../config.js';
import { constant } from '../init.js';
import { Module } from '../module.js';
import type { Keeps, Maps, Signature } from '../signature.js';
import { FormattedLayer, formatOption } from './formatted-layer.js';

/** A layer without arguments. */
abstract class Plain extends Module<Keeps> {
  override config(): LayerConfig {
    return { type: this.type };
  }
}

function withoutArguments<M>(make: () => M): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type']);
    return make();
  };
}

/** max(x, 0) */
export class ReLU extends Plain {
  readonly type = 'ReLU';
  static readonly fromConfig: (config: LayerConfig) => ReLU = withoutArguments(() => new ReLU());

  forward(x: Tensor): Tensor {
    return relu(x);
  }
}

/** tanh(x), from −1 to 1. */
export class Tanh extends Plain {
  readonly type = 'Tanh';
  static readonly fromConfig: (config: LayerConfig) => Tanh = withoutArguments(() => new Tanh());

  forward(x: Tensor): Tensor {
    return tanh(x);
  }
}

/** 1 / (1 + exp(−x)) */
export class Sigmoid extends Plain {
  readonly type = 'Sigmoid';
  static readonly fromConfig: (config: LayerConfig) => Sigmoid = withoutArguments(() => new Sigmoid());

  forward(x: Tensor): Tensor {
    return sigmoid(x);
  }
}

/** What came in. */
export class Identity extends Plain {
  readonly type = 'Identity';
  static readonly fromConfig: (config: LayerConfig) => Identity = withoutArguments(() => new Identity());

  forward(x: Tensor): Tensor {
    return x;
  }
}

/** x where positive, negativeSlope · x elsewhere. */
export class LeakyReLU extends Module<Keeps> {
  readonly type = 'LeakyReLU';
  readonly negativeSlope: number;

  constructor(negativeSlope = 0.01) {
    super();
    checkNumber('LeakyReLU', 'negativeSlope', negativeSlope, -Infinity);
    this.negativeSlope = negativeSlope;
  }

  forward(x: Tensor): Tensor {
    return leakyRelu(x, this.negativeSlope);
  }

  override config(): LayerConfig {
    return { type: this.type, negativeSlope: this.negativeSlope };
  }

  static fromConfig(this: void, config: LayerConfig): LeakyReLU {
    checkOptions(config.type, config, ['type', 'negativeSlope']);
    return new LeakyReLU(config.negativeSlope as number | undefined);
  }
}

/** min(max(x, 0), 6) */
export class ReLU6 extends Plain {
  readonly type = 'ReLU6';
  static readonly fromConfig: (config: LayerConfig) => ReLU6 = withoutArguments(() => new ReLU6());

  forward(x: Tensor): Tensor {
    return relu6(x);
  }
}

/** ELU with the scale and α that keep mean 0 and variance 1 (Klambauer et al., 2017). */
export class SELU extends Plain {
  readonly type = 'SELU';
  static readonly fromConfig: (config: LayerConfig) => SELU = withoutArguments(() => new SELU());

  forward(x: Tensor): Tensor {
    return selu(x);
  }
}

/** x / (1 + exp(−x)), also called swish. */
export class SiLU extends Plain {
  readonly type = 'SiLU';
  static readonly fromConfig: (config: LayerConfig) => SiLU = withoutArguments(() => new SiLU());

  forward(x: Tensor): Tensor {
    return silu(x);
  }
}

/** x · tanh(log(1 + exp(x))) */
export class Mish extends Plain {
  readonly type = 'Mish';
  static readonly fromConfig: (config: LayerConfig) => Mish = withoutArguments(() => new Mish());

  forward(x: Tensor): Tensor {
    return mish(x);
  }
}

/** x · min(max(x + 3, 0), 6) / 6 */
export class Hardswish extends Plain {
  readonly type = 'Hardswish';
  static readonly fromConfig: (config: LayerConfig) => Hardswish = withoutArguments(() => new Hardswish());

  forward(x: Tensor): Tensor {
    return hardswish(x);
  }
}

/** min(max(x + 3, 0), 6) / 6 */
export class Hardsigmoid extends Plain {
  readonly type = 'Hardsigmoid';
  static readonly fromConfig: (config: LayerConfig) => Hardsigmoid = withoutArguments(() => new Hardsigmoid());

  forward(x: Tensor): Tensor {
    return hardsigmoid(x);
  }
}

/** x / (1 + |x|) */
export class Softsign extends Plain {
  readonly type = 'Softsign';
  static readonly fromConfig: (config: LayerConfig) => Softsign = withoutArguments(() => new Softsign());

  forward(x: Tensor): Tensor {
    return softsign(x);
  }
}

/** log(1 / (1 + exp(−x))) */
export class LogSigmoid extends Plain {
  readonly type = 'LogSigmoid';
  static readonly fromConfig: (config: LayerConfig) => LogSigmoid = withoutArguments(() => new LogSigmoid());

  forward(x: Tensor): Tensor {
    return logSigmoid(x);
  }
}

/** x where positive, alpha · (exp(x) − 1) elsewhere. */
export class ELU extends Module<Keeps> {
  readonly type = 'ELU';
  readonly alpha: number;

  constructor(alpha = 1) {
    super();
    checkNumber('ELU', 'alpha', alpha, -Infinity);
    this.alpha = alpha;
  }

  forward(x: Tensor): Tensor {
    return elu(x, this.alpha);
  }

  override config(): LayerConfig {
    return { type: this.type, alpha: this.alpha };
  }

  static fromConfig(this: void, config: LayerConfig): ELU {
    checkOptions(config.type, config, ['type', 'alpha']);
    return new ELU(config.alpha as number | undefined);
  }
}

/** x where positive, alpha · (exp(x / alpha) − 1) elsewhere. */
export class CELU extends Module<Keeps> {
  readonly type = 'CELU';
  readonly alpha: number;

  constructor(alpha = 1) {
    super();
    checkNumber('CELU', 'alpha', alpha, -Infinity);
    if (alpha === 0) throw new OptionError('CELU: alpha must not be 0');
    this.alpha = alpha;
  }

  forward(x: Tensor): Tensor {
    return celu(x, this.alpha);
  }

  override config(): LayerConfig {
    return { type: this.type, alpha: this.alpha };
  }

  static fromConfig(this: void, config: LayerConfig): CELU {
    checkOptions(config.type, config, ['type', 'alpha']);
    return new CELU(config.alpha as number | undefined);
  }
}

/** x between minVal and maxVal, otherwise the nearer of them. */
export class Hardtanh extends Module<Keeps> {
  readonly type = 'Hardtanh';
  readonly minVal: number;
  readonly maxVal: number;

  constructor(minVal = -1, maxVal = 1) {
    super();
    checkNumber('Hardtanh', 'minVal', minVal, -Infinity);
    checkNumber('Hardtanh', 'maxVal', maxVal, -Infinity);
    if (minVal >= maxVal) throw new OptionError(`Hardtanh: minVal ${minVal} must lie below maxVal ${maxVal}`);
    this.minVal = minVal;
    this.maxVal = maxVal;
  }

  forward(x: Tensor): Tensor {
    return hardtanh(x, this.minVal, this.maxVal);
  }

  override config(): LayerConfig {
    return { type: this.type, minVal: this.minVal, maxVal: this.maxVal };
  }

  static fromConfig(this: void, config: LayerConfig): Hardtanh {
    checkOptions(config.type, config, ['type', 'minVal', 'maxVal']);
    return new Hardtanh(config.minVal as number | undefined, config.maxVal as number | undefined);
  }
}

/** log(1 + exp(beta · x)) / beta; x itself where beta · x > threshold. */
export class Softplus extends Module<Keeps> {
  readonly type = 'Softplus';
  readonly beta: number;
  readonly threshold: number;

  constructor(beta = 1, threshold = 20) {
    super();
    checkNumber('Softplus', 'beta', beta, -Infinity);
    checkNumber('Softplus', 'threshold', threshold, -Infinity);
    if (beta === 0) throw new OptionError('Softplus: beta must not be 0');
    this.beta = beta;
    this.threshold = threshold;
  }

  forward(x: Tensor): Tensor {
    return softplus(x, this.beta, this.threshold);
  }

  override config(): LayerConfig {
    return { type: this.type, beta: this.beta, threshold: this.threshold };
  }

  static fromConfig(this: void, config: LayerConfig): Softplus {
    checkOptions(config.type, config, ['type', 'beta', 'threshold']);
    return new Softplus(config.beta as number | undefined, config.threshold as number | undefined);
  }
}

/** x · Φ(x), Φ the normal distribution: exact (`none`) or approximated by tanh (`tanh`). */
export class GELU extends Module<Keeps> {
  readonly type = 'GELU';
  readonly approximate: GeluApproximation;

  constructor(approximate: GeluApproximation = 'none') {
    super();
    if (approximate !== 'none' && approximate !== 'tanh') {
      throw new OptionError(`GELU: approximate must be "none" or "tanh", got ${JSON.stringify(approximate)}`);
    }
    this.approximate = approximate;
  }

  forward(x: Tensor): Tensor {
    return gelu(x, this.approximate);
  }

  override config(): LayerConfig {
    return { type: this.type, approximate: this.approximate };
  }

  static fromConfig(this: void, config: LayerConfig): GELU {
    checkOptions(config.type, config, ['type', 'approximate']);
    return new GELU(config.approximate as GeluApproximation | undefined);
  }
}

/** One parameter is for any number of channels. */
type ParameterChannels<Parameters extends number> = [Parameters] extends [1] ? number : Parameters;

/** x where positive, weight · x elsewhere; the weight is learnt, one for all or one for each channel. */
export class PReLU<Parameters extends number = number> extends FormattedLayer<
  Keeps<number, ParameterChannels<Parameters>>
> {
  readonly type = 'PReLU';
  readonly numParameters: Parameters;
  readonly init: number;
  /** [numParameters] */
  readonly weight: Tensor;

  constructor(numParameters: Parameters = 1 as Parameters, init = 0.25, options: DataFormatOption = {}) {
    checkOptions('PReLU', options, ['dataFormat']);
    super('PReLU', options);
    checkCount('PReLU', 'numParameters', numParameters);
    checkNumber('PReLU', 'init', init, -Infinity);
    this.numParameters = numParameters;
    this.init = init;
    this.weight = this.parameter('weight', constant(zeros([numParameters]), init));
  }

  forward(x: Tensor): Tensor {
    return this.inChannelsFirst(x, (images) => prelu(images, this.weight, this.type));
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, numParameters: this.numParameters, init: this.init });
  }

  static fromConfig(this: void, config: LayerConfig): PReLU {
    checkOptions(config.type, config, ['type', 'numParameters', 'init', 'dataFormat']);
    const { numParameters, init } = config;
    return new PReLU(numParameters as number | undefined, init as number | undefined, formatOption(config));
  }
}

/** A function along one axis, as PyTorch calls it a `dim`; negative ones count from the end. */
abstract class AlongAxis<S extends Signature> extends Module<S> {
  readonly dim: number;

  constructor(where: string, dim: number) {
    super();
    if (!Number.isInteger(dim)) throw new OptionError(`${where}: dim must be the number of an axis, got ${dim}`);
    this.dim = dim;
  }

  override config(): LayerConfig {
    return { type: this.type, dim: this.dim };
  }
}

function withAxis<M>(make: (dim: number) => M): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type', 'dim']);
    return make(config.dim as number);
  };
}

/** exp(x) / Σ exp(x) along `dim`. */
export class Softmax extends AlongAxis<Keeps> {
  readonly type = 'Softmax';
  static readonly fromConfig: (config: LayerConfig) => Softmax = withAxis((dim) => new Softmax(dim));

  constructor(dim: number) {
    super('Softmax', dim);
  }

  forward(x: Tensor): Tensor {
    return softmax(x, this.dim);
  }
}

/** The logarithm of the softmax along `dim`. */
export class LogSoftmax extends AlongAxis<Keeps> {
  readonly type = 'LogSoftmax';
  static readonly fromConfig: (config: LayerConfig) => LogSoftmax = withAxis((dim) => new LogSoftmax(dim));

  constructor(dim: number) {
    super('LogSoftmax', dim);
  }

  forward(x: Tensor): Tensor {
    return logSoftmax(x, this.dim);
  }
}

/** a · sigmoid(b), where a and b are the halves along `dim`. */
export class GLU extends AlongAxis<Maps<number, number>> {
  readonly type = 'GLU';
  static readonly fromConfig: (config: LayerConfig) => GLU = withAxis((dim) => new GLU(dim));

  constructor(dim = -1) {
    super('GLU', dim);
  }

  forward(x: Tensor): Tensor {
    return glu(x, this.dim, this.type);
  }
}

/** tanh(a) · sigmoid(b), where a and b are the halves along `dim` (default 1, the channels): the unit of WaveNet. */
export class GatedTanh extends AlongAxis<Maps<number, number>> {
  readonly type = 'GatedTanh';
  static readonly fromConfig: (config: LayerConfig) => GatedTanh = withAxis((dim) => new GatedTanh(dim));

  constructor(dim = 1) {
    super('GatedTanh', dim);
  }

  forward(x: Tensor): Tensor {
    return gatedTanh(x, this.dim, this.type);
  }
}
