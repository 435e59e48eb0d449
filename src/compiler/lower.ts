import type { Graph, Value } from '../graph/graph.js';
import { axisIndex, constantIndex, load } from '../kernel/expression.js';
import { type Kernel, mapNest } from '../kernel/kernel.js';
import type { TensorType } from '../tensor/shape.js';
import { type Buffer, makeBuffer, type Step, type Steps } from './steps.js';

/** Every node becomes one step. */
export function lowerGraph(graph: Graph): Steps {
  const buffers = new Map<Value, Buffer>();
  const buffer = (value: Value): Buffer => buffers.get(value) as Buffer;
  graph.inputs.forEach((value, i) => {
    buffers.set(value, makeBuffer(value.type, i));
  });
  const steps: Step[] = graph.nodes.map((node) => {
    const inputs = node.inputs.map((value) => value.type);
    const outputs = node.outputs.map((value) => value.type);
    for (const value of node.outputs) buffers.set(value, makeBuffer(value.type));
    const kernel = node.operator.lower(inputs, outputs, node.attributes);
    return {
      name: node.operator.name,
      kernel: kernel.kind === 'reshape' ? (reshapeAsMap(inputs[0], outputs[0]) ?? kernel) : kernel,
      operands: node.inputs.map(buffer),
      results: node.outputs.map(buffer),
      scope: node.scope,
    };
  });
  return {
    inputs: graph.inputs.map(buffer),
    steps,
    outputs: graph.outputs.map(buffer),
    updates: graph.updates.map(({ input, value }) => ({ input: buffer(input), value: buffer(value) })),
  };
}

/** A reshape that only adds or drops extents of one is a map, and can be fused like any other. */
function reshapeAsMap(from: TensorType, to: TensorType): Kernel | undefined {
  const axes = to.shape.map((_, axis) => axis).filter((axis) => to.shape[axis] !== 1);
  const kept = from.shape.filter((extent) => extent !== 1);
  if (kept.length !== axes.length || kept.some((extent, i) => extent !== to.shape[axes[i]])) return undefined;
  let next = 0;
  const index = from.shape.map((extent) => (extent === 1 ? constantIndex(0) : axisIndex(axes[next++])));
  return mapNest(to.shape, load(0, from.dtype, index));
}
