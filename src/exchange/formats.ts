import { basename, extname } from 'node:path';
import { type ByteSource, openFile } from '../formats/byte-source.js';
import { isZip, openZip } from '../formats/zip.js';
import { FileError } from '../tensor/errors.js';
import type { LoadedModel } from './loaded-model.js';
import type { ReadOptions, WriteOptions } from './options.js';

/** What recognising looks at. */
interface Probe {
  /** The file's own name, which tells what the content leaves open. */
  readonly name: string;
  readonly first: Uint8Array;
  /** Names of the entries of a zip archive; empty for other files. */
  readonly entries: readonly string[];
}

/** A kind of file that models come in or go to. */
export interface ModelFormat {
  readonly name: string;
  readonly description: string;
  /** Endings of names, with the dot; the first one is the usual one. */
  readonly extensions: readonly string[];
  recognises(probe: Probe): boolean;
  load(path: string, options: ReadOptions): Promise<LoadedModel>;
  /** Writes a model and returns what the file cannot hold, as sentences; undefined where the format is only read. */
  readonly save?: (path: string, model: LoadedModel, options: WriteOptions) => Promise<string[]>;
  /** Which of {@link WriteOptions} it knows. */
  readonly options?: readonly (keyof WriteOptions)[];
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');
const ends = (probe: Probe, ...endings: readonly string[]): boolean =>
  endings.includes(extname(probe.name).toLowerCase());

/** All formats, in the order in which they are asked. Their code is loaded when a file is of them. */
export const MODEL_FORMATS: readonly ModelFormat[] = [
  {
    name: 'safetensors',
    description: 'with the architecture, as Gabor saves models, or weights alone',
    extensions: ['.safetensors'],
    recognises: ({ first }) =>
      first.length > 8 && text(first.subarray(8, 9)) === '{' && first[7] === 0 && first[6] === 0,
    load: async (path, options) => (await import('./safetensors-models.js')).loadSafetensors(path, options),
    save: async (path, model, options) =>
      (await import('./safetensors-models.js')).saveSafetensors(path, model, options),
    options: ['floats'],
  },
  {
    name: 'keras',
    description: 'models of Keras 2 and 3, and TensorFlow.js layers models',
    extensions: ['.keras', '.h5', '.hdf5', '.json'],
    recognises: ({ entries, first, name }) =>
      entries.includes('model.weights.h5') ||
      text(first.subarray(0, 8)) === '\x89HDF\r\n\x1a\n' ||
      (name.toLowerCase().endsWith('.json') && /^\s*\{/.test(text(first))),
    load: async (path, options) => (await import('./keras-models.js')).loadKerasModel(path, options),
  },
  {
    name: 'npz',
    description: 'weights alone, as arrays of NumPy',
    extensions: ['.npz'],
    recognises: ({ entries }) => entries.length > 0 && entries.every((name) => name.endsWith('.npy')),
    load: loadBuiltIn,
    save: async (path, model) => (await import('./npz-models.js')).saveNpz(path, model),
    options: [],
  },
  {
    name: 'pytorch',
    description: 'weights alone: a checkpoint of torch.save',
    extensions: ['.pt', '.pth', '.bin', '.ckpt'],
    recognises: (probe) =>
      probe.entries.some((name) => /(^|\/)data\.pkl$/.test(name)) || (probe.first[0] === 0x80 && probe.first[1] <= 5),
    load: loadBuiltIn,
  },
  {
    name: 'onnx',
    description: 'ONNX',
    extensions: ['.onnx'],
    // Version of the file format, or producer; other files may begin so, too.
    recognises: (probe) =>
      ends(probe, '.onnx') || (probe.first[0] === 0x08 && probe.first[1] < 0x20 && probe.first[2] === 0x12),
    load: async (path, options) => (await import('./onnx-models.js')).loadOnnxModel(path, options),
    save: async (path, model, options) => (await import('./onnx-models.js')).saveOnnxModel(path, model, options),
    options: ['input', 'opset'],
  },
];

/** Weights alone. */
async function loadBuiltIn(path: string, options: ReadOptions): Promise<LoadedModel> {
  return (await import('./built-in.js')).loadBuiltIn(path, options);
}

/** @throws FileError for a file of no known format, with those there are. */
export async function formatOf(path: string, name: string = basename(path)): Promise<ModelFormat> {
  const probe = await probeFile(path, name);
  const found = MODEL_FORMATS.find((format) => format.recognises(probe));
  if (found !== undefined) return found;
  const known = MODEL_FORMATS.map(({ name: format, extensions }) => `${format} (${extensions.join(', ')})`);
  throw new FileError(`${path}: is no model file of a known format; known are ${known.join(', ')}`);
}

async function probeFile(path: string, name: string): Promise<Probe> {
  const source = await openFile(path);
  try {
    const first = await source.read(0, Math.min(source.size, 1024));
    return { name, first, entries: isZip(first) ? await entriesOf(source) : [] };
  } finally {
    await source.close();
  }
}

async function entriesOf(source: ByteSource): Promise<string[]> {
  return [...(await openZip(source)).keys()];
}

/** The format that a name's ending asks for. @throws FileError with the endings that can be written */
export function writableFormat(path: string): ModelFormat & Required<Pick<ModelFormat, 'save' | 'options'>> {
  const ending = extname(path).toLowerCase();
  const found = MODEL_FORMATS.find(({ extensions }) => extensions.includes(ending));
  if (found?.save !== undefined) return found as ReturnType<typeof writableFormat>;
  const writable = MODEL_FORMATS.filter(({ save }) => save).map(({ extensions }) => extensions[0]);
  throw new FileError(
    `${path}: ${found === undefined ? `no format has names that end in "${ending}"` : `files of ${found.name} are read, not written`}; models are written as ${writable.join(', ')}`,
  );
}
