import './module-families.js';
import { describesModel } from '../formats/model-description.js';
import { loadModel, saveModel } from '../formats/model-file.js';
import type { ModelPort } from '../formats/model-port.js';
import type { OnnxModel } from '../formats/onnx/onnx-model.js';
import { readSafetensorsHeader, writeSafetensors } from '../formats/safetensors.js';
import type { Module } from '../nn/module.js';
import { OptionError } from '../tensor/errors.js';
import { toHost } from '../tensor/host-tensor.js';
import { loadBuiltIn } from './built-in.js';
import { LoadedModel } from './loaded-model.js';
import { checkOwnArchitecture, type ReadOptions, type WriteOptions } from './options.js';

/** A model as Gabor saves it, or weights alone. */
export async function loadSafetensors(path: string, options: ReadOptions): Promise<LoadedModel> {
  const { shown = path } = options;
  const { metadata: header } = await readSafetensorsHeader(path);
  if (!describesModel(header)) return loadBuiltIn(path, options);
  checkOwnArchitecture(shown, options);
  const { model, metadata, ...facts } = await loadModel(path);
  const { classes, preprocessing } = facts;
  const picture = preprocessing && [preprocessing.channels, preprocessing.height, preprocessing.width];
  const own = await ownPorts(model);
  return new LoadedModel({
    model,
    format: 'gabor',
    path: shown,
    inputs: facts.inputs ??
      own?.inputs ?? [{ name: 'input', dtype: model.inputDType, shape: picture && ['batch', ...picture] }],
    outputs: facts.outputs ??
      own?.outputs ?? [{ name: 'output', dtype: 'f32', shape: classes && ['batch', classes.length] }],
    ...(classes === undefined ? {} : { classes }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    metadata,
  });
}

/** What imported graphs say of themselves. */
async function ownPorts(model: Module): Promise<{ inputs: ModelPort[]; outputs: ModelPort[] } | undefined> {
  if (model.type !== 'OnnxModel') return undefined;
  return (await import('./onnx-models.js')).onnxPorts(model as OnnxModel);
}

/** Keys that mean something to the format. */
const OWN: readonly string[] = ['run'];

/** Saves as {@link saveModel} does, or the weights alone where a module has no configuration. */
export async function saveSafetensors(
  path: string,
  loaded: LoadedModel,
  { floats = 'f32' }: WriteOptions,
): Promise<string[]> {
  const { model, classes, preprocessing, inputs, outputs, metadata } = loaded;
  try {
    model.config();
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    await writeSafetensors(path, toHost(model.stateDict()), {}, { floats });
    return [`the architecture: ${error.message}; the file holds the weights alone`];
  }
  const extra = Object.fromEntries(Object.entries(metadata).filter(([key]) => OWN.includes(key)));
  const facts = {
    ...(classes === undefined ? {} : { classes }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
  };
  await saveModel(path, model, { ...facts, inputs, outputs, extra }, { floats });
  return [];
}
