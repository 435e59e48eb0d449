export { lenet } from './lenet.js';
export type { ModelOptions } from './options.js';
export { type DataFacts, findModel, MODELS, type ModelEntry, suggestAugmentation } from './registry.js';
export { type ResnetSmallOptions, resnetSmall } from './resnet.js';
export { type VggSmallOptions, vggSmall } from './vgg.js';
