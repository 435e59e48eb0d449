import { FileError } from '../../tensor/errors.js';
import type { OnnxNode } from './context.js';
import { type ElementType, elementTypeOf } from './element-types.js';
import type { AttributeProto, GraphProto, NodeProto, TensorProto, ValueInfo } from './messages.js';

/** An input or output as the file declares it. */
export interface OnnxPort {
  readonly name: string;
  /** undefined where the file does not say, or it is no tensor of numbers */
  readonly type: ElementType | undefined;
  /** extents: numbers, names of symbolic ones, undefined where nothing is said; undefined altogether: any rank */
  readonly shape: readonly (number | string | undefined)[] | undefined;
}

/** A graph whose names are known to be unique and defined, nodes in an order in which they can be computed. */
export interface OnnxGraph {
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly nodes: readonly OnnxNode[];
  readonly initialisers: ReadonlyMap<string, TensorProto>;
}

/**
 * Checks a graph and sorts its nodes; those that no output needs are left out.
 *
 * @param outer names that graphs around this one define
 * @throws FileError for names defined twice or never, and for cycles
 */
export function readGraph(proto: GraphProto, where: string, outer: ReadonlySet<string> = new Set()): OnnxGraph {
  if (proto.sparseInitializer.length > 0) throw new FileError(`${where}: sparse initialisers are not read`);
  const initialisers = new Map<string, TensorProto>();
  for (const tensor of proto.initializer) {
    const name = tensor.name ?? '';
    if (name === '' || initialisers.has(name))
      throw new FileError(`${where}: two initialisers are named "${name}", or one has no name`);
    initialisers.set(name, tensor);
  }
  const inputs: OnnxPort[] = [];
  const defined = new Set([...outer, ...initialisers.keys()]);
  for (const info of proto.input) {
    const declared = portOf(info);
    // Before IR version 4 initialisers are declared as inputs, too.
    if (initialisers.has(declared.name)) continue;
    if (inputs.some(({ name }) => name === declared.name))
      throw new FileError(`${where}: two inputs are named "${declared.name}"`);
    inputs.push(declared);
    defined.add(declared.name);
  }
  const nodes = proto.node.map((node, i) => nodeOf(node, i, where));
  const producers = new Map<string, OnnxNode>();
  for (const node of nodes) {
    for (const name of node.outputs) {
      if (name === '') continue;
      if (defined.has(name) || producers.has(name))
        throw new FileError(`${where}: "${name}" is defined twice, the second time by node "${node.name}"`);
      producers.set(name, node);
    }
  }
  const outputs = proto.output.map(portOf);
  const sorted = sortNodes(outputs, producers, defined, where);
  return { inputs, outputs, nodes: sorted, initialisers };
}

function portOf(info: ValueInfo): OnnxPort {
  const tensor = info.type?.tensorType;
  return {
    name: info.name ?? '',
    type: elementTypeOf(tensor?.elemType),
    shape: tensor?.shape?.dim.map(({ dimValue, dimParam }) => (dimParam ? dimParam : dimValue)),
  };
}

const DEFAULT_DOMAINS: readonly string[] = ['', 'ai.onnx'];

function nodeOf(proto: NodeProto, index: number, where: string): OnnxNode {
  const { domain = '', opType = '' } = proto;
  const type = DEFAULT_DOMAINS.includes(domain) ? opType : `${domain}.${opType}`;
  const name = proto.name || proto.output.find((output) => output !== '') || `${type}_${index}`;
  const attributes = new Map<string, AttributeProto>();
  for (const attribute of proto.attribute) {
    if (attributes.has(attribute.name ?? ''))
      throw new FileError(`${where}: node "${name}" has two attributes "${attribute.name}"`);
    attributes.set(attribute.name ?? '', attribute);
  }
  return { name, type, inputs: proto.input, outputs: proto.output, attributes };
}

/** Graphs inside of a node. */
export function subgraphs(node: OnnxNode): GraphProto[] {
  return [...node.attributes.values()].flatMap(({ g }) => (g === undefined ? [] : [g]));
}

/** The names that a node reads, those of graphs inside of it included. */
export function reads(node: OnnxNode): string[] {
  const inner = subgraphs(node).flatMap((graph) => {
    const own = new Set([
      ...graph.input.map(({ name }) => name),
      ...graph.initializer.map(({ name }) => name),
      ...graph.node.flatMap(({ output }) => output),
    ]);
    const used = [
      ...graph.node.flatMap((proto, i) => reads(nodeOf(proto, i, 'a graph'))),
      ...graph.output.map(({ name = '' }) => name),
    ];
    return used.filter((name) => !own.has(name));
  });
  return [...node.inputs, ...inner].filter((name) => name !== '');
}

/** Depth first from the outputs, with a stack of its own: graphs may be deeper than the machine's. */
function sortNodes(
  outputs: readonly OnnxPort[],
  producers: ReadonlyMap<string, OnnxNode>,
  defined: ReadonlySet<string>,
  where: string,
): OnnxNode[] {
  const sorted: OnnxNode[] = [];
  const state = new Map<OnnxNode, 'open' | 'done'>();
  const stack: { node: OnnxNode; names: string[] }[] = [];
  const enter = (name: string, reader: string): void => {
    if (defined.has(name)) return;
    const node = producers.get(name);
    if (node === undefined) throw new FileError(`${where}: "${name}", which ${reader} reads, is defined nowhere`);
    if (state.get(node) === 'open') throw new FileError(`${where}: the graph has a cycle through node "${node.name}"`);
    if (state.get(node) === 'done') return;
    state.set(node, 'open');
    stack.push({ node, names: reads(node) });
  };
  for (const { name } of outputs) {
    enter(name, 'an output');
    while (stack.length > 0) {
      const { node, names } = stack[stack.length - 1];
      const next = names.pop();
      if (next !== undefined) enter(next, `node "${node.name}"`);
      else {
        state.set(node, 'done');
        sorted.push(node);
        stack.pop();
      }
    }
  }
  return sorted;
}
