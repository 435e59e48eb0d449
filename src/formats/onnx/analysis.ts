import type { OnnxNode } from './context.js';
import { type OnnxGraph, reads, subgraphs } from './graph.js';
import { OPERATORS } from './operators/index.js';

/** How the tensors that a file holds are used. */
export interface Uses {
  /** What shapes are computed from: to be known while tracing. */
  readonly statics: ReadonlySet<string>;
  /** What is computed with, at least once. */
  readonly computed: ReadonlySet<string>;
  /** What training leaves alone. */
  readonly buffers: ReadonlySet<string>;
}

/** Operators whose constants are weights, also where a file holds them in `Constant` nodes. */
const WEIGHTED: ReadonlySet<string> = new Set([
  ...['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'BatchNormalization', 'InstanceNormalization', 'LayerNormalization'],
  ...['GroupNormalization', 'RMSNormalization', 'PRelu', 'LSTM', 'GRU', 'RNN', 'Gather'],
]);

/** The `Constant` nodes of floats that are weights of something. */
export function weightConstants(graph: OnnxGraph): Set<string> {
  const used = new Set(graph.nodes.filter(({ type }) => WEIGHTED.has(type)).flatMap(({ inputs }) => inputs));
  return new Set(
    graph.nodes
      .filter(({ type, outputs }) => type === 'Constant' && used.has(outputs[0]))
      .map(({ outputs }) => outputs[0]),
  );
}

/** Goes backwards through the graph: what an input that must be known is computed from must be known, too. */
export function usesOf(graph: OnnxGraph): Uses {
  const statics = new Set<string>();
  const computed = new Set<string>();
  const buffers = new Set<string>();
  const visit = ({ nodes, outputs }: Pick<OnnxGraph, 'nodes' | 'outputs'>): void => {
    for (const { name } of outputs) computed.add(name);
    for (const node of [...nodes].reverse()) visitNode(node);
  };
  const visitNode = (node: OnnxNode): void => {
    const row = Object.hasOwn(OPERATORS, node.type) ? OPERATORS[node.type] : undefined;
    const needed = node.outputs.some((name) => statics.has(name));
    const wanted = node.outputs.some((name) => computed.has(name)) || !needed;
    node.inputs.forEach((name, i) => {
      if (name === '' || row?.shapeOnly) return;
      if (needed || row?.statics?.includes(i)) statics.add(name);
      if (!wanted || row?.statics?.includes(i)) return;
      computed.add(name);
      if (row?.buffers?.includes(i)) buffers.add(name);
    });
    // Graphs inside of a node: all they read may be needed either way.
    if (subgraphs(node).length > 0) {
      for (const name of reads(node)) {
        statics.add(name);
        computed.add(name);
      }
    }
  };
  visit(graph);
  return { statics, computed, buffers };
}

/** The types of operators that have no rule here, with the names of their nodes. */
export function unknownOperators(nodes: readonly OnnxNode[], opset: number): Map<string, string[]> {
  const unknown = new Map<string, string[]>();
  for (const node of nodes) {
    const row = Object.hasOwn(OPERATORS, node.type) ? OPERATORS[node.type] : undefined;
    if (row !== undefined && (row.since ?? 1) <= opset) continue;
    unknown.set(node.type, [...(unknown.get(node.type) ?? []), node.name]);
  }
  return unknown;
}
