import type { Node } from '../../../graph/graph.js';
import type { Geometry, Role, SpatialAxis } from '../../../kernel/contraction.js';
import { stridesOf } from '../../../tensor/shape.js';
import type { ExportRule, Extent, GraphWriter } from './writer.js';

const span = (a: SpatialAxis): number => a.dilation * (a.kernel - 1) + 1;
/** How far the last window reaches beyond the input; negative where it ends before. */
const overhang = (a: SpatialAxis): number => a.stride * (a.output - 1) + span(a) - a.padLow - a.input;

interface Windows {
  readonly kernel_shape: number[];
  readonly strides: number[];
  readonly dilations: number[];
  readonly pads: number[];
}

/**
 * Windows as attributes, and the input that they fit: ONNX knows no negative padding, and takes as many windows as fit, so what
 * goes beyond is cut off before.
 */
function windows(w: GraphWriter, x: string, axes: readonly SpatialAxis[]): { x: string; attributes: Windows } {
  const cut = axes.flatMap((a, s) => {
    const from = Math.max(0, -a.padLow);
    // Elements behind the last window are harmless as long as no other window fits.
    const spare = -overhang(a);
    const to = spare >= a.stride ? a.input - spare : a.input;
    return from > 0 || to < a.input ? [{ axis: 2 + s, from, to, step: 1 }] : [];
  });
  const low = axes.map((a) => Math.max(0, a.padLow));
  const high = axes.map((a) => Math.max(0, overhang(a)));
  return {
    x: w.slice(x, cut),
    attributes: {
      kernel_shape: axes.map((a) => a.kernel),
      strides: axes.map((a) => a.stride),
      dilations: axes.map((a) => a.dilation),
      pads: [...low, ...high],
    },
  };
}

/** Z from X and W. Without spatial axes a matrix product. */
export function convolution(w: GraphWriter, node: Node, bias?: string): string {
  const { geometry: g } = node.attributes as { geometry: Geometry };
  const [input, filter] = node.inputs;
  const pooled = averages(w, node);
  if (pooled !== undefined) return pooled;
  const rest = bias === undefined ? [] : [bias];
  if (g.axes.length === 0) {
    if (g.groups === 1) return w.node('Gemm', [w.name(input), w.name(filter), ...rest], { transB: 1 });
    const x = w.reshape(w.name(input), [...w.extents(input), 1]);
    const f = w.reshape(w.name(filter), [...w.extents(filter), 1]);
    return w.reshape(w.node('Conv', [x, f, ...rest], { group: g.groups }), w.extents(node.outputs[0]));
  }
  const { x, attributes } = windows(w, w.name(input), g.axes);
  return w.node('Conv', [x, w.name(filter), ...rest], { ...attributes, group: g.groups });
}

/** A depthwise convolution with equal weights is average pooling. */
function averages(w: GraphWriter, node: Node): string | undefined {
  const { geometry: g } = node.attributes as { geometry: Geometry };
  const [input, filter] = node.inputs;
  if (g.channelsIn !== 1 || g.channelsOut !== 1 || g.axes.length === 0) return undefined;
  const weight = w.uniform(filter);
  const fits = g.axes.every((a) => a.dilation === 1 && a.padLow < a.kernel && overhang(a) < a.kernel);
  if (weight === undefined || !fits || w.known(filter) === undefined) return undefined;
  const { x, attributes } = windows(w, w.name(input), g.axes);
  const { kernel_shape, strides, pads } = attributes;
  const mean = w.node('AveragePool', [x], { kernel_shape, strides, pads, count_include_pad: 1 });
  const factor = weight * g.axes.reduce((area, a) => area * a.kernel, 1);
  return Math.abs(factor - 1) < 1e-6 ? mean : w.node('Mul', [mean, w.scalar(input.type.dtype, factor)]);
}

/** X from W and Z: transposed convolution. Without spatial axes a matrix product. */
function transposedConvolution(w: GraphWriter, node: Node, bias?: string): string {
  const { geometry: g } = node.attributes as { geometry: Geometry };
  const [filter, input] = node.inputs;
  const rest = bias === undefined ? [] : [bias];
  if (g.axes.length === 0) {
    if (g.groups === 1) {
      const inputs = [w.name(input), w.name(filter)];
      return bias === undefined ? w.node('MatMul', inputs) : w.node('Gemm', [...inputs, bias]);
    }
    const x = w.reshape(w.name(input), [...w.extents(input), 1]);
    const f = w.reshape(w.name(filter), [...w.extents(filter), 1]);
    return w.reshape(w.node('ConvTranspose', [x, f, ...rest], { group: g.groups }), w.extents(node.outputs[0]));
  }
  // All that the windows reach is (output − 1) · stride + span; of it, `input` elements from `padLow` on are wanted.
  const high = g.axes.map((a) => overhang(a));
  const extra = g.axes.map((a, s) => (high[s] < 0 && -high[s] < a.stride ? -high[s] : 0));
  const low = g.axes.map((a) => Math.max(0, -a.padLow));
  const behind = high.map((n, s) => Math.max(0, -n - extra[s]));
  const around = [...low, ...behind].some((n) => n > 0);
  const y = w.node('ConvTranspose', [w.name(input), w.name(filter), ...(around ? [] : rest)], {
    kernel_shape: g.axes.map((a) => a.kernel),
    strides: g.axes.map((a) => a.stride),
    dilations: g.axes.map((a) => a.dilation),
    group: g.groups,
    pads: [...g.axes.map((a) => Math.max(0, a.padLow)), ...high.map((n) => Math.max(0, n))],
    output_padding: extra.some((n) => n > 0) ? extra : undefined,
  });
  const padded = w.pad(y, input.type.dtype, [0, 0, ...low], [0, 0, ...behind], 0);
  if (!around || bias === undefined) return padded;
  return w.node('Add', [padded, w.reshape(bias, [g.groups * g.channelsIn, ...g.axes.map(() => 1)])]);
}

/**
 * W from X and Z: a convolution in which the batch takes the place of the channels, and strides and dilations change places.
 */
function filterGradient(w: GraphWriter, node: Node): string {
  const { geometry: g } = node.attributes as { geometry: Geometry };
  const [x, z] = node.inputs;
  if (g.axes.length === 0 && g.groups === 1) return w.node('Gemm', [w.name(z), w.name(x)], { transA: 1 });
  const spatialAxes =
    g.axes.length === 0 ? [{ input: 1, kernel: 1, output: 1, stride: 1, dilation: 1, padLow: 0 }] : g.axes;
  const spatial = spatialAxes.map((_, s) => 3 + s);
  const batch = w.extents(x)[0];
  const grouped: Extent = typeof batch === 'number' ? g.groups * batch : { perBatch: batch.perBatch * g.groups };
  const inputs = spatialAxes.map((a) => a.input);
  const outputs = spatialAxes.map((a) => a.output);
  // [n, g, ci, …] to [ci, g · n, …]; [n, g, co, …] to [g · co, n, …]
  let X = w.reshape(w.name(x), [batch, g.groups, g.channelsIn, ...inputs]);
  X = w.reshape(w.transpose(X, [2, 1, 0, ...spatial]), [g.channelsIn, grouped, ...inputs]);
  let Z = w.reshape(w.name(z), [batch, g.groups, g.channelsOut, ...outputs]);
  Z = w.reshape(w.transpose(Z, [1, 2, 0, ...spatial]), [g.groups * g.channelsOut, batch, ...outputs]);
  const axes = spatialAxes.map((a) => ({
    ...a,
    kernel: a.output,
    output: a.kernel,
    stride: a.dilation,
    dilation: a.stride,
  }));
  const made = windows(w, X, axes);
  const y = w.node('Conv', [made.x, Z], { ...made.attributes, group: g.groups });
  const turned = w.transpose(y, [1, 0, ...spatialAxes.map((_, s) => 2 + s)]);
  return g.axes.length === 0 ? w.reshape(turned, [g.groups * g.channelsOut, g.channelsIn]) : turned;
}

interface WindowAttributes {
  readonly axes: readonly SpatialAxis[];
}

/** The largest element of each window, and, where asked for, which one of the window it was. */
function maxPool(w: GraphWriter, node: Node, withTaps: boolean): string[] {
  const { axes } = node.attributes as WindowAttributes;
  const [input] = node.inputs;
  // Whole numbers are exact in double precision.
  const whole = input.type.dtype === 'i32';
  const dtype = whole ? 'f64' : input.type.dtype;
  const source = whole ? w.cast(w.name(input), 'f64') : w.name(input);
  let { x, attributes } = windows(w, source, axes);
  // A window must not lie in the padding altogether, and the padding is smaller than the window.
  const deep = axes.some((a, s) => attributes.pads[s] >= a.kernel || attributes.pads[axes.length + s] >= a.kernel);
  const none = axes.map(() => 0);
  const padded = deep ? attributes.pads : [...none, ...none];
  if (deep) {
    const [low, high] = [attributes.pads.slice(0, axes.length), attributes.pads.slice(axes.length)];
    x = w.pad(x, dtype, [0, 0, ...low], [0, 0, ...high], Number.NEGATIVE_INFINITY);
    attributes = { ...attributes, pads: padded.map(() => 0) };
  }
  const results = w.many('MaxPool', [x], { ...attributes }, withTaps ? 2 : 1);
  const values = whole ? w.cast(results[0], 'i32') : results[0];
  if (!withTaps) return [values];
  // Positions of ONNX count through the tensor that was pooled; of each axis, tap = (position + low − stride · window) / dilation.
  const extents = axes.map((a, s) => {
    const from = Math.max(0, -a.padLow);
    const spare = -overhang(a);
    return (spare >= a.stride ? a.input - spare : a.input) - from + padded[s] + padded[axes.length + s];
  });
  const positionStrides = stridesOf(extents);
  const tapStrides = stridesOf(axes.map((a) => a.kernel));
  const i64 = (value: number): string => w.scalar('i64', value);
  const remainder = (value: string, by: number): string =>
    w.node('Sub', [value, w.node('Mul', [w.node('Div', [value, i64(by)]), i64(by)])]);
  const taps = axes.map((a, s) => {
    const inside = remainder(results[1], positionStrides[s] * extents[s]);
    const position = w.node('Div', [inside, i64(positionStrides[s])]);
    const start = Array.from({ length: a.output }, (_, o) => o * a.stride - attributes.pads[s]);
    const shape = [a.output, ...axes.slice(s + 1).map(() => 1)];
    const tap = w.node('Div', [w.node('Sub', [position, w.constant('i64', shape, start)]), i64(a.dilation)]);
    return w.node('Mul', [tap, i64(tapStrides[s])]);
  });
  return [
    values,
    w.cast(
      taps.reduce((sum, tap) => w.node('Add', [sum, tap])),
      'i32',
    ),
  ];
}

/** Whether the tap of a window is k, as an axis of its own behind the channels. */
function chosen(w: GraphWriter, tap: Node['inputs'][number], taps: number): string {
  const [batch, channels, ...spatial] = w.extents(tap);
  const column = w.constant(
    'i32',
    [1, 1, taps, ...spatial.map(() => 1)],
    Array.from({ length: taps }, (_, k) => k),
  );
  return w.node('Equal', [w.reshape(w.name(tap), [batch, channels, 1, ...spatial]), column]);
}

/** Every element where its window chose it: a channel for each tap, and a transposed convolution that puts them in their place. */
function unpool(w: GraphWriter, node: Node): string {
  const { axes } = node.attributes as WindowAttributes;
  const [g, tap] = node.inputs;
  const { dtype } = g.type;
  const whole = dtype === 'i32';
  const taps = axes.reduce((product, a) => product * a.kernel, 1);
  const [batch, channels, ...spatial] = w.extents(g);
  const count = g.type.shape[1];
  const value = w.reshape(whole ? w.cast(w.name(g), 'f32') : w.name(g), [batch, channels, 1, ...spatial]);
  const split = w.node('Where', [chosen(w, tap, taps), value, w.scalar(whole ? 'f32' : dtype, 0)]);
  const one = new Float32Array(count * taps * taps);
  for (let c = 0; c < count; c++) for (let k = 0; k < taps; k++) one[(c * taps + k) * taps + k] = 1;
  const filter = w.constant(whole ? 'f32' : dtype, [count * taps, 1, ...axes.map((a) => a.kernel)], one);
  const geometry: Geometry = { batch: 1, groups: count, channelsIn: 1, channelsOut: taps, axes };
  const x = w.reshape(split, [batch, count * taps, ...spatial]);
  const y = placed(w, x, filter, geometry);
  return whole ? w.cast(y, 'i32') : y;
}

function placed(w: GraphWriter, x: string, filter: string, g: Geometry): string {
  const high = g.axes.map((a) => overhang(a));
  const cut = g.axes.flatMap((a, s) =>
    a.padLow > 0 || high[s] > 0
      ? [
          {
            axis: 2 + s,
            from: Math.max(0, a.padLow),
            to: Math.max(0, a.padLow) + a.input - Math.max(0, -a.padLow),
            step: 1,
          },
        ]
      : [],
  );
  const y = w.node('ConvTranspose', [x, filter], {
    kernel_shape: g.axes.map((a) => a.kernel),
    strides: g.axes.map((a) => a.stride),
    dilations: g.axes.map((a) => a.dilation),
    group: g.groups,
  });
  const low = g.axes.map((a) => Math.max(0, -a.padLow));
  return w.pad(w.slice(y, cut), 'f32', [0, 0, ...low], [0, 0, ...high.map((n) => Math.max(0, -n))], 0);
}

/** The element that each window chose; 0 where that lies in the padding. */
function pickTaps(w: GraphWriter, node: Node): string {
  const { axes } = node.attributes as WindowAttributes;
  const [x, tap] = node.inputs;
  const { dtype } = x.type;
  const [batch, channels, ...spatial] = w.extents(tap);
  const i32 = (value: number): string => w.scalar('i32', value);
  const tapStrides = stridesOf(axes.map((a) => a.kernel));
  const strides = stridesOf(axes.map((a) => a.input));
  const all = w.name(tap);
  const ends = axes.map((a, s) => {
    const upper = w.node('Div', [all, i32(tapStrides[s])]);
    const k = w.node('Sub', [upper, w.node('Mul', [w.node('Div', [upper, i32(a.kernel)]), i32(a.kernel)])]);
    const start = Array.from({ length: a.output }, (_, o) => o * a.stride - a.padLow);
    const shape = [a.output, ...axes.slice(s + 1).map(() => 1)];
    return w.node('Add', [w.node('Mul', [k, i32(a.dilation)]), w.constant('i32', shape, start)]);
  });
  const clipped = axes.map((a) => a.padLow > 0 || overhang(a) > 0);
  const isInside = axes.flatMap((a, s) =>
    clipped[s] ? [w.node('And', [w.node('Greater', [ends[s], i32(-1)]), w.node('Less', [ends[s], i32(a.input)])])] : [],
  );
  const inside = isInside.length === 0 ? undefined : isInside.reduce((so, more) => w.node('And', [so, more]));
  const flat = ends.map((p, s) => w.node('Mul', [p, i32(strides[s])])).reduce((sum, p) => w.node('Add', [sum, p]));
  const safe = inside === undefined ? flat : w.node('Where', [inside, flat, i32(0)]);
  const count = (list: readonly SpatialAxis[], pick: (a: SpatialAxis) => number): number =>
    list.reduce((product, a) => product * pick(a), 1);
  const rows = w.reshape(w.name(x), [batch, channels, count(axes, (a) => a.input)]);
  const places = w.reshape(safe, [batch, channels, count(axes, (a) => a.output)]);
  const found = w.reshape(w.node('GatherElements', [rows, places], { axis: 2 }), [batch, channels, ...spatial]);
  return inside === undefined ? found : w.node('Where', [inside, found, w.scalar(dtype, 0)]);
}

/** By role: see `kernel/contraction.ts`. */
export function contraction(w: GraphWriter, node: Node, bias?: string): string {
  const { role } = node.attributes as { role: Role };
  if (role === 'output') return convolution(w, node, bias);
  return role === 'input' ? transposedConvolution(w, node, bias) : filterGradient(w, node);
}

export const WINDOW_RULES: Readonly<Record<string, ExportRule>> = {
  convolution: (w, node) => [contraction(w, node)],
  maxPool: (w, node) => maxPool(w, node, true),
  unpool: (w, node) => [unpool(w, node)],
  pickTaps: (w, node) => [pickTaps(w, node)],
};

/** Max pooling whose taps nobody reads. */
export function plainMaxPool(w: GraphWriter, node: Node): string {
  return maxPool(w, node, false)[0];
}
