import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../../autodiff/check.js';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { adaptiveMaxPool, adaptiveMaxPoolWithIndices, globalMaxPool } from '../../ops/adaptive-pooling.js';
import { sum } from '../../ops/broadcast.js';
import { randomNormal } from '../../ops/create.js';
import { add, mul, tanh } from '../../ops/elementwise.js';
import { type MaxUnpoolOptions, maxPoolWithIndices, maxUnpool } from '../../ops/maxunpool.js';
import { avgPool, lpPool, type MaxPoolOptions, maxPool, maxPool1d, maxPool3d } from '../../ops/pooling.js';
import type { PerAxis } from '../../ops/window.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { distinctTensor } from '../../testing/arbitraries.js';
import { EXACT, FIXTURE_DEVICES } from '../../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../../testing/fixtures.js';
import { testLayerFixtures } from '../../testing/layer-fixtures.js';
import { assertProven, optionNames } from '../../testing/support.js';
import { moduleFromConfig } from '../registry.js';
import { AdaptiveMaxPool2d, GlobalAvgPool2d } from './adaptive-pooling.js';
import { AvgPool3d, LPPool2d, MaxPool1d, MaxPool2d, MaxUnpool2d } from './pooling.js';

testLayerFixtures('pooling');

interface UnpoolCase {
  readonly name: string;
  readonly options?: MaxPoolOptions & { readonly kernelSize: PerAxis };
  /** of adaptive pooling */
  readonly outputSize?: PerAxis;
  readonly input: FixtureArray;
  readonly values: FixtureArray;
  readonly indices: FixtureArray;
  readonly unpool?: FixtureArray;
  readonly back?: FixtureArray;
  readonly cotangent?: FixtureArray;
  readonly gradient?: FixtureArray;
}

const exactBounds = (array: FixtureArray) => ({ bounds: Float64Array.from(array.data, (x) => Math.abs(x) * 2 ** -24) });

for (const device of FIXTURE_DEVICES) {
  test(`indices of max pooling and unpooling agree with PyTorch [${device.name}]`, async (t) => {
    setDevice(device.make());
    for (const c of readFixtures<UnpoolCase>('unpooling')) {
      await t.test(c.name, async () => {
        const rank = c.input.shape.length - 2;
        const proof = (operator: string, options: readonly string[]) => ({
          subject: { operator, rank, options },
          device,
        });
        // Values are only moved: each carries the rounding with which it is stored.
        const check = (
          what: Tensor,
          expected: FixtureArray,
          subject: ReturnType<typeof proof>,
          direction: 'forward' | 'gradients' = 'forward',
        ): void => assertProven(what, expected, exactBounds(expected), subject, direction, direction);
        const x = fixtureTensor(c.input);
        if (c.options === undefined) {
          const { values, indices } = adaptiveMaxPoolWithIndices(x, c.outputSize as PerAxis);
          const subject = proof('AdaptiveMaxPool', ['with indices']);
          check(values, c.values, subject);
          assert.equal(indices.dtype, 'i32');
          check(indices, c.indices, subject);
          return;
        }
        const { kernelSize, ...options } = c.options;
        const { values, indices } = maxPoolWithIndices(x, kernelSize, options);
        assert.equal(indices.dtype, 'i32');
        check(values, c.values, proof('MaxPool', ['with indices']));
        check(indices, c.indices, proof('MaxPool', ['with indices']));
        if (c.unpool === undefined || c.back === undefined) return;
        const { stride, padding } = options;
        const back: MaxUnpoolOptions = { stride, padding, outputSize: c.input.shape.slice(2) };
        const differentiate = compile((y: Tensor, at: Tensor, cotangent: Tensor) => {
          const z = maxUnpool(y, at, kernelSize, back);
          return [z, ...gradients(sum(mul(z, cotangent)), [y])];
        });
        const cotangent = fixtureTensor(c.cotangent ?? c.back);
        const [z, gradient] = await differentiate(fixtureTensor(c.unpool), indices, cotangent);
        const subject = proof('MaxUnpool', [
          ...optionNames({ type: 'MaxUnpool', ...withoutPooling(c.options) }),
          'outputSize',
        ]);
        check(z, c.back, subject);
        if (c.gradient !== undefined) check(gradient, c.gradient, subject, 'gradients');
      });
    }
  });
}

/** The options that unpooling shares with pooling. */
function withoutPooling({ ceilMode: _, dilation: __, ...options }: NonNullable<UnpoolCase['options']>): object {
  return options;
}

test('first and second derivatives agree with finite differences', () => {
  setDevice(EXACT.make());
  // Steeper than the pooling itself, so that second derivatives are not zero; monotonic, so that nothing swaps.
  const cube = (x: Tensor): Tensor => mul(x, mul(x, x));
  const check = (f: (x: Tensor) => Tensor, x: Tensor): void => checkGradients(f, [x], { order: 2 });
  check(
    (x) => maxPool1d(cube(x), 3, { stride: 2, padding: 1, dilation: 2, ceilMode: true }),
    distinctTensor([2, 2, 7], 1),
  );
  check((x) => maxPool3d(cube(x), [2, 1, 3], { padding: [1, 0, 1] }), distinctTensor([1, 2, 3, 2, 4], 2));
  check((x) => adaptiveMaxPool(cube(x), [3, 4]), distinctTensor([2, 2, 5, 3], 3));
  check((x) => adaptiveMaxPoolWithIndices(cube(x), [2, 3]).values, distinctTensor([1, 2, 3, 5], 4));
  check((x) => globalMaxPool(cube(x)), distinctTensor([2, 2, 3, 2], 5));
  check((x) => tanh(avgPool(x, 2, { padding: 1, ceilMode: true })), randomNormal([1, 2, 3, 2, 4], 6));
  check((x) => lpPool(x, 2, 2, { ceilMode: true }), randomNormal([2, 2, 5], 7));
  check((x) => lpPool(add(mul(x, x), 0.5), 2.5, [2, 3], { stride: 1 }), randomNormal([1, 2, 3, 4], 8));
  const { values, indices } = maxPoolWithIndices(randomNormal([2, 2, 5, 6], 9), 3, { stride: 2, padding: 1 });
  check((x) => tanh(maxUnpool(x, indices, 3, { stride: 2, padding: 1, outputSize: [5, 6] })), values);
});

test('unpooling after pooling gives the gradient of the chosen elements, overlapping or not', () => {
  setDevice(EXACT.make());
  const x = randomNormal([2, 3, 7], 1);
  const { values, indices } = maxPoolWithIndices(x, 3, { stride: 1 });
  const back = maxUnpool(values, indices, 3, { stride: 1 }).data();
  const data = x.data();
  const chosen = new Set<number>();
  indices.data().forEach((index, o) => {
    chosen.add(Math.floor(o / 5) * 7 + index);
  });
  assert.ok(chosen.size < values.size, 'some windows choose the same element');
  assert.deepEqual(
    [...back],
    Array.from(data, (value, i) => (chosen.has(i) ? value : 0)),
  );
});

test('−∞ and dropped indices', () => {
  setDevice(EXACT.make());
  const x = fixtureTensor({ shape: [1, 1, 4], data: [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 1, 2] });
  const { values, indices } = maxPoolWithIndices(x, 2, { padding: 1 });
  assert.deepEqual([...values.data()], [Number.NEGATIVE_INFINITY, 1, 2]);
  assert.deepEqual([...indices.data()], [0, 2, 3]);
  const elsewhere = fixtureTensor({ shape: [1, 1, 2], data: [3, 2] }, 'i32');
  const y = maxUnpool(fixtureTensor({ shape: [1, 1, 2], data: [5, 7] }), elsewhere, 2);
  assert.deepEqual([...y.data()], [0, 0, 7, 0]);
});

test('the gradient of Lp pooling is zero where all is zero', () => {
  setDevice(EXACT.make());
  const slope = compile((x: Tensor) => gradients(sum(lpPool(x, 2, 2)), [x]));
  const [g] = slope.sync(fixtureTensor({ shape: [1, 1, 4], data: [0, 0, 3, 4] }));
  assertClose(g, { shape: [1, 1, 4], data: [0, 0, 0.6, 0.8] }, 1e-12, 'gradient');
});

test('layers tell indices, and unpool with them', () => {
  setDevice(EXACT.make());
  const x = randomNormal([1, 2, 5, 5], 3);
  const pool = new MaxPool2d(2, { stride: 2 });
  const { values, indices } = pool.forwardWithIndices(x);
  assert.deepEqual(values.data(), pool.forward(x).data());
  const y = new MaxUnpool2d(2).forward(values, indices, [5, 5]);
  assert.deepEqual([...maxPool(mul(y, y), 2).data()], [...mul(values, values).data()]);
  const adaptive = new AdaptiveMaxPool2d([2, 3]).forwardWithIndices(x);
  const flat = x.data();
  assert.deepEqual(
    [...adaptive.values.data()],
    Array.from(adaptive.indices.data(), (index, o) => flat[Math.floor(o / 6) * 25 + index]),
  );
  const config = new MaxUnpool2d([2, 3], { stride: 1, padding: [0, 1] }).config();
  assert.deepEqual(moduleFromConfig(config).config(), config);
});

test('errors show the arithmetic', () => {
  setDevice(EXACT.make());
  const x = randomNormal([1, 2, 4, 4], 1);
  const { values, indices } = maxPoolWithIndices(x, 2);
  const cases: [() => unknown, typeof OptionError | typeof ShapeError, RegExp][] = [
    [
      () => new MaxPool1d(5, { dilation: 3 }).forward(randomNormal([1, 1, 8], 1)),
      ShapeError,
      /MaxPool1d: kernel 5 with dilation 3 spans 13, but the input is 8 long/,
    ],
    [() => new AvgPool3d(3, { padding: 2 }), OptionError, /AvgPool3d: padding 2 is more than half of the window of 3/],
    [() => new AvgPool3d(2).forward(x), ShapeError, /AvgPool3d: expected \[batch, channels, depth, height, width\]/],
    [
      () => new MaxPool1d(2, { returnIndices: true } as object),
      OptionError,
      /MaxPool1d: unknown option "returnIndices"/,
    ],
    [() => new LPPool2d(0, 2), OptionError, /LPPool2d: normType must be a finite number > 0, got 0/],
    [() => new LPPool2d(Infinity, 2), OptionError, /use max pooling/],
    [() => new MaxUnpool2d(2).forward(values), OptionError, /MaxUnpool2d: needs the indices/],
    [
      () => new MaxUnpool2d(2).forward(values, indices, [4, 6]),
      OptionError,
      /MaxUnpool2d: outputSize 6 along axis 3 must lie between 3 and 5, .*\(2 − 1\)·2 − 2·0 \+ 2 = 4/,
    ],
    [
      () => maxUnpool(values, values, 2),
      ShapeError,
      /maxUnpool: the indices must be i32\[1, 2, 2, 2\], as the input, got f32/,
    ],
    [() => new AdaptiveMaxPool2d([2, 0]), OptionError, /AdaptiveMaxPool2d: outputSize must be an integer ≥ 1 or null/],
    [() => new GlobalAvgPool2d({ keepdim: true } as object), OptionError, /GlobalAvgPool2d: unknown option "keepdim"/],
    [
      () => maxPool3d(x, 2),
      ShapeError,
      /maxPool3d: expected \[batch, channels, depth, height, width\], got \[1, 2, 4, 4\]/,
    ],
    [() => globalMaxPool(randomNormal([2, 3], 1)), ShapeError, /globalMaxPool: expected \[batch, channels, length\]/],
  ];
  for (const [body, kind, message] of cases) {
    assert.throws(body, (error) => error instanceof kind && message.test(error.message), String(message));
  }
});
