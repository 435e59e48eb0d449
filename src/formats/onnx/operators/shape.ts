import { broadcastTo } from '../../../ops/broadcast.js';
import { concat } from '../../../ops/concat.js';
import { full, iota } from '../../../ops/create.js';
import { add, cast, equal, greaterEqual, lessEqual, mul, sub, where } from '../../../ops/elementwise.js';
import { flip } from '../../../ops/flip.js';
import { identity } from '../../../ops/identity.js';
import { reshape } from '../../../ops/reshape.js';
import { pixelShuffle } from '../../../ops/shuffle.js';
import { slice } from '../../../ops/slice.js';
import { transpose } from '../../../ops/transpose.js';
import type { TypedArray } from '../../../tensor/dtype.js';
import { broadcastShapes, formatShape, sizeOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { type ElementType, elementTypeOf, rowOf } from '../element-types.js';
import { OnnxValue } from '../value.js';
import { roundToFormat, roundToPower } from './rounding.js';
import { wrap } from './whole-numbers.js';

function shapeOf(c: OperatorContext): Results {
  const { shape } = c.value(0);
  const clamped = (at: number): number => Math.min(Math.max(at < 0 ? at + shape.length : at, 0), shape.length);
  return [OnnxValue.integers(shape.slice(clamped(c.int('start', 0)), clamped(c.attribute('end')?.i ?? shape.length)))];
}

function reshaped(c: OperatorContext): Results {
  const x = c.x(0);
  const wanted = c.opset < 5 ? (c.ints('shape') ?? []) : c.numbers(1);
  const shape = wanted.map((extent, i) =>
    extent === 0 && !c.flag('allowzero')
      ? (x.shape[i] ?? c.broken(`0 at axis ${i} copies no axis of ${formatShape(x.shape)}`))
      : extent,
  );
  const at = shape.indexOf(-1);
  if (at >= 0) {
    const rest = shape.reduce((product, extent, i) => (i === at ? product : product * extent), 1);
    shape[at] = rest === 0 ? 0 : x.size / rest;
  }
  if (sizeOf(shape) !== x.size || !shape.every((extent) => Number.isInteger(extent) && extent >= 0)) {
    c.broken(`${formatShape(x.shape)} does not fit into ${formatShape(wanted)}`);
  }
  return c.like(reshape(x, shape));
}

function flattened(c: OperatorContext): Results {
  const x = c.x();
  const axis = c.int('axis', 1);
  const at = axis < 0 ? axis + x.rank : axis;
  return c.like(reshape(x, [sizeOf(x.shape.slice(0, at)), sizeOf(x.shape.slice(at))]));
}

function squeezed(c: OperatorContext): Results {
  const x = c.x(0);
  const list = c.listOf('axes', 1);
  const axes = list === undefined ? undefined : c.axes(list, x.rank);
  const gone = (extent: number, axis: number): boolean => {
    if (axes === undefined) return extent === 1;
    if (axes.includes(axis) && extent !== 1) c.broken(`axis ${axis} of ${formatShape(x.shape)} is not 1`);
    return axes.includes(axis);
  };
  return c.like(
    reshape(
      x,
      x.shape.filter((extent, axis) => !gone(extent, axis)),
    ),
  );
}

function unsqueezed(c: OperatorContext): Results {
  const x = c.x(0);
  const list = c.listOf('axes', 1) ?? c.broken('axes are missing');
  const axes = c.axes(list, x.rank + list.length);
  const rest = [...x.shape];
  const shape = Array.from({ length: x.rank + list.length }, (_, axis) =>
    axes.includes(axis) ? 1 : (rest.shift() as number),
  );
  return c.like(reshape(x, shape));
}

/** `x` where an index of an axis counts in steps, also backwards. */
function sliced(c: OperatorContext): Results {
  const x = c.x(0);
  const old = c.opset < 10;
  const starts = old ? (c.ints('starts') ?? []) : c.numbers(1);
  const ends = old ? (c.ints('ends') ?? []) : c.numbers(2);
  const listed = old ? c.ints('axes') : c.numbersOr(3, undefined);
  const axes = c.axes(listed ?? starts.map((_, i) => i), x.rank);
  const steps = (old ? undefined : c.numbersOr(4, undefined)) ?? starts.map(() => 1);
  const start = x.shape.map(() => 0);
  const size = [...x.shape];
  const step = x.shape.map(() => 1);
  const backwards: number[] = [];
  axes.forEach((axis, i) => {
    const extent = x.shape[axis];
    const by = steps[i];
    if (by === 0) c.broken('a step is 0');
    const from = starts[i] < 0 ? starts[i] + extent : starts[i];
    const to = ends[i] < 0 ? ends[i] + extent : ends[i];
    const clamp = (at: number, low: number, high: number): number => Math.min(Math.max(at, low), high);
    if (by > 0) {
      start[axis] = clamp(from, 0, extent);
      size[axis] = Math.max(0, Math.ceil((clamp(to, 0, extent) - start[axis]) / by));
      step[axis] = by;
    } else {
      const first = clamp(from, 0, extent - 1);
      const end = clamp(to, -1, extent - 1);
      size[axis] = Math.max(0, Math.ceil((first - end) / -by));
      step[axis] = -by;
      start[axis] = size[axis] === 0 ? 0 : first + (size[axis] - 1) * by;
      backwards.push(axis);
    }
  });
  const part = slice(x, start, size, step);
  return c.like(backwards.length === 0 ? part : flip(part, backwards));
}

function split(c: OperatorContext): Results {
  const x = c.x(0);
  const axis = c.axis(c.int('axis', 0), x.rank);
  const extent = x.shape[axis];
  const count = c.attribute('num_outputs')?.i ?? c.node.outputs.length;
  if (count !== c.node.outputs.length) c.broken(`num_outputs ${count}, but ${c.node.outputs.length} outputs`);
  const each = Math.ceil(extent / count);
  const sizes =
    c.listOf('split', 1) ?? Array.from({ length: count }, (_, i) => Math.max(0, Math.min(each, extent - i * each)));
  if (sizes.reduce((a, b) => a + b, 0) !== extent)
    c.broken(`parts of ${sizes} do not add up to ${extent}, axis ${axis} of ${formatShape(x.shape)}`);
  let at = 0;
  return sizes.map((size) => {
    const start = x.shape.map((_, i) => (i === axis ? at : 0));
    at += size;
    return OnnxValue.of(
      c.value(0).type,
      slice(
        x,
        start,
        x.shape.map((n, i) => (i === axis ? size : n)),
      ),
    );
  });
}

function joined(c: OperatorContext): Results {
  const tensors = c.inputs.map((_, i) => c.x(i));
  return c.like(concat(tensors, c.axis(c.int('axis', 1), tensors[0].rank)));
}

function expanded(c: OperatorContext): Results {
  const x = c.x(0);
  const shape =
    broadcastShapes(x.shape, c.numbers(1)) ?? c.broken(`${formatShape(x.shape)} does not stretch to ${c.numbers(1)}`);
  return c.like(broadcastTo(x, shape));
}

function tiled(c: OperatorContext): Results {
  const x = c.x(0);
  const repeats = c.numbers(1);
  if (repeats.length !== x.rank)
    c.broken(`needs a number of repeats for each axis of ${formatShape(x.shape)}, got ${repeats}`);
  const inner = x.shape.flatMap((extent) => [1, extent]);
  const outer = x.shape.flatMap((extent, i) => [repeats[i], extent]);
  return c.like(
    reshape(
      broadcastTo(reshape(x, inner), outer),
      x.shape.map((extent, i) => extent * repeats[i]),
    ),
  );
}

function constant(c: OperatorContext): Results {
  const array = c.array('value');
  if (array !== undefined) return [OnnxValue.known(array)];
  const float = (list: readonly number[], shape: readonly number[]): Results => [
    OnnxValue.known({ type: 'float', shape, data: Float32Array.from(list) }),
  ];
  const [f, i] = [c.attribute('value_float'), c.attribute('value_int')];
  if (f !== undefined) return float([f.f ?? 0], []);
  if (i !== undefined) return [OnnxValue.integers([i.i ?? 0], [])];
  const [floats, ints] = [c.floats('value_floats'), c.ints('value_ints')];
  if (floats !== undefined) return float(floats, [floats.length]);
  if (ints !== undefined) return [OnnxValue.integers(ints)];
  return c.refuse('holds neither numbers nor a tensor of them');
}

function constantOfShape(c: OperatorContext): Results {
  const array = c.array('value');
  const type = array?.type ?? 'float';
  return [OnnxValue.of(type, full(c.numbers(0), array?.data[0] ?? 0, rowOf(type).dtype))];
}

function range(c: OperatorContext): Results {
  const [start, limit, delta] = [0, 1, 2].map((i) => c.number(i));
  const count = Math.max(0, Math.ceil((limit - start) / delta));
  if (!Number.isFinite(count)) c.broken(`from ${start} to ${limit} in steps of ${delta}`);
  const { type } = c.value(0);
  const positions = iota([count]);
  const { dtype } = rowOf(type);
  return c.like(add(mul(dtype === 'i32' ? positions : cast(positions, dtype), delta), start));
}

/** Conversion between element types: whole numbers wrap around, floats lose their fraction, or round to fewer bits. */
export function convert(c: OperatorContext, value: OnnxValue, to: ElementType): OnnxValue {
  const x = value.tensor;
  const target = rowOf(to);
  if (target.dtype === 'bool') return OnnxValue.of(to, cast(x, 'bool'));
  const y = cast(x, target.dtype);
  if (target.dtype === 'i32') return OnnxValue.of(to, value.type === to ? y : wrap(y, to));
  if (to === 'float8e8m0') return OnnxValue.of(to, roundToPower(y, c.text('round_mode', 'up')));
  const narrow = target.bits <= 8;
  return OnnxValue.of(to, value.type === to ? y : roundToFormat(y, to, narrow && c.flag('saturate', true)));
}

function castTo(c: OperatorContext): Results {
  const to =
    elementTypeOf(c.int('to', 0)) ?? c.refuse(`converts to element type ${c.int('to', 0)}, which is none of numbers`);
  return [convert(c, c.value(0), to)];
}

function depthToSpace(c: OperatorContext): Results {
  const x = c.x();
  const b = c.int('blocksize', 1);
  if (c.text('mode', 'DCR') === 'CRD') return c.like(pixelShuffle(x, b, c.where));
  const [n, channels, h, w] = x.shape;
  const split_ = reshape(x, [n, b, b, channels / (b * b), h, w]);
  return c.like(reshape(transpose(split_, [0, 3, 4, 1, 5, 2]), [n, channels / (b * b), h * b, w * b]));
}

function spaceToDepth(c: OperatorContext): Results {
  const x = c.x();
  const b = c.int('blocksize', 1);
  const [n, channels, h, w] = x.shape;
  const blocks = reshape(x, [n, channels, h / b, b, w / b, b]);
  return c.like(reshape(transpose(blocks, [0, 3, 5, 1, 2, 4]), [n, channels * b * b, h / b, w / b]));
}

function triangle(c: OperatorContext): Results {
  const x = c.x(0);
  const k = c.has(1) ? c.number(1) : 0;
  const [rows, columns] = x.shape.slice(-2);
  const distance = sub(iota([rows, columns], 1), iota([rows, columns], 0));
  const kept = c.flag('upper', true) ? greaterEqual(distance, k) : lessEqual(distance, k);
  return c.like(where(kept, x, 0));
}

function eye(c: OperatorContext): Results {
  const { shape, type } = c.value(0);
  const to =
    c.attribute('dtype') === undefined
      ? type
      : (elementTypeOf(c.int('dtype', 1)) ?? c.refuse('an element type that is none of numbers'));
  const on = equal(sub(iota(shape, 1), iota(shape, 0)), c.int('k', 0));
  return [OnnxValue.of(to, cast(on, rowOf(to).dtype))];
}

/** Where the elements are that are not 0; how many depends on them, so they must be known. */
function nonZero(c: OperatorContext): Results {
  const { shape } = c.value(0);
  const values = c.numbers(0);
  const found = values.flatMap((value, flat) => (value === 0 ? [] : [flat]));
  const rows = shape.map((extent, axis) => {
    const inner = sizeOf(shape.slice(axis + 1));
    return found.map((flat) => Math.floor(flat / inner) % extent);
  });
  return [OnnxValue.integers(rows.flat(), [shape.length, found.length])];
}

function compress(c: OperatorContext): Results {
  const kept = c.numbers(1).flatMap((value, i) => (value === 0 ? [] : [i]));
  const axis = c.attribute('axis')?.i;
  const x = axis === undefined ? reshape(c.x(0), [c.x(0).size]) : c.x(0);
  const at = c.axis(axis ?? 0, x.rank);
  const one = (i: number): Tensor =>
    slice(
      x,
      x.shape.map((_, d) => (d === at ? i : 0)),
      x.shape.map((n, d) => (d === at ? 1 : n)),
    );
  if (kept.length === 0) {
    return c.like(
      slice(
        x,
        x.shape.map(() => 0),
        x.shape.map((n, d) => (d === at ? 0 : n)),
      ),
    );
  }
  return c.like(concat(kept.map(one), at));
}

/** The value itself, what is known of it included. */
const same = (c: OperatorContext): Results => {
  const value = c.value(0);
  return [
    value.computed ? OnnxValue.of(value.type, identity(value.tensor), value.known as TypedArray | undefined) : value,
  ];
};

export const SHAPE: OperatorTable = {
  Cast: { attributes: ['to', 'saturate', 'round_mode'], run: castTo },
  CastLike: {
    attributes: ['saturate', 'round_mode'],
    since: 15,
    run: (c) => [convert(c, c.value(0), c.value(1).type)],
  },
  Compress: { attributes: ['axis'], statics: [1], since: 9, run: compress },
  Concat: { attributes: ['axis'], run: joined },
  Constant: {
    attributes: [
      'value',
      'value_float',
      'value_floats',
      'value_int',
      'value_ints',
      'value_string',
      'value_strings',
      'sparse_value',
    ],
    run: constant,
  },
  ConstantOfShape: { attributes: ['value'], statics: [0], since: 9, run: constantOfShape },
  DepthToSpace: { attributes: ['blocksize', 'mode'], run: depthToSpace },
  Expand: { statics: [1], since: 8, run: expanded },
  EyeLike: { attributes: ['dtype', 'k'], shapeOnly: true, since: 9, run: eye },
  Flatten: { attributes: ['axis'], run: flattened },
  Identity: { run: same },
  NonZero: { statics: [0], since: 9, run: nonZero },
  Range: { statics: [0, 1, 2], since: 11, run: range },
  Reshape: { attributes: ['shape', 'allowzero', 'consumed_inputs'], statics: [1], run: reshaped },
  Shape: { attributes: ['start', 'end'], shapeOnly: true, run: shapeOf },
  Size: { shapeOnly: true, run: (c) => [OnnxValue.integers([c.value(0).size], [])] },
  Slice: { attributes: ['starts', 'ends', 'axes'], statics: [1, 2, 3, 4], run: sliced },
  SpaceToDepth: { attributes: ['blocksize'], run: spaceToDepth },
  Split: { attributes: ['axis', 'split', 'num_outputs'], statics: [1], run: split },
  Squeeze: { attributes: ['axes'], statics: [1], run: squeezed },
  Tile: { statics: [1], since: 6, run: tiled },
  Transpose: { attributes: ['perm'], run: (c) => c.like(transpose(c.x(), c.ints('perm'))) },
  Trilu: { attributes: ['upper'], statics: [1], since: 14, run: triangle },
  Unsqueeze: { attributes: ['axes'], statics: [1], run: unsqueezed },
};
