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
export * from './layers/conv-separable.js';
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
export * from './layers/linear.js';
export * from './layers/normalization.js';
export * from './layers/normalization-lazy.js';
export * from './layers/padding-layers.js';
export * from './layers/pooling.js';
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
