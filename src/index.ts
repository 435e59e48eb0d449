import './runtime/default-device.js';

// Gradients and programs
export { type CheckGradientsOptions, checkGradients } from './autodiff/check.js';
export { gradients } from './autodiff/gradients.js';
export { type GradOptions, grad, type Loss, valueAndGrad } from './autodiff/transform.js';
// Networks, training, files
export * from './data/index.js';
export {
  type ClassifierOptions,
  type Conversion,
  type ConvertOptions,
  convert,
  LoadedModel,
  type LoadOptions,
  load,
  type ModelInput,
  type ModelInputs,
  type PreprocessingName,
} from './exchange/index.js';
export {
  type Checkpoint,
  type FetchFileOptions,
  type FetchProgress,
  fetchFile,
  isRemote,
  type LoadOnnxOptions,
  type LoadWeightsOptions,
  loadCheckpoint,
  loadOnnx,
  loadWeights,
  type MismatchedWeight,
  type ModelDescription,
  type ModelPort,
  type NpzOptions,
  type OnnxArray,
  type OnnxElementType,
  OnnxModel,
  type OnnxPort,
  openWeights,
  type PytorchCheckpoint,
  parseNpy,
  parseNpz,
  parseOnnxTensor,
  parsePytorch,
  parseSafetensors,
  readNpy,
  readNpz,
  readPytorch,
  readSafetensors,
  type Safetensors,
  type SafetensorsOptions,
  type Siblings,
  saveCheckpoint,
  saveModel as save,
  serializeNpy,
  serializeNpz,
  serializeOnnxTensor,
  serializeSafetensors,
  siblingsOf,
  type WeightEntry,
  type WeightInput,
  type WeightReport,
  type WeightSource,
  writeNpy,
  writeNpz,
  writeSafetensors,
} from './formats/index.js';
export {
  exportOnnx,
  type OnnxExportOptions,
  type OnnxInput,
  type OnnxSaveOptions,
  saveOnnx,
} from './formats/onnx/index.js';
export { type Compiled, type CompileOptions, compile } from './graph/compile.js';
// Tensors
export { type Device, getDevice, setDevice } from './graph/device.js';
export { printGraph } from './graph/print.js';
export { assign } from './graph/trace.js';
export * from './inspect/index.js';
export type { Geometry, Role, SpatialAxis } from './kernel/contraction.js';
export {
  type DataFacts,
  findImageClassifier,
  findModel,
  type ImageClassifierEntry,
  lenet,
  MODELS,
  type ModelEntry,
  type ModelOptions,
  type ModelTask,
  type ResnetSmallOptions,
  resnetSmall,
  suggestAugmentation,
  type VggSmallOptions,
  vggSmall,
} from './models/index.js';
export * from './nn/index.js';
export * from './ops/activations.js';
// Functions of tensors
export {
  type AdaptiveFunction,
  type AdaptiveSize,
  adaptiveAvgPool,
  adaptiveAvgPool1d,
  adaptiveAvgPool2d,
  adaptiveAvgPool3d,
  adaptiveMaxPool,
  adaptiveMaxPool1d,
  adaptiveMaxPool2d,
  adaptiveMaxPool3d,
  adaptiveMaxPoolWithIndices,
  type GlobalPoolOptions,
  globalAvgPool,
  globalMaxPool,
} from './ops/adaptive-pooling.js';
export { broadcastTo, type ReduceOptions, sum } from './ops/broadcast.js';
export { concat } from './ops/concat.js';
export { type ConvOptions, conv, conv1d, conv2d, conv3d, linear } from './ops/conv.js';
export {
  type ConvTransposeOptions,
  convTranspose,
  convTranspose1d,
  convTranspose2d,
  convTranspose3d,
} from './ops/conv-transpose.js';
export { contract, matmul } from './ops/convolution.js';
export {
  full,
  iota,
  type NestedNumbers,
  ones,
  randomNormal,
  randomUniform,
  type TensorOptions,
  tensor,
  zeros,
} from './ops/create.js';
export { type CtcOptions, ctcLoss, type Lengths } from './ops/ctc.js';
export {
  type CtcBeamOptions,
  type CtcDecodeOptions,
  type CtcReading,
  ctcBeamSearch,
  ctcGreedyDecode,
} from './ops/ctc-decode.js';
export { type ChannelDropout, channelDropout, dropout, dropout1d, dropout2d, dropout3d } from './ops/dropout.js';
export { batchedMatmul, einsum } from './ops/einsum.js';
export * from './ops/elementwise.js';
export { flip } from './ops/flip.js';
export {
  type EmbeddingLookupOptions,
  embedding,
  gather,
  type IndexOptions,
  indexAdd,
  scatterAdd,
  takeAlongAxis,
} from './ops/gather.js';
export * from './ops/losses.js';
export { maxPoolWithTaps, pickTaps, unpool, type WindowAxis } from './ops/maxpool.js';
export {
  type MaxPoolResult,
  type MaxUnpoolFunction,
  type MaxUnpoolOptions,
  maxPoolWithIndices,
  maxUnpool,
  maxUnpool1d,
  maxUnpool2d,
  maxUnpool3d,
} from './ops/maxunpool.js';
export * from './ops/normalization.js';
export { type PaddingMode, type PadOptions, pad } from './ops/padding.js';
export {
  type AvgPoolOptions,
  avgPool,
  avgPool1d,
  avgPool2d,
  avgPool3d,
  type LPPoolFunction,
  type LPPoolOptions,
  lpPool,
  lpPool1d,
  lpPool2d,
  lpPool3d,
  type MaxPoolOptions,
  maxPool,
  maxPool1d,
  maxPool2d,
  maxPool3d,
  type WindowFunction,
} from './ops/pooling.js';
export { uniform } from './ops/random.js';
export { type RecurrenceOptions, type RecurrentStates, recurrence } from './ops/recurrence.js';
export type { CellActivation, CellActivationName, CellKind, CellOptions } from './ops/recurrent-cell.js';
export { argmax, max, mean, min, product, variance } from './ops/reduce.js';
export { flatten, reshape } from './ops/reshape.js';
export { interpolate, type ResizeMode, type ResizeOptions } from './ops/resize.js';
export * from './ops/shuffle.js';
export { slice } from './ops/slice.js';
export * from './ops/softmax.js';
export { transpose } from './ops/transpose.js';
export type { Padding, PerAxis } from './ops/window.js';
export * from './optim/index.js';
export { CpuDevice, type CpuOptions, cpuDevice, type KernelTime, type ProgramMemory } from './runtime/cpu-device.js';
export type { TunedContraction } from './runtime/tuner.js';
export { ReferenceDevice, type ReferenceOptions } from './targets/reference/device.js';
export type { DType, TypedArray } from './tensor/dtype.js';
export { FileError, GaborError, InternalError, OptionError, ShapeError } from './tensor/errors.js';
export { Random, type RandomKey } from './tensor/random.js';
export type { Shape, TensorType } from './tensor/shape.js';
export { Tensor } from './tensor/tensor.js';
export * from './train/index.js';
