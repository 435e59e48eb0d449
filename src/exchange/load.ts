import './module-families.js';
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { isRemote } from '../formats/remote/address.js';
import type { FetchFileOptions } from '../formats/remote/fetch-file.js';
import { checkOptions, FileError, OptionError } from '../tensor/errors.js';
import { formatOf } from './formats.js';
import type { LoadedModel } from './loaded-model.js';
import type { Architecture } from './options.js';

/** Options of {@link load}. */
export interface LoadOptions extends Architecture {
  /** Of files from the net: see `fetchFile`. */
  readonly fetch?: FetchFileOptions;
}

/**
 * Loads a model of any format: of its own (`.safetensors`, as `save` writes it), ONNX, Keras (`.keras`, `.h5`), TensorFlow.js
 * (`model.json`), or the weights of a built-in network (safetensors, PyTorch checkpoints, `.npz`) with its name as `architecture`. Which
 * one it is the content tells.
 *
 *     const digits = (await load('digits.safetensors')).classifier();
 *     const { out } = await (await load('squeezenet1.1.onnx')).run({ data: image });
 *     const { model } = await load('resnet18.pth', { architecture: 'resnet18' });
 *
 * @param source a path, or an address: `https://…`, `hf://owner/name/file` (see `fetchFile`)
 * @throws FileError for files that are missing, damaged, or of no known format, and for weights without an architecture; OptionError
 *   for addresses that are not fetched
 */
export async function load(source: string, options: LoadOptions = {}): Promise<LoadedModel> {
  checkOptions('load', options, ['architecture', 'classes', 'input', 'fetch']);
  const { fetch = {}, ...architecture } = options;
  if (typeof source !== 'string' || source === '') {
    throw new OptionError(
      `load: takes the path of a model file, or an address (https://…, hf://owner/name/file); got ${source === '' ? 'an empty text' : typeof source}`,
    );
  }
  if (!isRemote(source)) {
    if (!existsSync(source)) throw new FileError(`${source}: there is no such file`);
    return (await formatOf(source)).load(source, architecture);
  }
  const { fetchFile, siblingsOf } = await import('../formats/remote/index.js');
  const path = await fetchFile(source, fetch);
  const name = basename(new URL(source).pathname).replace(/@[^@]*$/, '');
  const siblings = siblingsOf(source, fetch);
  return (await formatOf(path, name)).load(path, { ...architecture, shown: source, siblings });
}
