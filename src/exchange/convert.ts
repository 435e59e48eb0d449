import { existsSync, statSync } from 'node:fs';
import { openWeights } from '../formats/weights.js';
import { checkOptions, FileError, GaborError, OptionError } from '../tensor/errors.js';
import { sizeOf } from '../tensor/shape.js';
import { writableFormat } from './formats.js';
import { load } from './load.js';
import type { LoadedModel } from './loaded-model.js';
import type { WriteOptions } from './options.js';

/** Options of {@link convert}. */
export interface ConvertOptions extends WriteOptions {
  /** Replace a file that is there already; default false. */
  readonly overwrite?: boolean;
}

/** What came of a conversion. */
export interface Conversion {
  /** Of the file that was written. */
  readonly format: string;
  /** Numbers in the model's parameters. */
  readonly parameters: number;
  /** Of the file, and of those that belong to it. */
  readonly bytes: number;
  /** What the file cannot hold, as sentences. */
  readonly lost: readonly string[];
}

const FLAGS: Readonly<Record<keyof WriteOptions, string>> = {
  input: '--input',
  opset: '--opset',
  floats: '--dtype',
};

/**
 * Writes a model in the format that the ending of `path` names: `.onnx`, `.safetensors`, `.npz`, and of models of Keras `.keras` or
 * `model.json` of TensorFlow.js. Then the file is read again, to see
 * that it can be.
 *
 * @throws FileError where the file is there already, cannot be written, or cannot be read again; OptionError for options that are
 *   not of this format
 * @example await convert(await load('resnet18.onnx'), 'resnet18.safetensors')
 */
export async function convert(loaded: LoadedModel, path: string, options: ConvertOptions = {}): Promise<Conversion> {
  checkOptions('convert', options, ['overwrite', ...Object.keys(FLAGS)]);
  const { overwrite = false, ...rest } = options;
  const format = writableFormat(path);
  for (const key of Object.keys(rest) as (keyof WriteOptions)[]) {
    if (rest[key] !== undefined && !format.options.includes(key)) {
      throw new OptionError(`${key} (${FLAGS[key]}) has no meaning for ${format.name} files; ${path} is one`);
    }
  }
  if (existsSync(path) && !overwrite) {
    throw new FileError(`${path}: is there already; choose another name, or say that it may be replaced (--force)`);
  }
  const lost = await format.save(path, loaded, rest);
  try {
    await checkWritten(path, loaded);
  } catch (error) {
    if (!(error instanceof GaborError)) throw error;
    throw new FileError(`${path}: was written, but cannot be read again: ${error.message}`, { cause: error });
  }
  const files = [path, ...((await format.beside?.(path)) ?? [])];
  const bytes = files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  const parameters = loaded.model.parameters().reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return { format: format.name, parameters, bytes, lost };
}

/** Reads a file again. Where it holds weights alone, these are compared by name and shape. */
async function checkWritten(path: string, { model, inputs }: LoadedModel): Promise<void> {
  if (!path.toLowerCase().endsWith('.npz')) {
    const again = await load(path).catch((error: unknown) => {
      if (error instanceof FileError && /holds weights alone/.test(error.message)) return undefined;
      throw error;
    });
    if (again !== undefined) {
      const names = (ports: LoadedModel['inputs']): string => ports.map(({ name }) => name).join(', ');
      if (names(again.inputs) !== names(inputs)) {
        throw new FileError(`its inputs are ${names(again.inputs)} instead of ${names(inputs)}`);
      }
      again.dispose();
      return;
    }
  }
  const source = await openWeights(path);
  try {
    for (const [name, { shape }] of Object.entries(model.stateDict())) {
      if (`${source.entries.get(name)?.shape}` !== `${shape}`)
        throw new FileError(`"${name}" is missing or of another shape`);
    }
  } finally {
    await source.close();
  }
}
