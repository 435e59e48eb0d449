import { invariant } from '../tensor/errors.js';
import { formatType, sameShape } from '../tensor/shape.js';
import type { Graph, Value } from './graph.js';

/** Checks the invariants that every pass must keep; `after` names the pass in the message. */
export function verifyGraph(graph: Graph, after: string): void {
  const defined = new Set<Value>(graph.inputs);
  graph.inputs.forEach((value, i) => {
    invariant(
      value.node === undefined && value.index === i,
      () => `after ${after}: input ${i} (%${value.id}) points elsewhere`,
    );
  });
  for (const node of graph.nodes) {
    const where = `after ${after}: ${node.operator.name} (node ${node.id})`;
    for (const input of node.inputs) {
      invariant(defined.has(input), () => `${where} uses %${input.id} before it is defined`);
    }
    const types = node.operator.infer(
      node.inputs.map((v) => v.type),
      node.attributes,
    );
    invariant(types.length === node.outputs.length, () => `${where} has ${node.outputs.length} outputs`);
    node.outputs.forEach((value, i) => {
      invariant(
        types[i].dtype === value.type.dtype && sameShape(types[i].shape, value.type.shape),
        () => `${where}: output ${i} is ${formatType(value.type)}, but the operator infers ${formatType(types[i])}`,
      );
      invariant(value.node === node && value.index === i, () => `${where}: output ${i} points elsewhere`);
      invariant(!defined.has(value), () => `${where}: %${value.id} is defined twice`);
      defined.add(value);
    });
  }
  for (const value of graph.outputs)
    invariant(defined.has(value), () => `after ${after}: output %${value.id} is undefined`);
  const updated = new Set<Value>();
  for (const { input, value } of graph.updates) {
    invariant(!updated.has(input), () => `after ${after}: %${input.id} is updated twice`);
    updated.add(input);
    invariant(graph.inputs.includes(input), () => `after ${after}: update of %${input.id}, which is not an input`);
    invariant(defined.has(value), () => `after ${after}: update value %${value.id} is undefined`);
    invariant(
      input.type.dtype === value.type.dtype && sameShape(input.type.shape, value.type.shape),
      () => `after ${after}: update of ${formatType(input.type)} with ${formatType(value.type)}`,
    );
  }
}
