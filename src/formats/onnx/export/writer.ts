import type { Graph, Node, Value } from '../../../graph/graph.js';
import { allocateArray, type DType, type TypedArray } from '../../../tensor/dtype.js';
import { OptionError } from '../../../tensor/errors.js';
import { type Shape, sizeOf, type TensorType } from '../../../tensor/shape.js';
import { encodeElements } from '../../elements.js';
import type { ElementType } from '../element-types.js';
import { ATTRIBUTE_TYPES, type AttributeProto, type NodeProto, type TensorProto } from '../messages.js';
import { writeTensor } from '../tensor-proto.js';

/** Element types by dtype. */
export const ELEMENT_OF: Readonly<Record<DType, ElementType>> = {
  f32: 'float',
  f64: 'double',
  i32: 'int32',
  u8: 'uint8',
  bool: 'bool',
};

/** A float attribute, where a number would mean an integer. */
export class FloatAttribute {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

export type AttributeValue =
  | number
  | readonly number[]
  | string
  | readonly string[]
  | FloatAttribute
  | readonly FloatAttribute[];
/** Undefined ones are left out. */
export type AttributeValues = Readonly<Record<string, AttributeValue | undefined>>;

/** An array whose elements are known when the graph is written. */
export interface Known {
  readonly type: TensorType;
  readonly data: TypedArray;
}

/** An extent: a number, or so many times the batch. */
export type Extent = number | { readonly perBatch: number };

/** What one graph is written from. */
export interface WriterSource {
  readonly graph: Graph;
  readonly opset: number;
  /** Weights by name, and other tensors that the program reads. */
  readonly weights: ReadonlyMap<Value, { readonly name: string; read(): TypedArray }>;
  readonly constants: ReadonlyMap<Value, Known>;
  /** Names of the graph's other inputs. */
  readonly inputs: ReadonlyMap<Value, string>;
  /** The same program for another batch, value by value; without it all extents are fixed. */
  readonly twin?: { readonly batch: number; readonly twinBatch: number; of(value: Value): Value };
}

/** Writes nodes and initializers of an ONNX graph, and knows what was written for which value. */
export class GraphWriter {
  readonly opset: number;
  readonly nodes: NodeProto[] = [];
  readonly initializers: TensorProto[] = [];
  readonly #source: WriterSource;
  readonly #names = new Map<Value, string>();
  readonly #known = new Map<Value, Known | undefined>();
  readonly #written = new Map<string, string>();
  readonly #taken = new Set<string>();
  #scope = '';
  #batch: string | undefined;

  constructor(source: WriterSource) {
    this.#source = source;
    this.opset = source.opset;
    for (const [value, name] of source.inputs) {
      this.#taken.add(name);
      this.#names.set(value, name);
    }
    for (const { name } of source.weights.values()) this.#taken.add(name);
  }

  /** Nodes are named after this layer until the next call. */
  inScope(scope: string): void {
    this.#scope = scope;
  }

  bind(value: Value, name: string): void {
    this.#names.set(value, name);
  }

  /** The name of a value, whose elements are written first where they are known. */
  name(value: Value): string {
    const found = this.#names.get(value);
    if (found !== undefined) return found;
    const weight = this.#source.weights.get(value);
    let name: string;
    if (weight !== undefined) {
      name = weight.name;
      const { dtype, shape } = value.type;
      // Without a copy of what may be large.
      const { bytes } = encodeElements(`weight "${name}"`, dtype, weight.read());
      this.initializers.push({ ...writeTensor(name, ELEMENT_OF[dtype], [0], []), dims: shape, rawData: bytes });
    } else {
      const known = this.known(value);
      if (known === undefined) throw new Error(`%${value.id} is used before it is written`);
      name = this.constant(known.type.dtype, this.#fixed(value), known.data);
    }
    this.#names.set(value, name);
    return name;
  }

  /** The shape of known elements that do not depend on the batch, though their number may: one of many equal ones is written. */
  #fixed(value: Value): Shape {
    return this.extents(value).map((extent, axis) => {
      if (typeof extent === 'number') return extent;
      throw new OptionError(
        `ONNX export: a constant of shape [${value.type.shape}] depends on the batch (axis ${axis}); export without dynamicBatch`,
      );
    });
  }

  /** The elements of a value that depends on no input and no weight. */
  known(value: Value): Known | undefined {
    if (this.#known.has(value)) return this.#known.get(value);
    const found = this.#evaluate(value);
    this.#known.set(value, found);
    return found;
  }

  #evaluate(value: Value): Known | undefined {
    const constant = this.#source.constants.get(value);
    if (constant !== undefined) return constant;
    const { node } = value;
    if (node === undefined || node.operator.name === 'uniform' || node.operator.expand !== undefined) return undefined;
    const inputs: Known[] = [];
    for (const input of node.inputs) {
      const known = this.known(input);
      if (known === undefined) return undefined;
      inputs.push(known);
    }
    const outputs = node.outputs.map(({ type }) => ({ type, data: allocateArray(type.dtype, sizeOf(type.shape)) }));
    node.operator.reference(inputs, outputs, node.attributes);
    return outputs[value.index];
  }

  /** The one number that all elements are, where they are known. */
  uniform(value: Value): number | undefined {
    const data = this.known(value)?.data;
    return data !== undefined && data.length > 0 && data.every((x) => Object.is(x, data[0])) ? data[0] : undefined;
  }

  /** Elements that need no memory in the file twice. */
  constant(dtype: DType | 'i64', shape: Shape, data: ArrayLike<number>): string {
    const type = dtype === 'i64' ? 'int64' : ELEMENT_OF[dtype];
    const key =
      data.length <= 64 ? `${type}${shape}:${Array.from(data, (x) => (Object.is(x, -0) ? '-0' : x))}` : undefined;
    const found = key === undefined ? undefined : this.#written.get(key);
    if (found !== undefined) return found;
    const name = this.fresh('constant');
    this.initializers.push(writeTensor(name, type, shape, data));
    if (key !== undefined) this.#written.set(key, name);
    return name;
  }

  scalar(dtype: DType | 'i64', value: number): string {
    return this.constant(dtype, [], [value]);
  }

  integers(list: readonly number[]): string {
    return this.constant('i64', [list.length], list);
  }

  /** A name that nothing has. */
  fresh(hint: string): string {
    const base = this.#scope === '' ? hint : `${this.#scope}/${hint}`;
    let name = base;
    for (let n = 1; this.#taken.has(name); n++) name = `${base}_${n}`;
    this.#taken.add(name);
    return name;
  }

  /** Writes a node with several outputs; empty inputs are left out at the end. */
  many(opType: string, inputs: readonly string[], attributes: AttributeValues, outputs: number): string[] {
    const name = this.fresh(opType);
    const results = Array.from({ length: outputs }, (_, i) => this.fresh(`${opType}.out${outputs > 1 ? i : ''}`));
    const attribute = Object.entries(attributes).flatMap(([key, value]) =>
      value === undefined ? [] : [attributeProto(key, value)],
    );
    this.nodes.push({ name, opType, input: inputs, output: results, attribute });
    return results;
  }

  /** Writes a node with one output. */
  node(opType: string, inputs: readonly string[], attributes: AttributeValues = {}): string {
    return this.many(opType, inputs, attributes, 1)[0];
  }

  /** What a value is in the same program for another batch. */
  twin(value: Value): Value | undefined {
    return this.#source.twin?.of(value);
  }

  /** The extents of a value, as far as they depend on the batch. */
  extents(value: Value): Extent[] {
    const { twin } = this.#source;
    const { shape } = value.type;
    if (twin === undefined) return [...shape];
    const other = twin.of(value).type.shape;
    return shape.map((extent, axis) => {
      if (extent === other[axis]) return extent;
      const perBatch = extent / twin.batch;
      if (!Number.isInteger(perBatch) || perBatch * twin.twinBatch !== other[axis]) {
        throw new OptionError(
          `ONNX export: an extent is ${extent} for a batch of ${twin.batch} and ${other[axis]} for ${twin.twinBatch}; export without dynamicBatch`,
        );
      }
      return { perBatch };
    });
  }

  /** A shape as an int64 vector, computed from the batch where it depends on it. */
  shape(extents: readonly Extent[]): string {
    if (extents.every((extent) => typeof extent === 'number')) return this.integers(extents as number[]);
    const parts = extents.map((extent) => {
      if (typeof extent === 'number') return this.integers([extent]);
      return extent.perBatch === 1
        ? this.#batchSize()
        : this.node('Mul', [this.#batchSize(), this.integers([extent.perBatch])]);
    });
    return this.node('Concat', parts, { axis: 0 });
  }

  #batchSize(): string {
    if (this.#batch === undefined) {
      const [first] = this.#source.inputs.values();
      const shape = this.node('Shape', [first]);
      this.#batch = this.node('Gather', [shape, this.integers([0])], { axis: 0 });
    }
    return this.#batch;
  }

  reshape(x: string, extents: readonly Extent[]): string {
    const unknown = extents.filter((extent) => typeof extent !== 'number').length;
    const inferred = unknown === 1 && !extents.includes(0);
    const shape = inferred
      ? this.integers(extents.map((extent) => (typeof extent === 'number' ? extent : -1)))
      : this.shape(extents);
    return this.node('Reshape', [x, shape], { allowzero: extents.includes(0) && this.opset >= 14 ? 1 : undefined });
  }

  transpose(x: string, perm: readonly number[]): string {
    return perm.every((axis, i) => axis === i) ? x : this.node('Transpose', [x], { perm });
  }

  cast(x: string, to: DType | 'i64'): string {
    return this.node('Cast', [x], { to: to === 'i64' ? 7 : DATA_TYPES[to] });
  }

  /** Elements `from` to `to` in steps along some axes. */
  slice(x: string, parts: readonly { axis: number; from: number; to: number; step: number }[]): string {
    if (parts.length === 0) return x;
    const list = (pick: (part: (typeof parts)[number]) => number): string => this.integers(parts.map(pick));
    return this.node('Slice', [x, list((p) => p.from), list((p) => p.to), list((p) => p.axis), list((p) => p.step)]);
  }

  pad(x: string, dtype: DType, low: readonly number[], high: readonly number[], value: number): string {
    if ([...low, ...high].every((n) => n === 0)) return x;
    return this.node('Pad', [x, this.integers([...low, ...high]), this.scalar(dtype, value)], { mode: 'constant' });
  }

  /** A reduction; the place of the axes changed with the sets of operators. */
  reduce(opType: string, x: string, axes: readonly number[], keepdims: boolean): string {
    const asInput = this.opset >= (opType === 'ReduceSum' ? 13 : 18);
    const attributes = { keepdims: keepdims ? 1 : 0, axes: asInput ? undefined : axes };
    return this.node(opType, asInput ? [x, this.integers(axes)] : [x], attributes);
  }
}

const DATA_TYPES: Readonly<Record<DType, number>> = { f32: 1, f64: 11, i32: 6, u8: 2, bool: 9 };

function attributeProto(name: string, value: AttributeValue): AttributeProto {
  const base = { name, floats: [], ints: [], strings: [] };
  if (value instanceof FloatAttribute) return { ...base, type: ATTRIBUTE_TYPES.float, f: value.value };
  if (typeof value === 'number') return { ...base, type: ATTRIBUTE_TYPES.int, i: value };
  if (typeof value === 'string') return { ...base, type: ATTRIBUTE_TYPES.string, s: new TextEncoder().encode(value) };
  if (isListOf(value, (item) => typeof item === 'string')) {
    const encoder = new TextEncoder();
    return { ...base, type: ATTRIBUTE_TYPES.strings, strings: value.map((text) => encoder.encode(text as string)) };
  }
  if (isListOf(value, (item) => item instanceof FloatAttribute)) {
    return { ...base, type: ATTRIBUTE_TYPES.floats, floats: value.map((item) => (item as FloatAttribute).value) };
  }
  return { ...base, type: ATTRIBUTE_TYPES.ints, ints: value as readonly number[] };
}

/** Whether all of a list that is not empty are such. */
function isListOf(list: readonly unknown[], is: (item: unknown) => boolean): boolean {
  return list.length > 0 && list.every(is);
}

/** Writes what one node of the graph computes; returns the names of its outputs. */
export type ExportRule = (writer: GraphWriter, node: Node) => readonly string[];
