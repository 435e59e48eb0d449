import { readdir, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { checkOptions, FileError, OptionError } from '../tensor/errors.js';
import { checkCount, type DatasetOptions, type DatasetSource, type ImageDataset } from './dataset.js';
import { folderSource } from './sources/folder.js';
import { idxSource } from './sources/idx.js';
import { strokesSource } from './sources/strokes.js';

/** Everything that {@link openDataset} understands, in the order in which it asks. */
export const DATASET_SOURCES: readonly DatasetSource[] = [strokesSource, idxSource, folderSource];

const OPTIONS = [
  'seed',
  'valSplit',
  'testSplit',
  'size',
  'channels',
  'fit',
  'strict',
  'classes',
  'threads',
  'trainCount',
  'testCount',
  'onProgress',
];

/**
 * Loads images with labels into memory: `strokes` (built in), a folder with one folder of PNG or JPEG files per class, or a folder of IDX
 * files. Which of them follows from looking. The same data, options and seed give the same bits.
 *
 * @throws FileError when the data is missing, damaged, of no known kind, or has fewer than two classes; OptionError for bad options.
 */
export async function openDataset(data: string, options: DatasetOptions = {}): Promise<ImageDataset> {
  checkOptions('openDataset', options, OPTIONS);
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as DatasetOptions;
  if (given.seed !== undefined && !Number.isSafeInteger(given.seed)) {
    throw new OptionError(`seed must be a whole number, got ${given.seed}`);
  }
  if (given.threads !== undefined) checkCount('threads', given.threads, 0);
  if (given.channels !== undefined && given.channels !== 1 && given.channels !== 3) {
    throw new OptionError(`channels must be 1 or 3, got ${String(given.channels)}`);
  }
  if (given.fit !== undefined && !['crop', 'stretch', 'pad'].includes(given.fit)) {
    throw new OptionError(`fit must be crop, stretch or pad, got ${String(given.fit)}`);
  }
  if (strokesSource.recognises(data, undefined)) return strokesSource.open(data, given);
  for (const name of ['trainCount', 'testCount'] as const) {
    if (given[name] !== undefined) throw new OptionError(`${name} is for strokes only; ${data} has the images it has`);
  }
  const path = resolve(data);
  const facts = await stat(path).catch(() => undefined);
  if (!facts) {
    throw new FileError(
      `${data}: there is no such folder; data is "strokes" (built-in digits), a folder of class folders or a folder of IDX files`,
    );
  }
  if (!facts.isDirectory()) {
    throw new FileError(`${data}: is a file; give the folder that holds the class folders or the IDX files`);
  }
  const entries = await readdir(path);
  for (const source of DATASET_SOURCES) {
    if (await source.recognises(path, entries)) return source.open(path, given);
  }
  const some = entries.slice(0, 5).join(', ');
  const rest = entries.length > 5 ? ` and ${entries.length - 5} more` : '';
  throw new FileError(
    `${data}: found no data. Looked for ${DATASET_SOURCES.slice(1)
      .map((source) => source.looksFor)
      .join(', or ')}; found ${entries.length === 0 ? 'an empty folder' : `only ${some}${rest}`}`,
  );
}
