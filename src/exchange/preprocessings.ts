import { OptionError } from '../tensor/errors.js';

/** Mean and deviation of all channels, on the scale 0 … 1; one number stands for every channel. */
interface Normalization {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** What networks from elsewhere expect of pixels, by name. */
export const PREPROCESSINGS: Readonly<Record<string, Normalization>> = {
  /** Of torchvision and most ONNX models: mean and deviation of ImageNet. */
  imagenet: { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] },
  /** 0 … 1 */
  unit: { mean: [0], std: [1] },
  /** −1 … 1, as MobileNet and Inception in Keras */
  symmetric: { mean: [0.5], std: [0.5] },
  /** 0 … 255 */
  bytes: { mean: [0], std: [1 / 255] },
};

/** Mean and deviation for so many channels. @throws OptionError where they are for another number */
export function forChannels(what: string, values: readonly number[], channels: number): number[] {
  if (values.length === channels) return [...values];
  if (values.length === 1) return Array.from({ length: channels }, () => values[0]);
  throw new OptionError(`${what}: has ${values.length} numbers, the pictures have ${channels} channels`);
}
