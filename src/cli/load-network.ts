import { existsSync } from 'node:fs';
import { formatExtents } from '../inspect/format.js';
import { findModel, MODELS } from '../models/index.js';
import { init, type Module } from '../nn/index.js';
import { nearest } from '../tensor/suggest.js';
import { UsageError } from './failure.js';
import { type ModelFlags, openModel } from './open-model.js';
import type { Output } from './output.js';

export interface NetworkFlags extends ModelFlags {
  readonly classes?: number;
}

export interface LoadedNetwork {
  readonly model: Module;
  /** The shape of one example. */
  readonly input: readonly number[];
}

/** A built-in network by its name, with weights that are not drawn, or a model file by its path. */
export async function loadNetwork(name: string, flags: NetworkFlags, output: Output): Promise<LoadedNetwork> {
  return Object.hasOwn(MODELS, name) ? builtIn(name, flags) : await fromFile(name, flags, output);
}

function builtIn(name: string, { input, classes, model }: NetworkFlags): LoadedNetwork {
  if (model !== undefined) throw new UsageError(`--model names the network of a file of weights; ${name} is a network`);
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
  if (shape.length !== 3) {
    throw new UsageError(`--input of ${name} must be channels x height x width, for example 1x28x28`);
  }
  const [inChannels, height, width] = shape;
  return { model: init.skipInit(() => create({ ...own, inChannels, size: [height, width] })), input: shape };
}

async function fromFile(path: string, flags: NetworkFlags, output: Output): Promise<LoadedNetwork> {
  const { classes } = flags;
  if (!existsSync(path) && !/[./\\]/.test(path)) {
    const names = Object.keys(MODELS);
    const near = nearest(path, names, 1).map((name) => `; did you mean ${name}?`);
    throw new UsageError(
      `there is no network "${path}"${near}; there are ${names.join(', ')}. For a model file, give its path`,
    );
  }
  if (classes !== undefined && flags.model === undefined) {
    throw new UsageError('--classes is for built-in networks; a model file has the outputs that it has');
  }
  const loaded = await openModel(path, { ...flags, ...(classes === undefined ? {} : { outputs: classes }) }, output);
  if (loaded.inputs.length !== 1) {
    const names = loaded.inputs.map(({ name }) => name).join(', ');
    throw new UsageError(`${path}: has ${loaded.inputs.length} inputs (${names}); only networks of one are shown here`);
  }
  // What does not fit, the layers themselves say best.
  return { model: loaded.model, input: flags.input ?? loaded.shapes()[0].slice(1) };
}
