import { Adam, AdamW, type Optimizer, type ParameterList, SGD } from '../optim/index.js';
import { OptionError } from '../tensor/errors.js';
import { KerasAdadelta, KerasAdagrad, KerasAdamax, KerasRMSprop } from './optimizer-rules.js';

/** An optimizer before it knows what it optimises. A model that is compiled with it makes its own state. */
export class KerasOptimizer {
  readonly className: string;
  readonly #make: (parameters: ParameterList, lr: number) => Optimizer;
  #learningRate: number;
  #bound: Optimizer | undefined;

  constructor(className: string, learningRate: number, make: (parameters: ParameterList, lr: number) => Optimizer) {
    if (typeof learningRate !== 'number' || !Number.isFinite(learningRate) || learningRate < 0) {
      throw new OptionError(`train.${className}: learningRate must be a number ≥ 0, got ${learningRate}`);
    }
    this.className = className;
    this.#learningRate = learningRate;
    this.#make = make;
  }

  /** May be changed at any time; the next step uses it. */
  get learningRate(): number {
    return this.#learningRate;
  }

  set learningRate(learningRate: number) {
    this.#bound?.setLearningRate(learningRate);
    this.#learningRate = learningRate;
  }

  setLearningRate(learningRate: number): void {
    this.learningRate = learningRate;
  }

  /** The engine's optimizer of these parameters, with a fresh state. */
  bind(parameters: ParameterList): Optimizer {
    this.#bound = this.#make(parameters, this.#learningRate);
    return this.#bound;
  }
}

/** Stochastic gradient descent; default learning rate 0.01. */
export function sgd(learningRate = 0.01): KerasOptimizer {
  return new KerasOptimizer('sgd', learningRate, (parameters, lr) => new SGD(parameters, { lr }));
}

/** {@link sgd} with momentum. */
export function momentum(learningRate: number, momentum: number, useNesterov = false): KerasOptimizer {
  return new KerasOptimizer('momentum', learningRate, (parameters, lr) => {
    return new SGD(parameters, { lr, momentum, nesterov: useNesterov });
  });
}

/** Kingma and Ba, 2015; defaults 0.001, 0.9, 0.999, 1e-7. */
export function adam(learningRate = 0.001, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7): KerasOptimizer {
  return new KerasOptimizer('adam', learningRate, (parameters, lr) => {
    return new Adam(parameters, { lr, betas: [beta1, beta2], eps: epsilon });
  });
}

/** Loshchilov and Hutter, 2019; defaults 0.001, 0.004, 0.9, 0.999, 1e-7. */
export function adamw(
  learningRate = 0.001,
  weightDecay = 0.004,
  beta1 = 0.9,
  beta2 = 0.999,
  epsilon = 1e-7,
): KerasOptimizer {
  return new KerasOptimizer('adamw', learningRate, (parameters, lr) => {
    return new AdamW(parameters, { lr, weightDecay, betas: [beta1, beta2], eps: epsilon });
  });
}

/** See `KerasRMSprop`; defaults 0.001, 0.9, 0, 1e-7, false. */
export function rmsprop(
  learningRate = 0.001,
  decay = 0.9,
  momentum = 0,
  epsilon = 1e-7,
  centered = false,
): KerasOptimizer {
  return new KerasOptimizer('rmsprop', learningRate, (parameters, lr) => {
    return new KerasRMSprop(parameters, lr, { rho: decay, momentum, epsilon, centered });
  });
}

/** Duchi, Hazan and Singer, 2011; defaults 0.001, 0.1. */
export function adagrad(learningRate = 0.001, initialAccumulatorValue = 0.1): KerasOptimizer {
  return new KerasOptimizer('adagrad', learningRate, (parameters, lr) => {
    return new KerasAdagrad(parameters, lr, initialAccumulatorValue, 1e-7);
  });
}

/** Zeiler, 2012; defaults 0.001, 0.95, 1e-7. */
export function adadelta(learningRate = 0.001, rho = 0.95, epsilon = 1e-7): KerasOptimizer {
  return new KerasOptimizer('adadelta', learningRate, (parameters, lr) => {
    return new KerasAdadelta(parameters, lr, rho, epsilon);
  });
}

/** Kingma and Ba, 2015, algorithm 2; defaults 0.002, 0.9, 0.999, 1e-7. */
export function adamax(learningRate = 0.002, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-7): KerasOptimizer {
  return new KerasOptimizer('adamax', learningRate, (parameters, lr) => {
    return new KerasAdamax(parameters, lr, [beta1, beta2], epsilon);
  });
}

/** By name, with the defaults of TensorFlow.js. */
const NAMED = {
  sgd: (): KerasOptimizer => sgd(),
  adam: (): KerasOptimizer => adam(),
  adamw: (): KerasOptimizer => adamw(),
  rmsprop: (): KerasOptimizer => rmsprop(),
  adagrad: (): KerasOptimizer => adagrad(0.01),
  adadelta: (): KerasOptimizer => adadelta(1),
  adamax: (): KerasOptimizer => adamax(),
};

/** Optimizers with their usual options, by name. */
export type OptimizerName = 'sgd' | 'adam' | 'adamw' | 'rmsprop' | 'adagrad' | 'adadelta' | 'adamax';

export function getOptimizer(given: OptimizerName | KerasOptimizer): KerasOptimizer {
  if (given instanceof KerasOptimizer) return given;
  const name = typeof given === 'string' ? given.toLowerCase() : '';
  if (Object.hasOwn(NAMED, name)) return NAMED[name as OptimizerName]();
  throw new OptionError(
    `compile: optimizer must be one of ${Object.keys(NAMED).join(', ')}, or from train.adam(…), got ${JSON.stringify(given)}`,
  );
}
