import { OptionError } from '../tensor/errors.js';
import type { LayerConfig, ModuleFactory } from './config.js';
import * as activations from './layers/activation.js';
import { Residual, Sequential } from './layers/container.js';
import { Conv2d } from './layers/conv.js';
import { Dropout } from './layers/dropout.js';
import { Flatten } from './layers/flatten.js';
import { Linear } from './layers/linear.js';
import { BatchNorm2d } from './layers/normalization.js';
import { AdaptiveAvgPool2d, AvgPool2d, MaxPool2d } from './layers/pooling.js';
import type { Module } from './module.js';

const factories = new Map<string, ModuleFactory<Module>>(
  Object.entries({
    CELU: activations.CELU.fromConfig,
    ELU: activations.ELU.fromConfig,
    GELU: activations.GELU.fromConfig,
    GLU: activations.GLU.fromConfig,
    GatedTanh: activations.GatedTanh.fromConfig,
    Hardsigmoid: activations.Hardsigmoid.fromConfig,
    Hardswish: activations.Hardswish.fromConfig,
    Hardtanh: activations.Hardtanh.fromConfig,
    Identity: activations.Identity.fromConfig,
    LeakyReLU: activations.LeakyReLU.fromConfig,
    LogSigmoid: activations.LogSigmoid.fromConfig,
    LogSoftmax: activations.LogSoftmax.fromConfig,
    Mish: activations.Mish.fromConfig,
    PReLU: activations.PReLU.fromConfig,
    ReLU: activations.ReLU.fromConfig,
    ReLU6: activations.ReLU6.fromConfig,
    SELU: activations.SELU.fromConfig,
    SiLU: activations.SiLU.fromConfig,
    Sigmoid: activations.Sigmoid.fromConfig,
    Softmax: activations.Softmax.fromConfig,
    Softplus: activations.Softplus.fromConfig,
    Softsign: activations.Softsign.fromConfig,
    Tanh: activations.Tanh.fromConfig,
    AdaptiveAvgPool2d: AdaptiveAvgPool2d.fromConfig,
    AvgPool2d: AvgPool2d.fromConfig,
    BatchNorm2d: BatchNorm2d.fromConfig,
    Conv2d: Conv2d.fromConfig,
    Dropout: Dropout.fromConfig,
    Flatten: Flatten.fromConfig,
    Linear: Linear.fromConfig,
    MaxPool2d: MaxPool2d.fromConfig,
    Residual: Residual.fromConfig,
    Sequential: Sequential.fromConfig,
  }),
);

/** Makes modules of a kind of one's own known to {@link moduleFromConfig}, under the `type` of its configuration. */
export function registerModule(type: string, factory: ModuleFactory<Module>): void {
  if (factories.has(type)) throw new OptionError(`registerModule: there is a layer "${type}" already`);
  factories.set(type, factory);
}

/**
 * Makes the module that `config` describes, with fresh initial weights: the inverse of `module.config()`.
 *
 * @throws OptionError for unknown layers and arguments, and for arguments out of range.
 */
export function moduleFromConfig(config: LayerConfig): Module {
  if (typeof config !== 'object' || config === null || typeof config.type !== 'string') {
    throw new OptionError(`a layer's configuration is an object with a "type", got ${JSON.stringify(config)}`);
  }
  const factory = factories.get(config.type);
  if (factory === undefined) {
    throw new OptionError(
      `unknown layer "${config.type}"; known layers are ${[...factories.keys()].sort().join(', ')}; others need registerModule()`,
    );
  }
  return factory(config, moduleFromConfig);
}
