import { invariant } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { Graph, type Node, type Value } from './graph.js';
import { traceApart, withScope } from './trace.js';

/** The graph with the parts of every composite operator in its place; itself where there is none. */
export function expandOperators(graph: Graph): Graph {
  if (!graph.nodes.some(({ operator }) => operator.expand)) return graph;
  const expanded = graph.rewrite((node, inputs, into) => {
    if (node.operator.expand === undefined) return undefined;
    const parts = partsOf(node);
    const values = new Map<Value, Value>(parts.inputs.map((value, i) => [value, inputs[i]]));
    const mapped = (value: Value): Value => values.get(value) as Value;
    for (const part of parts.nodes) {
      const copy = into.addNode(part.operator, part.inputs.map(mapped), part.attributes, part.scope);
      for (const [i, value] of part.outputs.entries()) values.set(value, copy.outputs[i]);
    }
    return parts.outputs.map(mapped);
  });
  // Composite operators may consist of others.
  return expandOperators(expanded);
}

/** The operators that a composite one consists of, as a graph of its inputs; a graph of the node alone for others. */
export function partsOf({ operator, inputs, attributes, scope }: Node): Graph {
  if (operator.expand === undefined) {
    const graph = new Graph();
    const values = inputs.map(({ type }) => graph.addInput(type));
    graph.outputs = [...graph.addNode(operator, values, attributes, scope).outputs];
    return graph;
  }
  const { expand } = operator;
  const recording = traceApart((graph) => {
    const operands = inputs.map(({ type }) => Tensor.fromTraced(graph.addInput(type)));
    return withScope(scope, () => expand(operands, attributes));
  });
  invariant(recording.captured.size === 0, `${operator.name} captures a tensor when it is expanded`);
  return recording.graph;
}
