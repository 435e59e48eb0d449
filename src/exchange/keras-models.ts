import type { ModelPort } from '../formats/model-port.js';
import { loadKeras } from '../keras/files/load.js';
import type { SymbolicTensor } from '../keras/layer.js';
import { LoadedModel } from './loaded-model.js';
import { checkOwnArchitecture, type ReadOptions } from './options.js';

/** `.keras`, `.h5`, or `model.json` of TensorFlow.js. */
export async function loadKerasModel(path: string, options: ReadOptions): Promise<LoadedModel> {
  const { shown = path, siblings, input } = options;
  checkOwnArchitecture(shown, options);
  const model = await loadKeras(path, { inputShape: input, siblings });
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
