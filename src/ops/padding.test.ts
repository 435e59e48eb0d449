import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor, seeds, shapes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { testOnDevices } from '../testing/devices.js';
import { tensor } from './create.js';
import { flip } from './flip.js';
import { PADDING_MODES, type PaddingMode, pad } from './padding.js';

const checking = new CheckingDevice();
setDevice(checking);

/** Which input element stands at position `i` (from −low) by the letter of the mode; undefined is the constant. */
function source(i: number, extent: number, mode: PaddingMode): number | undefined {
  if (i >= 0 && i < extent) return i;
  if (mode === 'reflect') return i < 0 ? -i : 2 * (extent - 1) - i;
  if (mode === 'replicate') return i < 0 ? 0 : extent - 1;
  if (mode === 'circular') return (i + extent) % extent;
  return undefined;
}

function definition(x: Tensor, low: Shape, high: Shape, mode: PaddingMode, value: number): number[] {
  const shape = x.shape.map((n, i) => Math.max(0, low[i]) + n + Math.max(0, high[i]));
  const data = x.data();
  const out: number[] = [];
  const kept = (p: number, i: number): boolean => p >= -Math.min(0, low[i]) && p < shape[i] + Math.min(0, high[i]);
  for (let flat = 0; flat < sizeOf(shape); flat++) {
    const position = stridesOf(shape).map((stride, i) => Math.floor(flat / stride) % shape[i]);
    if (!position.every(kept)) continue;
    const from = position.map((p, i) => source(p - Math.max(0, low[i]), x.shape[i], mode));
    out.push(
      from.includes(undefined)
        ? value
        : data[stridesOf(x.shape).reduce((total, stride, i) => total + stride * (from[i] as number), 0)],
    );
  }
  return out;
}

const cases = shapes(1, 3, { minExtent: 2 }).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    low: fc.tuple(...shape.map((n) => fc.integer({ min: -1, max: n - 1 }))),
    high: fc.tuple(...shape.map((n) => fc.integer({ min: 0, max: n - 1 }))),
    mode: fc.constantFrom(...PADDING_MODES),
    seed: seeds,
  }),
);

test('every mode is what its definition says, with gradients of first and second order', () => {
  fc.assert(
    fc.property(cases, ({ shape, low, high, mode, seed }) => {
      const x = randomTensor(shape, seed);
      const fill = mode === 'constant' ? { mode, value: 1.5 } : { mode };
      assert.deepEqual([...pad(x, low, high, fill).data()], definition(x, low, high, mode, mode === 'zeros' ? 0 : 1.5));
      checkGradients((a) => pad(a, low, high, fill), [x], { order: 2, seed });
    }),
    { numRuns: 60 },
  );
});

testOnDevices('padding modes inside of a program', async () => {
  for (const mode of ['reflect', 'replicate', 'circular'] as const) {
    for (const shape of [
      [2, 3, 9],
      [1, 17, 4, 5],
      [2, 2, 3, 4, 3],
    ]) {
      const x = randomTensor(shape, 3);
      const low = shape.map((n, i) => (i < 2 ? 0 : Math.min(2, n - 1)));
      const high = shape.map((_, i) => (i < 2 ? 0 : 1));
      const program = compile((a: Tensor) => pad(a, low, high, mode));
      assert.deepEqual([...(await program(x)).data()], definition(x, low, high, mode, 0), `${mode} of [${shape}]`);
      program.dispose();
    }
  }
});

testOnDevices('flip reverses', async () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.deepEqual([...flip(x, 1).data()], [3, 2, 1, 6, 5, 4]);
  assert.deepEqual([...flip(x, [0, -1]).data()], [6, 5, 4, 3, 2, 1]);
  const images = randomTensor([2, 20, 3, 5], 1);
  const program = compile((a: Tensor) => flip(a, [1, 2]));
  assert.deepEqual(flip(await program(images), [2, 1]).data(), images.data());
});

test('a known answer', () => {
  const x = tensor([1, 2, 3, 4]);
  assert.deepEqual([...pad(x, [3], [2], 'reflect').data()], [4, 3, 2, 1, 2, 3, 4, 3, 2]);
  assert.deepEqual([...pad(x, [1], [2], 'replicate').data()], [1, 1, 2, 3, 4, 4, 4]);
  assert.deepEqual([...pad(x, [4], [1], 'circular').data()], [1, 2, 3, 4, 1, 2, 3, 4, 1]);
  assert.deepEqual([...pad(x, [1], [-2], 7).data()], [7, 1, 2]);
  assert.deepEqual([...pad(x, [0], [0], 'reflect').data()], [1, 2, 3, 4]);
  assert.deepEqual([...pad(tensor([5]), [2], [1], 'replicate').data()], [5, 5, 5, 5]);
  assert.ok(checking.compared.has('flip'));
});

test('padding that does not exist shows the arithmetic', () => {
  const x = tensor([1, 2, 3, 4]);
  const fails = (make: () => unknown, kind: typeof ShapeError | typeof OptionError, pattern: RegExp): void => {
    assert.throws(make, (e) => e instanceof kind && pattern.test(e.message));
  };
  fails(() => pad(x, [4], [0], 'reflect'), ShapeError, /reflect padding 4 must be less than the extent, but 4 ≥ 4/);
  fails(() => pad(x, [0], [5], 'circular'), ShapeError, /circular padding 5 must be at most the extent, but 5 > 4/);
  fails(() => pad(tensor([], { shape: [0] }), [1], [0], 'replicate'), ShapeError, /needs an edge to repeat/);
  fails(
    () => pad(x, [1, 1], [0], 'reflect'),
    ShapeError,
    /two integers for each axis of \[4\], got \[1, 1\] and \[0\]/,
  );
  fails(() => pad(x, [1], [1], 'mirror' as 'reflect'), OptionError, /mode must be one of .* got "mirror"/);
  fails(() => pad(x, [1], [1], { mode: 'reflect', value: 1 }), OptionError, /value belongs to mode "constant"/);
  fails(() => pad(x, [1], [1], { modus: 'reflect' } as object), OptionError, /unknown option "modus"/);
});
