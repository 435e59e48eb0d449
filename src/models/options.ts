import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';

/** What every model for images needs to know. */
export interface ModelOptions {
  /** Classes to tell apart. Default 1000, as of ImageNet, where the model does not say otherwise. */
  readonly classes?: number;
  /** 1 = grey, 3 = colour. Default 3 where the model does not say otherwise. */
  readonly inChannels?: number;
  /** Side of the images, or [height, width]; default as in the paper. Most models take others as well when they run. */
  readonly size?: number | readonly [height: number, width: number];
  /** Where initial weights come from; default: the generator that `manualSeed` resets. */
  readonly random?: Random;
}

/** {@link ModelOptions} of models whose layers have a common factor of size. */
export interface ScalableOptions extends ModelOptions {
  /** All numbers of channels times this (the width multiplier of MobileNet). Default 1. */
  readonly widthMult?: number;
}

export const MODEL_OPTIONS: readonly string[] = ['classes', 'inChannels', 'size', 'random'];
export const SCALABLE_OPTIONS: readonly string[] = [...MODEL_OPTIONS, 'widthMult'];

/** What a model takes where nothing is said. */
export interface ModelDefaults {
  readonly classes: number;
  readonly inChannels: number;
  readonly size: number;
  /** The smallest side that its layers leave something of; default 1. */
  readonly least?: number;
}

/** Of networks for ImageNet. */
export const IMAGENET: ModelDefaults = { classes: 1000, inChannels: 3, size: 224 };

/** Of networks for digits. */
const DIGITS: ModelDefaults = { classes: 10, inChannels: 1, size: 28 };

export interface ResolvedOptions {
  readonly classes: number;
  readonly inChannels: number;
  readonly height: number;
  readonly width: number;
  /** `random` where it was given. */
  readonly random: { readonly random?: Random };
}

/** Checks options and fills in defaults. */
export function modelOptions(
  where: string,
  options: ModelOptions,
  known: readonly string[] = MODEL_OPTIONS,
  defaults: ModelDefaults = DIGITS,
): ResolvedOptions {
  checkOptions(where, options, known);
  const { classes = defaults.classes, inChannels = defaults.inChannels, size = defaults.size, random } = options;
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  checkWhole(where, 'classes', classes, 2);
  checkWhole(where, 'inChannels', inChannels);
  checkWhole(where, 'size', height);
  checkWhole(where, 'size', width);
  const { least = 1 } = defaults;
  if (Math.min(height, width) < least) {
    throw new OptionError(
      `${where}: images of ${height}×${width} are too small, nothing of them would be left after the last pooling; sides must be at least ${least} (gabor train: --size)`,
    );
  }
  return { classes, inChannels, height, width, random: random === undefined ? {} : { random } };
}

export function checkWhole(where: string, name: string, value: number, least = 1): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new OptionError(`${where}: ${name} must be a whole number of at least ${least}, got ${value}`);
  }
}

/** The function that scales numbers of channels: rounded, at least 1. */
export function channelScale(where: string, { widthMult = 1 }: ScalableOptions): (channels: number) => number {
  checkWidthMult(where, widthMult);
  return (channels) => Math.max(1, Math.round(channels * widthMult));
}

/**
 * The function that scales numbers of channels to multiples of 8, as MobileNet's authors do: the nearest one, but not below 90 %.
 * (torchvision: `_make_divisible`.)
 */
export function mobileScale(where: string, { widthMult = 1 }: ScalableOptions): (channels: number) => number {
  checkWidthMult(where, widthMult);
  return (channels) => makeDivisible(channels * widthMult);
}

/** The multiple of 8 nearest to `channels`, but at least 8, and not below 90 % of it. */
export function makeDivisible(channels: number): number {
  const nearest = Math.max(8, Math.floor((channels + 4) / 8) * 8);
  return nearest < 0.9 * channels ? nearest + 8 : nearest;
}

function checkWidthMult(where: string, widthMult: number): void {
  if (!(Number.isFinite(widthMult) && widthMult > 0)) {
    throw new OptionError(`${where}: widthMult must be a positive number, got ${widthMult}`);
  }
}
