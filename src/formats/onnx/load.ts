import { getDevice } from '../../graph/device.js';
import { tensor } from '../../ops/create.js';
import { DTYPES } from '../../tensor/dtype.js';
import { checkOptions, FileError, OptionError } from '../../tensor/errors.js';
import { Tensor } from '../../tensor/tensor.js';
import { LITTLE_ENDIAN } from '../elements.js';
import { Lanes } from '../lanes.js';
import type { Siblings } from '../siblings.js';
import { type Uses, usesOf, weightConstants } from './analysis.js';
import { checkOperators, opsetOf } from './check.js';
import type { OnnxContent } from './content.js';
import { type ElementType, rowOf } from './element-types.js';
import { ExternalData } from './external-data.js';
import { inlineFunctions } from './functions.js';
import { type OnnxGraph, readGraph } from './graph.js';
import { type InputShapes, withInputShapes } from './input-shapes.js';
import { MODEL, type ModelProto, type TensorProto } from './messages.js';
import { OnnxModel } from './onnx-model.js';
import { decode } from './proto.js';
import { type HostArray, isExternal, readTensor, tensorHeader } from './tensor-proto.js';

/** Options of {@link loadOnnx}. */
export interface LoadOnnxOptions {
  /** Values of symbolic dimensions, by name; others take what the inputs have. */
  readonly dims?: Readonly<Record<string, number>>;
  /**
   * Shapes of inputs by name, instead of the file's: names or undefined where an extent is open. For networks that were exported for pictures of
   * one size and take any: `{ data: [undefined, 3, undefined, undefined] }`.
   */
  readonly shapes?: InputShapes;
  /** Fetches files with the network's tensors that lie beside it: see {@link siblingsOf}. Default: they are there. */
  readonly siblings?: Siblings;
}

/**
 * Imports a network from an ONNX file: see {@link OnnxModel}. Large tensors may lie in files beside it.
 *
 * @param source path of the file, or its bytes
 * @throws FileError for a file that is missing, broken or claims what cannot be; OptionError with all operators that are not
 *   supported
 * @example
 * const model = await loadOnnx('squeezenet.onnx');
 * const { output } = await model.run({ input: image });
 */
export async function loadOnnx(source: string | Uint8Array, options: LoadOnnxOptions = {}): Promise<OnnxModel> {
  checkOptions('loadOnnx', options, ['dims', 'shapes', 'siblings']);
  const where = typeof source === 'string' ? source : 'ONNX model';
  await using external = typeof source === 'string' ? new ExternalData(source, options.siblings) : undefined;
  const bytes = typeof source === 'string' ? await external?.skeleton(where) : source;
  const proto = decode<ModelProto>(MODEL, bytes ?? new Uint8Array(0), where);
  return new OnnxModel(await readModel(proto, where, external, options));
}

async function readModel(
  proto: ModelProto,
  where: string,
  external: ExternalData | undefined,
  { dims = {}, shapes = {} }: LoadOnnxOptions,
): Promise<OnnxContent> {
  if (proto.graph === undefined) throw new FileError(`${where}: this is no ONNX model: it has no graph`);
  const opset = opsetOf(proto, where);
  const graph = withInputShapes(readGraph(inlineFunctions(proto, proto.graph, where), where), shapes);
  if (graph.outputs.length === 0) throw new FileError(`${where}: the graph has no outputs`);
  checkDims(graph, dims);
  checkOperators(graph, opset, where);
  const uses = usesOf(graph);
  const { weights, constants } = await readWeights(graph, uses, where, external);
  // What was read is not kept, or the bytes of the whole file would stay.
  const read = new Set([...weights.map(({ name }) => name), ...constants.keys()]);
  const nodes = graph.nodes.filter(({ type, outputs }) => type !== 'Constant' || !read.has(outputs[0]));
  const rest = { ...graph, nodes, initialisers: new Map() };
  const producer = [proto.producerName, proto.producerVersion].filter(Boolean).join(' ');
  const metadata = Object.fromEntries(proto.metadataProps.map(({ key = '', value = '' }) => [key, value]));
  return { graph: rest, opset, uses, weights, constants, dims, producer, metadata };
}

function checkDims(graph: OnnxGraph, dims: Readonly<Record<string, number>>): void {
  const known = new Set(graph.inputs.flatMap(({ shape = [] }) => shape.filter((extent) => typeof extent === 'string')));
  for (const [name, value] of Object.entries(dims)) {
    if (!known.has(name)) {
      throw new OptionError(
        `loadOnnx: no input has a dimension "${name}"; symbolic ones are ${[...known].join(', ') || 'none'}`,
      );
    }
    if (!Number.isInteger(value) || value < 1)
      throw new OptionError(`loadOnnx: dimension "${name}" must be an integer ≥ 1, got ${value}`);
  }
}

/** Makes parameters and buffers of what is computed with, one after the other, and keeps constants. */
async function readWeights(
  graph: OnnxGraph,
  uses: Uses,
  where: string,
  external: ExternalData | undefined,
): Promise<Pick<OnnxContent, 'weights' | 'constants'>> {
  const weights: { name: string; tensor: Tensor; trained: boolean; type: ElementType }[] = [];
  const constants = new Map<string, HostArray>();
  const weighted = weightConstants(graph);
  const protos = new Map<string, TensorProto>();
  const used = new Set([...uses.statics, ...uses.computed]);
  for (const [name, proto] of graph.initialisers) if (used.has(name)) protos.set(name, proto);
  for (const node of graph.nodes) {
    const value = node.type === 'Constant' ? node.attributes.get('value')?.t : undefined;
    if (value !== undefined) protos.set(node.outputs[0], value);
  }
  const reads = new Lanes();
  for (const [name, proto] of protos) {
    const at = `${where}: initialiser "${name}"`;
    const { type, shape } = tensorHeader(proto, at);
    const { dtype } = rowOf(type);
    const isWeight = dtype === 'f32' && uses.computed.has(name) && (graph.initialisers.has(name) || weighted.has(name));
    const isConstant = !isWeight || uses.statics.has(name);
    const found = isExternal(proto) ? external : undefined;
    const hold = (held: Tensor): void => {
      weights.push({ name, tensor: held, trained: !uses.buffers.has(name), type });
    };
    if (found !== undefined && !isConstant && type === 'float' && LITTLE_ENDIAN) {
      const storage = getDevice().allocate({ dtype, shape });
      const held = Tensor.fromStorage(storage);
      const { fill } = storage;
      if (fill !== undefined) {
        hold(held);
        await reads.add(() => fill.call(storage, async (bytes) => void (await found.read(proto, at, bytes))));
        continue;
      }
      held.dispose();
    }
    const array = readTensor(proto, at, await found?.read(proto, at));
    if (isWeight) hold(tensor(array.data, { shape: array.shape, dtype }));
    // What is known while tracing is copied, so that the file's bytes can go.
    if (isConstant) {
      constants.set(name, {
        ...array,
        data: array.data.length * DTYPES[dtype].bytes < array.data.buffer.byteLength ? array.data.slice() : array.data,
      });
    }
  }
  await reads.finish();
  return { weights, constants };
}
