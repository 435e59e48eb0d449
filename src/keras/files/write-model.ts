/** Configurations of models, as Keras 3 and TensorFlow.js write them. */

import { FileError } from '../../tensor/errors.js';
import { InputLayer, type Layer, type Node, type SymbolicTensor } from '../layer.js';
import type { Fields } from './json.js';
import { kerasTensor, object, type Writing, writeLayer } from './write-layers.js';
import { isGraph, isModel, type WrittenGraph, type WrittenModel } from './written-model.js';

/** A place among the outputs of the calls of a model's layers. */
type History = readonly [layer: string, call: number, tensor: number];

/**
 * The whole model as an object of the dialect.
 *
 * @throws FileError for what the dialect cannot say
 */
export function writeModel(writing: Writing, model: WrittenModel): Fields {
  checkShared(model);
  return modelObject(writing, model);
}

/** Layers of several models are the same ones here, and would become several. */
function checkShared(model: WrittenModel): void {
  const owners = new Map<Layer, WrittenModel>();
  const visit = (owner: WrittenModel): void => {
    for (const layer of owner.layers) {
      if (layer instanceof InputLayer) continue;
      const other = owners.get(layer);
      if (other !== undefined) {
        throw new FileError(
          `layer "${layer.name}" (${layer.className}) is part of the models "${other.name}" and "${owner.name}", which the file cannot say; call one model within the other instead`,
        );
      }
      owners.set(layer, owner);
      if (isModel(layer)) visit(layer);
    }
  };
  visit(model);
}

function modelObject(writing: Writing, model: WrittenModel): Fields {
  if (!model.built) {
    throw new FileError(
      `model "${model.name}" is not built yet: give its first layer an inputShape, or call it on data, before it is saved`,
    );
  }
  const functional = isGraph(model);
  const config = functional ? functionalConfig(writing, model) : sequentialConfig(writing, model);
  if (writing.dialect === 'tfjs') return { class_name: model.className, config };
  const written = object(functional ? 'keras.src.models.functional' : 'keras', model.className, config);
  return functional
    ? { ...written, registered_name: 'Functional', build_config: { input_shape: null }, compile_config: {} }
    : { ...written, build_config: { input_shape: model.inputs[0].shape }, compile_config: {} };
}

function layerObject(writing: Writing, layer: Layer): Fields {
  return isModel(layer) ? modelObject(writing, layer) : writeLayer(writing, layer);
}

function inputObject({ dialect }: Writing, name: string, { shape, dtype }: SymbolicTensor): Fields {
  if (dialect === 'tfjs') {
    return { class_name: 'InputLayer', config: { batch_input_shape: shape, dtype, sparse: false, name } };
  }
  const config = { batch_shape: shape, dtype, sparse: false, ragged: false, name, optional: false };
  return object('keras.layers', 'InputLayer', config);
}

function sequentialConfig(writing: Writing, model: WrittenModel): Fields {
  const { name, trainable } = model;
  const [input] = model.inputs;
  const layers = [inputObject(writing, input.name, input), ...model.layers.map((layer) => layerObject(writing, layer))];
  if (writing.dialect === 'tfjs') return { name, layers };
  return { name, trainable, dtype: 'float32', layers, build_input_shape: input.shape };
}

function functionalConfig(writing: Writing, model: WrittenGraph): Fields {
  const { name, trainable, nodes, layers } = model;
  const keras = writing.dialect === 'keras';
  const inputs = namedInputs(model);
  const calls = (layer: Layer): Node[] => nodes.filter((node) => node.layer === layer);
  /** TensorFlow.js counts calls of models from 1 everywhere, Keras 3 those of functional ones among the outputs alone. */
  const history = (tensor: SymbolicTensor, output: boolean): History => {
    const input = inputs.get(tensor);
    if (input !== undefined) return [input, 0, 0];
    const node = tensor.node as Node;
    const first = keras ? output && isGraph(node.layer) : isModel(node.layer);
    return [node.layer.name, calls(node.layer).indexOf(node) + (first ? 1 : 0), node.outputs.indexOf(tensor)];
  };
  const call = (node: Node): unknown => {
    const { training } = node;
    if (!keras) checkTraining(writing, node);
    if (!keras) return node.inputs.map((x) => [...history(x, false), training === undefined ? {} : { training }]);
    const tensors = node.inputs.map((x) => kerasTensor(x, history(x, false)));
    return { args: tensors.length === 1 ? tensors : [tensors], kwargs: training === undefined ? {} : { training } };
  };
  const written = [
    ...[...inputs].map(([tensor, input]) => ({
      ...inputObject(writing, input, tensor),
      name: input,
      inbound_nodes: [],
    })),
    ...layers
      .filter((layer) => !(layer instanceof InputLayer))
      .map((layer) => ({
        ...layerObject(writing, layer),
        name: layer.name,
        inbound_nodes: calls(layer).map(call),
      })),
  ];
  const one = (list: readonly History[]): unknown => (keras && list.length === 1 ? list[0] : list);
  return {
    name,
    trainable,
    layers: written,
    input_layers: one(model.inputs.map((tensor) => history(tensor, false))),
    output_layers: one(model.outputs.map((tensor) => history(tensor, true))),
  };
}

/** TensorFlow.js reads how a layer is called, and does not heed it. */
function checkTraining({ notes }: Writing, { layer, training }: Node): void {
  if (training === undefined) return;
  const where = `layer "${layer.name}" (${layer.className})`;
  if (training) {
    throw new FileError(
      `${where}: is called with training = true, which TensorFlow.js does not do; save the model as .keras`,
    );
  }
  notes.push(
    `${where} is called with training = false, which TensorFlow.js does not heed when it trains; predictions are the same`,
  );
}

/** Names of the inputs; those of a model that begins within another get one of their own. */
function namedInputs(model: WrittenGraph): Map<SymbolicTensor, string> {
  const taken = new Set(model.layers.map(({ name }) => name));
  return new Map(
    model.inputs.map((tensor) => {
      if (tensor.sourceLayer instanceof InputLayer) return [tensor, tensor.sourceLayer.name];
      let name = tensor.name;
      while (taken.has(name)) name = `${name}_input`;
      taken.add(name);
      return [tensor, name];
    }),
  );
}
