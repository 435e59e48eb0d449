import type { Json } from '../nn/config.js';
import { hardtanh } from '../ops/activations.js';
import { broadcastTo, sum } from '../ops/broadcast.js';
import { concat } from '../ops/concat.js';
import { add, cast, div, exp, greater, maximum, minimum, mul, sqrt, sub, where } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { interpolate, type ResizeMode } from '../ops/resize.js';
import { pad } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { broadcastShapes, formatShape, normalizeAxes, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

// Keras's layers without parameters that have no counterpart in `nn/`: compositions of the engine's functions, by name.

type Options = Readonly<Record<string, Json>>;
type Function = (inputs: readonly Tensor[], options: Options) => Tensor;

const numbers = (value: Json): number[] => value as number[];

/** All inputs with one shape but for extents of one, which stretch. */
function merge(name: string, inputs: readonly Tensor[], join: (a: Tensor, b: Tensor) => Tensor): Tensor {
  if (inputs.length < 2) throw new OptionError(`${name}: needs at least two tensors, got ${inputs.length}`);
  return inputs.reduce((a, b) => {
    if (broadcastShapes(a.shape, b.shape) === undefined || a.rank !== b.rank) {
      throw new ShapeError(
        `${name}: the shapes ${formatShape(a.shape)} and ${formatShape(b.shape)} do not fit together`,
      );
    }
    return join(a, b);
  });
}

function l2Normalize(x: Tensor, axis: number): Tensor {
  return div(x, sqrt(maximum(sum(mul(x, x), axis, { keepDims: true }), 1e-7)));
}

/** Products of vectors along one axis of each tensor, for each example: [b, …, k] and [b, …, k] to [b, …, …]. */
function dot(a: Tensor, b: Tensor, axes: readonly number[], normalize: boolean): Tensor {
  const [i] = normalizeAxes('dot', [axes[0]], a.rank);
  const [j] = normalizeAxes('dot', [axes[1]], b.rank);
  if (i === 0 || j === 0) throw new OptionError('dot: axis 0 is the batch; axes begin at 1');
  if (a.shape[i] !== b.shape[j]) {
    throw new ShapeError(
      `dot: axis ${i} of ${formatShape(a.shape)} and axis ${j} of ${formatShape(b.shape)} differ: ${a.shape[i]} ≠ ${b.shape[j]}`,
    );
  }
  const [x, y] = normalize ? [l2Normalize(a, i), l2Normalize(b, j)] : [a, b];
  const toLast = (t: Tensor, axis: number): Tensor => {
    const order = t.shape.map((_, n) => n).filter((n) => n !== axis);
    return transpose(t, [...order, axis]);
  };
  const [left, right] = [toLast(x, i), toLast(y, j)];
  const rowsLeft = left.shape.slice(1, -1);
  const rowsRight = right.shape.slice(1, -1);
  const [batch, k] = [a.shape[0], a.shape[i]];
  const ones = (shape: Shape): number[] => shape.map(() => 1);
  const products = mul(
    reshape(left, [batch, ...rowsLeft, ...ones(rowsRight), k]),
    reshape(right, [batch, ...ones(rowsLeft), ...rowsRight, k]),
  );
  const result = sum(products, products.rank - 1);
  return result.rank === 1 ? reshape(result, [batch, 1]) : result;
}

/** The extents of a reshape, one of which may be −1. */
function target(x: Tensor, shape: readonly number[]): Tensor {
  const rest = x.shape.slice(1);
  const size = rest.reduce((a, b) => a * b, 1);
  const known = shape.filter((n) => n !== -1).reduce((a, b) => a * b, 1);
  const unknown = shape.filter((n) => n === -1).length;
  if (unknown > 1 || (unknown === 0 ? known !== size : size % known !== 0)) {
    const product = `${shape.filter((n) => n !== -1).join('·')} = ${known}`;
    throw new ShapeError(
      `reshape: ${formatShape(rest)} has ${size} elements per example, ${formatShape(shape)} ${unknown > 0 ? 'a multiple of ' : ''}${product}`,
    );
  }
  return reshape(x, [x.shape[0], ...shape.map((n) => (n === -1 ? size / known : n))]);
}

/** Low and high amounts per axis of [batch, …spatial, channels] or [batch, channels, …spatial]. */
function around(x: Tensor, amounts: Json, channelsLast: Json, sign: 1 | -1): Tensor {
  const pairs = amounts as [number, number][];
  if (x.rank !== pairs.length + 2) {
    throw new ShapeError(`needs ${pairs.length + 2} axes with batch and channels, got ${formatShape(x.shape)}`);
  }
  const side = (high: 0 | 1): number[] => {
    const spatial = pairs.map((pair) => sign * pair[high]);
    return channelsLast ? [0, ...spatial, 0] : [0, 0, ...spatial];
  };
  const [low, high] = [side(0), side(1)];
  x.shape.forEach((extent, axis) => {
    const left = extent + low[axis] + high[axis];
    if (left < 1) {
      throw new ShapeError(
        `nothing is left of axis ${axis} of ${formatShape(x.shape)}: ${extent} − ${-low[axis]} − ${-high[axis]} = ${left}`,
      );
    }
  });
  return pad(x, low, high);
}

const OPERATIONS: Readonly<Record<string, Function>> = {
  flatten: ([x]) => reshape(x, [x.shape[0], x.shape.slice(1).reduce((a, b) => a * b, 1)]),
  flattenChannelsFirst([x]) {
    const order = x.shape.map((_, axis) => axis).filter((axis) => axis !== 1);
    return OPERATIONS.flatten([x.rank < 3 ? x : transpose(x, [...order, 1])], {});
  },
  reshape: ([x], { shape }) => target(x, numbers(shape)),
  permute([x], { order }) {
    const axes = numbers(order);
    const expected = x.shape.slice(1).map((_, axis) => axis + 1);
    if ([...axes].sort((a, b) => a - b).join() !== expected.join()) {
      throw new ShapeError(`permute: dims must be ${formatShape(expected)} in some order, got ${formatShape(axes)}`);
    }
    return transpose(x, [0, ...axes]);
  },
  repeatVector([x], { n }) {
    if (x.rank !== 2) throw new ShapeError(`repeatVector: expected [batch, features], got ${formatShape(x.shape)}`);
    const [batch, features] = x.shape;
    return broadcastTo(reshape(x, [batch, 1, features]), [batch, n as number, features]);
  },
  hardSigmoid: ([x]) => hardtanh(add(mul(x, 0.2), 0.5), 0, 1),
  exponential: ([x]) => exp(x),
  reLU([x], { maxValue, negativeSlope, threshold }) {
    const kept = where(greater(x, threshold as number), x, 0);
    const positive = maxValue === null ? kept : minimum(kept, maxValue as number);
    if (negativeSlope === 0) return positive;
    return add(positive, mul(minimum(sub(x, threshold as number), 0), negativeSlope as number));
  },
  thresholdedReLU: ([x], { theta }) => where(greater(x, theta as number), x, 0),
  maxValue: ([x], { value }) => minimum(x, value as number),
  zeroPadding: ([x], { padding, channelsLast }) => around(x, padding, channelsLast, 1),
  cropping: ([x], { cropping, channelsLast }) => around(x, cropping, channelsLast, -1),
  rescaling: ([x], { scale, offset }) => add(mul(x, scale as number), offset as number),
  resize: ([x], { size, mode }) => interpolate(x, { size: numbers(size), mode: mode as ResizeMode }, 'resizing'),
  upSampling: ([x], { size, mode }) =>
    interpolate(x, { scaleFactor: numbers(size), mode: mode as ResizeMode }, 'upSampling'),
  toInt32: ([x]) => cast(x, 'i32'),
  add: (inputs) => merge('add', inputs, add),
  subtract(inputs) {
    if (inputs.length !== 2) throw new OptionError(`subtract: takes two tensors, got ${inputs.length}`);
    return merge('subtract', inputs, sub);
  },
  multiply: (inputs) => merge('multiply', inputs, mul),
  average: (inputs) => div(merge('average', inputs, add), inputs.length),
  maximum: (inputs) => merge('maximum', inputs, maximum),
  minimum: (inputs) => merge('minimum', inputs, minimum),
  concatenate(inputs, { axis }) {
    if (inputs.length < 2) throw new OptionError(`concatenate: needs at least two tensors, got ${inputs.length}`);
    return concat(inputs, axis as number);
  },
  dot(inputs, { axes, normalize }) {
    if (inputs.length !== 2) throw new OptionError(`dot: takes two tensors, got ${inputs.length}`);
    return dot(inputs[0], inputs[1], numbers(axes), normalize as boolean);
  },
};

const MERGES = ['add', 'subtract', 'multiply', 'average', 'maximum', 'minimum', 'concatenate', 'dot'];

/** @throws OptionError for a name that is none. */
export function checkOperation(name: string): void {
  if (!Object.hasOwn(OPERATIONS, name)) {
    throw new OptionError(`unknown operation "${name}"; known ones are ${Object.keys(OPERATIONS).join(', ')}`);
  }
}

export function applyOperation(name: string, inputs: readonly Tensor[], options: Options): Tensor {
  if (!MERGES.includes(name) && inputs.length !== 1) {
    throw new OptionError(`${name}: takes one tensor, got ${inputs.length}`);
  }
  return OPERATIONS[name](inputs, options);
}
