// Keras's layers and models in the words of TensorFlow.js: `import * as tf from 'gabor/keras'`.
import '../runtime/default-device.js';

export { manualSeed } from '../nn/init.js';
export { Tensor } from '../tensor/tensor.js';
export type { Activation, ActivationIdentifier } from './activations.js';
export { type Callback, EarlyStopping, type EarlyStoppingOptions, type History, type Logs } from './callbacks.js';
export type { ClassWeight } from './examples.js';
export { type LoadKerasOptions, loadKeras } from './files/load.js';
export { type KerasFormat, kerasFormat, type LoadKerasWeightsOptions } from './files/load-weights.js';
export type { InputShapes } from './files/model-config.js';
export type { BatchDataset, DatasetItem, EvaluateArgs, FitArgs, FitDatasetArgs } from './fit.js';
export type { TensorData } from './host-data.js';
export type { Initializer, InitializerName } from './initializers.js';
export {
  type CallOptions,
  type InputOptions,
  input,
  type KerasDType,
  Layer,
  type LayerOptions,
  SymbolicTensor,
} from './layer.js';
export * as layers from './layers/index.js';
export type { LossFunction, LossName } from './losses.js';
export type { MetricFunction, MetricName } from './metrics.js';
export {
  FunctionalModel,
  LayersModel,
  type ModelOptions,
  model,
  Sequential,
  type SequentialOptions,
  sequential,
} from './model.js';
export * as callbacks from './names/callbacks.js';
export * as initializers from './names/initializers.js';
export * as losses from './names/losses.js';
export * as metrics from './names/metrics.js';
export * as regularizers from './names/regularizers.js';
export * as train from './names/train.js';
export type { KerasOptimizer, OptimizerName } from './optimizers.js';
export type { Regularizer, RegularizerName } from './regularizers.js';
export type { KerasDataFormat, KerasShape } from './shapes.js';
export * from './tensors.js';
export type { CompileArgs } from './trainer.js';
