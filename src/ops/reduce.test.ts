import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { grad } from '../autodiff/transform.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { distinctTensor, randomTensor, seeds, shapeAndAxes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { sum } from './broadcast.js';
import { tensor } from './create.js';
import { cast, exp, mul, round } from './elementwise.js';
import { argmax, max, mean, min, product, variance } from './reduce.js';

setDevice(new CheckingDevice());

/** The elements that each result comes from, in row-major order over the reduced axes (sorted). */
function groups(x: Tensor, axes: readonly number[]): number[][] {
  const { shape } = x;
  const outer = shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
  const result = Array.from({ length: sizeOf(outer) }, (): number[] => []);
  x.data().forEach((value, flat) => {
    let at = 0;
    shape.forEach((extent, axis) => {
      if (!axes.includes(axis)) at += stridesOf(outer)[axis] * (Math.floor(flat / stridesOf(shape)[axis]) % extent);
    });
    result[at].push(value);
  });
  return result;
}

const average = (xs: number[]): number => xs.reduce((a, b) => a + b, 0) / xs.length;

const REDUCTIONS: Record<
  string,
  { f: (x: Tensor, axes?: number[] | number, o?: object) => Tensor; model: (xs: number[]) => number }
> = {
  max: { f: max, model: (xs) => Math.max(...xs) },
  min: { f: min, model: (xs) => Math.min(...xs) },
  product: { f: product, model: (xs) => xs.reduce((a, b) => a * b, 1) },
  mean: { f: mean, model: average },
  variance: { f: variance, model: (xs) => average(xs.map((x) => (x - average(xs)) ** 2)) },
};

for (const [name, { f, model }] of Object.entries(REDUCTIONS)) {
  test(`${name}: any axes, with and without keepDims; gradients of first and second order`, () => {
    fc.assert(
      fc.property(shapeAndAxes(0, 4), seeds, fc.boolean(), ({ shape, axes }, seed, keepDims) => {
        const x = distinctTensor(shape, seed);
        const y = f(x, axes, { keepDims });
        const kept = shape.map((extent, axis) => (axes.includes(axis) ? 1 : extent));
        assert.deepEqual(y.shape, keepDims ? kept : shape.filter((_, axis) => !axes.includes(axis)));
        const expected = groups(x, axes).map(model);
        y.data().forEach((value, i) => {
          assert.ok(Math.abs(value - expected[i]) <= 1e-9 * Math.max(1, Math.abs(value)), `${value} ${expected[i]}`);
        });
        // Few enough factors to keep the numbers of a product moderate.
        const scaled =
          sizeOf(shape) > 32
            ? tensor(
                x.data().map((v) => Math.sin(v)),
                { shape },
              )
            : x;
        checkGradients((t) => f(mul(t, t), axes, { keepDims }), [positive(scaled)], { order: 2, seed });
      }),
      { numRuns: 25 },
    );
  });
}

/** Distinct elements stay distinct under squaring when all are positive. */
function positive(x: Tensor): Tensor {
  return tensor(
    x.data().map((value) => Math.exp(value * 0.3)),
    { shape: x.shape },
  );
}

test('argmax: position over the reduced axes, first of equals, NaN is largest', () => {
  fc.assert(
    fc.property(shapeAndAxes(0, 4), seeds, ({ shape, axes }, seed) => {
      const x = round(randomTensor(shape, seed));
      const y = argmax(x, axes);
      assert.equal(y.dtype, 'i32');
      const expected = groups(x, axes).map((xs) => xs.indexOf(Math.max(...xs)));
      assert.deepEqual([...y.data()], expected);
      assert.deepEqual([...argmax(cast(x, 'i32'), axes).data()], expected);
    }),
    { numRuns: 40 },
  );
  const { NaN: nan, NEGATIVE_INFINITY: least } = Number;
  assert.equal(argmax(tensor([1, nan, 3, nan])).item(), 1);
  assert.equal(argmax(tensor([least, least])).item(), 0);
  assert.equal(argmax(tensor([least, 1, 1])).item(), 1);
  assert.deepEqual(argmax(tensor([[1, 5, 2]]), 1, { keepDims: true }).shape, [1, 1]);
});

test('NaN wins in max and min, ties share the gradient', () => {
  const x = tensor([
    [1, Number.NaN, 3],
    [2, 2, 1],
  ]);
  for (const [f, expected] of [
    [max, 2],
    [min, 1],
  ] as const) {
    assert.deepEqual([...f(x, 1).data()], [Number.NaN, expected]);
    assert.ok(Number.isNaN(f(x).item()));
  }
  assert.deepEqual([...grad((t) => max(t))(tensor([2, 2, 1])).data()], [0.5, 0.5, 0]);
  assert.deepEqual([...grad((t) => min(t))(tensor([2, 1, 1])).data()], [0, 0.5, 0.5]);
});

test('product: gradients with zeros among the factors', () => {
  const slope = (x: Tensor): number[] => [...grad((t) => product(t))(x).data()].map((v) => v + 0);
  assert.deepEqual(slope(tensor([2, 3, 4])), [12, 8, 6]);
  assert.deepEqual(slope(tensor([2, 0, 4])), [0, 8, 0]);
  assert.deepEqual(slope(tensor([0, 0, 4])), [0, 0, 0]);
  checkGradients(
    (t) => product(t, [0, 2]),
    [
      tensor([
        [
          [0, 2],
          [3, 0],
        ],
        [
          [-1, 1],
          [2, 0.5],
        ],
      ]),
    ],
    { order: 2 },
  );
  assert.equal(product(tensor(new Int32Array([2 ** 30, 3, 5, 7]))).item(), Math.imul(2 ** 30, 105), 'i32 wraps around');
});

test('nothing to reduce', () => {
  const empty = tensor([], { shape: [2, 0] });
  assert.deepEqual([...product(empty, 1).data()], [1, 1]);
  assert.deepEqual([...mean(empty, 1).data()], [Number.NaN, Number.NaN]);
  assert.deepEqual([...max(empty, 0).data()], []);
  for (const f of [max, min, argmax]) {
    assert.throws(
      () => f(empty, 1),
      (e) => e instanceof ShapeError && /empty axis of \[2, 0\]/.test(e.message),
    );
  }
});

test('variance: correction, and constants', () => {
  const x = tensor([1, 2, 4]);
  assert.ok(Math.abs(variance(x, 0, { correction: 1 }).item() - 7 / 3) < 1e-14);
  assert.ok(Math.abs(variance(x).item() - 14 / 9) < 1e-14);
  assert.equal(variance(tensor([5, 5])).item(), 0);
  checkGradients((t) => sum(exp(variance(t, 0, { correction: 1 }))), [randomTensor([4, 2], 3)], { order: 2 });
});

test('errors name axes, dtypes and options', () => {
  const x = randomTensor([2, 3], 1);
  for (const { f } of Object.values(REDUCTIONS)) {
    assert.throws(
      () => f(x, 2),
      (e) => e instanceof ShapeError && /axis 2.*2 axes/.test(e.message),
    );
    assert.throws(() => f(x, 0, { keepdims: true }), OptionError);
    assert.throws(
      () => f(cast(x, 'u8')),
      (e) => e instanceof ShapeError && /got u8/.test(e.message),
    );
  }
  for (const f of [mean, variance]) {
    assert.throws(
      () => f(tensor(new Int32Array([1, 2]))),
      (e) => e instanceof ShapeError && /(mean|variance): needs f32, got i32; cast first/.test(e.message),
    );
  }
});
