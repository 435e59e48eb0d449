export type { Json, LayerConfig, ModuleFactory, RandomOption } from './config.js';
export * as init from './init.js';
export { manualSeed } from './init.js';
export * from './layers/activation.js';
export * from './layers/adaptive-pooling.js';
export * from './layers/container.js';
export {
  Conv1d,
  Conv2d,
  Conv3d,
  type ConvLayerOptions,
  ConvNd,
} from './layers/conv.js';
export type { ActivationName, ConvCommonOptions, GroupsOption, PaddingModeOptions } from './layers/conv-base.js';
export * from './layers/conv-lazy.js';
export {
  type DepthwiseChannels,
  DepthwiseConv1d,
  DepthwiseConv2d,
  DepthwiseConv3d,
  DepthwiseConvNd,
  type DepthwiseConvOptions,
  SeparableConv1d,
  SeparableConv2d,
  SeparableConv3d,
  SeparableConvNd,
  type SeparableConvOptions,
  type SeparableParts,
} from './layers/conv-separable.js';
export {
  ConvTranspose1d,
  ConvTranspose2d,
  ConvTranspose3d,
  type ConvTransposeLayerOptions,
  ConvTransposeNd,
} from './layers/conv-transpose.js';
export * from './layers/dropout.js';
export * from './layers/embedding.js';
export * from './layers/flatten.js';
export { InputSized } from './layers/lazy.js';
export * from './layers/linear.js';
export {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  BatchNormNd,
  type BatchNormOptions,
  GroupNorm,
  type GroupNormOptions,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
  InstanceNormNd,
  type InstanceNormOptions,
  LayerNorm,
  type LayerNormOptions,
  LocalResponseNorm,
} from './layers/normalization.js';
export * from './layers/normalization-lazy.js';
export * from './layers/padding-layers.js';
export * from './layers/pooling.js';
export * from './layers/recurrent.js';
export * from './layers/shuffle.js';
export * from './layers/upsample.js';
export * from './losses.js';
export {
  type LoadOptions,
  type LoadReport,
  Module,
  type ModuleCall,
  type StateEntry,
  withForwardHook,
} from './module.js';
export { moduleFromConfig, registerModule } from './registry.js';
export type { Keeps, Maps, Same, Signature } from './signature.js';
