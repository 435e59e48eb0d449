import { InvalidArgumentError } from 'commander';
import type { AugmentOptions } from '../data/index.js';

/** Parsers of option values. The message names what is allowed; commander puts the option's name in front. */

export function wholeNumber(least: number, most: number = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text.trim()) ? Number(text) : Number.NaN;
    if (!(value >= least && value <= most)) {
      const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    }
    return value;
  };
}

export interface Range {
  readonly above?: number;
  readonly least?: number;
  readonly below?: number;
  readonly most?: number;
}

export function decimalNumber(range: Range): (text: string) => number {
  const bounds = [
    range.above !== undefined && `above ${range.above}`,
    range.least !== undefined && `at least ${range.least}`,
    range.below !== undefined && `below ${range.below}`,
    range.most !== undefined && `at most ${range.most}`,
  ].filter(Boolean);
  return (text) => {
    const value = text.trim() === '' ? Number.NaN : Number(text);
    const fits =
      Number.isFinite(value) &&
      value > (range.above ?? Number.NEGATIVE_INFINITY) &&
      value >= (range.least ?? Number.NEGATIVE_INFINITY) &&
      value < (range.below ?? Number.POSITIVE_INFINITY) &&
      value <= (range.most ?? Number.POSITIVE_INFINITY);
    if (!fits) throw new InvalidArgumentError(`It must be a number${bounds.length ? ` ${bounds.join(' and ')}` : ''}.`);
    return value;
  };
}

/** `28`, or `32x48` = height × width. */
export function parseSize(text: string): number | readonly [height: number, width: number] {
  const extents = parseExtents(
    text,
    'It must be a side such as 64, or height x width such as 64x48; each from 1 to 4096.',
  );
  if (extents.length > 2 || extents.some((extent) => extent > 4096)) {
    throw new InvalidArgumentError(
      'It must be a side such as 64, or height x width such as 64x48; each from 1 to 4096.',
    );
  }
  return extents.length === 1 ? extents[0] : [extents[0], extents[1]];
}

const SHAPE_HELP =
  'It must be a shape without the batch, whole numbers of at least 1, for example 1x28x28 (channels x height x width).';

/** `1x28x28` = channels × height × width, or as many axes as the model has. */
export function parseInput(text: string): readonly number[] {
  return parseExtents(text, SHAPE_HELP);
}

/** The shape of an input, with its name where there are several. */
export interface InputShape {
  readonly name: string | undefined;
  readonly shape: readonly number[];
}

/** `1x28x28`, or `NAME=1x28x28`; the option may be given several times. */
export function parseNamedInput(text: string, before: readonly InputShape[] = []): InputShape[] {
  const at = text.lastIndexOf('=');
  const name = at < 0 ? undefined : text.slice(0, at);
  return [...before, { name, shape: parseInput(text.slice(at + 1)) }];
}

/** `0.5`, or `0.485,0.456,0.406`, one for each channel. */
export function parseChannels(range: Range): (text: string) => readonly number[] {
  const parse = decimalNumber(range);
  return (text) => {
    const values = text.split(',').map(parse);
    if (values.length === 1 || values.length === 3) return values;
    throw new InvalidArgumentError('It must be one number, or one for each of three channels: 0.485,0.456,0.406.');
  };
}

function parseExtents(text: string, message: string): number[] {
  const parts = text.trim().split(/\s*[x×,]\s*/i);
  const extents = parts.map((part) => (/^\d+$/.test(part) ? Number(part) : 0));
  if (extents.some((extent) => extent < 1 || !Number.isSafeInteger(extent))) throw new InvalidArgumentError(message);
  return extents;
}

export const AUGMENT_EXAMPLE = 'shift=2,rotate=10,scale=0.1,flip,elastic=30:4';

/** `shift=2,rotate=10,flip,elastic=30:4`; ranges are checked where the images' size is known. */
export function parseAugment(text: string): AugmentOptions {
  const options: Record<string, unknown> = {};
  const bad = (reason: string): void => {
    throw new InvalidArgumentError(`${reason} It must be a list such as ${AUGMENT_EXAMPLE}.`);
  };
  for (const part of text.split(',').map((item) => item.trim())) {
    const [name, value, ...rest] = part.split('=');
    if (name === '' || rest.length > 0) bad(`"${part}" is not name=number.`);
    if (name in options) bad(`"${name}" is there twice.`);
    if (name === 'flip' && value === undefined) {
      options.flip = true;
    } else if (name === 'elastic') {
      const [alpha, sigma, more] = (value ?? '').split(':').map((n) => (n === '' ? Number.NaN : Number(n)));
      if (!(alpha >= 0 && sigma > 0) || more !== undefined) bad('elastic needs alpha:sigma, for example elastic=30:4.');
      options.elastic = { alpha, sigma };
    } else if (name === 'fill' && (value === 'edge' || value === 'reflect')) {
      options.fill = value;
    } else if (['shift', 'rotate', 'scale', 'crop', 'brightness', 'contrast', 'erase', 'fill'].includes(name)) {
      const number = value === undefined || value === '' ? Number.NaN : Number(value);
      if (!(number >= 0)) bad(`${name} needs a number of at least 0.`);
      options[name] = number;
    } else {
      bad(`There is no augmentation "${name}".`);
    }
  }
  return options as AugmentOptions;
}
