import { FileError, OptionError } from '../tensor/errors.js';
import { foldIn, keyOfSeed, Random } from '../tensor/random.js';
import type { Fit } from './image/preprocess.js';

/** One part of a data set: images and labels in the same order. */
export interface ImageSplit {
  readonly count: number;
  /** [count, channels, height, width], 0 … 255, in shared memory so that worker threads read it in place. */
  readonly images: Uint8Array;
  /** [count], indices into the data set's `classes`. */
  readonly labels: Int32Array;
  /** Where each image came from, relative to the data set's folder; absent where images have no files of their own. */
  readonly names?: readonly string[];
}

/** A file in a class folder that is not among the images. */
export interface SkippedFile {
  readonly path: string;
  readonly reason: string;
}

/** Images of one size with one label each, in memory. */
export interface ImageDataset {
  /** `strokes`, or the folder's name. */
  readonly name: string;
  readonly kind: string;
  readonly classes: readonly string[];
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  readonly splits: {
    readonly train: ImageSplit;
    /** Present when `valSplit` was asked for, or the folder brings one. */
    readonly validation?: ImageSplit;
    readonly test: ImageSplit;
  };
  /** Per channel over the train part, on the scale 0 … 1; over the test part when there is no train part. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  readonly skipped: readonly SkippedFile[];
}

/** Called while files are read; `done` and `total` count files or images. */
export type DatasetProgress = (phase: 'measuring' | 'decoding' | 'drawing', done: number, total: number) => void;

/** Options of `openDataset`. */
export interface DatasetOptions {
  /** Decides which images go where in a split. Default 0. */
  seed?: number;
  /** Share of the train part that becomes the validation part, per class. Default 0 (none). */
  valSplit?: number;
  /** Share that becomes the test part, per class, for data that has no test part. Default 0.2. */
  testSplit?: number;
  /**
   * Side, or [height, width], of the images. Default: IDX and strokes as they are; a folder: the largest of 32, 64 and 128 that
   * is at most the median over its images of the shorter side (32 where that is smaller still).
   */
  size?: number | readonly [height: number, width: number];
  /** 1 = grey, 3 = colour. Default: IDX and strokes 1; a folder: 3 if any of its images is a colour image, else 1. */
  channels?: 1 | 3;
  /** How images of other proportions are brought to size. Default `crop`. */
  fit?: Fit;
  /** Unreadable files in class folders are an error instead of skipped. Default false. */
  strict?: boolean;
  /** The classes in the order of a model's outputs; labels follow it. Default: as found. */
  classes?: readonly string[];
  /** Threads that decode images; 0 = in this thread. Default: one per processor, at most 8. */
  threads?: number;
  /** `strokes` only: how many images. Default 20,000 and 2,000. */
  trainCount?: number;
  testCount?: number;
  onProgress?: DatasetProgress;
}

/** One kind of data that `openDataset` understands. */
export interface DatasetSource {
  readonly kind: string;
  /** What it looks for, for the message when nothing fits. */
  readonly looksFor: string;
  /** Whether `data` is of this kind. `entries` are the names in the folder `data`, or undefined where that is no folder. */
  recognises(data: string, entries: readonly string[] | undefined): boolean | Promise<boolean>;
  open(data: string, options: DatasetOptions): Promise<ImageDataset>;
}

/** Zeroed bytes in memory that all threads see. */
export function sharedBytes(length: number, what: string): Uint8Array {
  try {
    return new Uint8Array(new SharedArrayBuffer(length));
  } catch (error) {
    throw new FileError(
      `${what}: needs ${(length / 2 ** 30).toFixed(1)} GiB of memory; choose a smaller size or fewer images`,
      { cause: error },
    );
  }
}

/** Which part an image belongs to. */
export type PartName = 'train' | 'validation' | 'test';
export const PARTS: readonly PartName[] = ['train', 'validation', 'test'];

/**
 * Moves a seeded, stratified share of one part into another: of each class `round(fraction · count)` images, but never its last one.
 * Which ones depends on the seed, the class and the number of its images only.
 */
export function movePart(
  parts: PartName[],
  labels: Int32Array,
  from: PartName,
  to: PartName,
  fraction: number,
  seed: number,
): void {
  const rows = new Map<number, number[]>();
  for (let i = 0; i < parts.length; i++) {
    if (parts[i] !== from) continue;
    const list = rows.get(labels[i]);
    if (list) list.push(i);
    else rows.set(labels[i], [i]);
  }
  const key = foldIn(keyOfSeed(seed), to === 'test' ? 1 : 2);
  for (const [label, list] of rows) {
    const moved = Math.min(Math.round(fraction * list.length), list.length - 1);
    const order = new Random(foldIn(key, label)).permutation(list.length);
    for (let i = 0; i < moved; i++) parts[list[order[i]]] = to;
  }
}

/**
 * Sorts images in place, train before validation before test and otherwise in their order, so that each part is one
 * contiguous view and nothing is copied twice. `images` may hold more rows than `parts`.
 */
export function arrangeParts(
  images: Uint8Array,
  labels: Int32Array,
  parts: readonly PartName[],
  names?: readonly string[],
): Record<PartName, ImageSplit> {
  const count = parts.length;
  const size = count === 0 ? 0 : images.length / count;
  const order = new Uint32Array(count);
  const counts: Record<PartName, number> = { train: 0, validation: 0, test: 0 };
  let at = 0;
  for (const part of PARTS) {
    for (let i = 0; i < count; i++) {
      if (parts[i] !== part) continue;
      order[at++] = i;
      counts[part]++;
    }
  }
  permuteRows(images, size, order);
  const sorted = labels.map((_, i) => labels[order[i]]);
  const result = {} as Record<PartName, ImageSplit>;
  let start = 0;
  for (const part of PARTS) {
    const end = start + counts[part];
    result[part] = {
      count: counts[part],
      images: images.subarray(start * size, end * size),
      labels: sorted.subarray(start, end),
      ...(names ? { names: Array.from(order.subarray(start, end), (i) => names[i]) } : {}),
    };
    start = end;
  }
  return result;
}

/** Row `i` becomes the former row `order[i]`, cycle by cycle, with one row of extra memory. */
function permuteRows(data: Uint8Array, size: number, order: Uint32Array): void {
  const done = new Uint8Array(order.length);
  for (let start = 0; start < order.length; start++) {
    if (done[start] || order[start] === start) continue;
    const first = data.slice(start * size, (start + 1) * size);
    let to = start;
    while (order[to] !== start) {
      data.copyWithin(to * size, order[to] * size, (order[to] + 1) * size);
      done[to] = 1;
      to = order[to];
    }
    data.set(first, to * size);
    done[to] = 1;
  }
}

/** Two parts as one, for example to evaluate on everything. Copies. */
export function joinSplits(...splits: readonly ImageSplit[]): ImageSplit {
  const images = sharedBytes(
    splits.reduce((sum, split) => sum + split.images.length, 0),
    'joining the parts of a data set',
  );
  const count = splits.reduce((sum, split) => sum + split.count, 0);
  const labels = new Int32Array(count);
  let row = 0;
  let byte = 0;
  for (const split of splits) {
    images.set(split.images, byte);
    labels.set(split.labels, row);
    byte += split.images.length;
    row += split.count;
  }
  const named = splits.every((split) => split.names);
  return { count, images, labels, ...(named ? { names: splits.flatMap((split) => split.names ?? []) } : {}) };
}

/** A share such as `valSplit`: 0 ≤ value < 1. */
export function checkFraction(name: string, value: number): number {
  if (!(value >= 0 && value < 1)) throw new OptionError(`${name} must be at least 0 and less than 1, got ${value}`);
  return value;
}

/** A count such as `trainCount`. */
export function checkCount(name: string, value: number, least: number): number {
  if (!(Number.isSafeInteger(value) && value >= least)) {
    throw new OptionError(`${name} must be a whole number of at least ${least}, got ${value}`);
  }
  return value;
}

/** [height, width] from the option `size`. */
export function sizeOf(size: number | readonly [number, number]): readonly [number, number] {
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  checkCount('size', height, 1);
  checkCount('size', width, 1);
  return [height, width];
}

/**
 * The position in `wanted` of each class in `found`.
 *
 * @throws OptionError naming the classes that `wanted` lacks.
 */
export function mapClasses(where: string, found: readonly string[], wanted: readonly string[]): number[] {
  const unknown = found.filter((name) => !wanted.includes(name));
  if (unknown.length > 0) {
    throw new OptionError(
      `${where}: has ${unknown.length === 1 ? 'a class' : 'classes'} ${unknown.join(', ')} that ${unknown.length === 1 ? 'is' : 'are'} not among the expected ${wanted.length}: ${wanted.join(', ')}`,
    );
  }
  return found.map((name) => wanted.indexOf(name));
}
