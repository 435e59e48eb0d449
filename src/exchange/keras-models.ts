import { readFile } from 'node:fs/promises';
import type { ModelPort } from '../formats/model-port.js';
import type { Siblings } from '../formats/siblings.js';
import { loadKeras } from '../keras/files/load.js';
import type { SymbolicTensor } from '../keras/layer.js';
import { OptionError } from '../tensor/errors.js';
import { LoadedModel } from './loaded-model.js';
import type { ReadOptions } from './options.js';

/** `.keras`, `.h5`, or `model.json` of TensorFlow.js. */
export async function loadKerasModel(path: string, options: ReadOptions): Promise<LoadedModel> {
  const { shown = path, architecture, siblings, input } = options;
  if (architecture !== undefined) {
    throw new OptionError(`${shown}: has an architecture of its own; leave out "${architecture}"`);
  }
  if (siblings !== undefined) await fetchShards(path, siblings);
  const model = await loadKeras(path, input === undefined ? {} : { inputShape: input });
  return new LoadedModel({
    model: model.module.eval(),
    format: 'keras',
    path: shown,
    inputs: model.inputs.map((tensor, i) => portOf(tensor, model.inputNames[i])),
    outputs: model.outputs.map((tensor, i) => portOf(tensor, model.outputNames[i])),
  });
}

/** Keras leaves open what is null: as a rule the batch. */
function portOf({ shape, dtype }: SymbolicTensor, name: string): ModelPort {
  const extents = shape.map((extent, axis) => (extent === null && axis === 0 ? 'batch' : extent));
  return { name, dtype: dtype === 'int32' ? 'i32' : 'f32', shape: extents };
}

/** The weights of TensorFlow.js lie in files of their own, which its manifest names. */
async function fetchShards(path: string, siblings: Siblings): Promise<void> {
  if (!path.endsWith('.json')) return;
  const { weightsManifest } = JSON.parse(await readFile(path, 'utf8')) as { weightsManifest?: { paths?: string[] }[] };
  for (const { paths = [] } of weightsManifest ?? []) for (const name of paths) await siblings(name);
}
