import { extname } from 'node:path';
import { withFile } from '../formats/byte-source.js';
import { type FileKind, recognise } from '../formats/recognise.js';
import { FileError } from '../tensor/errors.js';
import type { LoadedModel } from './loaded-model.js';
import type { ReadOptions, WriteOptions } from './options.js';

/** A kind of file that models come in or go to. */
export interface ModelFormat {
  readonly name: FileKind;
  readonly description: string;
  /** Endings of names, with the dot; the first one is the usual one. */
  readonly extensions: readonly string[];
  load(path: string, options: ReadOptions): Promise<LoadedModel>;
  /** Writes a model and returns what the file cannot hold, as sentences; undefined where the format is only read. */
  readonly save?: (path: string, model: LoadedModel, options: WriteOptions) => Promise<string[]>;
  /** Files that belong to a written one. */
  readonly beside?: (path: string) => Promise<readonly string[]>;
  /** Which of {@link WriteOptions} it knows. */
  readonly options?: readonly (keyof WriteOptions)[];
}

/** All formats. Their code is loaded when a file is of them. */
export const MODEL_FORMATS: readonly ModelFormat[] = [
  {
    name: 'safetensors',
    description: 'with the architecture, as Gabor saves models, or weights alone',
    extensions: ['.safetensors'],
    load: async (path, options) => (await import('./safetensors-models.js')).loadSafetensors(path, options),
    save: async (path, model, options) =>
      (await import('./safetensors-models.js')).saveSafetensors(path, model, options),
    options: ['floats'],
  },
  {
    name: 'keras',
    description: 'models of Keras 2 and 3, and TensorFlow.js layers models',
    extensions: ['.keras', '.h5', '.hdf5', '.json'],
    load: async (path, options) => (await import('./keras-models.js')).loadKerasModel(path, options),
    save: async (path, model) => (await import('./keras-models.js')).saveKerasModel(path, model),
    beside: async (path) => (await import('./keras-models.js')).kerasFilesBeside(path),
    options: [],
  },
  {
    name: 'npz',
    description: 'weights alone, as arrays of NumPy',
    extensions: ['.npz'],
    load: loadBuiltIn,
    save: async (path, model) => (await import('./npz-models.js')).saveNpz(path, model),
    options: [],
  },
  {
    name: 'pytorch',
    description: 'weights alone: a checkpoint of torch.save',
    extensions: ['.pt', '.pth', '.bin', '.ckpt'],
    load: loadBuiltIn,
  },
  {
    name: 'onnx',
    description: 'ONNX',
    extensions: ['.onnx'],
    load: async (path, options) => (await import('./onnx-models.js')).loadOnnxModel(path, options),
    save: async (path, model, options) => (await import('./onnx-models.js')).saveOnnxModel(path, model, options),
    beside: async (path) => [`${path}.data`],
    options: ['input', 'opset'],
  },
];

/** Weights alone. */
async function loadBuiltIn(path: string, options: ReadOptions): Promise<LoadedModel> {
  return (await import('./built-in.js')).loadBuiltIn(path, options);
}

/**
 * @param name of the file, where its content leaves the format open; default: that of its path
 * @throws FileError for a file of no known format, with those there are.
 */
export async function formatOf(path: string, name?: string): Promise<ModelFormat> {
  const kind = await withFile(path, (source) => recognise(source, name));
  const found = MODEL_FORMATS.find((format) => format.name === kind);
  if (found !== undefined) return found;
  const known = MODEL_FORMATS.map(({ name: format, extensions }) => `${format} (${extensions.join(', ')})`);
  throw new FileError(`${path}: is no model file of a known format; known are ${known.join(', ')}`);
}

/** The format that a name's ending asks for. @throws FileError with the endings that can be written */
export function writableFormat(path: string): ModelFormat & Required<Pick<ModelFormat, 'save' | 'options'>> {
  const ending = extname(path).toLowerCase();
  const found = MODEL_FORMATS.find(({ extensions }) => extensions.includes(ending));
  if (found?.save !== undefined) return found as ReturnType<typeof writableFormat>;
  const writable = MODEL_FORMATS.filter(({ save }) => save).map(({ extensions }) => extensions[0]);
  const unknown =
    ending === '' ? 'the ending of its name says no format' : `no format has names that end in "${ending}"`;
  throw new FileError(
    `${path}: ${found === undefined ? unknown : `files of ${found.name} are read, not written`}; models are written as ${writable.join(', ')}`,
  );
}
