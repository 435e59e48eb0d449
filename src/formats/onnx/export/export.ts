import { basename, dirname, join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Graph, Node, Value } from '../../../graph/graph.js';
import { type Trace, trace } from '../../../graph/trace.js';
import type { Module } from '../../../nn/index.js';
import type { DType, TypedArray } from '../../../tensor/dtype.js';
import { checkOptions, FileError, OptionError } from '../../../tensor/errors.js';
import { checkShape, type Shape } from '../../../tensor/shape.js';
import { Tensor } from '../../../tensor/tensor.js';
import { writeFileAtomic } from '../../atomic-write.js';
import { rowOf } from '../element-types.js';
import {
  GRAPH,
  MODEL,
  type ModelProto,
  type NodeProto,
  TENSOR,
  type TensorProto,
  type ValueInfo,
} from '../messages.js';
import { OnnxModel } from '../onnx-model.js';
import { encode, type Schema } from '../proto.js';
import { ELEMENTWISE_RULES } from './elementwise.js';
import { type Match, PATTERNS, type PatternContext } from './patterns.js';
import { recurrent } from './recurrent.js';
import { SHAPE_RULES } from './shapes.js';
import { plainMaxPool, WINDOW_RULES } from './windows.js';
import { ELEMENT_OF, type ExportRule, type Extent, GraphWriter, type Known } from './writer.js';

/** One input of the exported model. */
export interface OnnxInput {
  /** Default `input`, with several of them `input_0`, `input_1`, …. */
  readonly name?: string;
  readonly shape: Shape;
  /** Default: what the model takes, `f32` or `i32`. */
  readonly dtype?: DType;
}

/** Options of {@link exportOnnx}. */
export interface OnnxExportOptions {
  /** One shape or description for each input of the model, for example `[[1, 3, 224, 224]]`. */
  readonly inputs: readonly (Shape | OnnxInput)[];
  /** Names of the outputs; default `output`, with several of them `output_0`, `output_1`, …. */
  readonly outputs?: readonly string[];
  /** Version of ONNX's set of operators, 11 to 21; default 17. */
  readonly opset?: number;
  /** Axis 0 of all inputs may be anything at run time; default false. */
  readonly dynamicBatch?: boolean;
  /** Texts to keep beside the graph (`metadata_props`), by key. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What to export of the model, where that is not its `forward` of one input; of an `OnnxModel`, all inputs and outputs. */
  readonly forward?: (...inputs: Tensor[]) => Tensor | readonly Tensor[];
}

/** Options of {@link saveOnnx}. */
export interface OnnxSaveOptions extends OnnxExportOptions {
  /** Put weights into a file NAME.data beside it. Default: only where the whole would be larger than 2 GB, which ONNX does not allow. */
  readonly externalData?: boolean;
}

const EXPORT_OPTIONS: readonly string[] = ['inputs', 'outputs', 'opset', 'dynamicBatch', 'metadata', 'forward'];
const OLDEST = 11;
const NEWEST = 21;
/** The version of the file format that came with a set of operators (onnx/docs/Versioning.md). */
const IR_VERSIONS: Readonly<Record<number, number>> = {
  11: 6,
  12: 7,
  13: 7,
  14: 7,
  15: 8,
  16: 8,
  17: 8,
  18: 8,
  19: 9,
  20: 9,
  21: 10,
};
/** The limit of Protocol Buffers. */
const LARGEST = 2 ** 31 - 1;
/** Smaller tensors stay in the model when others lie beside it. */
const SMALL = 1024;

/**
 * The bytes of an ONNX file that computes what `model` computes in evaluation mode. Weights have their names of `stateDict()`.
 *
 * @throws OptionError for options that are none, what ONNX has no operator for (random numbers), and more than 2 GB of weights.
 * @example await writeFile('net.onnx', exportOnnx(net, { inputs: [[1, 3, 224, 224]] }))
 */
export function exportOnnx(model: Module, options: OnnxExportOptions): Uint8Array {
  checkOptions('exportOnnx', options, EXPORT_OPTIONS);
  const proto = buildModel(model, options);
  const size = sizeOfWeights(proto);
  if (size > LARGEST) {
    throw new OptionError(
      `exportOnnx: ${size} bytes of weights are more than a file of ONNX holds (2 GB); saveOnnx puts them beside it`,
    );
  }
  return Buffer.concat(chunksOf(proto));
}

/**
 * Saves what {@link exportOnnx} gives, as a whole or not at all.
 *
 * @throws FileError when it cannot be written; a file that was there before is unchanged.
 */
export async function saveOnnx(path: string, model: Module, options: OnnxSaveOptions): Promise<void> {
  checkOptions('saveOnnx', options, [...EXPORT_OPTIONS, 'externalData']);
  const { externalData, ...rest } = options;
  const proto = buildModel(model, rest);
  const apart = externalData ?? sizeOfWeights(proto) > LARGEST - 2 ** 24;
  if (!apart) {
    await writeFileAtomic(path, chunksOf(proto));
    return;
  }
  const location = `${basename(path)}.data`;
  const chunks: Uint8Array[] = [];
  let offset = 0;
  const initializer = (proto.graph?.initializer ?? []).map((tensor): TensorProto => {
    const raw = tensor.rawData;
    if (raw === undefined || raw.length < SMALL) return tensor;
    chunks.push(raw);
    const entry = { location, offset: String(offset), length: String(raw.length) };
    offset += raw.length;
    const externalData = Object.entries(entry).map(([key, value]) => ({ key, value }));
    return { ...tensor, rawData: undefined, externalData, dataLocation: 1 };
  });
  await writeFileAtomic(join(dirname(path), location), chunks);
  await writeFileAtomic(path, encode(MODEL, { ...proto, graph: { ...proto.graph, initializer } }));
}

/**
 * The bytes of a model in parts, so that weights are not copied: fields of a message may come in any order, and each begins with its
 * number and its length.
 */
function chunksOf(proto: ModelProto): Uint8Array[] {
  const graph: Uint8Array[] = [encode(GRAPH, { ...proto.graph, initializer: [] })];
  for (const { rawData = new Uint8Array(), ...rest } of proto.graph?.initializer ?? []) {
    const head = encode(TENSOR, rest);
    // Empty tensors have their empty data, too.
    const tensor = rest.dataLocation === 1 ? [head] : [head, ...field(TENSOR, 'rawData', [rawData])];
    graph.push(...field(GRAPH, 'initializer', tensor));
  }
  return [encode(MODEL, { ...proto, graph: undefined }), ...field(MODEL, 'graph', graph)];
}

/** A field of these bytes. */
function field(of: Schema, name: string, content: readonly Uint8Array[]): Uint8Array[] {
  const [number] = [...of.fields].find(([, row]) => row.name === name) as [number, object];
  const length = content.reduce((sum, bytes) => sum + bytes.length, 0);
  return [new BinaryWriter().tag(number, WireType.LengthDelimited).uint32(length).finish(), ...content];
}

function sizeOfWeights(proto: ModelProto): number {
  return (proto.graph?.initializer ?? []).reduce((sum, { rawData }) => sum + (rawData?.length ?? 0), 0);
}

interface NamedInput {
  readonly name: string;
  readonly shape: Shape;
  readonly dtype: DType;
}

function namedInputs(model: Module, { inputs }: OnnxExportOptions): NamedInput[] {
  if (!Array.isArray(inputs) || inputs.length === 0) {
    throw new OptionError('exportOnnx: inputs must list the shape of every input, for example [[1, 3, 224, 224]]');
  }
  const given = inputs.map((input, i): NamedInput => {
    const described: OnnxInput = Array.isArray(input) ? { shape: input as Shape } : (input as OnnxInput);
    checkOptions('exportOnnx: input', described, ['name', 'shape', 'dtype']);
    checkShape(`exportOnnx: input ${i}`, described.shape);
    const name = described.name ?? (inputs.length === 1 ? 'input' : `input_${i}`);
    return { name, shape: described.shape, dtype: described.dtype ?? model.inputDType };
  });
  checkNames(
    'inputs',
    given.map(({ name }) => name),
  );
  return given;
}

function checkNames(what: string, names: readonly string[]): void {
  const bad = names.find((name, i) => typeof name !== 'string' || name === '' || names.indexOf(name) !== i);
  if (bad !== undefined)
    throw new OptionError(`exportOnnx: ${what} need names that differ, got ${JSON.stringify(names)}`);
}

/** Records the model in evaluation mode; modes are afterwards what they were. */
function record(model: Module, options: OnnxExportOptions, inputs: readonly NamedInput[]): Trace {
  const own = model instanceof OnnxModel ? (...xs: Tensor[]) => model.outputsOf(xs) : undefined;
  const forward = options.forward ?? own ?? ((...xs: Tensor[]) => model.call(xs[0]));
  if (forward !== options.forward && forward !== own && inputs.length !== 1) {
    throw new OptionError(
      `exportOnnx: the model takes one input, got ${inputs.length} shapes; give forward for several`,
    );
  }
  const modes = model.modules().map((module) => [module, module.training] as const);
  model.eval();
  try {
    return trace((graph) => {
      const results = forward(...inputs.map(({ dtype, shape }) => Tensor.fromTraced(graph.addInput({ dtype, shape }))));
      return results instanceof Tensor ? [results] : results;
    });
  } finally {
    for (const [module, training] of modes) module.training = training;
  }
}

function buildModel(model: Module, options: OnnxExportOptions): ModelProto {
  const { opset = 17, dynamicBatch = false } = options;
  if (!Number.isInteger(opset) || opset < OLDEST || opset > NEWEST) {
    throw new OptionError(
      `exportOnnx: opset must be an integer from ${OLDEST} to ${NEWEST}, got ${JSON.stringify(opset)}`,
    );
  }
  const inputs = namedInputs(model, options);
  const { graph, captured } = record(model, options, inputs);
  if (graph.updates.length > 0) {
    throw new OptionError('exportOnnx: the model changes its own state when it runs, which ONNX cannot do');
  }
  const names = new Map(Object.entries(model.stateDict()).map(([name, tensor]) => [tensor, name]));
  const weights = new Map<Value, { name: string; read(): TypedArray }>();
  const constants = new Map<Value, Known>();
  for (const [tensor, value] of captured) {
    const name = names.get(tensor);
    if (name === undefined) constants.set(value, { type: tensor.type, data: tensor.data() });
    else weights.set(value, { name, read: () => tensor.data() });
  }
  const writer = new GraphWriter({
    graph,
    opset,
    weights,
    constants,
    inputs: new Map(inputs.map(({ name }, i) => [graph.inputs[i], name])),
    twin: dynamicBatch ? twinOf(model, options, inputs, graph) : undefined,
  });
  for (const { node, match } of plan(graph, writer)) {
    writer.inScope(node.scope);
    if (match !== undefined) writer.bind(node.outputs[0], match.write(writer));
    else for (const [i, name] of ruleOf(node, graph)(writer, node).entries()) writer.bind(node.outputs[i], name);
  }
  writer.inScope('');
  const outputs = outputNames(options, graph);
  const nodes = nameOutputs(
    writer,
    graph.outputs.map((value) => writer.name(value)),
    outputs,
  );
  return {
    irVersion: IR_VERSIONS[opset],
    producerName: 'gabor',
    opsetImport: [{ domain: '', version: opset }],
    graph: {
      name: model.type,
      node: nodes,
      initializer: writer.initializers,
      sparseInitializer: [],
      input: inputs.map(({ name }, i) => valueInfo(writer, name, graph.inputs[i])),
      output: outputs.map((name, i) => valueInfo(writer, name, graph.outputs[i])),
      valueInfo: [],
    },
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    functions: [],
  };
}

const RULES: Readonly<Record<string, ExportRule>> = { ...ELEMENTWISE_RULES, ...SHAPE_RULES, ...WINDOW_RULES };

/** The operators of graphs that have a counterpart in ONNX; those without inputs are computed beforehand. */
export const EXPORTED_OPERATORS: readonly string[] = [...Object.keys(RULES), 'recurrence'];

function ruleOf(node: Node, graph: Graph): ExportRule {
  const { name } = node.operator;
  if (name === 'maxPool') {
    const [, taps] = node.outputs;
    const read = graph.outputs.includes(taps) || graph.nodes.some((other) => other.inputs.includes(taps));
    if (!read) return (w, pool) => [plainMaxPool(w, pool)];
  }
  if (Object.hasOwn(RULES, name)) return RULES[name];
  const where = node.scope === '' ? '' : ` (in "${node.scope}")`;
  throw new OptionError(
    `exportOnnx: the operator "${name}"${where} has no counterpart in ONNX${name === 'uniform' ? ': it makes random numbers' : ''}`,
  );
}

const ALL_PATTERNS = [...PATTERNS, recurrent];

/** The composition that ends with this node, if it is a known one. */
function findPattern(node: Node, context: PatternContext): Match | undefined {
  for (const pattern of ALL_PATTERNS) {
    const match = pattern(node, context);
    if (match !== undefined) return match;
  }
  return undefined;
}

/** What has to be written, in order: nodes that outputs depend on, not known beforehand and not part of a composition. */
function plan(graph: Graph, writer: GraphWriter): { node: Node; match: Match | undefined }[] {
  const counts = new Map<Value, number>();
  const count = (value: Value): void => void counts.set(value, (counts.get(value) ?? 0) + 1);
  graph.outputs.forEach(count);
  for (const node of [...graph.nodes].reverse()) {
    // What only leads to nothing does not count.
    if (node.outputs.some((value) => counts.has(value))) node.inputs.forEach(count);
  }
  const context = { writer, uses: (value: Value) => counts.get(value) ?? 0 };
  const needed = new Set<Node>();
  const need = (value: Value): void => {
    if (value.node !== undefined && writer.known(value) === undefined) needed.add(value.node);
  };
  graph.outputs.forEach(need);
  const steps: { node: Node; match: Match | undefined }[] = [];
  for (let i = graph.nodes.length - 1; i >= 0; i--) {
    const node = graph.nodes[i];
    if (!needed.has(node)) continue;
    const match = findPattern(node, context);
    (match?.inputs ?? node.inputs).forEach(need);
    steps.push({ node, match });
  }
  return steps.reverse();
}

/** The same program for a larger batch: what differs depends on the batch. */
function twinOf(
  model: Module,
  options: OnnxExportOptions,
  inputs: readonly NamedInput[],
  graph: Graph,
): { batch: number; twinBatch: number; of(value: Value): Value } {
  const batch = inputs[0].shape[0];
  if (!(batch >= 1) || inputs.some(({ shape }) => shape[0] !== batch)) {
    throw new OptionError('exportOnnx: dynamicBatch needs inputs with the same extent ≥ 1 along axis 0');
  }
  // Not the next one: products of small numbers would look like multiples of the batch.
  const twinBatch = batch + 1;
  const larger = inputs.map((input) => ({ ...input, shape: [twinBatch, ...input.shape.slice(1)] }));
  const twin = record(model, options, larger).graph;
  const same =
    twin.nodes.length === graph.nodes.length &&
    twin.nodes.every(({ operator, attributes }, i) => {
      const other = graph.nodes[i];
      const value = (a: object): unknown => (a as { value?: unknown }).value;
      return operator.name === other.operator.name && Object.is(value(attributes), value(other.attributes));
    });
  if (!same)
    throw new OptionError(
      'exportOnnx: the model computes something else for another batch; export without dynamicBatch',
    );
  const of = ({ node, index }: Value): Value =>
    node === undefined ? twin.inputs[index] : twin.nodes[node.id].outputs[index];
  return { batch, twinBatch, of };
}

function outputNames({ outputs }: OnnxExportOptions, graph: Graph): string[] {
  const count = graph.outputs.length;
  const names = outputs ?? (count === 1 ? ['output'] : graph.outputs.map((_, i) => `output_${i}`));
  if (names.length !== count) {
    throw new OptionError(`exportOnnx: ${names.length} names for ${count} outputs`);
  }
  checkNames('outputs', names);
  return [...names];
}

/** Gives the outputs their names: where they are made, or by a node of their own. */
function nameOutputs(writer: GraphWriter, made: readonly string[], wanted: readonly string[]): NodeProto[] {
  const renamed = new Map<string, string>();
  const identities: NodeProto[] = [];
  const produced = new Set(writer.nodes.flatMap((node) => node.output));
  const inUse = new Set([
    ...produced,
    ...writer.nodes.flatMap((node) => node.input),
    ...writer.initializers.map((t) => t.name ?? ''),
  ]);
  made.forEach((name, i) => {
    if (inUse.has(wanted[i])) {
      throw new FileError(`exportOnnx: the output name "${wanted[i]}" is that of another value; choose another`);
    }
    if (produced.has(name) && !renamed.has(name)) renamed.set(name, wanted[i]);
    else
      identities.push({
        name: `Identity_of_${wanted[i]}`,
        opType: 'Identity',
        input: [renamed.get(name) ?? name],
        output: [wanted[i]],
        attribute: [],
      });
  });
  const rename = (names: readonly string[]): string[] => names.map((name) => renamed.get(name) ?? name);
  return [
    ...writer.nodes.map((node) => ({ ...node, input: rename(node.input), output: rename(node.output) })),
    ...identities,
  ];
}

function valueInfo(writer: GraphWriter, name: string, value: Value): ValueInfo {
  const dim = writer.extents(value).map((extent: Extent) => {
    if (typeof extent === 'number') return { dimValue: extent };
    return { dimParam: extent.perBatch === 1 ? 'batch' : `batch*${extent.perBatch}` };
  });
  return { name, type: { tensorType: { elemType: rowOf(ELEMENT_OF[value.type.dtype]).code, shape: { dim } } } };
}
