import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import { broadcastable, randomTensor, seeds, shapeAndAxes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { broadcastTo, sum, sumTo } from './broadcast.js';
import { tensor } from './create.js';
import { cast, mul } from './elementwise.js';

setDevice(new CheckingDevice());

test('broadcastTo repeats as in NumPy; its gradient is a sum', () => {
  fc.assert(
    fc.property(broadcastable(1), seeds, ({ joint, shapes: [shape] }, seed) => {
      const x = randomTensor(shape, seed);
      const data = x.data();
      const y = broadcastTo(x, joint);
      assert.deepEqual(y.shape, joint);
      const strides = stridesOf(shape);
      y.data().forEach((value, flat) => {
        const position = stridesOf(joint).map((stride, axis) => Math.floor(flat / stride) % joint[axis]);
        const own = position.slice(joint.length - shape.length);
        assert.equal(value, data[own.reduce((at, p, a) => at + (shape[a] === 1 ? 0 : p * strides[a]), 0)]);
      });
      checkGradients((t) => broadcastTo(mul(t, t), joint), [x], { order: 2, seed });
    }),
    { numRuns: 30 },
  );
});

test('sumTo is the adjoint of broadcastTo', () => {
  fc.assert(
    fc.property(broadcastable(1), seeds, ({ joint, shapes: [shape] }, seed) => {
      const x = randomTensor(shape, seed);
      const y = randomTensor(joint, seed + 1);
      const back = sumTo(y, shape);
      assert.deepEqual(back.shape, shape);
      const left = sum(mul(broadcastTo(x, joint), y)).item();
      const right = sum(mul(x, back)).item();
      assert.ok(Math.abs(left - right) < 1e-10);
    }),
    { numRuns: 30 },
  );
});

test('sum over any axes, with and without keepDims, and its gradient', () => {
  fc.assert(
    fc.property(shapeAndAxes(0, 4), seeds, fc.boolean(), ({ shape, axes }, seed, keep) => {
      const x = randomTensor(shape, seed);
      const y = sum(x, axes, { keepDims: keep });
      const kept = shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
      assert.deepEqual(y.shape, keep ? kept : shape.filter((_, axis) => !axes.includes(axis)));
      const expected = new Float64Array(sizeOf(kept));
      x.data().forEach((value, flat) => {
        let at = 0;
        shape.forEach((extent, axis) => {
          const p = Math.floor(flat / stridesOf(shape)[axis]) % extent;
          at += stridesOf(kept)[axis] * (axes.includes(axis) ? 0 : p);
        });
        expected[at] += value;
      });
      y.data().forEach((value, i) => {
        assert.ok(Math.abs(value - expected[i]) < 1e-12);
      });
      checkGradients((t) => sum(mul(t, mul(t, t)), axes, { keepDims: keep }), [x], { order: 2, seed });
    }),
    { numRuns: 30 },
  );
});

test('sum: negative axes, one axis, all axes, nothing at all', () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.deepEqual([...sum(x, -1).data()], [6, 15]);
  assert.deepEqual([...sum(x, [0]).data()], [5, 7, 9]);
  assert.equal(sum(x).item(), 21);
  assert.deepEqual([...sum(tensor([], { shape: [2, 0] }), 1).data()], [0, 0]);
  assert.deepEqual([...sum(tensor([], { shape: [0, 2] }), 1).data()], []);
  assert.ok(Number.isNaN(sum(tensor([1, Number.NaN])).item()));
  const big = tensor(new Int32Array([2 ** 31 - 1, 2]));
  assert.equal(sum(big).item(), -(2 ** 31) + 1, 'i32 wraps around');
});

test('results own their memory, even where nothing was to do', () => {
  const x = tensor([1, 2]);
  for (const y of [sum(x, []), broadcastTo(x, [2]), sumTo(x, [2])]) {
    y.dispose();
    assert.deepEqual([...x.data()], [1, 2]);
  }
});

test('errors name the shapes, axes and options', () => {
  const x = randomTensor([2, 3], 1);
  assert.throws(
    () => broadcastTo(x, [2, 4]),
    (e) => e instanceof ShapeError && /\[2, 3\].*\[2, 4\]/.test(e.message),
  );
  assert.throws(
    () => broadcastTo(x, [3]),
    (e) => e instanceof ShapeError && /\[2, 3\].*\[3\]/.test(e.message),
  );
  assert.throws(() => broadcastTo(x, [2.5, 2, 3]), ShapeError);
  assert.throws(
    () => sum(x, 2),
    (e) => e instanceof ShapeError && /sum: axis 2.*2 axes/.test(e.message),
  );
  assert.throws(
    () => sum(x, [0, -2]),
    (e) => e instanceof ShapeError && /repeat/.test(e.message),
  );
  assert.throws(
    () => sum(cast(x, 'u8')),
    (e) => e instanceof ShapeError && /u8; cast first/.test(e.message),
  );
  assert.throws(() => sum(x, 0, { keepdims: true } as object), OptionError);
});
