import type { Node } from '../../../graph/graph.js';
import { OptionError } from '../../../tensor/errors.js';
import type { ExportRule, GraphWriter } from './writer.js';

/** Takes elements to the end, whatever the direction. */
const TO_THE_END = 2 ** 31 - 1;
const TO_THE_BEGINNING = -(2 ** 31);

interface SliceParts {
  readonly start: readonly number[];
  readonly size: readonly number[];
  readonly step: readonly number[];
}

function slice(w: GraphWriter, node: Node): string {
  const { start, size, step } = node.attributes as SliceParts;
  const before = w.extents(node.inputs[0]);
  const after = w.extents(node.outputs[0]);
  if (`${(w.twin(node.outputs[0])?.node?.attributes as SliceParts | undefined)?.start ?? start}` !== `${start}`) {
    throw new OptionError('ONNX export: a part is taken from where the batch says; export without dynamicBatch');
  }
  const parts = before.flatMap((extent, axis) => {
    if (typeof extent !== 'number' && typeof after[axis] !== 'number') {
      if (start[axis] === 0 && step[axis] === 1 && extent.perBatch === (after[axis] as { perBatch: number }).perBatch)
        return [];
      throw new OptionError(`ONNX export: a part of the batch is taken; export without dynamicBatch`);
    }
    if (start[axis] === 0 && step[axis] === 1 && size[axis] === node.inputs[0].type.shape[axis]) return [];
    return [
      {
        axis,
        from: start[axis],
        to: start[axis] + Math.max(0, (size[axis] - 1) * step[axis] + 1) * Number(size[axis] > 0),
        step: step[axis],
      },
    ];
  });
  return w.slice(w.name(node.inputs[0]), parts);
}

function pad(w: GraphWriter, node: Node): string {
  const { low, high, interior, value } = node.attributes as {
    low: readonly number[];
    high: readonly number[];
    interior: readonly number[];
    value: number;
  };
  const [input] = node.inputs;
  const { dtype } = input.type;
  let x = w.name(input);
  if (interior.some((n) => n > 0)) {
    // Each element gets its own row of n + 1; what is behind the last one goes again.
    const extents = w.extents(input);
    const none = extents.flatMap(() => [0, 0]);
    x = w.reshape(
      x,
      extents.flatMap((extent) => [extent, 1]),
    );
    x = w.pad(
      x,
      dtype,
      none,
      interior.flatMap((n) => [0, n]),
      value,
    );
    const grown = extents.map((extent, axis) =>
      typeof extent === 'number' ? extent * (interior[axis] + 1) : { perBatch: extent.perBatch * (interior[axis] + 1) },
    );
    x = w.reshape(x, grown);
    return w.pad(
      x,
      dtype,
      low,
      high.map((n, axis) => n - (input.type.shape[axis] > 0 ? interior[axis] : 0)),
      value,
    );
  }
  return w.pad(x, dtype, low, high, value);
}

/** The largest or smallest or sum or product over axes, which go. */
const reduction =
  (opType: string): ExportRule =>
  (w, node) => {
    const { axes } = node.attributes as { axes: readonly number[] };
    return [w.reduce(opType, w.name(node.inputs[0]), axes, false)];
  };

function argmax(w: GraphWriter, node: Node): string {
  const { axes } = node.attributes as { axes: readonly number[] };
  const [input] = node.inputs;
  let x = w.name(input);
  let axis = axes[0];
  if (axes.length !== 1) {
    const kept = input.type.shape.map((_, a) => a).filter((a) => !axes.includes(a));
    x = w.transpose(x, [...kept, ...axes]);
    const count = axes.reduce((product, a) => product * input.type.shape[a], 1);
    x = w.reshape(x, [...w.extents(node.outputs[0]), count]);
    axis = kept.length;
  }
  return w.cast(w.node('ArgMax', [x], { axis, keepdims: 0 }), 'i32');
}

interface Gathering {
  readonly axis: number;
  readonly aligned: boolean;
}

function scatterAdd(w: GraphWriter, node: Node): string {
  const { axis, aligned } = node.attributes as Gathering;
  if (w.opset < 16) throw new OptionError('ONNX export: adding up by index (scatterAdd) needs opset 16 or newer');
  const [source, indices] = node.inputs;
  const { dtype } = source.type;
  let [values, places] = [w.name(source), w.name(indices)];
  const extents = w.extents(source);
  if (!aligned) {
    // Indices of any shape as one axis, and the same along all others.
    const rank = indices.type.shape.length;
    const joined = extents.slice(axis, axis + rank).reduce<number>((product, extent) => {
      if (typeof extent === 'number') return product * extent;
      throw new OptionError('ONNX export: adds up over the batch by index; export without dynamicBatch');
    }, 1);
    const flat = [...extents.slice(0, axis), joined, ...extents.slice(axis + rank)];
    values = w.reshape(values, flat);
    places = w.reshape(
      places,
      flat.map((_, a) => (a === axis ? joined : 1)),
    );
    places = w.node('Expand', [places, w.shape(flat)]);
  }
  const zeros = w.node('Expand', [w.scalar(dtype, 0), w.shape(w.extents(node.outputs[0]))]);
  return w.node('ScatterElements', [zeros, places, values], { axis, reduction: 'add' });
}

export const SHAPE_RULES: Readonly<Record<string, ExportRule>> = {
  reshape: (w, node) => [w.reshape(w.name(node.inputs[0]), w.extents(node.outputs[0]))],
  transpose: (w, node) => [
    w.transpose(w.name(node.inputs[0]), (node.attributes as { order: readonly number[] }).order),
  ],
  broadcast: (w, node) => [w.node('Expand', [w.name(node.inputs[0]), w.shape(w.extents(node.outputs[0]))])],
  concat: (w, node) => [
    w.node(
      'Concat',
      node.inputs.map((x) => w.name(x)),
      { axis: (node.attributes as Gathering).axis },
    ),
  ],
  slice: (w, node) => [slice(w, node)],
  pad: (w, node) => [pad(w, node)],
  flip: (w, node) => {
    const { axes } = node.attributes as { axes: readonly number[] };
    const parts = axes.map((axis) => ({ axis, from: TO_THE_END, to: TO_THE_BEGINNING, step: -1 }));
    return [w.slice(w.name(node.inputs[0]), parts)];
  },
  sum: reduction('ReduceSum'),
  reduceMax: reduction('ReduceMax'),
  reduceMin: reduction('ReduceMin'),
  reduceProduct: reduction('ReduceProd'),
  argmax: (w, node) => [argmax(w, node)],
  gather: (w, node) => {
    const { axis, aligned } = node.attributes as Gathering;
    return [
      w.node(
        aligned ? 'GatherElements' : 'Gather',
        node.inputs.map((x) => w.name(x)),
        { axis },
      ),
    ];
  },
  scatterAdd: (w, node) => [scatterAdd(w, node)],
};
