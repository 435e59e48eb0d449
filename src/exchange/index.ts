export { type Conversion, type ConvertOptions, convert } from './convert.js';
export { type LoadOptions, load } from './load.js';
export { type ClassifierOptions, LoadedModel, type ModelInput, type ModelInputs } from './loaded-model.js';
export type { PreprocessingName } from './preprocessings.js';
