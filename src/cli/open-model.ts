import { existsSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Fit } from '../data/index.js';
import { outputsFor, pictureFormat, shapeOf } from '../exchange/image-classifier.js';
import { load } from '../exchange/load.js';
import type { LoadedModel } from '../exchange/loaded-model.js';
import type { Architecture } from '../exchange/options.js';
import { isFree } from '../exchange/ports.js';
import { forChannels, namedNormalization } from '../exchange/preprocessings.js';
import { isRemote } from '../formats/remote/address.js';
import { formatBytes } from '../inspect/format.js';
import { MODELS } from '../models/index.js';
import { FileError, GaborError } from '../tensor/errors.js';
import type { Classifier, Preprocessing } from '../train/index.js';
import { UsageError } from './failure.js';
import { readWhole } from './files.js';
import type { Output } from './output.js';
import { ProgressLine } from './progress.js';

/** Which model: a file, and what it does not say itself. */
export interface ModelFlags {
  /** The built-in network that weights are of. */
  readonly model?: string;
  readonly input?: readonly number[];
}

/** What a file may not say about pictures. */
export interface PictureFlags {
  readonly preprocessing?: string;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly size?: number | readonly [height: number, width: number];
  readonly fit?: Fit;
}

export interface ClassifierFlags extends ModelFlags, PictureFlags {
  /** A text file. */
  readonly classes?: string;
}

/** Opens a model file of any format, from this machine or the net. */
export async function openModel(
  path: string,
  flags: ModelFlags & { readonly outputs?: number },
  output: Output,
): Promise<LoadedModel> {
  if (!existsSync(path) && !isRemote(path)) throw noSuchModel(path);
  const line = new ProgressLine(output.errors);
  try {
    return await load(path, {
      ...(flags.model === undefined ? {} : architecture(flags.model, flags.outputs)),
      ...(flags.input === undefined ? {} : { input: flags.input }),
      fetch: {
        onProgress: ({ file, received, total }) =>
          line.update(() => ({
            label: `fetching ${file}`,
            done: received,
            total: total ?? 0,
            parts: [formatBytes(received)],
          })),
        onNote: (text) => {
          line.clear();
          output.warn(text);
        },
      },
    });
  } finally {
    line.clear();
  }
}

/** How many outputs it is to have, only built-in networks can be told. */
function architecture(name: string, outputs: number | undefined): Architecture {
  return { architecture: name, ...(outputs === undefined ? {} : { classes: outputs }) };
}

function noSuchModel(path: string): Error {
  if (!Object.hasOwn(MODELS, path)) return new FileError(`${path}: there is no such file`);
  return new UsageError(
    `"${path}" is a built-in network, whose weights would be random; give a model file, or a file of weights with --model ${path}`,
  );
}

/** Opens a model of any format that classifies pictures. */
export async function openClassifier(path: string, flags: ClassifierFlags, output: Output): Promise<Classifier> {
  const classes = flags.classes === undefined ? undefined : await readClasses(flags.classes);
  const loaded = await openSized(path, { ...flags, outputs: classes?.length }, output);
  const preprocessing = picturePreprocessing(loaded, flags);
  return loaded.classifier({
    ...(classes === undefined ? {} : { classes }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
  });
}

/** {@link openModel} for pictures of the size that the flags ask for, where the file was made for others and its layers take them. */
export async function openSized(
  path: string,
  flags: ModelFlags & PictureFlags & { readonly outputs?: number },
  output: Output,
): Promise<LoadedModel> {
  const loaded = await openModel(path, flags, output);
  const { size } = flags;
  if (size === undefined || loaded.preprocessing !== undefined || loaded.example !== undefined) return loaded;
  const [height, width] = typeof size === 'number' ? [size, size] : size;
  const fixed = loaded.inputs.length === 1 && loaded.inputs[0].shape?.slice(1).every((extent) => !isFree(extent));
  if (!fixed) return loaded;
  const format = pictureFormat(loaded);
  if (format.height === height && format.width === width) return loaded;
  try {
    const input = shapeOf({ ...format, height, width }).slice(1);
    const resized = await openModel(path, { ...flags, input }, output);
    outputsFor(resized.model, [1, ...input]);
    return resized;
  } catch (error) {
    // Layers that depend on the size: the model as it is says what it takes.
    if (error instanceof GaborError) return loaded;
    throw error;
  }
}

/** One name a line. */
async function readClasses(path: string): Promise<string[]> {
  const names = (await readWhole(path))
    .toString('utf8')
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  if (names.length > 0) return names;
  throw new FileError(
    `${path}: has no names of classes; there must be one a line, in the order of the model's outputs`,
  );
}

/** What the flags say of pictures, over what the file says; undefined where neither says how to normalise them. */
export function picturePreprocessing(loaded: LoadedModel, flags: PictureFlags): Preprocessing | undefined {
  const normalization = normalizationOf(flags);
  const { preprocessing: known } = loaded;
  const [height, width] = typeof flags.size === 'number' ? [flags.size, flags.size] : (flags.size ?? []);
  const size = height === undefined || width === undefined ? {} : { height, width };
  const fit = flags.fit ?? known?.fit;
  if (normalization === undefined && known === undefined) return undefined;
  const { channels, ...extent } = known === undefined ? pictureFormat(loaded, size) : { ...known, ...size };
  const { mean, std } = normalization?.(channels) ?? (known as Preprocessing);
  return {
    channels,
    height: extent.height,
    width: extent.width,
    mean,
    std,
    ...(fit === undefined ? {} : { fit }),
    ...(known?.background === undefined ? {} : { background: known.background }),
  };
}

/** Mean and deviation for so many channels, where the flags say them. */
function normalizationOf({
  preprocessing,
  mean,
  std,
}: PictureFlags): ((channels: number) => { mean: number[]; std: number[] }) | undefined {
  if (preprocessing !== undefined && (mean ?? std) !== undefined) {
    throw new UsageError(
      '--preprocessing says mean and deviation already; leave out --mean and --std, or give these alone',
    );
  }
  if ((mean === undefined) !== (std === undefined)) throw new UsageError('--mean and --std belong together; give both');
  if (preprocessing !== undefined) return (channels) => namedNormalization(preprocessing, channels);
  if (mean === undefined || std === undefined) return undefined;
  return (channels) => ({ mean: forChannels('--mean', mean, channels), std: forChannels('--std', std, channels) });
}

/** For messages and folders: the file's name, or its folder's where every model there is called so. */
export function modelName(path: string): string {
  const name = basename(path).replace(/\.[^.]*$/, '');
  const folder = basename(dirname(resolve(path)));
  return (/^(model|weights|checkpoint)?$/.test(name) ? folder : name) || 'model';
}
