import { existsSync } from 'node:fs';
import type { LoadedModel } from '../exchange/loaded-model.js';
import { formatExtents } from '../inspect/format.js';
import { findModel, MODELS } from '../models/index.js';
import { noSuchModel } from '../models/registry.js';
import { init, Module } from '../nn/index.js';
import { full } from '../ops/create.js';
import type { Tensor } from '../tensor/tensor.js';
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
    throw new UsageError(`${noSuchModel(path)}. For a model file, give its path`);
  }
  if (classes !== undefined && flags.model === undefined) {
    throw new UsageError('--classes is for built-in networks; a model file has the outputs that it has');
  }
  const loaded = await openModel(path, { ...flags, ...(classes === undefined ? {} : { outputs: classes }) }, output);
  if (loaded.inputs.length === 0)
    throw new UsageError(`${path}: takes no inputs; there is nothing to follow through it`);
  if (loaded.inputs.length === 1) {
    // What does not fit, the layers themselves say best.
    return { model: loaded.model, input: flags.input ?? loaded.shapes()[0].slice(1) };
  }
  const given = flags.input === undefined ? {} : { [loaded.inputs[0].name]: flags.input };
  const [first, ...others] = loaded.shapes(given);
  return { model: new OfFirstInput(loaded, others), input: first.slice(1) };
}

/** A network of several inputs as one of its first: the others are zeros. For what looks at layers, not at numbers. */
class OfFirstInput extends Module {
  readonly type: string;
  readonly #loaded: LoadedModel;
  readonly #others: readonly (readonly number[])[];

  constructor(loaded: LoadedModel, others: readonly (readonly number[])[]) {
    super();
    this.type = loaded.model.type;
    this.child('network', loaded.model);
    this.#loaded = loaded;
    this.#others = others;
  }

  forward(x: Tensor): Tensor {
    const zeros = this.#others.map(([, ...example], i) => full([x.shape[0], ...example], 0, this.#loaded.dtype(i + 1)));
    return this.#loaded.outputsOf([x, ...zeros])[0];
  }
}
