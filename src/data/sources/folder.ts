import { readdir, stat } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { FileError } from '../../tensor/errors.js';
import {
  arrangeParts,
  type DatasetOptions,
  type DatasetSource,
  mapClasses,
  type PartName,
  type SkippedFile,
  sharedBytes,
  sizeOf,
} from '../dataset.js';
import { type DecodeAnswer, FileDecoder } from '../decode-files.js';
import { defaultThreads } from '../worker-pool.js';
import { finishDataset, splitParts } from './finish.js';

/** Names of the part folders that people use. */
const PART_NAMES: Record<PartName, readonly string[]> = {
  train: ['train', 'training'],
  validation: ['val', 'valid', 'validation', 'dev'],
  test: ['test', 'testing'],
};

interface Listed {
  readonly path: string;
  readonly className: string;
  readonly part: PartName;
}

/**
 * One folder of PNG or JPEG files per class, whatever their depth below it; or folders `train`, `test` and `val` (or only
 * some of them) of such class folders. A `val` without a `test` is the test part. Files beside the class folders, and names
 * that begin with a dot, are left alone.
 */
export const folderSource: DatasetSource = {
  kind: 'folder',
  looksFor: 'one folder of PNG or JPEG images per class (possibly inside folders train/ and test/)',

  async recognises(data, entries) {
    return entries !== undefined && (await subfolders(data)).length > 0;
  },

  async open(data, options) {
    const { files, classes: found, explicit } = await listFiles(data);
    if (options.classes === undefined && found.length < 2) {
      throw new FileError(
        `${data}: there is only one class folder ("${found[0]}"); at least two classes are needed to learn to tell them apart`,
      );
    }
    const mapping = options.classes ? mapClasses(data, found, options.classes) : found.map((_, i) => i);
    const position = new Map(found.map((name, i) => [name, mapping[i]]));
    const decoder = new FileDecoder(options.threads ?? defaultThreads());
    try {
      const paths = files.map((file) => file.path);
      const format = await formatOf(data, paths, decoder, options);
      const size = format.channels * format.height * format.width;
      const target = sharedBytes(files.length * size, `${data}: ${files.length} images`);
      const answers = await decoder.run(paths, { target, format: { ...format, fit: options.fit } }, (done) =>
        options.onProgress?.('decoding', done, files.length),
      );
      const skipped: SkippedFile[] = [];
      const kept: Listed[] = [];
      answers.forEach((answer, i) => {
        if ('reason' in answer) {
          skipped.push({ path: files[i].path, reason: answer.reason });
          return;
        }
        if (kept.length !== i) target.copyWithin(kept.length * size, i * size, (i + 1) * size);
        kept.push(files[i]);
      });
      if (options.strict && skipped.length > 0) throw strictError(data, skipped);
      const images = target.subarray(0, kept.length * size);
      const labels = Int32Array.from(kept, (file) => position.get(file.className)!);
      const parts = kept.map((file) => file.part);
      checkEveryClass(data, found, files, kept, skipped);
      splitParts(data, parts, labels, explicit, options);
      const names = kept.map((file) => relative(data, file.path));
      return finishDataset(
        { name: basename(data), kind: 'folder', classes: options.classes ?? found, ...format, skipped },
        arrangeParts(images, labels, parts, names),
      );
    } finally {
      await decoder.close();
    }
  },
};

async function subfolders(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!name.startsWith('.') && (await stat(join(folder, name)).catch(() => undefined))?.isDirectory())
      names.push(name);
  }
  // Numbers in numeric order, so that the classes 0 … 10 are not 0, 1, 10, 2, …
  return names.every((name) => /^\d+$/.test(name)) ? names.sort((a, b) => Number(a) - Number(b)) : names;
}

async function listFiles(data: string): Promise<{ files: Listed[]; classes: string[]; explicit: Set<PartName> }> {
  const top = await subfolders(data);
  const explicit = new Map<PartName, string>();
  for (const part of ['train', 'validation', 'test'] as const) {
    for (const name of top) {
      if (!PART_NAMES[part].includes(name.toLowerCase()) || (await subfolders(join(data, name))).length === 0) continue;
      if (explicit.has(part))
        throw new FileError(`${data}: both ${explicit.get(part)}/ and ${name}/ could be the ${part} part`);
      explicit.set(part, name);
    }
  }
  const validation = explicit.get('validation');
  if (validation !== undefined && !explicit.has('test')) {
    explicit.delete('validation');
    explicit.set('test', validation);
  }
  const files: Listed[] = [];
  if (explicit.size === 0) {
    for (const className of top) files.push(...(await listClass(join(data, className), className, 'train')));
    return { files, classes: top, explicit: new Set() };
  }
  const stray = top.filter((name) => ![...explicit.values()].includes(name));
  if (stray.length > 0) {
    throw new FileError(
      `${data}: has part folders (${[...explicit.values()].join(', ')}) and beside them ${stray.join(', ')}, which would be class folders; move one kind away`,
    );
  }
  const first = explicit.get('train') ?? explicit.get('test')!;
  const classes = await subfolders(join(data, first));
  for (const [part, folder] of explicit) {
    const own = await subfolders(join(data, folder));
    mapClasses(join(data, folder), own, classes);
    for (const className of own) files.push(...(await listClass(join(data, folder, className), className, part)));
  }
  return { files, classes, explicit: new Set(explicit.keys()) };
}

async function listClass(folder: string, className: string, part: PartName): Promise<Listed[]> {
  const paths: string[] = [];
  const walk = async (directory: string): Promise<void> => {
    const entries = (await readdir(directory, { withFileTypes: true })).filter((entry) => !entry.name.startsWith('.'));
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) await walk(path);
      else paths.push(path);
    }
  };
  await walk(folder);
  if (paths.length === 0) {
    throw new FileError(
      `${folder}: the class folder is empty; put images of the class "${className}" into it or remove it`,
    );
  }
  return paths.map((path) => ({ path, className, part }));
}

/** Size and channels of the data set: as asked, else as its files suggest. */
async function formatOf(
  data: string,
  paths: readonly string[],
  decoder: FileDecoder,
  options: DatasetOptions,
): Promise<{ channels: 1 | 3; height: number; width: number }> {
  let channels = options.channels;
  let size = options.size === undefined ? undefined : sizeOf(options.size);
  if (channels === undefined || size === undefined) {
    const answers = await decoder.run(paths, undefined, (done) =>
      options.onProgress?.('measuring', done, paths.length),
    );
    const measured = answers.flatMap((answer) => ('reason' in answer ? [] : [answer]));
    if (measured.length === 0) {
      throw new FileError(
        `${data}: none of its ${paths.length} files is a PNG or JPEG image; the first: ${reasonOf(answers[0])}`,
      );
    }
    channels ??= measured.some((image) => image.channels === 3) ? 3 : 1;
    const sides = measured.map((image) => Math.min(image.width, image.height)).sort((a, b) => a - b);
    const median = sides[sides.length >> 1];
    const side = median >= 128 ? 128 : median >= 64 ? 64 : 32;
    size ??= [side, side];
  }
  return { channels, height: size[0], width: size[1] };
}

function reasonOf(answer: DecodeAnswer): string {
  return 'reason' in answer ? answer.reason : 'readable';
}

function checkEveryClass(
  data: string,
  classes: readonly string[],
  files: readonly Listed[],
  kept: readonly Listed[],
  skipped: readonly SkippedFile[],
): void {
  const readable = new Set(kept.map((file) => file.className));
  const lost = classes.find((name) => !readable.has(name));
  if (lost === undefined) return;
  const count = files.filter((file) => file.className === lost).length;
  const example = skipped.find((file) => files.some((other) => other.path === file.path && other.className === lost));
  throw new FileError(
    `${join(data, lost)}: none of the ${count} files of the class "${lost}" can be read${example ? `; ${basename(example.path)}: ${example.reason}` : ''}`,
  );
}

function strictError(data: string, skipped: readonly SkippedFile[]): FileError {
  const [{ path, reason }] = skipped;
  const others = skipped.length > 1 ? ` (and ${skipped.length - 1} more in ${data})` : '';
  return new FileError(`${path}: ${reason}${others}; without \`strict\` such files are skipped`);
}
