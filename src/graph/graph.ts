import { InternalError, invariant } from '../tensor/errors.js';
import type { TensorType } from '../tensor/shape.js';
import type { Traced } from '../tensor/tensor.js';
import type { Attributes, Operator } from './operator.js';

/** A value in static single assignment form: an input of the graph, or one output of one node. */
export interface Value extends Traced {
  readonly id: number;
  readonly type: TensorType;
  /** undefined for inputs */
  readonly node: Node | undefined;
  /** which output of the node, or which input of the graph */
  readonly index: number;
}

export interface Node {
  readonly id: number;
  // biome-ignore lint/suspicious/noExplicitAny: a node holds any operator together with attributes of its own type
  readonly operator: Operator<any>;
  readonly inputs: readonly Value[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
  /** The layer that emitted the node, for messages and inspection, for example `features.0`. */
  readonly scope: string;
}

/** After the program ran, the memory of graph input `input` holds `value`. */
export interface Update {
  readonly input: Value;
  readonly value: Value;
}

/** Nodes in topological order. Shapes are static. */
export class Graph {
  readonly inputs: Value[] = [];
  readonly nodes: Node[] = [];
  outputs: Value[] = [];
  updates: Update[] = [];
  #ids = 0;

  addInput(type: TensorType): Value {
    const value: Value = { id: this.#ids++, type, node: undefined, index: this.inputs.length };
    this.inputs.push(value);
    return value;
  }

  /** Whether `value` is an input of this graph or was made by one of its nodes. */
  contains(value: Value): boolean {
    const { node, index } = value;
    return node === undefined ? this.inputs[index] === value : this.nodes[node.id] === node;
  }

  // biome-ignore lint/suspicious/noExplicitAny: see Node.operator
  addNode(operator: Operator<any>, inputs: readonly Value[], attributes: Attributes, scope = ''): Node {
    const types = operator.infer(
      inputs.map((value) => value.type),
      attributes,
    );
    const outputs: Value[] = [];
    const node: Node = { id: this.nodes.length, operator, inputs, attributes, outputs, scope };
    types.forEach((type, index) => {
      outputs.push({ id: this.#ids++, type, node, index });
    });
    this.nodes.push(node);
    return node;
  }

  /**
   * A copy in which `replace` decides about every node: it returns the values that stand for the node's outputs, made
   * with `into`, or undefined to copy the node. This is how passes rewrite graphs.
   */
  rewrite(replace: (node: Node, inputs: readonly Value[], into: Graph) => readonly Value[] | undefined): Graph {
    const into = new Graph();
    const map = new Map<Value, Value>();
    const mapped = (value: Value): Value => {
      const found = map.get(value);
      if (found === undefined) throw new InternalError(`value %${value.id} is used before it is defined`);
      return found;
    };
    for (const input of this.inputs) map.set(input, into.addInput(input.type));
    for (const node of this.nodes) {
      const inputs = node.inputs.map(mapped);
      const outputs =
        replace(node, inputs, into) ?? into.addNode(node.operator, inputs, node.attributes, node.scope).outputs;
      invariant(
        outputs.length === node.outputs.length,
        () => `${node.operator.name} is replaced by ${outputs.length} values, it has ${node.outputs.length} outputs`,
      );
      node.outputs.forEach((value, i) => {
        map.set(value, outputs[i]);
      });
    }
    into.outputs = this.outputs.map(mapped);
    into.updates = this.updates.map(({ input, value }) => ({ input: mapped(input), value: mapped(value) }));
    return into;
  }
}
