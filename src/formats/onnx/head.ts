import { uniform } from '../../nn/init.js';
import { full, zeros } from '../../ops/create.js';
import { OptionError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { OnnxContent, Weight } from './content.js';
import type { OnnxNode } from './context.js';
import { rowOf } from './element-types.js';
import type { HostArray } from './tensor-proto.js';

/** Nodes between the last layer with weights and the output. */
const AFTER: ReadonlySet<string> = new Set([
  ...[
    'Add',
    'Mul',
    'BatchNormalization',
    'Relu',
    'Clip',
    'Sigmoid',
    'Softmax',
    'LogSoftmax',
    'Identity',
    'Cast',
    'Dropout',
  ],
  ...['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze', 'Transpose'],
  ...['GlobalAveragePool', 'GlobalMaxPool', 'AveragePool', 'MaxPool', 'ReduceMean', 'ReduceMax'],
]);

/** The last layer with weights: its filter, and which axis of it counts the outputs. */
interface Head {
  readonly filter: Weight;
  readonly axis: number;
  readonly bias: string | undefined;
  /** What is between it and the output. */
  readonly after: readonly OnnxNode[];
}

function findHead({ graph, weights }: OnnxContent): Head {
  const byName = new Map(weights.map((weight) => [weight.name, weight]));
  const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node] as const)));
  const [{ name: output }] = graph.outputs;
  const after: OnnxNode[] = [];
  const refuse = (text: string): never => {
    throw new OptionError(
      `OnnxModel: cannot tell the last layer of "${output}": ${text}. Cut the network before it with features(), and put a new head behind`,
    );
  };
  for (let node = producers.get(output); ; ) {
    if (node === undefined) return refuse('no layer with weights leads there');
    const filter = byName.get(node.inputs[1] ?? '');
    const rank = filter?.tensor.rank ?? 0;
    const bias = node.inputs[2] || undefined;
    if (filter !== undefined && node.type === 'Conv') {
      if ((node.attributes.get('group')?.i ?? 1) !== 1) return refuse(`"${node.name}" is a convolution of groups`);
      return { filter, axis: 0, bias, after };
    }
    if (filter !== undefined && node.type === 'Gemm') {
      return { filter, axis: node.attributes.get('transB')?.i ? 0 : 1, bias, after };
    }
    if (filter !== undefined && node.type === 'MatMul') return { filter, axis: rank - 1, bias: undefined, after };
    if (!AFTER.has(node.type)) return refuse(`there is ${node.type} "${node.name}" behind it`);
    const computed = node.inputs.filter((name) => producers.has(name));
    if (computed.length !== 1) return refuse(`${node.type} "${node.name}" joins ${computed.length} tensors`);
    after.push(node);
    node = producers.get(computed[0]);
  }
}

/** What a new weight begins with, by the operator that reads it and as which input; others are drawn. */
const BEGINNINGS: Readonly<Record<string, readonly number[]>> = {
  Mul: [1, 1],
  // data, scale, shift, mean, variance
  BatchNormalization: [0, 1, 0, 0, 1],
};

/**
 * The same network for another number of outputs: the weights of its last layer are drawn anew, as PyTorch draws them, and so are
 * those behind it (normalisation starts as new layers do); all others are shared.
 *
 * @throws OptionError where the last layer is not a convolution or a matrix product
 */
export function withOutputs(content: OnnxContent, outputs: number, random: Random | undefined): OnnxContent {
  const { graph, weights, constants } = content;
  const { filter, axis, bias, after } = findHead(content);
  const { shape } = filter.tensor;
  const before = shape[axis];
  const bound = 1 / Math.sqrt(Math.max(1, sizeOf(shape) / before));
  const resize = (extents: Shape): number[] => extents.map((extent) => (extent === before ? outputs : extent));
  const drawn = (extents: Shape): Tensor => uniform(zeros(extents), -bound, bound, random);

  const fresh = new Map([[filter.name, drawn(shape.map((extent, i) => (i === axis ? outputs : extent)))]]);
  const sizes = new Map<string, HostArray>();
  const renew = (name: string | undefined, beginning: number | undefined): void => {
    const known = constants.get(name ?? '');
    const weight = weights.find((one) => one.name === name);
    // Targets of a reshape that spell the number out.
    if (known !== undefined && rowOf(known.type).dtype === 'i32') {
      sizes.set(name as string, { ...known, data: known.data.map((n) => (n === before ? outputs : n)) });
    } else if (weight !== undefined && weight.tensor.size === before) {
      const extents = resize(weight.tensor.shape);
      fresh.set(weight.name, beginning === undefined ? drawn(extents) : full(extents, beginning));
    }
  };
  renew(bias, undefined);
  for (const { type, inputs } of after) for (const [i, name] of inputs.entries()) renew(name, BEGINNINGS[type]?.[i]);

  const known = [...fresh.keys()].find((name) => constants.has(name));
  if (known !== undefined) {
    throw new OptionError(`OnnxModel: shapes of the network depend on the weight "${known}" of its last layer`);
  }
  const [first, ...rest] = graph.outputs;
  const port = { ...first, shape: first.shape?.map((extent) => (extent === before ? outputs : extent)) };
  return {
    ...content,
    graph: { ...graph, outputs: [port, ...rest] },
    weights: weights.map((weight) => ({ ...weight, tensor: fresh.get(weight.name) ?? weight.tensor })),
    constants: new Map([...constants].map(([name, array]) => [name, sizes.get(name) ?? array])),
  };
}
