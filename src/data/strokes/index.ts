import { checkOptions, OptionError } from '../../tensor/errors.js';
import { foldIn, keyOfSeed, Random, type RandomKey } from '../../tensor/random.js';
import { GLYPHS } from './glyphs.js';
import { render, SIDE } from './render.js';
import { drawWriter, write } from './writer.js';

/** Which digits {@link strokes} draws. */
export interface StrokesOptions {
  /** How many images; at least 1. */
  count: number;
  /** Any safe integer; default 0. */
  seed?: number;
  /** Index of the first image; default 0. */
  start?: number;
  /** The two splits have no writer in common; default `train`. */
  split?: 'train' | 'test';
}

/** Drawn digits with their classes. */
export interface StrokesData {
  /** `count` × 28 × 28, row by row, 0 (paper) … 255 (ink). */
  images: Uint8Array;
  /** `count` class indices. */
  labels: Uint8Array;
  /** `'0'` … `'9'`. */
  classes: string[];
}

const SPLITS: readonly string[] = ['train', 'test'];
const CLASSES = GLYPHS.length;

/**
 * Handwritten-looking digits in the convention of MNIST, made on the spot. An image depends only on `seed`, `split` and
 * its index, so any range can be generated, in pieces or by several threads. Ten images in a row are by one writer and
 * show the ten digits in random order.
 *
 * @throws OptionError for unknown options or values out of range.
 */
export function strokes(options: StrokesOptions): StrokesData {
  checkOptions('strokes', options, ['count', 'seed', 'start', 'split']);
  const { count, seed = 0, start = 0, split = 'train' } = options;
  if (!Number.isSafeInteger(count) || count < 1) {
    throw new OptionError(`strokes: count is ${count}, but must be a whole number of at least 1`);
  }
  if (!Number.isSafeInteger(seed)) throw new OptionError(`strokes: seed is ${seed}, but must be a whole number`);
  if (!Number.isSafeInteger(start) || start < 0 || start + count > 2 ** 32) {
    throw new OptionError(
      `strokes: start is ${start}, but must be a whole number from 0 on, and start + count at most 2^32`,
    );
  }
  if (!SPLITS.includes(split)) throw new OptionError(`strokes: split is "${split}", but must be "train" or "test"`);

  const key = foldIn(keyOfSeed(seed), SPLITS.indexOf(split));
  const images = new Uint8Array(count * SIDE * SIDE);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = drawImage(key, start + i, images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE));
  }
  return { images, labels, classes: GLYPHS.map((_, digit) => String(digit)) };
}

/** Draws the image with this index and returns its class. */
function drawImage(key: RandomKey, index: number, out: Uint8Array): number {
  const writerRandom = new Random(foldIn(foldIn(key, 0), Math.floor(index / CLASSES)));
  const digit = writerRandom.permutation(CLASSES)[index % CLASSES];
  const writer = drawWriter(writerRandom);
  const random = new Random(foldIn(foldIn(key, 1), index));
  const ink = write(GLYPHS[digit](random), writer, random);
  render(ink, writer.blur, writer.rough, random.integer(1 << 12), out);
  return digit;
}
