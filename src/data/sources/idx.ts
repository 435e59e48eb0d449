import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { FileError } from '../../tensor/errors.js';
import {
  arrangeParts,
  type DatasetOptions,
  type DatasetSource,
  mapClasses,
  type PartName,
  sharedBytes,
} from '../dataset.js';
import { conformImages, finishDataset, splitParts } from './finish.js';
import { readIdx } from './idx-file.js';

const FILE = /^(.*?)[-_.]?(images|labels)[-_.]idx([13])[-_.]ubyte(\.gz)?$/i;

/** Images and labels of one part. */
interface Pair {
  readonly part: PartName;
  readonly prefix: string;
  readonly images?: string;
  readonly labels?: string;
}

/**
 * A folder of `*-images-idx3-ubyte[.gz]` and `*-labels-idx1-ubyte[.gz]` (MNIST, Fashion-MNIST, EMNIST, KMNIST …). What is before
 * `-images` decides the part: `train` anywhere in it is the train part, `t10k`, `test` or `val` the others; a lone pair of another name is
 * split. Class names come from a file `classes.txt` (one per line, in the order of the labels), else they are the numbers.
 */
export const idxSource: DatasetSource = {
  kind: 'idx',
  looksFor: 'IDX files (*-images-idx3-ubyte[.gz] and *-labels-idx1-ubyte[.gz])',

  recognises(_data, entries) {
    return entries?.some((name) => FILE.test(name)) ?? false;
  },

  async open(data, options) {
    const entries = await readdir(data);
    const loaded = [];
    for (const pair of pairsOf(data, entries)) loaded.push({ part: pair.part, ...(await readPair(data, pair)) });
    const [first] = loaded;
    const other = loaded.find((part) => part.height !== first.height || part.width !== first.width);
    if (other) {
      throw new FileError(
        `${data}: the ${first.part} images are ${first.height}×${first.width}, but the ${other.part} images ${other.height}×${other.width}`,
      );
    }
    const { height, width } = first;
    const count = loaded.reduce((sum, part) => sum + part.labels.length, 0);
    const bytes = sharedBytes(count * height * width, `${data}: ${count} images`);
    const labels = new Int32Array(count);
    const parts: PartName[] = [];
    for (const part of loaded) {
      bytes.set(part.images, parts.length * height * width);
      labels.set(part.labels, parts.length);
      for (let i = 0; i < part.labels.length; i++) parts.push(part.part);
    }
    const classes = await labelClasses(data, entries, labels, parts, options);
    const explicit = new Set(loaded.map((part) => part.part));
    // A lone train part is split; a lone test part is there to be evaluated on.
    splitParts(data, parts, labels, explicit, options);
    const conformed = conformImages(bytes, height, width, options);
    return finishDataset(
      {
        name: basename(data),
        kind: 'idx',
        classes,
        channels: conformed.channels,
        height: conformed.height,
        width: conformed.width,
        skipped: [],
      },
      arrangeParts(conformed.images, labels, parts),
    );
  },
};

function pairsOf(data: string, entries: readonly string[]): Pair[] {
  const pairs = new Map<string, { images?: string; labels?: string }>();
  for (const name of [...entries].sort()) {
    const match = FILE.exec(name);
    if (!match) continue;
    const pair = pairs.get(match[1]) ?? {};
    // Sorted, `x` comes before `x.gz`: the plain file wins.
    pair[match[2].toLowerCase() as 'images' | 'labels'] ??= name;
    pairs.set(match[1], pair);
  }
  const result: Pair[] = [];
  for (const [prefix, pair] of pairs) {
    const name = prefix.toLowerCase();
    const part = /train/.test(name)
      ? 'train'
      : /t10k|test/.test(name)
        ? 'test'
        : /val/.test(name)
          ? 'validation'
          : pairs.size === 1
            ? 'train'
            : undefined;
    if (!part) {
      throw new FileError(
        `${data}: cannot tell whether "${prefix}-…" is the train or the test part; begin the names with train, val, test or t10k`,
      );
    }
    const twin = result.find((other) => other.part === part);
    if (twin) {
      throw new FileError(
        `${data}: both "${twin.prefix}-…" and "${prefix}-…" look like the ${part} part; keep one in the folder`,
      );
    }
    result.push({ part, prefix, ...pair });
  }
  return result;
}

async function readPair(
  data: string,
  { prefix, images, labels }: Pair,
): Promise<{ images: Uint8Array; labels: Uint8Array; height: number; width: number }> {
  if (!images || !labels) {
    const missing = images ? 'labels-idx1' : 'images-idx3';
    throw new FileError(
      `${data}: there is ${images ?? labels} but no ${prefix}${prefix ? '-' : ''}${missing}-ubyte[.gz] beside it`,
    );
  }
  const pixels = await readIdx(join(data, images), 3);
  const classes = await readIdx(join(data, labels), 1);
  const [count, height, width] = pixels.shape;
  if (classes.shape[0] !== count) {
    throw new FileError(`${data}: ${images} has ${count} images, but ${labels} has ${classes.shape[0]} labels`);
  }
  return { images: pixels.data, labels: classes.data, height, width };
}

/** Checks the labels, turns them into positions in the wanted classes, and returns the class names. */
async function labelClasses(
  data: string,
  entries: readonly string[],
  labels: Int32Array,
  parts: readonly PartName[],
  options: DatasetOptions,
): Promise<readonly string[]> {
  let named: string[] | undefined;
  if (entries.includes('classes.txt')) {
    const text = await readFile(join(data, 'classes.txt'), 'utf8');
    named = text.split(/\r?\n/).map((line) => line.trim());
    while (named.at(-1) === '') named.pop();
  }
  // Without names, label i is class i of the train part (or of the model, when that says how many there are).
  const hasTrain = parts.includes('train');
  let most = -1;
  labels.forEach((label, i) => {
    if (!hasTrain || parts[i] === 'train') most = Math.max(most, label);
  });
  const found = named ?? options.classes ?? Array.from({ length: most + 1 }, (_, i) => String(i));
  const bad = labels.findIndex((label) => label >= found.length);
  if (bad >= 0) {
    const source = named ? 'classes.txt names' : options.classes ? 'the model has' : 'the train part has';
    throw new FileError(
      `${data}: a ${parts[bad]} image has label ${labels[bad]}, but ${source} ${found.length} classes, 0 … ${found.length - 1}`,
    );
  }
  if (options.classes === undefined && labels.every((label) => label === labels[0])) {
    throw new FileError(
      `${data}: all images have the label ${labels[0]}; at least two classes are needed to learn to tell them apart`,
    );
  }
  if (named && options.classes) {
    const mapping = mapClasses(data, named, options.classes);
    for (let i = 0; i < labels.length; i++) labels[i] = mapping[labels[i]];
    return options.classes;
  }
  return found;
}
