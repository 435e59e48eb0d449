export { Augmenter, type AugmentFormat, type AugmentOptions, checkAugment } from './augment.js';
export type { BatchTargets } from './batch.js';
export {
  type DatasetOptions,
  type DatasetProgress,
  type DatasetSource,
  type ImageDataset,
  type ImageSplit,
  joinSplits,
  type SkippedFile,
} from './dataset.js';
export { type Background, invertImage, measureBackground, shouldInvert } from './image/background.js';
export { type DecodedImage, type DecodeOptions, decodeImage } from './image/decode.js';
export { encodePng } from './image/encode.js';
export { type ChannelStatistics, channelStatistics, normalizeImages } from './image/normalize.js';
export { type Fit, type ImageFormat, preprocessImage, toChannels } from './image/preprocess.js';
export { type Region, resizeImage } from './image/resize.js';
export { type Batch, BatchLoader, type BatchLoaderOptions } from './loader.js';
export type { MixOptions } from './mix.js';
export { DATASET_SOURCES, openDataset } from './open.js';
export {
  type BatchFormat,
  type InputArray,
  type Sample,
  type SampleDataset,
  type SampleFormat,
  type SampleSource,
  type SampleSplit,
  type Samples,
  type SampleTypes,
  type SplitOptions,
  sampleDataset,
  samplesOf,
  type TargetArray,
} from './samples.js';
export { type StrokesData, type StrokesOptions, strokes } from './strokes/index.js';
