import type { ModelPort } from '../formats/model-port.js';
import { loadKeras } from '../keras/files/load.js';
import type { SymbolicTensor } from '../keras/layer.js';
import type { LayersModel } from '../keras/model.js';
import type { Module } from '../nn/module.js';
import { FileError } from '../tensor/errors.js';
import { LoadedModel } from './loaded-model.js';
import { checkOwnArchitecture, type ReadOptions } from './options.js';

/** What modules are made of, which do not know it. */
const MODELS = new WeakMap<Module, LayersModel>();

/** `.keras`, `.h5`, or `model.json` of TensorFlow.js. */
export async function loadKerasModel(path: string, options: ReadOptions): Promise<LoadedModel> {
  const { shown = path, siblings, input } = options;
  checkOwnArchitecture(shown, options);
  const model = await loadKeras(path, { inputShape: input, siblings });
  MODELS.set(model.module, model);
  return new LoadedModel({
    model: model.module.eval(),
    format: 'keras',
    path: shown,
    inputs: model.inputs.map((tensor, i) => portOf(tensor, model.inputNames[i])),
    outputs: model.outputs.map((tensor, i) => portOf(tensor, model.outputNames[i])),
  });
}

/** `.keras`, or `model.json` of TensorFlow.js, of models that came from such files. */
export async function saveKerasModel(path: string, { model, format }: LoadedModel): Promise<string[]> {
  const layers = MODELS.get(model);
  if (layers === undefined) {
    throw new FileError(
      `${path}: files of Keras and TensorFlow.js list Keras's layers, which this model (${format}) does not consist of: only models of gabor/keras, and of such files, become one. Write it as .onnx or .safetensors, or build its layers with gabor/keras, set their weights, and call model.save('model.keras')`,
    );
  }
  const { saveModel } = await import('../keras/files/save.js');
  return await saveModel(layers, path);
}

/** The shards of a `model.json`. */
export async function kerasFilesBeside(path: string): Promise<readonly string[]> {
  if (!path.toLowerCase().endsWith('.json')) return [];
  return await (await import('../keras/files/write-tfjs.js')).tfjsShards(path);
}

/** Keras leaves open what is null: as a rule the batch. */
function portOf({ shape, dtype }: SymbolicTensor, name: string): ModelPort {
  const extents = shape.map((extent, axis) => (extent === null && axis === 0 ? 'batch' : extent));
  return { name, dtype: dtype === 'int32' ? 'i32' : 'f32', shape: extents };
}
