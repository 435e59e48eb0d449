import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { applyOperator } from '../graph/trace.js';
import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { add, cast, exp, mul, sin, stopGradient } from '../ops/elementwise.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { GaborError, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor } from '../testing/arbitraries.js';
import { checkGradients } from './check.js';

const double = new ReferenceDevice({ precision: 'f64' });
setDevice(double);

const wrong = (pattern: RegExp) => (e: unknown) => e instanceof GaborError && pattern.test(e.message);

test('right gradients pass, in both precisions; inputs stay as they are', () => {
  for (const device of [double, new ReferenceDevice()]) {
    setDevice(device);
    const x = randomTensor([2, 3], 1);
    const before = [...x.data()];
    checkGradients((a, b) => mul(sin(a), b), [x, randomTensor([3], 2)], { order: 2 });
    checkGradients((a) => sum(exp(a)), [x], { order: 1 });
    assert.deepEqual([...x.data()], before);
  }
  setDevice(double);
});

test('a missing gradient is found, with the worst element', () => {
  const f = (x: Tensor): Tensor => add(x, mul(stopGradient(x), tensor([0, 0, 2, 0.5])));
  assert.throws(
    () => checkGradients(f, [tensor([[1, 2, 3, 4]])]),
    wrong(/the gradient is wrong, worst for input 0 \[1, 4\] at \[0, 2\]: analytic .*, numeric .*tolerance 0.000001/),
  );
});

test('a gradient that is wrong in second order only is found', () => {
  // The gradient 2x is right, but hides that it depends on x.
  const square = (x: Tensor): Tensor =>
    applyOperator(
      {
        name: 'square',
        infer: ([t]) => [t],
        reference: ([t], [y]) => y.data.set(t.data.map((v) => v * v)),
        gradient: ({ inputs: [t], gradients: [g] }) => [g && mul(g, mul(stopGradient(t), 2))],
        lower: () => ({ kind: 'reshape' }),
      },
      [x],
      {},
    )[0];
  const x = tensor([1, 2]);
  checkGradients(square, [x]);
  assert.throws(() => checkGradients(square, [x], { order: 2 }), wrong(/second-order gradient is wrong/));
});

test('NaN is never right', () => {
  const f = (x: Tensor): Tensor => mul(x, Number.NaN);
  assert.throws(() => checkGradients(f, [tensor([1])]), wrong(/analytic NaN/));
});

test('integers are not checked; argnums picks inputs', () => {
  const labels = tensor(new Int32Array([1, 2]));
  checkGradients((x, y) => mul(x, cast(y, 'f32')), [tensor([1, 2]), labels], { order: 2 });
  const half = (x: Tensor, y: Tensor): Tensor => mul(x, stopGradient(y));
  checkGradients(half, [tensor([1, 2]), tensor([3, 4])], { argnums: [0] });
  assert.throws(() => checkGradients(half, [tensor([1, 2]), tensor([3, 4])]), wrong(/input 1/));
});

test('options', () => {
  const x = tensor([1, 2]);
  assert.throws(() => checkGradients(exp, [x], { tolerence: 1 } as object), OptionError);
  assert.throws(() => checkGradients(exp, [x], { order: 3 as 2 }), OptionError);
  assert.throws(() => checkGradients(exp, [x], { step: 0.5 }), wrong(/wrong/));
  checkGradients(exp, [x], { step: 0.5, tolerance: 0.2 });
  assert.throws(() => compile(() => checkGradients(exp, [x])).sync(), wrong(/outside of compiled functions/));
});
