import { OptionError } from '../tensor/errors.js';

/** Mean and deviation of all channels, on the scale 0 … 1; one number stands for every channel. */
interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/**
 * What networks from elsewhere expect of pixels: `imagenet` (mean and deviation of ImageNet, as torchvision and most ONNX models), `unit`
 * (0 … 1), `symmetric` (−1 … 1, as MobileNet and Inception in Keras) or `bytes` (0 … 255).
 */
export type PreprocessingName = 'imagenet' | 'unit' | 'symmetric' | 'bytes';

const PREPROCESSINGS: Readonly<Record<PreprocessingName, Normalization>> = {
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  unit: { mean: [0], std: [1] },
  symmetric: { mean: [0.5], std: [0.5] },
  bytes: { mean: [0], std: [1 / 255] },
};

/** @throws OptionError for a name that is none, or that is for another number of channels */
export function namedNormalization(name: string, channels: number): { mean: number[]; std: number[] } {
  if (!Object.hasOwn(PREPROCESSINGS, name)) {
    throw new OptionError(
      `there is no preprocessing "${name}"; known are ${Object.keys(PREPROCESSINGS).join(', ')}. Others are given as { channels, height, width, mean, std }`,
    );
  }
  const { mean, std } = PREPROCESSINGS[name as PreprocessingName];
  return { mean: forChannels(name, mean, channels), std: forChannels(name, std, channels) };
}

/** Mean and deviation for so many channels. @throws OptionError where they are for another number */
export function forChannels(what: string, values: readonly number[], channels: number): number[] {
  if (values.length === channels) return [...values];
  if (values.length === 1) return Array.from({ length: channels }, () => values[0]);
  throw new OptionError(`${what}: has ${values.length} numbers, the pictures have ${channels} channels`);
}
