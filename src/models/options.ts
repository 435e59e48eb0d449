import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';

/** What every model of the zoo needs to know. */
export interface ModelOptions {
  /** Classes to tell apart. Default 10. */
  readonly classes?: number;
  /** 1 = grey, 3 = colour. Default 1. */
  readonly inChannels?: number;
  /** Side of the images, or [height, width]. Default 28. */
  readonly size?: number | readonly [height: number, width: number];
  /** Where initial weights come from; default: the generator that `manualSeed` resets. */
  readonly random?: Random;
}

export const MODEL_OPTIONS: readonly string[] = ['classes', 'inChannels', 'size', 'random'];

/** Checks options and fills in defaults. */
export function modelOptions(
  where: string,
  options: ModelOptions,
  known: readonly string[] = MODEL_OPTIONS,
): { classes: number; inChannels: number; height: number; width: number; random: { random?: Random } } {
  checkOptions(where, options, known);
  const { classes = 10, inChannels = 1, size = 28, random } = options;
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  checkWhole(where, 'classes', classes, 2);
  checkWhole(where, 'inChannels', inChannels);
  checkWhole(where, 'size', height);
  checkWhole(where, 'size', width);
  return { classes, inChannels, height, width, random: random === undefined ? {} : { random } };
}

export function checkWhole(where: string, name: string, value: number, least = 1): void {
  if (!Number.isSafeInteger(value) || value < least) {
    throw new OptionError(`${where}: ${name} must be a whole number of at least ${least}, got ${value}`);
  }
}
