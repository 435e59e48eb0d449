import type { Json, LayerConfig } from '../../nn/config.js';
import { zeros } from '../../ops/create.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import { checkShape, type Shape } from '../../tensor/shape.js';
import { usesOf } from './analysis.js';
import { checkOperators, opsetOf } from './check.js';
import type { OnnxContent, Weight } from './content.js';
import type { OnnxNode } from './context.js';
import { ELEMENT_TYPES, type ElementType, rowOf } from './element-types.js';
import { type OnnxPort, readGraph } from './graph.js';
import { MODEL, type ModelProto, type NodeProto, type ValueInfo } from './messages.js';
import { decode, encode } from './proto.js';
import { readTensor, writeTensor } from './tensor-proto.js';

// An imported network as a configuration: the graph as an ONNX message without its weights, which are the state of the module.

const TYPE = 'OnnxModel';
/** Of the file format; any that knows sets of operators. */
const IR_VERSION = 8;

/** What `OnnxModel.config()` says; {@link contentOf} reads it back. */
export function configOf({ graph, opset, weights, constants, dims, producer, metadata }: OnnxContent): LayerConfig {
  const message: ModelProto = {
    irVersion: IR_VERSION,
    producerName: producer,
    opsetImport: [{ version: opset }],
    metadataProps: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    functions: [],
    graph: {
      node: graph.nodes.map(nodeMessage),
      initializer: [...constants].map(([name, { type, shape, data }]) => writeTensor(name, type, shape, data)),
      sparseInitializer: [],
      input: graph.inputs.map(portMessage),
      output: graph.outputs.map(portMessage),
      valueInfo: [],
    },
  };
  return {
    type: TYPE,
    graph: Buffer.from(encode(MODEL, message)).toString('base64'),
    weights: weights.map(({ name, type, trained, tensor }) => ({ name, type, shape: tensor.shape, trained })),
    dims,
  };
}

function nodeMessage({ name, type, inputs, outputs, attributes }: OnnxNode): NodeProto {
  const dot = type.lastIndexOf('.');
  return {
    name,
    ...(dot < 0 ? { opType: type } : { domain: type.slice(0, dot), opType: type.slice(dot + 1) }),
    input: inputs,
    output: outputs,
    attribute: [...attributes.values()],
  };
}

function portMessage({ name, type, shape }: OnnxPort): ValueInfo {
  const dim = shape?.map((extent) =>
    typeof extent === 'string' ? { dimParam: extent } : extent === undefined ? {} : { dimValue: extent },
  );
  const elemType = type === undefined ? undefined : rowOf(type).code;
  return { name, type: { tensorType: { elemType, shape: dim && { dim } } } };
}

/**
 * The network that a configuration describes, with weights that are zero.
 *
 * @throws FileError or OptionError for a configuration that makes no sense
 */
export function contentOf(config: LayerConfig): OnnxContent {
  checkOptions(TYPE, config, ['type', 'graph', 'weights', 'dims']);
  const { graph: text, weights: list, dims } = config;
  if (typeof text !== 'string' || !Array.isArray(list) || typeof dims !== 'object' || dims === null) {
    throw new OptionError(`${TYPE}: the configuration needs "graph" (base64), "weights" (a list) and "dims"`);
  }
  const bytes = new Uint8Array(Buffer.from(text, 'base64'));
  const proto = decode<ModelProto>(MODEL, bytes, TYPE);
  if (proto.graph === undefined) throw new OptionError(`${TYPE}: the configuration has no graph`);
  const weights = list.map(weightOf);
  const opset = opsetOf(proto, TYPE);
  const graph = readGraph(proto.graph, TYPE, new Set(weights.map(({ name }) => name)));
  checkOperators(graph, opset, TYPE);
  const constants = [...graph.initialisers].map(
    ([name, tensor]) => [name, readTensor(tensor, `${TYPE}: constant "${name}"`)] as const,
  );
  return {
    graph: { ...graph, initialisers: new Map() },
    opset,
    uses: usesOf(graph),
    weights,
    constants: new Map(constants),
    dims: dims as Readonly<Record<string, number>>,
    producer: proto.producerName ?? '',
    metadata: Object.fromEntries(proto.metadataProps.map(({ key = '', value = '' }) => [key, value])),
  };
}

function weightOf(entry: Json): Weight {
  const { name, type, shape, trained } = (entry ?? {}) as Readonly<Record<string, Json>>;
  if (typeof name !== 'string' || typeof trained !== 'boolean' || !Object.hasOwn(ELEMENT_TYPES, String(type))) {
    throw new OptionError(`${TYPE}: ${JSON.stringify(entry)} describes no weight`);
  }
  checkShape(`${TYPE}: weight "${name}"`, shape as Shape);
  if (rowOf(type as ElementType).dtype !== 'f32') {
    throw new OptionError(`${TYPE}: weight "${name}" is ${type}; weights are floats`);
  }
  return { name, type: type as ElementType, trained, tensor: zeros(shape as Shape) };
}
