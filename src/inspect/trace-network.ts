import { partsOf } from '../graph/expand.js';
import type { Graph, Node, Value } from '../graph/graph.js';
import { type Trace, trace } from '../graph/trace.js';
import { multiplyAdds } from '../kernel/contraction.js';
import type { Kernel } from '../kernel/kernel.js';
import { Module } from '../nn/module.js';
import { checkDataFormat, type DataFormat } from '../ops/data-format.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import type { Constants } from './constant-matrix.js';

/** A model, a layer, or a function of one tensor. */
export type Network = Module | ((x: Tensor) => Tensor);

export interface TracedNetwork {
  readonly graph: Graph;
  readonly input: Value;
  readonly output: Value;
  /** Of models; what functions capture may be learnt. */
  readonly constants: Constants;
}

/** What a trace of a model captured besides its parameters and buffers. */
export function constantsOf(model: Module, { captured }: Trace): Constants {
  const states = [model.namedParameters(), model.namedBuffers(), model.namedRandomStates()].flat();
  const learnt = new Set(states.map(([, tensor]) => tensor));
  return new Map([...captured].filter(([tensor]) => !learnt.has(tensor)).map(([tensor, value]) => [value, tensor]));
}

/** What an input is beside its shape. */
export interface InputOptions {
  /** default: what the network takes first, `i32` where that is an embedding, otherwise `f32` */
  readonly dtype?: 'f32' | 'i32';
  /** [channels, …spatial] or […spatial, channels]; default: that of the first layer that has one. Of `f32` inputs. */
  readonly dataFormat?: DataFormat;
}

export const INPUT_OPTIONS: readonly string[] = ['dtype', 'dataFormat'];

function inputDType(network: Network, { dtype }: InputOptions): 'f32' | 'i32' {
  if (dtype !== undefined) return dtype;
  return network instanceof Module ? network.inputDType : 'f32';
}

/** The axes of the input, batch included, along which positions are counted; numbers of words have no channels. */
export function spatialAxes(network: Network, input: Value, { dataFormat }: InputOptions): number[] {
  const rank = input.type.shape.length;
  if (input.type.dtype === 'i32') return Array.from({ length: rank - 1 }, (_, s) => 1 + s);
  const layers = network instanceof Module ? network.modules() : [];
  const formats = layers.map((layer) => ('dataFormat' in layer ? layer.dataFormat : undefined));
  const format = dataFormat ?? formats.find((found) => found !== undefined);
  const first = format === 'channels-last' ? 1 : 2;
  return Array.from({ length: Math.max(0, rank - 2) }, (_, s) => first + s);
}

/**
 * The graph of a network in evaluation mode for one example of shape `inputShape` (without the batch axis). Nothing runs.
 *
 * @param where named in messages
 */
export function traceNetwork(
  where: string,
  network: Network,
  inputShape: Shape,
  options: InputOptions = {},
): TracedNetwork {
  const dtype = checkInput(where, network, inputShape, options);
  let input: Value | undefined;
  const recorded = trace((recording) => {
    input = recording.addInput({ dtype, shape: [1, ...inputShape] });
    const x = Tensor.fromTraced(input);
    return [network instanceof Module ? inMode(network, false, () => network.call(x)) : network(x)];
  });
  const { graph } = recorded;
  const constants = network instanceof Module ? constantsOf(network, recorded) : new Map();
  return { graph, input: input as Value, output: graph.outputs[0], constants };
}

/** Checks shape and options; returns the input's dtype. */
export function checkInput(where: string, network: Network, inputShape: Shape, options: InputOptions): 'f32' | 'i32' {
  checkOptions(where, options, INPUT_OPTIONS);
  checkDataFormat(where, options.dataFormat ?? 'channels-first');
  const dtype = inputDType(network, options);
  if (dtype !== 'f32' && dtype !== 'i32') {
    throw new OptionError(`${where}: dtype must be "f32" or "i32", got ${JSON.stringify(dtype)}`);
  }
  if (inputShape.length === 0 || !inputShape.every((extent) => Number.isInteger(extent) && extent > 0)) {
    throw new OptionError(`${where}: the input shape must be positive whole numbers, got ${formatShape(inputShape)}`);
  }
  return dtype;
}

export function lowerNode(node: Node): Kernel {
  return node.operator.lower(
    node.inputs.map((value) => value.type),
    node.outputs.map((value) => value.type),
    node.attributes,
  );
}

/** Multiply-adds of a node's contractions; 0 for other kernels. */
export function nodeMultiplyAdds(node: Node): number {
  if (node.operator.expand !== undefined) {
    return partsOf(node).nodes.reduce((total, part) => total + nodeMultiplyAdds(part), 0);
  }
  const kernel = lowerNode(node);
  return kernel.kind === 'contraction' ? multiplyAdds(kernel.geometry) : 0;
}
