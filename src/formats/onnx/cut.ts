import { OptionError } from '../../tensor/errors.js';
import type { OnnxContent } from './content.js';
import type { OnnxNode } from './context.js';
import { reads } from './graph.js';

/** The part of a network that computes one of its tensors; weights are shared. */
export function cutAt(content: OnnxContent, value: string): OnnxContent {
  const { graph, weights, constants } = content;
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  if (!producers.has(value)) throw new OptionError(`OnnxModel: no node computes "${value}"`);
  const needed = new Set<OnnxNode>();
  const named = new Set<string>();
  const open = [value];
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (named.has(name)) continue;
    named.add(name);
    const node = producers.get(name);
    if (node === undefined || needed.has(node)) continue;
    needed.add(node);
    open.push(...reads(node));
  }
  const port = graph.outputs.find(({ name }) => name === value) ?? { name: value, type: undefined, shape: undefined };
  return {
    ...content,
    graph: {
      ...graph,
      inputs: graph.inputs.filter(({ name }) => named.has(name)),
      outputs: [port],
      nodes: graph.nodes.filter((node) => needed.has(node)),
    },
    weights: weights.filter(({ name }) => named.has(name)),
    constants: new Map([...constants].filter(([name]) => named.has(name))),
  };
}
