import { OptionError } from '../tensor/errors.js';
import type { LayerConfig, ModuleFactory } from './config.js';
import { Identity, LeakyReLU, ReLU, Sigmoid, Tanh } from './layers/activation.js';
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
    AdaptiveAvgPool2d: AdaptiveAvgPool2d.fromConfig,
    AvgPool2d: AvgPool2d.fromConfig,
    BatchNorm2d: BatchNorm2d.fromConfig,
    Conv2d: Conv2d.fromConfig,
    Dropout: Dropout.fromConfig,
    Flatten: Flatten.fromConfig,
    Identity: Identity.fromConfig,
    LeakyReLU: LeakyReLU.fromConfig,
    Linear: Linear.fromConfig,
    MaxPool2d: MaxPool2d.fromConfig,
    ReLU: ReLU.fromConfig,
    Residual: Residual.fromConfig,
    Sequential: Sequential.fromConfig,
    Sigmoid: Sigmoid.fromConfig,
    Tanh: Tanh.fromConfig,
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
