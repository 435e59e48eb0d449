import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { ShapeError } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import { randomTensor, seeds, shapes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { concat } from './concat.js';
import { iota } from './create.js';
import { cast, mul } from './elementwise.js';
import { flatten, reshape } from './reshape.js';
import { transpose } from './transpose.js';

// Operators that move elements: reshape, transpose, concat.

setDevice(new CheckingDevice());

const bad = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);

test('reshape keeps the row-major order; gradients of first and second order', () => {
  fc.assert(
    fc.property(shapes(0, 4), seeds, fc.integer({ min: 0, max: 4 }), (shape, seed, cut) => {
      const x = randomTensor(shape, seed);
      const target = [sizeOf(shape.slice(0, cut)), sizeOf(shape.slice(cut)), 1];
      const y = reshape(x, target);
      assert.deepEqual(y.shape, target);
      assert.deepEqual(y.data(), x.data());
      assert.deepEqual(reshape(x, [target[0], -1, 1]).shape, target);
      checkGradients((t) => reshape(mul(t, t), target), [x], { order: 2, seed });
    }),
    { numRuns: 20 },
  );
});

test('reshape: errors name both shapes', () => {
  const x = randomTensor([2, 3], 1);
  assert.throws(() => reshape(x, [4]), bad(/\[2, 3\].*6.*\[4\].*4/));
  assert.throws(() => reshape(x, [4, -1]), bad(/\[2, 3\].*\[4, -1\]/));
  assert.throws(() => reshape(x, [-1, -1]), bad(/\[2, 3\].*\[-1, -1\]/));
  assert.throws(() => reshape(randomTensor([0, 3], 1), [0, -1]), bad(/\[0, 3\].*\[0, -1\]/));
  assert.throws(() => reshape(x, [1.5, 4]), bad(/integers/));
  assert.throws(() => reshape(x, [-2, -3]), bad(/integers/));
});

test('flatten joins axes', () => {
  const x = randomTensor([2, 3, 4, 5], 1);
  assert.deepEqual(flatten(x).shape, [2, 60]);
  assert.deepEqual(flatten(x, 0).shape, [120]);
  assert.deepEqual(flatten(x, -2).shape, [2, 3, 20]);
  assert.deepEqual(flatten(x, 1, 2).shape, [2, 12, 5]);
  assert.deepEqual(flatten(randomTensor([7], 1), 0).shape, [7]);
  assert.throws(() => flatten(x, 4), bad(/flatten: axis 4.*4 axes/));
  assert.throws(() => flatten(randomTensor([3], 1)), bad(/flatten: axis 1.*1 axes/));
  assert.throws(() => flatten(x, 2, 1), bad(/flatten: .*2.*1/));
});

const orders = shapes(0, 4).chain((shape) =>
  fc
    .shuffledSubarray([...shape.keys()], { minLength: shape.length, maxLength: shape.length })
    .map((order) => ({ shape, order })),
);

test('transpose: axis i of the result is axis order[i]; gradients of first and second order', () => {
  fc.assert(
    fc.property(orders, seeds, ({ shape, order }, seed) => {
      const x = randomTensor(shape, seed);
      const data = x.data();
      const y = transpose(x, order);
      assert.deepEqual(
        y.shape,
        order.map((axis) => shape[axis]),
      );
      y.data().forEach((value, flat) => {
        let at = 0;
        order.forEach((axis, i) => {
          at += stridesOf(shape)[axis] * (Math.floor(flat / stridesOf(y.shape)[i]) % y.shape[i]);
        });
        assert.equal(value, data[at]);
      });
      checkGradients((t) => transpose(mul(t, t), order), [x], { order: 2, seed });
    }),
    { numRuns: 30 },
  );
});

test('transpose: default, negative axes, errors', () => {
  const x = randomTensor([2, 3, 4], 1);
  assert.deepEqual(transpose(x).shape, [4, 3, 2]);
  assert.deepEqual(transpose(x, [0, -1, -2]).shape, [2, 4, 3]);
  assert.throws(() => transpose(x, [0, 1]), bad(/\[0, 1\].*\[2, 3, 4\]/));
  assert.throws(() => transpose(x, [0, 1, 1]), bad(/repeat/));
  assert.throws(() => transpose(x, [0, 1, 3]), bad(/axis 3/));
});

const joins = shapes(1, 3).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axis: fc.integer({ min: 0, max: shape.length - 1 }),
    extents: fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 4 }),
  }),
);

const replaced = (shape: readonly number[], axis: number, extent: number): number[] =>
  shape.map((old, i) => (i === axis ? extent : old));

test('concat joins along an axis; gradients of first and second order', () => {
  fc.assert(
    fc.property(joins, seeds, ({ shape, axis, extents }, seed) => {
      const parts = extents.map((extent, n) => randomTensor(replaced(shape, axis, extent), seed + n));
      const y = concat(parts, axis);
      assert.deepEqual(
        y.shape,
        replaced(
          shape,
          axis,
          extents.reduce((a, b) => a + b),
        ),
      );
      // Rows of the outer axes: each is the parts' rows one after the other.
      const outer = sizeOf(shape.slice(0, axis));
      const inner = sizeOf(shape.slice(axis + 1));
      const expected: number[] = [];
      for (let row = 0; row < outer; row++) {
        parts.forEach((part, n) => {
          expected.push(...part.data().subarray(row * extents[n] * inner, (row + 1) * extents[n] * inner));
        });
      }
      assert.deepEqual([...y.data()], expected);
      checkGradients(
        (...ts) =>
          concat(
            ts.map((t) => mul(t, t)),
            axis,
          ),
        parts,
        { order: 2, seed },
      );
    }),
    { numRuns: 30 },
  );
});

test('concat: negative axes, integers, errors', () => {
  assert.deepEqual(concat([randomTensor([2, 3], 1), randomTensor([2, 4], 1)], -1).shape, [2, 7]);
  assert.deepEqual([...concat([iota([2]), iota([3])]).data()], [0, 1, 0, 1, 2]);
  assert.throws(() => concat([]), bad(/at least one/));
  assert.throws(
    () => concat([randomTensor([2, 3], 1), randomTensor([2, 4], 1)]),
    bad(/\[2, 3\] and f32\[2, 4\].*axis 0/),
  );
  assert.throws(() => concat([randomTensor([2], 1), randomTensor([2, 4], 1)]), bad(/\[2\] and f32\[2, 4\]/));
  assert.throws(() => concat([iota([2]), cast(iota([2]), 'f32')]), bad(/i32\[2\] and f32\[2\]/));
  assert.throws(() => concat([iota([2])], 1), bad(/axis 1.*1 axes/));
});

test('results own their memory, even where nothing was to do', () => {
  const x = randomTensor([2, 3], 1);
  for (const y of [reshape(x, [2, 3]), flatten(x), transpose(x, [0, 1]), concat([x]), cast(x, 'f32')]) y.dispose();
  assert.equal(x.data().length, 6);
});
