import type { Graph, Node, Value } from '../graph/graph.js';
import { attributeText } from '../graph/print.js';

/** Merges nodes that compute the same thing, and drops those whose results nobody uses. */
export function mergeCommon(graph: Graph): Graph {
  const seen = new Map<string, readonly Value[]>();
  return removeDead(
    graph.rewrite((node, inputs, into) => {
      const key = `${node.operator.name}(${inputs.map((value) => value.id)})${attributeText(node.attributes)}`;
      const found = seen.get(key);
      if (found !== undefined) return found;
      const { outputs } = into.addNode(node.operator, inputs, node.attributes, node.scope);
      seen.set(key, outputs);
      return outputs;
    }),
  );
}

/** Drops nodes whose results nobody uses. */
function removeDead(graph: Graph): Graph {
  const live = new Set<Value>([...graph.outputs, ...graph.updates.map((update) => update.value)]);
  const nodes = new Set<Node>();
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!node.outputs.some((value) => live.has(value))) continue;
    nodes.add(node);
    for (const value of node.inputs) live.add(value);
  }
  return graph.rewrite((node) => (nodes.has(node) ? undefined : node.outputs));
}
