import { broadcastTo, sum } from '../../../ops/broadcast.js';
import { concat } from '../../../ops/concat.js';
import { full, iota } from '../../../ops/create.js';
import {
  add,
  cast,
  equal,
  greater,
  less,
  logicalAnd,
  logicalOr,
  mul,
  neg,
  notEqual,
  where,
} from '../../../ops/elementwise.js';
import { flip } from '../../../ops/flip.js';
import { gather, indexAdd, takeAlongAxis } from '../../../ops/gather.js';
import { argmax } from '../../../ops/reduce.js';
import { reshape } from '../../../ops/reshape.js';
import { pad, slice } from '../../../ops/slice.js';
import { formatShape, type Shape, sizeOf, stridesOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { isWhole } from '../element-types.js';
import { OnnxValue } from '../value.js';

/** Negative indices count from the end. */
function wrapped(index: Tensor, extent: number): Tensor {
  return where(less(index, 0), add(index, extent), index);
}

function along(axis: number, shape: Shape): Tensor {
  return iota(
    shape.map((extent, i) => (i === axis ? extent : 1)),
    axis,
  );
}

/** bool goes through bytes of i32, which can be added up. */
function asNumbers(x: Tensor): Tensor {
  return x.dtype === 'bool' ? cast(x, 'i32') : x;
}

function gatherElements(c: OperatorContext): Results {
  const x = c.x(0);
  return c.like(takeAlongAxis(x, c.x(1), { axis: c.axis(c.int('axis', 0), x.rank) }));
}

/** Flat positions of the tuples in the last axis of `indices`, which index axes of `shape` from `batch` on. */
function flatTuples(indices: Tensor, shape: Shape, batch: number): Tensor {
  const tuple = indices.shape[indices.rank - 1];
  const outer = indices.shape.slice(0, -1);
  const part = (i: number): Tensor =>
    reshape(
      slice(
        indices,
        indices.shape.map((_, d) => (d === indices.rank - 1 ? i : 0)),
        [...outer, 1],
      ),
      outer,
    );
  const extents = shape.slice(0, batch + tuple);
  const strides = stridesOf(extents);
  let flat = full(outer, 0, 'i32');
  for (let d = 0; d < batch; d++) flat = add(flat, mul(along(d, outer), strides[d]));
  for (let i = 0; i < tuple; i++) flat = add(flat, mul(wrapped(part(i), extents[batch + i]), strides[batch + i]));
  return flat;
}

function gatherND(c: OperatorContext): Results {
  const [x, indices] = [c.x(0), c.x(1)];
  const batch = c.int('batch_dims', 0);
  const tuple = indices.shape[indices.rank - 1];
  const rest = x.shape.slice(batch + tuple);
  const flat = flatTuples(indices, x.shape, batch);
  const rows = reshape(x, [sizeOf(x.shape.slice(0, batch + tuple)), ...rest]);
  return c.like(gather(rows, flat, { axis: 0 }));
}

/** `rows` with what is put at, or added to, rows named by `flat`. */
function put(c: OperatorContext, rows: Tensor, flat: Tensor, updates: Tensor): Tensor {
  const how = c.text('reduction', 'none');
  if (how !== 'none' && how !== 'add') c.refuse(`reduction "${how}" is not supported; "none" and "add" are`);
  if (how === 'add') return indexAdd(rows, flat, updates);
  const [count] = rows.shape;
  const named = indexAdd(full([count], 0, 'i32'), flat, full(flat.shape, 1, 'i32'));
  const mask = notEqual(reshape(named, [count, ...rows.shape.slice(1).map(() => 1)]), 0);
  const placed = indexAdd(full(rows.shape, 0, rows.dtype), flat, updates);
  return where(broadcastTo(mask, rows.shape), placed, rows);
}

function scatterND(c: OperatorContext): Results {
  const x = asNumbers(c.x(0));
  const indices = c.x(1);
  const tuple = indices.shape[indices.rank - 1];
  const flat = reshape(flatTuples(indices, x.shape, 0), [sizeOf(indices.shape.slice(0, -1))]);
  const inner = x.shape.slice(tuple);
  const rows = reshape(x, [sizeOf(x.shape.slice(0, tuple)), ...inner]);
  const updates = reshape(asNumbers(c.x(2)), [flat.size, ...inner]);
  return c.like(cast(reshape(put(c, rows, flat, updates), x.shape), c.x(0).dtype));
}

function scatterElements(c: OperatorContext): Results {
  const x = asNumbers(c.x(0));
  const indices = c.x(1);
  const axis = c.axis(c.int('axis', 0), x.rank);
  const strides = stridesOf(x.shape);
  let flat = mul(wrapped(indices, x.shape[axis]), strides[axis]);
  indices.shape.forEach((_, d) => {
    if (d !== axis) flat = add(flat, mul(along(d, indices.shape), strides[d]));
  });
  const updates = reshape(asNumbers(c.x(2)), [indices.size]);
  const y = put(c, reshape(x, [x.size]), reshape(flat, [indices.size]), updates);
  return c.like(cast(reshape(y, x.shape), c.x(0).dtype));
}

function oneHot(c: OperatorContext): Results {
  const indices = cast(c.x(0), 'i32');
  const depth = c.number(1);
  const rank = indices.rank + 1;
  const axis = c.axis(c.int('axis', -1), rank);
  const shape = [...indices.shape.slice(0, axis), 1, ...indices.shape.slice(axis)];
  const classes = iota(
    shape.map((_, i) => (i === axis ? depth : 1)),
    axis,
  );
  const on = equal(reshape(wrapped(indices, depth), shape), classes);
  const values = c.x(2);
  const value = (i: number): Tensor => reshape(slice(values, [i], [1]), []);
  return [OnnxValue.of(c.value(2).type, where(on, value(1), value(0)))];
}

/** Sums or products up to each element by doubling distances (Hillis and Steele, 1986). */
const cumulative =
  (join: (a: Tensor, b: Tensor) => Tensor, neutral: number) =>
  (c: OperatorContext): Results => {
    const axis = c.axis(c.number(1), c.x(0).rank);
    const backwards = c.flag('reverse');
    let y = backwards ? flip(c.x(0), axis) : c.x(0);
    const shift = (t: Tensor, by: number): Tensor => {
      const low = t.shape.map((_, i) => (i === axis ? by : 0));
      const high = low.map((n) => -n);
      return pad(t, low, high, neutral);
    };
    const extent = y.shape[axis];
    if (c.flag('exclusive')) y = shift(y, 1);
    for (let d = 1; d < extent; d *= 2) y = join(y, shift(y, d));
    return c.like(backwards ? flip(y, axis) : y);
  };

/** Comparing all pairs is quick up to so many elements. */
const MOST_PAIRED = 2048;
const MOST_PICKED = 256;

function topK(c: OperatorContext): Results {
  const { type } = c.value(0);
  const x = c.x(0);
  const axis = c.axis(c.int('axis', -1), x.rank);
  const k = c.opset < 10 ? c.int('k', 1) : c.number(1);
  const extent = x.shape[axis];
  if (k < 0 || k > extent) c.broken(`${k} elements of axis ${axis} of ${formatShape(x.shape)}`);
  const keys = c.flag('largest', true) ? x : neg(x);
  const indices = extent <= MOST_PAIRED && k > 4 ? byRank(keys, axis, k) : byPicking(c, keys, axis, k);
  return [OnnxValue.of(type, takeAlongAxis(x, indices, { axis })), OnnxValue.of('int64', indices)];
}

/** An element's place in the order is the number of those before it: larger ones, and equal ones with a smaller index. */
function byRank(x: Tensor, axis: number, k: number): Tensor {
  const [before, after] = [x.shape.slice(0, axis), x.shape.slice(axis + 1)];
  const n = x.shape[axis];
  const own = reshape(x, [...before, n, 1, ...after]);
  const other = reshape(x, [...before, 1, n, ...after]);
  const grid = (d: number): Tensor => along(axis + d, [...before, n, n, ...after]);
  const first = logicalOr(greater(other, own), logicalAnd(equal(other, own), less(grid(1), grid(0))));
  const place = sum(cast(first, 'i32'), [axis + 1]);
  // y[r] = Σ_i i · [place(i) = r]
  const wanted = [...before, k, n, ...after];
  const hit = equal(reshape(place, [...before, 1, n, ...after]), along(axis, wanted));
  return sum(where(hit, along(axis + 1, wanted), 0), [axis + 1]);
}

/** The largest, then the largest of the others, and so on. */
function byPicking(c: OperatorContext, x: Tensor, axis: number, k: number): Tensor {
  if (k > MOST_PICKED) c.refuse(`the first ${k} of ${x.shape[axis]}: at most ${MOST_PICKED} of so many are supported`);
  const none = isWhole(c.value(0).type) ? -2147483648 : Number.NEGATIVE_INFINITY;
  const positions = along(axis, x.shape);
  let rest = x;
  const found: Tensor[] = [];
  for (let i = 0; i < k; i++) {
    const best = argmax(rest, [axis], { keepDims: true });
    found.push(best);
    rest = where(equal(positions, best), none, rest);
  }
  const empty = x.shape.map((extent, i) => (i === axis ? 0 : extent));
  return k === 0 ? full(empty, 0, 'i32') : concat(found, axis);
}

export const INDEXING: OperatorTable = {
  CumProd: {
    attributes: ['exclusive', 'reverse'],
    statics: [1],
    since: 26,
    run: cumulative((a, b) => mul(a, b), 1),
  },
  CumSum: {
    attributes: ['exclusive', 'reverse'],
    statics: [1],
    since: 11,
    run: cumulative((a, b) => add(a, b), 0),
  },
  Gather: {
    attributes: ['axis'],
    run: (c) => c.like(gather(c.x(0), c.x(1), { axis: c.axis(c.int('axis', 0), c.x(0).rank) })),
  },
  GatherElements: { attributes: ['axis'], since: 11, run: gatherElements },
  GatherND: { attributes: ['batch_dims'], since: 11, run: gatherND },
  OneHot: { attributes: ['axis'], statics: [1], since: 9, run: oneHot },
  Scatter: { attributes: ['axis'], since: 9, run: scatterElements },
  ScatterElements: { attributes: ['axis', 'reduction'], since: 11, run: scatterElements },
  ScatterND: { attributes: ['reduction'], since: 11, run: scatterND },
  TopK: { attributes: ['axis', 'k', 'largest', 'sorted'], statics: [1], run: topK },
};
