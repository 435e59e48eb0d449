import { existsSync } from 'node:fs';
import { loadModel } from '../formats/index.js';
import { formatExtents } from '../inspect/format.js';
import { findModel, MODELS } from '../models/index.js';
import { init, type Module } from '../nn/index.js';
import { FileError } from '../tensor/errors.js';
import { UsageError } from './failure.js';

export interface NetworkFlags {
  readonly input?: readonly [channels: number, height: number, width: number];
  readonly classes?: number;
}

export interface LoadedNetwork {
  readonly model: Module;
  /** The shape of one example. */
  readonly input: readonly number[];
}

/** A built-in network by its name, with weights that are not drawn, or a model file by its path. */
export async function loadNetwork(name: string, flags: NetworkFlags): Promise<LoadedNetwork> {
  return Object.hasOwn(MODELS, name) ? builtIn(name, flags) : await fromFile(name, flags);
}

function builtIn(name: string, { input, classes }: NetworkFlags): LoadedNetwork {
  const { task, inputShape, create } = findModel(name);
  const own = classes === undefined ? {} : { classes };
  if (!task.startsWith('image')) {
    if (input !== undefined) {
      throw new UsageError(
        `--input is for networks on images; ${name} is for ${task} and takes ${formatExtents(inputShape)}`,
      );
    }
    return { model: init.skipInit(() => create(own)), input: inputShape };
  }
  const shape = input ?? inputShape;
  const [inChannels, height, width] = shape;
  return { model: init.skipInit(() => create({ ...own, inChannels, size: [height, width] })), input: shape };
}

async function fromFile(path: string, { input }: NetworkFlags): Promise<LoadedNetwork> {
  if (!existsSync(path)) {
    const names = Object.keys(MODELS).join(', ');
    if (!/[./\\]/.test(path)) {
      throw new UsageError(`there is no network "${path}"; there are ${names}. For a model file, give its path`);
    }
    throw new FileError(`${path}: there is no such file; give a model file, or one of ${names}`);
  }
  const { model, preprocessing } = await loadModel(path);
  return { model, input: input ?? [preprocessing.channels, preprocessing.height, preprocessing.width] };
}
