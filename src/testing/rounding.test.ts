import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { conv1d } from '../ops/conv.js';
import { tensor } from '../ops/create.js';
import { div, exp, sub } from '../ops/elementwise.js';
import { EXACT } from './devices.js';
import { roundingBounds } from './rounding.js';

const EPSILON = 2 ** -24;

/** Bounds in rounding units. */
const units = (bounds: Float64Array): number[] => Array.from(bounds, (bound) => bound / EPSILON);

function assertNear(actual: readonly number[], expected: readonly number[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]) <= 1e-12 * Math.abs(expected[i]), `${value}, not ${expected[i]}`);
  });
}

test('a convolution: the roundings of inputs and products, and √n times the sum of magnitudes', () => {
  setDevice(EXACT.make());
  const x = tensor([[[1, -2, 4, 8]]]);
  const w = tensor([[[3, 5]]]);
  const [y] = roundingBounds((a, b) => [conv1d(a, b)], [x, w]);
  assert.deepEqual([...y.values], [-7, 14, 52]);
  // Each product carries |x w| of either factor and of its own.
  const magnitudes = [13, 26, 52];
  assertNear(
    units(y.bounds),
    magnitudes.map((m) => (3 + Math.SQRT2) * m),
  );
});

test('cancellation keeps the errors of what cancels, division and functions pass on what they are sensitive to', () => {
  setDevice(EXACT.make());
  const [a, b] = [tensor([1000, 3]), tensor([999, 4])];
  const [difference, quotient, power] = roundingBounds((x, y) => [sub(x, y), div(x, y), exp(y)], [a, b]);
  assertNear(units(difference.bounds), [1000 + 999 + 1, 3 + 4 + 1]);
  assertNear(units(quotient.bounds), [3 * (1000 / 999), 3 * (3 / 4)]);
  assertNear(units(power.bounds).slice(1), [Math.exp(4) * (4 + 4)]);
});
