import {
  ELU,
  GELU,
  Hardswish,
  Identity,
  LeakyReLU,
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
import type { Module } from '../nn/module.js';
import { OptionError } from '../tensor/errors.js';
import { Operation } from './modules.js';

/** Activations by name. */
export type ActivationIdentifier =
  | 'elu'
  | 'gelu'
  | 'gelu_new'
  | 'hardSigmoid'
  | 'hardSwish'
  | 'leakyReLU'
  | 'linear'
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

const ACTIVATIONS: Readonly<Record<ActivationIdentifier, () => Module>> = {
  elu: () => new ELU(),
  gelu: () => new GELU(),
  gelu_new: () => new GELU('tanh'),
  /** max(0, min(1, 0.2 x + 0.5)) */
  hardSigmoid: () => new Operation('hardSigmoid'),
  hardSwish: () => new Hardswish(),
  /** slope 0.2 */
  leakyReLU: () => new LeakyReLU(0.2),
  linear: () => new Identity(),
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
export function activationOf(where: string, name: ActivationIdentifier | undefined): Module | undefined {
  if (name === undefined || name === null || name === 'linear') return undefined;
  return namedActivation(where, name);
}

export function namedActivation(where: string, name: ActivationIdentifier): Module {
  if (typeof name === 'string' && Object.hasOwn(ACTIVATIONS, name)) return ACTIVATIONS[name]();
  throw new OptionError(
    `${where}: activation must be one of ${Object.keys(ACTIVATIONS).join(', ')}, got ${JSON.stringify(name)}`,
  );
}
