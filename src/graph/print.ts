import { formatType } from '../tensor/shape.js';
import type { Graph, Value } from './graph.js';

/** The graph as text, one node a line: `%7 = relu(%6) : f32[64, 6, 24, 24]   # features.1`. */
export function printGraph(graph: Graph): string {
  const name = (value: Value): string => `%${value.id}`;
  const lines = [`graph(${graph.inputs.map((v) => `${name(v)}: ${formatType(v.type)}`).join(', ')})`];
  for (const node of graph.nodes) {
    const attributes = attributeText(node.attributes);
    const left = node.outputs.map(name).join(', ');
    const types = node.outputs.map((v) => formatType(v.type)).join(', ');
    lines.push(
      `  ${left} = ${node.operator.name}(${node.inputs.map(name).join(', ')})${attributes === '{}' ? '' : ` ${attributes}`} : ${types}${node.scope ? `   # ${node.scope}` : ''}`,
    );
  }
  lines.push(`  return ${graph.outputs.map(name).join(', ')}`);
  for (const { input, value } of graph.updates) lines.push(`  update ${name(input)} ← ${name(value)}`);
  return lines.join('\n');
}

/** Identifies what a graph computes: equal for graphs of the same structure, attributes and types. */
export function graphSignature(graph: Graph): string {
  const numbers = new Map<Value, number>();
  const number = (value: Value): number => {
    let n = numbers.get(value);
    if (n === undefined) {
      n = numbers.size;
      numbers.set(value, n);
    }
    return n;
  };
  const parts = graph.inputs.map((v) => `${number(v)}:${formatType(v.type)}`);
  for (const node of graph.nodes) {
    parts.push(
      `${node.outputs.map(number)}=${node.operator.name}(${node.inputs.map(number)})${attributeText(node.attributes)}`,
    );
  }
  parts.push(`>${graph.outputs.map(number)}`, ...graph.updates.map((u) => `${number(u.input)}<-${number(u.value)}`));
  return parts.join(';');
}

/** Identifies attributes: JSON, but with infinities, NaN and negative zero told apart. */
export function attributeText(attributes: object): string {
  return JSON.stringify(attributes, (_, value) =>
    typeof value === 'number' && (!Number.isFinite(value) || Object.is(value, -0)) ? `${1 / value}/${value}` : value,
  );
}
