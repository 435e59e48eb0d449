export { writeFileAtomic } from './atomic-write.js';
export { type Checkpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.js';
export type { ModelDescription } from './model-description.js';
export { loadModel, type SavedModel, saveModel } from './model-file.js';
export type { ModelPort } from './model-port.js';
export { parseNpy, readNpy, serializeNpy, writeNpy } from './npy.js';
export { type NpzOptions, parseNpz, readNpz, serializeNpz, writeNpz } from './npz.js';
export {
  type ElementType as OnnxElementType,
  type HostArray as OnnxArray,
  type LoadOnnxOptions,
  loadOnnx,
  OnnxModel,
  type OnnxPort,
  parseTensor as parseOnnxTensor,
  serializeTensor as serializeOnnxTensor,
} from './onnx/index.js';
export { type PytorchCheckpoint, parsePytorch, readPytorch } from './pytorch/checkpoint.js';
export { type FetchFileOptions, type FetchProgress, fetchFile, isRemote, siblingsOf } from './remote/index.js';
export {
  parseSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  type Safetensors,
  type SafetensorsEntry,
  type SafetensorsOptions,
  serializeSafetensors,
  writeSafetensors,
} from './safetensors.js';
export type { Siblings } from './siblings.js';
export type { WeightEntry, WeightSource } from './weight-source.js';
export {
  type LoadWeightsOptions,
  loadWeights,
  type MismatchedWeight,
  openWeights,
  type WeightInput,
  type WeightReport,
} from './weights.js';
