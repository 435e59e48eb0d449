import { leakyRelu, relu, sigmoid, tanh } from '../../ops/elementwise.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkNumber, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

/** A layer without arguments. */
abstract class Plain extends Module {
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
export class LeakyReLU extends Module {
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
