import type { Module } from '../nn/index.js';
import { checkOptions } from '../tensor/errors.js';
import { toHost } from '../tensor/host-tensor.js';
import { withFile } from './byte-source.js';
import {
  buildModel,
  checkTensors,
  describeModel,
  type ModelDescription,
  type ModelFacts,
  numbersIn,
  parseDescription,
} from './model-description.js';
import { openSafetensors, type SafetensorsOptions, writeSafetensors } from './safetensors.js';
import { fillTensors } from './weight-source.js';

/** Prefixes of tensor names in a checkpoint. */
export const MODEL_PREFIX = 'model.';

/** What {@link saveModel} saved. */
export interface SavedModel extends ModelFacts {
  /** In evaluation mode. */
  readonly model: Module;
  /** The texts of `extra`. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Saves a model as one safetensors file, as a whole or not at all: weights under PyTorch's names, and in the metadata the architecture
 * (JSON of `model.config()`) and what else is known of it, such as classes and preprocessing, so that `load` needs nothing else.
 *
 * @throws FileError when it cannot be written; a file that was there before is unchanged.
 */
export async function saveModel(
  path: string,
  model: Module,
  description: ModelDescription = {},
  options: SafetensorsOptions = {},
): Promise<void> {
  checkOptions('save', description, ['classes', 'preprocessing', 'inputs', 'outputs', 'extra']);
  await writeSafetensors(path, toHost(model.stateDict()), describeModel('model', model, description), options);
}

/**
 * Loads what {@link saveModel} saved. A checkpoint is read as the model it holds.
 *
 * @throws FileError for a file that is missing, cut short, has unknown layers, or tensors that do not fit the architecture.
 */
export async function loadModel(path: string): Promise<SavedModel> {
  return withFile(path, async (file) => {
    const { metadata, entries } = await openSafetensors(file);
    const { kind, config, extra, ...facts } = parseDescription(path, metadata);
    const model = await buildModel(path, config, numbersIn(entries.values()));
    const found = withoutPrefix(entries, kind === 'checkpoint' ? MODEL_PREFIX : '');
    const state = model.stateDict();
    checkTensors(path, 'the model', state, found);
    await fillTensors(Object.entries(found).map(([name, entry]) => [state[name], entry]));
    return { model: model.eval(), metadata: extra, ...facts };
  });
}

/** The entries whose names begin with `prefix`, without it. */
export function withoutPrefix<T>(entries: ReadonlyMap<string, T>, prefix: string): Record<string, T> {
  return Object.fromEntries(
    [...entries].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
