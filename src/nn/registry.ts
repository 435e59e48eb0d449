import { OptionError } from '../tensor/errors.js';
import type { LayerConfig, ModuleFactory } from './config.js';
import * as activations from './layers/activation.js';
import * as adaptive from './layers/adaptive-pooling.js';
import { ModuleList, Parallel, Residual, Sequential } from './layers/container.js';
import { Conv1d, Conv2d, Conv3d } from './layers/conv.js';
import * as lazyConv from './layers/conv-lazy.js';
import {
  DepthwiseConv1d,
  DepthwiseConv2d,
  DepthwiseConv3d,
  SeparableConv1d,
  SeparableConv2d,
  SeparableConv3d,
} from './layers/conv-separable.js';
import { ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from './layers/conv-transpose.js';
import { Dropout, Dropout1d, Dropout2d, Dropout3d } from './layers/dropout.js';
import { Embedding } from './layers/embedding.js';
import { Flatten } from './layers/flatten.js';
import { LazyLinear, Linear } from './layers/linear.js';
import * as normalization from './layers/normalization.js';
import * as lazyNorm from './layers/normalization-lazy.js';
import * as padding from './layers/padding-layers.js';
import * as pooling from './layers/pooling.js';
import { GRU, LSTM, RNN } from './layers/recurrent.js';
import { ChannelShuffle, PixelShuffle, PixelUnshuffle } from './layers/shuffle.js';
import { Upsample } from './layers/upsample.js';
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
    AdaptiveAvgPool1d: adaptive.AdaptiveAvgPool1d.fromConfig,
    AdaptiveAvgPool2d: adaptive.AdaptiveAvgPool2d.fromConfig,
    AdaptiveAvgPool3d: adaptive.AdaptiveAvgPool3d.fromConfig,
    AdaptiveMaxPool1d: adaptive.AdaptiveMaxPool1d.fromConfig,
    AdaptiveMaxPool2d: adaptive.AdaptiveMaxPool2d.fromConfig,
    AdaptiveMaxPool3d: adaptive.AdaptiveMaxPool3d.fromConfig,
    GlobalAvgPool1d: adaptive.GlobalAvgPool1d.fromConfig,
    GlobalAvgPool2d: adaptive.GlobalAvgPool2d.fromConfig,
    GlobalAvgPool3d: adaptive.GlobalAvgPool3d.fromConfig,
    GlobalMaxPool1d: adaptive.GlobalMaxPool1d.fromConfig,
    GlobalMaxPool2d: adaptive.GlobalMaxPool2d.fromConfig,
    GlobalMaxPool3d: adaptive.GlobalMaxPool3d.fromConfig,
    AvgPool1d: pooling.AvgPool1d.fromConfig,
    AvgPool2d: pooling.AvgPool2d.fromConfig,
    AvgPool3d: pooling.AvgPool3d.fromConfig,
    LPPool1d: pooling.LPPool1d.fromConfig,
    LPPool2d: pooling.LPPool2d.fromConfig,
    LPPool3d: pooling.LPPool3d.fromConfig,
    MaxPool1d: pooling.MaxPool1d.fromConfig,
    MaxPool2d: pooling.MaxPool2d.fromConfig,
    MaxPool3d: pooling.MaxPool3d.fromConfig,
    MaxUnpool1d: pooling.MaxUnpool1d.fromConfig,
    MaxUnpool2d: pooling.MaxUnpool2d.fromConfig,
    MaxUnpool3d: pooling.MaxUnpool3d.fromConfig,
    BatchNorm1d: normalization.BatchNorm1d.fromConfig,
    BatchNorm2d: normalization.BatchNorm2d.fromConfig,
    BatchNorm3d: normalization.BatchNorm3d.fromConfig,
    GroupNorm: normalization.GroupNorm.fromConfig,
    InstanceNorm1d: normalization.InstanceNorm1d.fromConfig,
    InstanceNorm2d: normalization.InstanceNorm2d.fromConfig,
    InstanceNorm3d: normalization.InstanceNorm3d.fromConfig,
    LayerNorm: normalization.LayerNorm.fromConfig,
    LocalResponseNorm: normalization.LocalResponseNorm.fromConfig,
    Conv1d: Conv1d.fromConfig,
    Conv2d: Conv2d.fromConfig,
    Conv3d: Conv3d.fromConfig,
    LazyConv1d: lazyConv.LazyConv1d.fromConfig,
    LazyConv2d: lazyConv.LazyConv2d.fromConfig,
    LazyConv3d: lazyConv.LazyConv3d.fromConfig,
    LazyConvTranspose1d: lazyConv.LazyConvTranspose1d.fromConfig,
    LazyConvTranspose2d: lazyConv.LazyConvTranspose2d.fromConfig,
    LazyConvTranspose3d: lazyConv.LazyConvTranspose3d.fromConfig,
    LazyDepthwiseConv1d: lazyConv.LazyDepthwiseConv1d.fromConfig,
    LazyDepthwiseConv2d: lazyConv.LazyDepthwiseConv2d.fromConfig,
    LazyDepthwiseConv3d: lazyConv.LazyDepthwiseConv3d.fromConfig,
    LazySeparableConv1d: lazyConv.LazySeparableConv1d.fromConfig,
    LazySeparableConv2d: lazyConv.LazySeparableConv2d.fromConfig,
    LazySeparableConv3d: lazyConv.LazySeparableConv3d.fromConfig,
    LazyBatchNorm1d: lazyNorm.LazyBatchNorm1d.fromConfig,
    LazyBatchNorm2d: lazyNorm.LazyBatchNorm2d.fromConfig,
    LazyBatchNorm3d: lazyNorm.LazyBatchNorm3d.fromConfig,
    LazyInstanceNorm1d: lazyNorm.LazyInstanceNorm1d.fromConfig,
    LazyInstanceNorm2d: lazyNorm.LazyInstanceNorm2d.fromConfig,
    LazyInstanceNorm3d: lazyNorm.LazyInstanceNorm3d.fromConfig,
    LazyLinear: LazyLinear.fromConfig,
    DepthwiseConv1d: DepthwiseConv1d.fromConfig,
    DepthwiseConv2d: DepthwiseConv2d.fromConfig,
    DepthwiseConv3d: DepthwiseConv3d.fromConfig,
    SeparableConv1d: SeparableConv1d.fromConfig,
    SeparableConv2d: SeparableConv2d.fromConfig,
    SeparableConv3d: SeparableConv3d.fromConfig,
    ConvTranspose1d: ConvTranspose1d.fromConfig,
    ConvTranspose2d: ConvTranspose2d.fromConfig,
    ConvTranspose3d: ConvTranspose3d.fromConfig,
    Dropout: Dropout.fromConfig,
    Dropout1d: Dropout1d.fromConfig,
    Dropout2d: Dropout2d.fromConfig,
    Dropout3d: Dropout3d.fromConfig,
    Embedding: Embedding.fromConfig,
    Flatten: Flatten.fromConfig,
    GRU: GRU.fromConfig,
    LSTM: LSTM.fromConfig,
    RNN: RNN.fromConfig,
    Linear: Linear.fromConfig,
    ModuleList: ModuleList.fromConfig,
    Parallel: Parallel.fromConfig,
    ConstantPad1d: padding.ConstantPad1d.fromConfig,
    ConstantPad2d: padding.ConstantPad2d.fromConfig,
    ConstantPad3d: padding.ConstantPad3d.fromConfig,
    ZeroPad1d: padding.ZeroPad1d.fromConfig,
    ZeroPad2d: padding.ZeroPad2d.fromConfig,
    ZeroPad3d: padding.ZeroPad3d.fromConfig,
    ReflectionPad1d: padding.ReflectionPad1d.fromConfig,
    ReflectionPad2d: padding.ReflectionPad2d.fromConfig,
    ReflectionPad3d: padding.ReflectionPad3d.fromConfig,
    ReplicationPad1d: padding.ReplicationPad1d.fromConfig,
    ReplicationPad2d: padding.ReplicationPad2d.fromConfig,
    ReplicationPad3d: padding.ReplicationPad3d.fromConfig,
    CircularPad1d: padding.CircularPad1d.fromConfig,
    CircularPad2d: padding.CircularPad2d.fromConfig,
    CircularPad3d: padding.CircularPad3d.fromConfig,
    ChannelShuffle: ChannelShuffle.fromConfig,
    PixelShuffle: PixelShuffle.fromConfig,
    PixelUnshuffle: PixelUnshuffle.fromConfig,
    Residual: Residual.fromConfig,
    Sequential: Sequential.fromConfig,
    Upsample: Upsample.fromConfig,
  }),
);

/** Makes modules of a kind of one's own known to {@link moduleFromConfig}, under the `type` of its configuration. */
export function registerModule(type: string, factory: ModuleFactory<Module>): void {
  if (factories.has(type)) throw new OptionError(`registerModule: there is a layer "${type}" already`);
  factories.set(type, factory);
}

interface Family {
  readonly types: RegExp;
  readonly load: () => Promise<unknown>;
}

const families = new Set<Family>();

/** Says where modules of these types are registered: what a program does not use it does not load. See {@link loadModuleTypes}. */
export function provideModules(types: RegExp, load: () => Promise<unknown>): void {
  families.add({ types, load });
}

/** Loads the families of modules that a configuration names, so that {@link moduleFromConfig} knows them. */
export async function loadModuleTypes(config: unknown): Promise<void> {
  const open: unknown[] = [config];
  while (open.length > 0) {
    const part = open.pop();
    if (typeof part !== 'object' || part === null) continue;
    const { type } = part as { type?: unknown };
    for (const family of typeof type === 'string' && !factories.has(type) ? families : []) {
      if (!family.types.test(type as string)) continue;
      await family.load();
      families.delete(family);
    }
    open.push(...Object.values(part));
  }
}

/** The layers that {@link moduleFromConfig} knows, by type, in alphabetical order. */
export function layerTypes(): string[] {
  return [...factories.keys()].sort();
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
      `unknown layer "${config.type}"; known layers are ${layerTypes().join(', ')}; others need registerModule()`,
    );
  }
  return factory(config, moduleFromConfig);
}
