import {
  CELU,
  ELU,
  GELU,
  Hardsigmoid,
  Hardswish,
  Hardtanh,
  Identity,
  LeakyReLU,
  LogSigmoid,
  LogSoftmax,
  Mish,
  ReLU,
  ReLU6,
  SELU,
  Sigmoid,
  SiLU,
  Softmax,
  Softplus,
  Softsign,
  Tanh,
} from '../nn/layers/activation.js';
import { Module } from '../nn/module.js';
import { OptionError } from '../tensor/errors.js';
import { Layer } from './layer.js';
import { Operation } from './modules.js';

/** Activations by name. */
export type ActivationIdentifier =
  | 'celu'
  | 'elu'
  | 'exponential'
  | 'gelu'
  | 'gelu_new'
  | 'hardSigmoid'
  | 'hardSigmoid6'
  | 'hardSwish'
  | 'hardTanh'
  | 'leakyReLU'
  | 'linear'
  | 'logSigmoid'
  | 'logSoftmax'
  | 'mish'
  | 'relu'
  | 'relu6'
  | 'selu'
  | 'sigmoid'
  | 'silu'
  | 'softmax'
  | 'softplus'
  | 'softsign'
  | 'swish'
  | 'tanh';

/** An activation by its name, a layer without weights such as `leakyReLU({ alpha: 0.3 })`, or any module of the engine that keeps the shape. */
export type Activation = ActivationIdentifier | Layer | Module;

const ACTIVATIONS: Readonly<Record<ActivationIdentifier, () => Module>> = {
  celu: () => new CELU(),
  elu: () => new ELU(),
  exponential: () => new Operation('exponential'),
  gelu: () => new GELU(),
  gelu_new: () => new GELU('tanh'),
  /** max(0, min(1, 0.2 x + 0.5)) */
  hardSigmoid: () => new Operation('hardSigmoid'),
  /** min(max(x + 3, 0), 6) / 6: `hard_sigmoid` since Keras 3 */
  hardSigmoid6: () => new Hardsigmoid(),
  hardSwish: () => new Hardswish(),
  hardTanh: () => new Hardtanh(),
  /** slope 0.2 */
  leakyReLU: () => new LeakyReLU(0.2),
  linear: () => new Identity(),
  logSigmoid: () => new LogSigmoid(),
  logSoftmax: () => new LogSoftmax(-1),
  mish: () => new Mish(),
  relu: () => new ReLU(),
  relu6: () => new ReLU6(),
  selu: () => new SELU(),
  sigmoid: () => new Sigmoid(),
  silu: () => new SiLU(),
  /** over the last axis, whatever the data format */
  softmax: () => new Softmax(-1),
  softplus: () => new Softplus(),
  softsign: () => new Softsign(),
  swish: () => new SiLU(),
  tanh: () => new Tanh(),
};

/** The module of an activation; undefined for none and for `linear`. */
export function activationOf(where: string, name: Activation | undefined): Module | undefined {
  if (name === undefined || name === null || name === 'linear') return undefined;
  return namedActivation(where, name);
}

export function namedActivation(where: string, name: Activation): Module {
  if (name instanceof Module) return name;
  if (name instanceof Layer) return moduleOfLayer(where, name);
  if (typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name]();
  throw new OptionError(
    `${where}: activation must be one of ${Object.keys(ACTIVATIONS).join(', ')}, a layer, or a module; got ${JSON.stringify(name)}`,
  );
}

/** The module of a layer that keeps any shape. */
function moduleOfLayer(where: string, layer: Layer): Module {
  layer.build([[null, 1]]);
  if (layer.weights.length === 0) return layer.module;
  throw new OptionError(`${where}: ${layer.className} has weights; an activation has none`);
}

/** The name of what such a module computes; undefined where it has none. */
export function identifierOf(module: Module): ActivationIdentifier | undefined {
  const kind = (m: Module): string => JSON.stringify([m.type, m.config()]);
  const names = Object.keys(ACTIVATIONS) as ActivationIdentifier[];
  // Modules of others need not have a configuration.
  return names.find((name) => ACTIVATIONS[name]().type === module.type && kind(ACTIVATIONS[name]()) === kind(module));
}
