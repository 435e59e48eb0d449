import { GaborError, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape, normalizeAxes } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { AttributeProto, GraphProto } from './messages.js';
import type { HostArray } from './tensor-proto.js';
import { readTensor } from './tensor-proto.js';
import { OnnxValue } from './value.js';

/** A node of a graph, as far as rules need it. */
export interface OnnxNode {
  readonly name: string;
  readonly type: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, AttributeProto>;
}

/** What the model that is traced does for its nodes. */
export interface Surroundings {
  readonly opset: number;
  readonly training: boolean;
  /** Runs a graph inside of a node, which sees the values around it. */
  subgraph(graph: GraphProto): (OnnxValue | undefined)[];
  /** A key that differs at every run, for random numbers. */
  randomKey(): Tensor;
}

export type Results = readonly (OnnxValue | undefined)[];

/** How one type of operator is traced. */
export interface OperatorRow {
  /** The attributes it has; others are errors. */
  readonly attributes?: readonly string[];
  /** Inputs that shapes depend on, hence to be known before anything runs. */
  readonly statics?: readonly number[];
  /** It asks its inputs for shape and type only. */
  readonly shapeOnly?: boolean;
  /** Inputs that training leaves alone: running statistics, scales of quantised numbers. */
  readonly buffers?: readonly number[];
  /** Not computed while tracing even where all inputs are known. */
  readonly volatile?: boolean;
  /** The first set of operators that has it. */
  readonly since?: number;
  readonly run: (context: OperatorContext) => Results;
}

export type OperatorTable = Readonly<Record<string, OperatorRow>>;

/** What the rule of an operator sees: the node with its attributes, and its inputs. */
export class OperatorContext {
  readonly node: OnnxNode;
  readonly inputs: readonly (OnnxValue | undefined)[];
  readonly surroundings: Surroundings;

  constructor(node: OnnxNode, inputs: readonly (OnnxValue | undefined)[], surroundings: Surroundings) {
    this.node = node;
    this.inputs = inputs;
    this.surroundings = surroundings;
  }

  get opset(): number {
    return this.surroundings.opset;
  }

  /** For messages: `ONNX Conv "conv1"`. */
  get where(): string {
    return `ONNX ${this.node.type} "${this.node.name}"`;
  }

  /** How many outputs somebody may read. */
  wants(output: number): boolean {
    return (this.node.outputs[output] ?? '') !== '';
  }

  /** Throws for what the node asks and is not there. */
  refuse(text: string): never {
    throw new OptionError(`${this.where}: ${text}`);
  }

  broken(text: string): never {
    throw new ShapeError(`${this.where}: ${text}`);
  }

  has(i: number): boolean {
    return this.inputs[i] !== undefined;
  }

  value(i: number): OnnxValue {
    return this.inputs[i] ?? this.broken(`input ${i} is missing`);
  }

  /** Input `i` as a tensor. */
  x(i = 0): Tensor {
    return this.value(i).tensor;
  }

  optional(i: number): Tensor | undefined {
    return this.inputs[i]?.tensor;
  }

  /** The elements of an input that must be known while tracing. */
  numbers(i: number): number[] {
    const value = this.value(i);
    if (value.known === undefined) {
      throw new GaborError(
        `${this.where}: input ${i} ("${this.node.inputs[i]}") depends on data; only what follows from shapes and constants can shape a network here`,
      );
    }
    return Array.from(value.known);
  }

  number(i: number): number {
    const list = this.numbers(i);
    return list.length === 1 ? list[0] : this.broken(`input ${i} must be one number, got ${list.length}`);
  }

  numbersOr<T>(i: number, otherwise: T): number[] | T {
    return this.has(i) ? this.numbers(i) : otherwise;
  }

  /** A list that older sets of operators have as an attribute, newer ones as an input. */
  listOf(name: string, input: number): number[] | undefined {
    return this.numbersOr(input, undefined) ?? this.ints(name);
  }

  attribute(name: string): AttributeProto | undefined {
    return this.node.attributes.get(name);
  }

  int(name: string, otherwise: number): number {
    return this.attribute(name)?.i ?? (this.attribute(name) === undefined ? otherwise : 0);
  }

  flag(name: string, otherwise = false): boolean {
    return this.int(name, otherwise ? 1 : 0) !== 0;
  }

  float(name: string, otherwise: number): number {
    return this.attribute(name)?.f ?? (this.attribute(name) === undefined ? otherwise : 0);
  }

  text(name: string, otherwise: string): string {
    const bytes = this.attribute(name)?.s;
    return bytes === undefined ? otherwise : Buffer.from(bytes).toString('utf8');
  }

  texts(name: string): string[] | undefined {
    return this.attribute(name)?.strings.map((bytes) => Buffer.from(bytes).toString('utf8'));
  }

  ints(name: string): number[] | undefined {
    const list = this.attribute(name)?.ints;
    return list && Array.from(list);
  }

  floats(name: string): number[] | undefined {
    const list = this.attribute(name)?.floats;
    return list && Array.from(list);
  }

  array(name: string): HostArray | undefined {
    const proto = this.attribute(name)?.t;
    return proto && readTensor(proto, `${this.where}: attribute "${name}"`);
  }

  graph(name: string): GraphProto {
    return this.attribute(name)?.g ?? this.broken(`attribute "${name}" is missing`);
  }

  /** An axis of a tensor of `rank` axes; negative ones count from the end. */
  axis(axis: number, rank: number): number {
    return normalizeAxes(this.where, [axis], rank)[0];
  }

  axes(axes: readonly number[], rank: number): number[] {
    return normalizeAxes(this.where, axes, rank);
  }

  /** A result of the element type of input `i`. */
  like(tensor: Tensor, i = 0): Results {
    return [OnnxValue.of(this.value(i).type, tensor)];
  }

  /** For messages about operands. */
  shapes(): string {
    return this.inputs
      .map((value) => (value === undefined ? '–' : `${value.type}${formatShape(value.shape)}`))
      .join(', ');
  }
}
