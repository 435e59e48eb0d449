import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { grad } from '../autodiff/transform.js';
import { setDevice } from '../graph/device.js';
import { ShapeError } from '../tensor/errors.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { distinctTensor, randomTensor, seeds } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { sum } from './broadcast.js';
import { tensor } from './create.js';
import { cast, mul, neg, round } from './elementwise.js';
import { maxPoolWithTaps, pickTaps, unpool, type WindowAxis } from './maxpool.js';

setDevice(new CheckingDevice());

interface Pool {
  readonly outer: [number, number];
  readonly axes: readonly WindowAxis[];
}

/** Windows with at least one element in the input each. */
const axis = (most: number): fc.Arbitrary<WindowAxis> =>
  fc
    .record({
      input: fc.integer({ min: 1, max: most }),
      kernel: fc.integer({ min: 1, max: 3 }),
      output: fc.integer({ min: 1, max: most }),
      stride: fc.integer({ min: 1, max: 3 }),
      dilation: fc.integer({ min: 1, max: 2 }),
      padLow: fc.integer({ min: 0, max: 2 }),
    })
    .filter((a) =>
      Array.from({ length: a.output }, (_, o) => o).every((o) =>
        Array.from({ length: a.kernel }, (_, k) => a.stride * o + a.dilation * k - a.padLow).some(
          (i) => i >= 0 && i < a.input,
        ),
      ),
    );

const pools: fc.Arbitrary<Pool> = fc.integer({ min: 0, max: 3 }).chain((rank) =>
  fc.record({
    outer: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
    axes: fc.array(axis([1, 7, 4, 3][rank]), { minLength: rank, maxLength: rank }),
  }),
);

const positions = (shape: Shape): number[][] =>
  Array.from({ length: sizeOf(shape) }, (_, flat) =>
    stridesOf(shape).map((stride, a) => Math.floor(flat / stride) % shape[a]),
  );

/** For every window: the values inside the input with their taps, in the order of the taps. */
function windows(x: Tensor, { outer, axes }: Pool): { value: number; tap: number; at: number }[][] {
  const data = x.data();
  const taps = positions(axes.map((a) => a.kernel));
  return positions([...outer, ...axes.map((a) => a.output)]).map(([n, c, ...o]) =>
    taps.flatMap((k, tap) => {
      const i = axes.map((a, s) => a.stride * o[s] + a.dilation * k[s] - a.padLow);
      if (!axes.every((a, s) => i[s] >= 0 && i[s] < a.input)) return [];
      const at = [n, c, ...i].reduce((total, p, d) => total + p * stridesOf(x.shape)[d], 0);
      return [{ value: data[at], tap, at }];
    }),
  );
}

const inputShape = ({ outer, axes }: Pool): number[] => [...outer, ...axes.map((a) => a.input)];

test('the largest element of every window, and the first tap that holds it', () => {
  fc.assert(
    fc.property(pools, seeds, fc.constantFrom('f32' as const, 'i32' as const), (pool, seed, dtype) => {
      // Rounded: ties. All negative: padding must not win.
      const x = cast(round(randomTensor(inputShape(pool), seed, -4, -1)), dtype);
      const { values, taps } = maxPoolWithTaps(x, pool.axes);
      assert.equal(values.dtype, dtype);
      assert.equal(taps.dtype, 'i32');
      assert.deepEqual(values.shape, [...pool.outer, ...pool.axes.map((a) => a.output)]);
      const expected = windows(x, pool).map((w) => w.reduce((best, next) => (next.value > best.value ? next : best)));
      assert.deepEqual(
        [...values.data()],
        expected.map((e) => e.value),
      );
      assert.deepEqual(
        [...taps.data()],
        expected.map((e) => e.tap),
      );
    }),
    { numRuns: 40 },
  );
});

test('gradients of first and second order', () => {
  fc.assert(
    fc.property(pools, seeds, (pool, seed) => {
      const x = distinctTensor(inputShape(pool), seed);
      // Steeper than the pooling itself, so that second derivatives are not zero; monotonic, so that nothing swaps.
      const f = (t: Tensor): Tensor => maxPoolWithTaps(mul(t, mul(t, t)), pool.axes).values;
      checkGradients(f, [x], { order: 2, seed });
    }),
    { numRuns: 25 },
  );
});

test('unpool and pickTaps are adjoint, and differentiate into each other', () => {
  fc.assert(
    fc.property(pools, seeds, (pool, seed) => {
      const x = randomTensor(inputShape(pool), seed);
      const { values, taps } = maxPoolWithTaps(x, pool.axes);
      const g = randomTensor(values.shape, seed + 1);
      assert.deepEqual(pickTaps(x, taps, pool.axes).data(), values.data());
      const left = sum(mul(unpool(g, taps, pool.axes), x)).item();
      const right = sum(mul(g, values)).item();
      assert.ok(Math.abs(left - right) < 1e-10);
      checkGradients((t) => unpool(mul(t, t), taps, pool.axes), [g], { order: 2, seed });
      checkGradients((t) => pickTaps(mul(t, t), taps, pool.axes), [x], { order: 2, seed });
    }),
    { numRuns: 25 },
  );
});

const line = (rest: Partial<WindowAxis>): WindowAxis[] => [
  { input: 4, kernel: 2, output: 2, stride: 2, dilation: 1, padLow: 0, ...rest },
];

test('NaN wins and is found first; the gradient goes to the first of equals', () => {
  const nan = Number.NaN;
  const { values, taps } = maxPoolWithTaps(tensor([[[1, nan, nan, nan]]]), line({}));
  assert.deepEqual([...values.data()], [nan, nan]);
  assert.deepEqual([...taps.data()], [1, 0]);
  const slope = grad((t) => sum(maxPoolWithTaps(t, line({})).values))(tensor([[[2, 2, 1, 3]]]));
  assert.deepEqual([...slope.data()], [1, 0, 0, 1]);
});

test('−∞ may fill a window; padding never wins', () => {
  const least = Number.NEGATIVE_INFINITY;
  const x = tensor([[[least, least, 1, 1]]]);
  const axes = line({ kernel: 3, padLow: 1 });
  const { values, taps } = maxPoolWithTaps(x, axes);
  assert.deepEqual([...values.data()], [least, 1]);
  assert.deepEqual([...taps.data()], [0, 1]);
  const lowest = tensor(new Int32Array([-(2 ** 31), -(2 ** 31), 5, 5]), { shape: [1, 1, 4] });
  assert.deepEqual([...maxPoolWithTaps(lowest, axes).values.data()], [-(2 ** 31), 5]);
});

test('errors name the shapes', () => {
  const bad = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);
  const x = randomTensor([1, 1, 4], 1);
  const { values, taps } = maxPoolWithTaps(x, line({}));
  assert.throws(
    () => maxPoolWithTaps(randomTensor([1, 1, 5], 1), line({})),
    bad(/maxPool: .*channels, 4\].*\[1, 1, 5\]/),
  );
  assert.throws(() => maxPoolWithTaps(randomTensor([1, 4], 1), line({})), bad(/channels, 4\].*\[1, 4\]/));
  assert.throws(() => maxPoolWithTaps(cast(x, 'u8'), line({})), bad(/maxPool: needs f32 or i32, got u8/));
  assert.throws(() => maxPoolWithTaps(x, line({ kernel: 0 })), bad(/at least one element/));
  assert.throws(() => unpool(x, taps, line({})), bad(/unpool: .*channels, 2\].*\[1, 1, 4\]/));
  assert.throws(() => unpool(values, neg(values), line({})), bad(/unpool: .*taps.*i32\[1, 1, 2\].*f32\[1, 1, 2\]/));
  assert.throws(() => unpool(values, cast(x, 'i32'), line({})), bad(/unpool: .*taps.*i32\[1, 1, 2\].*i32\[1, 1, 4\]/));
  assert.throws(() => pickTaps(values, taps, line({})), bad(/pickTaps: .*channels, 4\].*\[1, 1, 2\]/));
  assert.throws(() => pickTaps(x, cast(x, 'i32'), line({})), bad(/pickTaps: .*taps.*i32\[1, 1, 2\].*i32\[1, 1, 4\]/));
});
