import type { Node, Value } from '../../../graph/graph.js';
import type { Role } from '../../../kernel/contraction.js';
import { contraction } from './windows.js';
import { FloatAttribute, type GraphWriter } from './writer.js';

// Compositions that ONNX has as one operator, and that runtimes know how to run fast as such.

/** A composition that was found: what it reads, and how it is written. */
export interface Match {
  readonly inputs: readonly Value[];
  write(w: GraphWriter): string;
}

export interface PatternContext {
  readonly writer: GraphWriter;
  /** How often a value is read. */
  uses(value: Value): number;
}

export type Pattern = (node: Node, context: PatternContext) => Match | undefined;

/** The node that makes a value, if it is of this operator. */
export function made(value: Value | undefined, operator: string): Node | undefined {
  return value?.node?.operator.name === operator ? value.node : undefined;
}

/** The operand in front of reshapes. */
export function unshaped(value: Value): Value {
  const node = made(value, 'reshape');
  return node === undefined ? value : unshaped(node.inputs[0]);
}

/** Both orders of a commutative operator's operands. */
export function orders(node: Node | undefined): [Value, Value][] {
  if (node === undefined) return [];
  const [a, b] = node.inputs;
  return [
    [a, b],
    [b, a],
  ];
}

/** The vector [channels] that `value` lays along axis 1 of a tensor of `rank` axes. */
export function channelVector(value: Value, rank: number): Value | undefined {
  const { shape } = value.type;
  if (shape.length !== Math.max(1, rank - 1) || shape.slice(1).some((extent) => extent !== 1)) return undefined;
  const vector = unshaped(value);
  return vector.type.shape.length === 1 ? vector : undefined;
}

/** Convolution and bias. */
const biased: Pattern = (node, { writer, uses }) => {
  if (node.operator.name !== 'add') return undefined;
  for (const [sum, added] of orders(node)) {
    const conv = made(sum, 'convolution');
    const bias = channelVector(added, sum.type.shape.length);
    if (conv === undefined || bias === undefined || uses(sum) > 1) continue;
    const { role } = conv.attributes as { role: Role };
    // Filters of equal numbers are pooling.
    if (role === 'filter' || bias.type.shape[0] !== sum.type.shape[1] || writer.known(conv.inputs[1]) !== undefined)
      continue;
    return { inputs: [...conv.inputs, bias], write: (w) => contraction(w, conv, w.name(bias)) };
  }
  return undefined;
};

/** x · s + (b − m · s) with s = γ / √(v + ε), all per channel: batch normalisation with given statistics. */
const batchNorm: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'add') return undefined;
  const rank = node.outputs[0].type.shape.length;
  for (const [scaled, shifted] of orders(node)) {
    const shift = made(channelVector(shifted, rank), 'sub');
    for (const [x, factor] of orders(made(scaled, 'mul'))) {
      const scale = made(channelVector(factor, rank), 'div');
      if (scale === undefined || shift === undefined || x.type.shape.length !== rank || rank < 2) continue;
      const deviation = made(scale.inputs[1], 'sqrt');
      const spread = made(deviation?.inputs[0], 'add');
      const product = made(shift.inputs[1], 'mul');
      if (spread === undefined || product === undefined || product.inputs[1] !== scale.outputs[0]) continue;
      const eps = writer.uniform(spread.inputs[1]);
      const [gamma, beta, mean, variance] = [scale.inputs[0], shift.inputs[0], product.inputs[0], spread.inputs[0]];
      const channels = variance.type.shape;
      const vector = (v: Value): boolean => `${v.type.shape}` === `${channels}` || writer.uniform(v) !== undefined;
      if (eps === undefined || channels.length !== 1 || ![gamma, beta, mean].every(vector)) continue;
      const { dtype } = x.type;
      return {
        inputs: [x, gamma, beta, mean, variance],
        write: (w) => {
          const parts = [gamma, beta, mean, variance].map((v) => {
            const number = v.type.shape.length === 1 ? undefined : w.uniform(v);
            return number === undefined
              ? w.name(v)
              : w.constant(dtype, channels, new Array<number>(channels[0]).fill(number));
          });
          return w.node('BatchNormalization', [w.name(x), ...parts], { epsilon: new FloatAttribute(eps) });
        },
      };
    }
  }
  return undefined;
};

/** Σ / count */
const mean: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'mul') return undefined;
  for (const [total, factor] of orders(node)) {
    const sum = made(unshaped(total), 'sum');
    if (sum === undefined || (total.node !== sum && made(total, 'reshape') === undefined)) continue;
    const { axes } = sum.attributes as { axes: readonly number[] };
    const [x] = sum.inputs;
    const count = axes.reduce((product, axis) => product * x.type.shape[axis], 1);
    const value = writer.uniform(factor);
    if (value === undefined || Math.abs(value * count - 1) > 1e-6 || factor.type.shape.length > 0) continue;
    const kept = x.type.shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
    const shape = total.type.shape;
    const keepdims = `${shape}` === `${kept}`;
    if (!keepdims && total.node !== sum) continue;
    return { inputs: [x], write: (w) => w.reduce('ReduceMean', w.name(x), axes, keepdims) };
  }
  return undefined;
};

/** x of x − max x along one axis. */
function shifted(value: Value | undefined): { x: Value; axis: number } | undefined {
  const difference = made(value, 'sub');
  const stop = made(difference?.inputs[1], 'stopGradient');
  const largest = stop && made(unshaped(stop.inputs[0]), 'reduceMax');
  if (difference === undefined || largest === undefined || largest.inputs[0] !== difference.inputs[0]) return undefined;
  const { axes } = largest.attributes as { axes: readonly number[] };
  return axes.length === 1 ? { x: difference.inputs[0], axis: axes[0] } : undefined;
}

const overAxis = (opType: string, x: Value, axis: number, writer: GraphWriter): Match | undefined => {
  // Before opset 13 the axes behind `axis` were joined to it.
  if (writer.opset < 13 && axis !== x.type.shape.length - 1) return undefined;
  return { inputs: [x], write: (w) => w.node(opType, [w.name(x)], { axis }) };
};

function sumAlong(value: Value, axis: number): Value | undefined {
  const sum = made(unshaped(value), 'sum');
  const axes = (sum?.attributes as { axes: readonly number[] } | undefined)?.axes;
  return sum !== undefined && axes?.length === 1 && axes[0] === axis ? sum.inputs[0] : undefined;
}

/** exp(x − max x) / Σ */
const softmax: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'div') return undefined;
  const exp = made(node.inputs[0], 'exp');
  const inner = shifted(exp?.inputs[0]);
  if (inner === undefined || sumAlong(node.inputs[1], inner.axis) !== exp?.outputs[0]) return undefined;
  return overAxis('Softmax', inner.x, inner.axis, writer);
};

/** z − log Σ exp z with z = x − max x */
const logSoftmax: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'sub') return undefined;
  const inner = shifted(node.inputs[0]);
  const log = made(unshaped(node.inputs[1]), 'log');
  if (inner === undefined || log === undefined) return undefined;
  const exp = made(sumAlong(log.inputs[0], inner.axis), 'exp');
  if (exp?.inputs[0] !== node.inputs[0]) return undefined;
  return overAxis('LogSoftmax', inner.x, inner.axis, writer);
};

/** x ≤ low ? low : x ≥ high ? high : x */
const clip: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'select') return undefined;
  const below = made(node.inputs[0], 'le');
  const rest = made(node.inputs[2], 'select');
  const above = made(rest?.inputs[0], 'ge');
  if (below === undefined || rest === undefined || above === undefined) return undefined;
  const x = below.inputs[0];
  const limits = [below.inputs[1], node.inputs[1], above.inputs[1], rest.inputs[1]].map((v) => writer.uniform(v));
  const same = above.inputs[0] === x && rest.inputs[2] === x && limits[0] === limits[1] && limits[2] === limits[3];
  const [low, , high] = limits;
  if (!same || low === undefined || high === undefined) return undefined;
  const { dtype } = x.type;
  return { inputs: [x], write: (w) => w.node('Clip', [w.name(x), w.scalar(dtype, low), w.scalar(dtype, high)]) };
};

/** x > 0 ? x : slope · x, the slope a weight */
const prelu: Pattern = (node, { writer }) => {
  const positive = node.operator.name === 'select' ? made(node.inputs[0], 'gt') : undefined;
  const x = positive?.inputs[0];
  if (positive === undefined || x === undefined || node.inputs[1] !== x) return undefined;
  if (writer.uniform(positive.inputs[1]) !== 0) return undefined;
  for (const [slope, factor] of orders(made(node.inputs[2], 'mul'))) {
    const fits = factor === x && slope.type.shape.length <= x.type.shape.length && slope.type.dtype === x.type.dtype;
    if (!fits || `${x.type.shape}` !== `${node.outputs[0].type.shape}`) continue;
    return { inputs: [x, slope], write: (w) => w.node('PRelu', [w.name(x), w.name(slope)]) };
  }
  return undefined;
};

/** log(1 + exp(x)) */
const softplus: Pattern = (node) => {
  const exp = node.operator.name === 'log1p' ? made(node.inputs[0], 'exp') : undefined;
  if (exp === undefined) return undefined;
  return { inputs: exp.inputs, write: (w) => w.node('Softplus', [w.name(exp.inputs[0])]) };
};

/** x / 2 · (1 + erf(x / √2)), an operator since opset 20 */
const gelu: Pattern = (node, { writer }) => {
  if (node.operator.name !== 'mul' || writer.opset < 20) return undefined;
  const near = (value: Value, number: number): boolean =>
    Math.abs((writer.uniform(value) ?? Number.NaN) - number) < 1e-6;
  for (const [half, sum] of orders(node)) {
    const scaled = made(half, 'mul');
    const plus = made(sum, 'add');
    const erf = made(plus?.inputs[0], 'erf');
    const argument = made(erf?.inputs[0], 'mul');
    if (scaled === undefined || plus === undefined || argument === undefined) continue;
    const [x] = scaled.inputs;
    const fits = near(scaled.inputs[1], 0.5) && near(plus.inputs[1], 1) && near(argument.inputs[1], Math.SQRT1_2);
    if (fits && argument.inputs[0] === x) return { inputs: [x], write: (w) => w.node('Gelu', [w.name(x)]) };
  }
  return undefined;
};

/** Transpositions in a row: one, or none. */
const transposed: Pattern = (node) => {
  if (node.operator.name !== 'transpose') return undefined;
  let { order } = node.attributes as { order: readonly number[] };
  let [x] = node.inputs;
  for (let inner = made(x, 'transpose'); inner !== undefined; inner = made(x, 'transpose')) {
    const before = (inner.attributes as { order: readonly number[] }).order;
    order = order.map((axis) => before[axis]);
    [x] = inner.inputs;
  }
  return x === node.inputs[0] ? undefined : { inputs: [x], write: (w) => w.transpose(w.name(x), order) };
};

/** Reshapes in a row: the last. */
const reshaped: Pattern = (node) => {
  const [before] = node.inputs;
  if (node.operator.name !== 'reshape' || made(before, 'reshape') === undefined) return undefined;
  const [y] = node.outputs;
  const x = unshaped(before);
  const same = `${x.type.shape}` === `${y.type.shape}`;
  return { inputs: [x], write: (w) => (same ? w.name(x) : w.reshape(w.name(x), w.extents(y))) };
};

/** Patterns of this file. */
export const PATTERNS: readonly Pattern[] = [
  biased,
  batchNorm,
  mean,
  softmax,
  logSoftmax,
  clip,
  prelu,
  softplus,
  gelu,
  transposed,
  reshaped,
];
