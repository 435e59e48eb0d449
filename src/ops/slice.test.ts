import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { Value } from '../graph/graph.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor, seeds, shapes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { sum } from './broadcast.js';
import { tensor } from './create.js';
import { cast, mul } from './elementwise.js';
import { pad, slice } from './slice.js';

setDevice(new CheckingDevice());

/** Reads x at positions computed from positions of the result; `otherwise` outside. */
function gather(x: Tensor, shape: readonly number[], from: (p: number, axis: number) => number, otherwise: number) {
  const data = x.data();
  return Array.from({ length: sizeOf(shape) }, (_, flat) => {
    const p = shape.map((extent, axis) => from(Math.floor(flat / stridesOf(shape)[axis]) % extent, axis));
    const inside = p.every((at, axis) => at >= 0 && at < x.shape[axis]);
    return inside ? data[p.reduce((at, q, axis) => at + q * stridesOf(x.shape)[axis], 0)] : otherwise;
  });
}

const slices = shapes(0, 3, { minExtent: 0, maxExtent: 6 }).chain((shape) =>
  fc
    .tuple(
      ...shape.map((extent) =>
        fc.tuple(fc.integer({ min: 0, max: extent }), fc.integer({ min: 1, max: 3 })).chain(([start, step]) =>
          fc.record({
            start: fc.constant(start),
            step: fc.constant(step),
            size: fc.integer({ min: 0, max: Math.ceil((extent - start) / step) }),
          }),
        ),
      ),
    )
    .map((axes) => ({ shape, axes })),
);

test('slice picks start + i · step; gradients of first and second order', () => {
  fc.assert(
    fc.property(slices, seeds, ({ shape, axes }, seed) => {
      const x = randomTensor(shape, seed);
      const [start, size, step] = [axes.map((a) => a.start), axes.map((a) => a.size), axes.map((a) => a.step)];
      const y = slice(x, start, size, step);
      assert.deepEqual(y.shape, size);
      const expected = gather(x, size, (p, axis) => start[axis] + p * step[axis], Number.NaN);
      assert.deepEqual([...y.data()], expected);
      checkGradients((t) => slice(mul(t, t), start, size, step), [x], { order: 2, seed });
    }),
    { numRuns: 40 },
  );
});

test('a divided position always stands under a guard', () => {
  const x = randomTensor([1], 1);
  const slope = compile((t: Tensor) => gradients(sum(slice(t, [0], [1], [2])), [t]));
  const [node] = slope.graph(x).nodes.filter(({ operator }) => operator.name === 'pad');
  const types = (values: readonly Value[]) => values.map((value) => value.type);
  const kernel = node.operator.lower(types(node.inputs), types(node.outputs), node.attributes);
  assert.equal(kernel.kind === 'nest' && kernel.outputs[0].kind, 'guard');
  assert.deepEqual([...slope.sync(x)[0].data()], [1]);
});

test('slice: size defaults to the rest', () => {
  const x = tensor([0, 1, 2, 3, 4]);
  assert.deepEqual([...slice(x, [2]).data()], [2, 3, 4]);
  assert.deepEqual([...slice(x, [1], undefined, [2]).data()], [1, 3]);
  assert.deepEqual([...slice(x, [0], undefined, [3]).data()], [0, 3]);
});

const pads = shapes(0, 3, { minExtent: 0, maxExtent: 4 }).chain((shape) =>
  fc
    .tuple(
      ...shape.map((extent) =>
        fc
          .tuple(fc.integer({ min: -5, max: 3 }), fc.integer({ min: -5, max: 3 }))
          .map(([low, high]) => ({ low, high: Math.max(high, -extent - low) })),
      ),
    )
    .map((axes) => ({ shape, low: axes.map((a) => a.low), high: axes.map((a) => a.high) })),
);

test('pad surrounds with a value, negative amounts cut off; gradients of first and second order', () => {
  fc.assert(
    fc.property(pads, seeds, ({ shape, low, high }, seed) => {
      const x = randomTensor(shape, seed);
      const y = pad(x, low, high, 9);
      assert.deepEqual(
        y.shape,
        shape.map((extent, i) => low[i] + extent + high[i]),
      );
      assert.deepEqual(
        [...y.data()],
        gather(x, y.shape, (p, axis) => p - low[axis], 9),
      );
      checkGradients((t) => pad(mul(t, t), low, high, 9), [x], { order: 2, seed });
    }),
    { numRuns: 40 },
  );
});

test('pad holds any value of the dtype, and no other', () => {
  const x = tensor(new Int32Array([1]));
  assert.deepEqual([...pad(x, [1], [1], -(2 ** 31)).data()], [-(2 ** 31), 1, -(2 ** 31)]);
  assert.throws(
    () => pad(x, [1], [1], Number.NEGATIVE_INFINITY),
    (e) => e instanceof OptionError && /i32/.test(e.message),
  );
  assert.deepEqual([...pad(cast(x, 'f32'), [1], [0], Number.NEGATIVE_INFINITY).data()], [Number.NEGATIVE_INFINITY, 1]);
});

test('results own their memory', () => {
  const x = tensor([1, 2]);
  pad(x, [0], [0]).dispose();
  assert.deepEqual([...x.data()], [1, 2]);
});

test('errors name the shapes', () => {
  const x = randomTensor([2, 3], 1);
  const bad = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);
  assert.throws(() => slice(x, [0]), bad(/slice: .*\[2, 3\]/));
  assert.throws(() => slice(x, [0, 1], [2, 3]), bad(/axis 1 of \[2, 3\]/));
  assert.throws(() => slice(x, [-1, 0]), bad(/axis 0 of \[2, 3\]/));
  assert.throws(() => slice(x, [0, 0], [2, 1], [1]), bad(/slice: .*\[2, 3\]/));
  assert.throws(() => slice(x, [0, 0.5], [1, 1]), bad(/axis 1 of \[2, 3\]/));
  assert.throws(() => slice(x, [0, 0], [1, 1], [1, 0]), bad(/axis 1 of \[2, 3\]/));
  assert.throws(() => slice(x, [0, 4]), bad(/axis 1 of \[2, 3\]/));
  assert.throws(() => pad(x, [1], [1]), bad(/pad: .*\[2, 3\]/));
  assert.throws(() => pad(x, [0], [0]), bad(/pad: .*\[2, 3\]/));
  assert.throws(() => pad(x, [0, 0.5], [0, 0.5]), bad(/integer/));
  assert.throws(() => pad(x, [-3, 0], [0, 0]), bad(/\[2, 3\] gives \[-1, 3\]/));
});
