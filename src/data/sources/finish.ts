import { OptionError } from '../../tensor/errors.js';
import {
  checkFraction,
  type DatasetOptions,
  type ImageDataset,
  type ImageSplit,
  movePart,
  type PartName,
  sharedBytes,
  sizeOf,
} from '../dataset.js';
import { channelStatistics } from '../image/normalize.js';
import { preprocessImage } from '../image/preprocess.js';

/** A data set from its parts: adds mean and standard deviation, leaves out an empty validation part. */
export function finishDataset(
  facts: Pick<ImageDataset, 'name' | 'kind' | 'classes' | 'channels' | 'height' | 'width' | 'skipped'>,
  { train, validation, test }: Record<PartName, ImageSplit>,
): ImageDataset {
  const measured = train.count > 0 ? train : test;
  return {
    ...facts,
    splits: { train, ...(validation.count > 0 ? { validation } : {}), test },
    ...channelStatistics(measured.images, facts.channels, facts.height * facts.width),
  };
}

/** Applies `testSplit` and `valSplit` where the folder does not bring these parts itself. */
export function splitParts(
  data: string,
  parts: PartName[],
  labels: Int32Array,
  explicit: ReadonlySet<PartName>,
  options: DatasetOptions,
): void {
  const seed = options.seed ?? 0;
  if (explicit.has('test')) {
    if (options.testSplit !== undefined) {
      throw new OptionError(`testSplit: ${data} has a test part of its own; leave the option out`);
    }
  } else {
    movePart(parts, labels, 'train', 'test', checkFraction('testSplit', options.testSplit ?? 0.2), seed);
  }
  if (explicit.has('validation')) {
    if (options.valSplit !== undefined) {
      throw new OptionError(`valSplit: ${data} has a validation part of its own; leave the option out`);
    }
  } else {
    movePart(parts, labels, 'train', 'validation', checkFraction('valSplit', options.valSplit ?? 0), seed);
  }
}

/** Images [count, 1, height, width] brought to the size and channels that the options ask for; as they are by default. */
export function conformImages(
  images: Uint8Array,
  height: number,
  width: number,
  options: DatasetOptions,
): { images: Uint8Array; channels: 1 | 3; height: number; width: number } {
  const channels = options.channels ?? 1;
  if (channels !== 1 && channels !== 3) throw new OptionError(`channels must be 1 or 3, got ${channels}`);
  const [toHeight, toWidth] = options.size === undefined ? [height, width] : sizeOf(options.size);
  if (channels === 1 && toHeight === height && toWidth === width) return { images, channels, height, width };
  const count = images.length / (height * width);
  const size = channels * toHeight * toWidth;
  const result = sharedBytes(count * size, `${count} images of ${channels}×${toHeight}×${toWidth}`);
  for (let i = 0; i < count; i++) {
    const data = images.subarray(i * height * width, (i + 1) * height * width);
    const format = { channels, height: toHeight, width: toWidth, fit: options.fit };
    result.set(preprocessImage({ width, height, channels: 1, data }, format), i * size);
  }
  return { images: result, channels, height: toHeight, width: toWidth };
}
