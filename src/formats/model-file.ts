import type { Module } from '../nn/index.js';
import { toHost } from '../train/host-tensor.js';
import { Classifier } from '../train/index.js';
import {
  buildModel,
  checkTensors,
  describeModel,
  type ModelDescription,
  numbersIn,
  parseDescription,
} from './model-description.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';

/** Prefixes of tensor names in a checkpoint. */
export const MODEL_PREFIX = 'model.';

/**
 * Saves a model as one safetensors file, as a whole or not at all: weights under PyTorch's names, and in the metadata the architecture
 * (JSON of `model.config()`), the classes and the preprocessing, so that {@link loadModel} needs nothing else.
 *
 * @throws FileError when it cannot be written; a file that was there before is unchanged.
 */
export async function saveModel(path: string, model: Module, description: ModelDescription): Promise<void> {
  await writeSafetensors(path, toHost(model.stateDict()), describeModel('model', model, description));
}

/**
 * Loads what {@link saveModel} saved, in evaluation mode. A checkpoint is read as the model it holds.
 *
 * @throws FileError for a file that is missing, cut short, has unknown layers, or tensors that do not fit the architecture.
 */
export async function loadModel(path: string): Promise<Classifier> {
  const { metadata, tensors } = await readSafetensors(path);
  const { kind, config, classes, preprocessing, extra } = parseDescription(path, metadata);
  const model = buildModel(path, config, numbersIn(tensors.values()));
  const found = withoutPrefix(tensors, kind === 'checkpoint' ? MODEL_PREFIX : '');
  checkTensors(path, 'the model', model.stateDict(), found);
  model.loadStateDict(found);
  return new Classifier(model.eval(), classes, preprocessing, extra);
}

/** The entries whose names begin with `prefix`, without it. */
export function withoutPrefix<T>(entries: ReadonlyMap<string, T>, prefix: string): Record<string, T> {
  return Object.fromEntries(
    [...entries].filter(([name]) => name.startsWith(prefix)).map(([name, value]) => [name.slice(prefix.length), value]),
  );
}
