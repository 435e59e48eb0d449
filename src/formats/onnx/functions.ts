import { FileError } from '../../tensor/errors.js';
import type { AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto } from './messages.js';

/** Functions may call functions; a file that makes more nodes than this of itself is none of a network. */
const MOST_NODES = 1 << 18;
const DEEPEST = 32;

/**
 * The model's graph with the functions that its file defines written out where they are called: their names get the caller's name in
 * front, their attributes its values.
 *
 * @throws FileError for functions that call themselves, that multiply beyond bounds, or that use another set of operators
 */
export function inlineFunctions(model: ModelProto, graph: GraphProto, where: string): GraphProto {
  if (model.functions.length === 0) return graph;
  return new Inliner(model, where).graph(graph, 0);
}

const DEFAULT: readonly string[] = ['', 'ai.onnx'];

class Inliner {
  readonly #functions = new Map<string, FunctionProto>();
  readonly #where: string;
  readonly #opset: number | undefined;
  #nodes = 0;
  #calls = 0;

  constructor(model: ModelProto, where: string) {
    this.#where = where;
    this.#opset = opsetOf(model);
    for (const f of model.functions) this.#functions.set(keyOf(f.domain, f.name), f);
  }

  graph(graph: GraphProto, depth: number): GraphProto {
    return { ...graph, node: graph.node.flatMap((node) => this.#node(node, depth)) };
  }

  #node(node: NodeProto, depth: number): NodeProto[] {
    if (depth > DEEPEST) throw new FileError(`${this.#where}: functions call each other more than ${DEEPEST} deep`);
    if (++this.#nodes > MOST_NODES) throw new FileError(`${this.#where}: functions make more than ${MOST_NODES} nodes`);
    const f = this.#functions.get(keyOf(node.domain, node.opType));
    if (f === undefined) {
      const attribute = node.attribute.map((a) => (a.g === undefined ? a : { ...a, g: this.graph(a.g, depth + 1) }));
      return [{ ...node, attribute }];
    }
    const opset = opsetOf(f);
    if (opset !== undefined && opset !== this.#opset) {
      throw new FileError(`${this.#where}: function "${f.name}" uses operator set ${opset}, the model ${this.#opset}`);
    }
    const prefix = `${node.name || node.opType || 'function'}.${this.#calls++}/`;
    const names = new Map<string, string>([['', '']]);
    f.input.forEach((name, i) => {
      names.set(name, node.input[i] ?? '');
    });
    f.output.forEach((name, i) => {
      if (node.output[i]) names.set(name, node.output[i]);
    });
    const renamed = (name: string): string => names.get(name) ?? prefix + name;
    return f.node.flatMap((inner) => this.#node(this.#called(inner, node, f, renamed, prefix), depth + 1));
  }

  /** A node of a function as its caller means it. */
  #called(
    inner: NodeProto,
    caller: NodeProto,
    f: FunctionProto,
    renamed: (name: string) => string,
    prefix: string,
  ): NodeProto {
    const value = (a: AttributeProto): AttributeProto[] => {
      if (a.refAttrName) {
        const given = [...caller.attribute, ...f.attributeProto].find(({ name }) => name === a.refAttrName);
        // What the caller leaves out, the inner node takes its own default for.
        return given === undefined ? [] : [{ ...given, name: a.name }];
      }
      if (a.g === undefined) return [a];
      const { g } = a;
      const port = <T extends { readonly name?: string }>(info: T): T => ({ ...info, name: renamed(info.name ?? '') });
      const node = g.node.map((one) => this.#called(one, caller, f, renamed, prefix));
      const inside: GraphProto = {
        ...g,
        node,
        input: g.input.map(port),
        output: g.output.map(port),
        initializer: g.initializer.map(port),
      };
      return [{ ...a, g: inside }];
    };
    return {
      ...inner,
      name: prefix + (inner.name || inner.output[0] || inner.opType),
      input: inner.input.map(renamed),
      output: inner.output.map(renamed),
      attribute: inner.attribute.flatMap(value),
    };
  }
}

function keyOf(domain = '', name = ''): string {
  return `${DEFAULT.includes(domain) ? '' : domain}::${name}`;
}

function opsetOf({ opsetImport }: Pick<ModelProto, 'opsetImport'>): number | undefined {
  return opsetImport.find(({ domain = '' }) => DEFAULT.includes(domain))?.version;
}
