import type { Graph, Node, Value } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { multiplyAdds } from '../kernel/contraction.js';
import type { Kernel } from '../kernel/kernel.js';
import { Module } from '../nn/module.js';
import { OptionError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';

/** A model, a layer, or a function of one tensor. */
export type Network = Module | ((x: Tensor) => Tensor);

export interface TracedNetwork {
  readonly graph: Graph;
  readonly input: Value;
  readonly output: Value;
}

/**
 * The graph of a network in evaluation mode for one example of shape `inputShape` (without the batch axis). Nothing runs.
 *
 * @param where named in messages
 */
export function traceNetwork(where: string, network: Network, inputShape: Shape): TracedNetwork {
  checkInputShape(where, inputShape);
  let input: Value | undefined;
  const { graph } = trace((recording) => {
    input = recording.addInput({ dtype: 'f32', shape: [1, ...inputShape] });
    const x = Tensor.fromTraced(input);
    return [network instanceof Module ? inMode(network, false, () => network.call(x)) : network(x)];
  });
  return { graph, input: input as Value, output: graph.outputs[0] };
}

export function checkInputShape(where: string, inputShape: Shape): void {
  if (inputShape.length === 0 || !inputShape.every((extent) => Number.isInteger(extent) && extent > 0)) {
    throw new OptionError(`${where}: the input shape must be positive whole numbers, got ${formatShape(inputShape)}`);
  }
}

export function lowerNode(node: Node): Kernel {
  return node.operator.lower(
    node.inputs.map((value) => value.type),
    node.outputs.map((value) => value.type),
    node.attributes,
  );
}

/** Multiply-adds of a node's contraction; 0 for other kernels. */
export function nodeMultiplyAdds(node: Node): number {
  const kernel = lowerNode(node);
  return kernel.kind === 'contraction' ? multiplyAdds(kernel.geometry) : 0;
}
