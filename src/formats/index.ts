export { writeFileAtomic } from './atomic-write.js';
export { type Checkpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.js';
export type { ModelDescription } from './model-description.js';
export { loadModel, saveModel } from './model-file.js';
export {
  parseSafetensors,
  readSafetensors,
  readSafetensorsHeader,
  type Safetensors,
  type SafetensorsEntry,
  serializeSafetensors,
  writeSafetensors,
} from './safetensors.js';
