import type { NdArray, Operator } from '../graph/operator.js';
import { applyOperator, currentTrace } from '../graph/trace.js';
import {
  apply,
  axisIndex,
  constant,
  type Expression,
  type Index,
  indirectIndex,
  load,
  reduced,
} from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { castValue } from '../kernel/scalar.js';
import { type DType, isFloat } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, normalizeAxes, type Shape, stridesOf, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { add, equal, where as select, stopGradient } from './elementwise.js';
import { forEachPosition } from './loops.js';
import { reshape } from './reshape.js';
import { slice } from './slice.js';

// Reading by index along an axis, and its adjoint, which adds up by index: each is the other's gradient, hence one file.
// A program cannot stop at an index that is out of range: it reads a value that shows (NaN), and adds nothing.

interface GatherAttributes {
  readonly axis: number;
  /** Indices have the shape of the result (GatherElements); otherwise their axes stand in place of `axis` (Gather). */
  readonly aligned: boolean;
  /** Negative indices count from the end; otherwise they are out of range. */
  readonly wrap: boolean;
}

interface ReadAttributes extends GatherAttributes {
  /** What is read out of range: zero, as the adjoint of adding nothing, or a value that shows. */
  readonly outside: 'zero' | 'missing';
}

interface AddAttributes extends GatherAttributes {
  readonly extent: number;
}

/** Axes of a gathered tensor: those before, those of the indices, those after. */
function gatheredShape(shape: Shape, indices: Shape, { axis, aligned }: GatherAttributes): Shape {
  return aligned ? indices : [...shape.slice(0, axis), ...indices, ...shape.slice(axis + 1)];
}

function checkGather(name: string, x: TensorType, indices: TensorType, { axis, aligned }: GatherAttributes): void {
  if (indices.dtype !== 'i32') throw new ShapeError(`${name}: needs indices of dtype i32, got ${formatType(indices)}`);
  if (aligned) {
    const fits =
      indices.shape.length === x.shape.length && x.shape.every((n, d) => d === axis || n === indices.shape[d]);
    if (!fits) {
      throw new ShapeError(
        `${name}: indices ${formatType(indices)} must have the shape of ${formatType(x)} but along axis ${axis}`,
      );
    }
  }
}

/** The place along the axis, or undefined where there is none. */
function placeOf(index: number, extent: number, wrap: boolean): number | undefined {
  const place = wrap && index < 0 ? index + extent : index;
  return place >= 0 && place < extent ? place : undefined;
}

/**
 * Calls `visit` for every element of the gathered tensor with its flat position and that of the element it stands for;
 * undefined where its index is out of range.
 */
function forEachGathered(
  table: Shape,
  indices: NdArray,
  attributes: GatherAttributes,
  visit: (gathered: number, element: number | undefined) => void,
): void {
  const { axis, aligned, wrap } = attributes;
  const rank = indices.type.shape.length;
  const strides = stridesOf(table);
  const indexStrides = stridesOf(indices.type.shape);
  forEachPosition(gatheredShape(table, indices.type.shape, attributes), (position, flat) => {
    const own = aligned ? position : position.slice(axis, axis + rank);
    const index = indices.data[own.reduce((sum, p, d) => sum + p * indexStrides[d], 0)];
    const place = placeOf(index, table[axis], wrap);
    if (place === undefined) {
      visit(flat, undefined);
      return;
    }
    const after = position.slice(aligned ? axis + 1 : axis + rank);
    const at = [...position.slice(0, axis), place, ...after];
    visit(
      flat,
      at.reduce((sum, p, d) => sum + p * strides[d], 0),
    );
  });
}

/** The place that a loaded index means; see `wrap`. */
function placeExpression(index: Expression, extent: number, wrap: boolean): Expression {
  if (!wrap) return index;
  return apply('select', apply('lt', index, constant(0, 'i32')), apply('add', index, constant(extent, 'i32')), index);
}

/** What an index out of range reads: NaN, the smallest i32, the largest u8, true. */
function missing(dtype: DType): number {
  if (isFloat(dtype)) return Number.NaN;
  return dtype === 'i32' ? -2147483648 : dtype === 'u8' ? 255 : 1;
}

function outsideValue({ outside }: ReadAttributes, dtype: DType): number {
  return outside === 'zero' ? 0 : missing(dtype);
}

const gatherOperator: Operator<ReadAttributes> = {
  name: 'gather',
  infer([x, indices], attributes) {
    checkGather('gather', x, indices, attributes);
    if (x.shape[attributes.axis] === 0) {
      throw new ShapeError(`gather: axis ${attributes.axis} of ${formatShape(x.shape)} has nothing to choose from`);
    }
    return [{ dtype: x.dtype, shape: gatheredShape(x.shape, indices.shape, attributes) }];
  },
  reference([x, indices], [y], attributes) {
    const outside = outsideValue(attributes, x.type.dtype);
    forEachGathered(x.type.shape, indices, attributes, (flat, element) => {
      y.data[flat] = element === undefined ? outside : x.data[element];
    });
  },
  gradient({ inputs: [x, indices], gradients: [g], attributes: { axis, aligned, wrap } }) {
    return [g && scatter(g, indices, { axis, aligned, wrap, extent: x.shape[axis] }), undefined];
  },
  lower([x, indices], [y], attributes) {
    const { axis, aligned, wrap } = attributes;
    const extent = x.shape[axis];
    const rank = indices.shape.length;
    const own = indices.shape.map((_, d) => axisIndex(aligned ? d : axis + d));
    const place = placeExpression(load(1, 'i32', own), extent, wrap);
    const index = x.shape.map((_, d) => {
      if (d === axis) return indirectIndex(place, extent);
      return axisIndex(d < axis || aligned ? d : d + rank - 1);
    });
    const inside = apply('and', apply('ge', place, constant(0, 'i32')), apply('lt', place, constant(extent, 'i32')));
    const outside = constant(outsideValue(attributes, x.dtype), x.dtype);
    return mapNest(y.shape, apply('select', inside, load(0, x.dtype, index), outside));
  },
};

const scatterOperator: Operator<AddAttributes> = {
  name: 'scatterAdd',
  infer([source, indices], attributes) {
    const { axis, aligned, extent } = attributes;
    checkGather('scatterAdd', source, indices, attributes);
    if (aligned && source.shape[axis] !== indices.shape[axis]) {
      throw new ShapeError(
        `scatterAdd: ${formatType(indices)} must have the shape of what is added, ${formatType(source)}`,
      );
    }
    const rank = aligned ? 1 : indices.shape.length;
    const shape = [...source.shape.slice(0, axis), extent, ...source.shape.slice(axis + rank)];
    const own = source.shape.slice(axis, axis + rank);
    if (!aligned && `${own}` !== `${indices.shape}`) {
      throw new ShapeError(
        `scatterAdd: axes ${axis} … of ${formatType(source)} must be those of the indices ${formatType(indices)}`,
      );
    }
    return [{ dtype: source.dtype, shape }];
  },
  reference([source, indices], [y], attributes) {
    const sums = new Float64Array(y.data.length);
    forEachGathered(y.type.shape, indices, attributes, (flat, element) => {
      if (element !== undefined) sums[element] += source.data[flat];
    });
    for (let i = 0; i < sums.length; i++)
      y.data[i] = isFloat(y.type.dtype) ? sums[i] : castValue(y.type.dtype, sums[i]);
  },
  gradient({ inputs: [, indices], gradients: [g], attributes: { axis, aligned, wrap } }) {
    return [g && applyOperator(gatherOperator, [g, indices], { axis, aligned, wrap, outside: 'zero' })[0], undefined];
  },
  lower([source, indices], [y], { axis, aligned, wrap, extent }) {
    // Nest axes: those of the result; reduced: the indices, or the axis of the indices that is added up along.
    const p = y.shape.length;
    const rank = aligned ? 1 : indices.shape.length;
    const walked = (d: number): Index => axisIndex(p + d - axis);
    const own = indices.shape.map((_, d) => {
      if (!aligned) return walked(d + axis);
      return d === axis ? walked(d) : axisIndex(d);
    });
    const at = source.shape.map((_, d) => {
      if (d < axis) return axisIndex(d);
      return d < axis + rank ? walked(d) : axisIndex(d - rank + 1);
    });
    return {
      kind: 'nest',
      parallel: y.shape,
      reduce: source.shape.slice(axis, axis + rank),
      reducers: [{ kind: 'sum', body: load(0, source.dtype, at) }],
      scatter: { axis, position: placeExpression(load(1, 'i32', own), extent, wrap) },
      outputs: [reduced(0, y.dtype)],
    };
  },
};

function scatter(source: Tensor, indices: Tensor, attributes: AddAttributes): Tensor {
  return applyOperator(scatterOperator, [source, indices], attributes)[0];
}

/** Throws for indices out of range where they are known: outside of traced functions. */
function checkRange(where: string, indices: Tensor, x: Tensor, axis: number, wrap: boolean): void {
  if (indices.dtype !== 'i32' || currentTrace() !== undefined) return;
  const extent = x.shape[axis];
  const at = indices.data().findIndex((index) => placeOf(index, extent, wrap) === undefined);
  if (at < 0) return;
  throw new OptionError(
    `${where}: index ${indices.data()[at]} (element ${at} of the indices) is outside of axis ${axis} of ${formatType(x.type)}: it must lie between ${wrap ? -extent : 0} and ${extent - 1}`,
  );
}

/** Not for indices out of range: outside of `compile` these are errors, inside they read NaN and add nothing. */
export interface IndexOptions {
  /** along which axis of `x` the indices count; negative ones count from the end; default 0 */
  readonly axis?: number;
}

function axisOf(where: string, { axis = 0 }: IndexOptions, x: Tensor): number {
  return normalizeAxes(where, [axis], x.rank)[0];
}

/**
 * The parts of `x` along an axis that `indices` names, as ONNX `Gather`, NumPy `take`, PyTorch `index_select`: the axes of the
 * indices stand in place of that axis. Differentiable with respect to `x`; the gradient of a part named twice is the sum.
 *
 * An index outside of −n … n−1, for n parts, is an OptionError outside of `compile`. In a compiled function, which reads
 * indices only when it runs, it reads NaN (the smallest i32, 255 for u8, true for bool), and nothing flows back through it.
 *
 * @param x of any dtype, at least one axis
 * @param indices i32 of any shape; negative ones count from the end
 * @returns [...x.shape before the axis, ...indices.shape, ...x.shape after it]
 */
export function gather(x: Tensor, indices: Tensor, options: IndexOptions = {}): Tensor {
  checkOptions('gather', options, ['axis']);
  const axis = axisOf('gather', options, x);
  checkRange('gather', indices, x, axis, true);
  return applyOperator(gatherOperator, [x, indices], { axis, aligned: false, wrap: true, outside: 'missing' })[0];
}

/**
 * An element along an axis for every element of `indices`, as ONNX `GatherElements`, NumPy `take_along_axis`, PyTorch `gather`:
 * y[i, j, k] = x[i, indices[i, j, k], k] for axis 1. Indices out of range are treated as by {@link gather}.
 *
 * @param indices i32 of the rank of `x`; along other axes than `axis` it may be shorter than `x`, whose rest is not read
 * @returns of the shape of `indices`
 */
export function takeAlongAxis(x: Tensor, indices: Tensor, options: IndexOptions = {}): Tensor {
  checkOptions('takeAlongAxis', options, ['axis']);
  const axis = axisOf('takeAlongAxis', options, x);
  checkAlong('takeAlongAxis', x, indices, axis);
  checkRange('takeAlongAxis', indices, x, axis, true);
  const size = x.shape.map((extent, d) => (d === axis ? extent : indices.shape[d]));
  const read = size.every((n, d) => n === x.shape[d]) ? x : slice(x, new Array<number>(x.rank).fill(0), size);
  return applyOperator(gatherOperator, [read, indices], { axis, aligned: true, wrap: true, outside: 'missing' })[0];
}

function checkAlong(where: string, x: Tensor, indices: Tensor, axis: number): void {
  if (indices.rank === x.rank && indices.shape.every((n, d) => d === axis || n <= x.shape[d])) return;
  throw new ShapeError(
    `${where}: indices ${formatType(indices.type)} need the rank of ${formatType(x.type)} and must not be longer along other axes than ${axis}`,
  );
}

/**
 * `x` with parts added to it along an axis: for every index n, source[…, n, …] goes to x[…, indices[n], …]. As PyTorch
 * `index_add`, with indices of any shape. What has the same index is added up in the order of the indices, so that the bits
 * do not depend on the number of threads. Indices out of range add nothing in a compiled function, and are errors outside.
 *
 * @param x f32 or i32
 * @param indices i32 of any shape; negative ones count from the end
 * @param source [...x.shape before the axis, ...indices.shape, ...x.shape after it]
 */
export function indexAdd(x: Tensor, indices: Tensor, source: Tensor, options: IndexOptions = {}): Tensor {
  checkOptions('indexAdd', options, ['axis']);
  const axis = axisOf('indexAdd', options, x);
  checkSums('indexAdd', x, source);
  const wanted = gatheredShape(x.shape, indices.shape, { axis, aligned: false, wrap: true });
  if (`${source.shape}` !== `${wanted}`) {
    throw new ShapeError(
      `indexAdd: ${formatType(indices.type)} along axis ${axis} of ${formatType(x.type)} needs ${formatShape(wanted)} to add, got ${formatShape(source.shape)}`,
    );
  }
  checkRange('indexAdd', indices, x, axis, true);
  return add(x, scatter(source, indices, { axis, aligned: false, wrap: true, extent: x.shape[axis] }));
}

/**
 * `x` with elements added to it along an axis, as PyTorch `scatter_add` and ONNX `ScatterElements` with `add`:
 * y[i, indices[i, j, k], k] += source[i, j, k] for axis 1. Order and indices out of range as in {@link indexAdd}.
 *
 * @param x f32 or i32
 * @param indices i32 of the rank of `x`; along other axes than `axis` it must be as long as `x`
 * @param source of the shape of `indices`
 */
export function scatterAdd(x: Tensor, indices: Tensor, source: Tensor, options: IndexOptions = {}): Tensor {
  checkOptions('scatterAdd', options, ['axis']);
  const axis = axisOf('scatterAdd', options, x);
  checkSums('scatterAdd', x, source);
  const fits = indices.rank === x.rank && indices.shape.every((n, d) => d === axis || n === x.shape[d]);
  if (!fits) {
    throw new ShapeError(
      `scatterAdd: indices ${formatType(indices.type)} must have the shape of ${formatType(x.type)} but along axis ${axis}`,
    );
  }
  checkRange('scatterAdd', indices, x, axis, true);
  return add(x, scatter(source, indices, { axis, aligned: true, wrap: true, extent: x.shape[axis] }));
}

function checkSums(where: string, x: Tensor, source: Tensor): void {
  if (x.dtype === source.dtype && (isFloat(x.dtype) || x.dtype === 'i32')) return;
  throw new ShapeError(
    `${where}: adds f32 to f32 or i32 to i32, not ${formatType(source.type)} to ${formatType(x.type)}`,
  );
}

/** Options of {@link embedding}. */
export interface EmbeddingLookupOptions {
  /** This row gets no gradient; negative ones count from the end. Default none. */
  readonly paddingIdx?: number | undefined;
}

/**
 * The rows of a table that stand for words, as `torch.nn.functional.embedding`. A number outside of 0 … rows−1 is an
 * OptionError outside of `compile`; in a compiled function it gives NaN.
 *
 * @param weight f32 [rows, columns]
 * @param indices i32 of any shape
 * @returns [...indices.shape, columns]
 */
export function embedding(weight: Tensor, indices: Tensor, options: EmbeddingLookupOptions = {}): Tensor {
  checkOptions('embedding', options, ['paddingIdx']);
  if (weight.rank !== 2 || !isFloat(weight.dtype)) {
    throw new ShapeError(`embedding: needs a table f32[rows, columns], got ${formatType(weight.type)}`);
  }
  if (indices.dtype !== 'i32') {
    throw new ShapeError(`embedding: needs the numbers of words as i32, got ${formatType(indices.type)}`);
  }
  const padding = checkPaddingIdx('embedding', options.paddingIdx, weight.shape[0]);
  checkRange('embedding', indices, weight, 0, false);
  const y = applyOperator(gatherOperator, [weight, indices], {
    axis: 0,
    aligned: false,
    wrap: false,
    outside: 'missing',
  })[0];
  if (padding === undefined) return y;
  return select(equal(reshape(indices, [...indices.shape, 1]), padding), stopGradient(y), y);
}

/** The row, counted from the beginning. */
export function checkPaddingIdx(where: string, index: number | undefined, rows: number): number | undefined {
  if (index === undefined) return undefined;
  if (!Number.isInteger(index) || index < -rows || index >= rows) {
    throw new OptionError(`${where}: paddingIdx must be one of the ${rows} rows, got ${JSON.stringify(index)}`);
  }
  return index < 0 ? index + rows : index;
}
