import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { CTCLoss, lossFromConfig } from '../nn/losses.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, TEST_DEVICES, testOnDevices } from '../testing/devices.js';
import { type LossCase, testLossFixtures } from '../testing/loss-fixtures.js';
import { optionNames } from '../testing/support.js';
import { randomNormal, tensor } from './create.js';
import { type CtcOptions, ctcLoss } from './ctc.js';
import { ctcBeamSearch, ctcGreedyDecode } from './ctc-decode.js';
import { logSoftmax } from './softmax.js';

interface CtcCase extends LossCase {
  readonly options: CtcOptions;
  readonly inputLengths: readonly number[];
  readonly targetLengths: readonly number[];
}

testLossFixtures<CtcCase>(
  'ctc',
  ({ inputLengths, targetLengths, options }) =>
    (x, target) =>
      ctcLoss(logSoftmax(x, 2), target, inputLengths, targetLengths, options),
  (c) => ({ operator: 'ctcLoss', options: optionNames({ type: 'ctcLoss', ...c.options }) }),
);

/** Σ over all sequences of classes that read as the target of their probabilities: the definition, exponential in time. */
function byEnumeration(p: readonly (readonly number[])[], target: readonly number[], blank: number): number {
  const classes = p[0].length;
  const read = (path: readonly number[]): string =>
    String(path.filter((c, t) => c !== blank && (t === 0 || path[t - 1] !== c)));
  let total = 0;
  const visit = (path: number[], probability: number): void => {
    if (path.length === p.length) {
      if (read(path) === String(target)) total += probability;
      return;
    }
    for (let c = 0; c < classes; c++) visit([...path, c], probability * p[path.length][c]);
  };
  visit([], 1);
  return -Math.log(total);
}

test('ctcLoss is the definition: all readings added up', () => {
  setDevice(EXACT.make());
  const random = new Random(1);
  for (const [target, blank] of [
    [[1, 2], 0],
    [[1, 1], 0],
    [[0, 2, 0], 1],
    [[], 2],
    [[0], 2],
  ] as const) {
    const logits = randomNormal([5, 1, 3], random, 0, 2);
    const logp = logSoftmax(logits, 2);
    const values = [...logp.data()];
    const p = Array.from({ length: 5 }, (_, t) => values.slice(3 * t, 3 * t + 3).map(Math.exp));
    const padded = tensor([...target, 9, 9, 9].slice(0, 3), { shape: [1, 3], dtype: 'i32' });
    for (const steps of [5, 4]) {
      const loss = ctcLoss(logp, padded, [steps], [target.length], { blank, reduction: 'sum' }).item();
      const expected = byEnumeration(p.slice(0, steps), target, blank);
      assert.ok(Math.abs(loss - expected) < 1e-5, `${target}: ${loss} and ${expected}`);
    }
  }
});

test('gradients of the logarithms themselves are those of finite differences, of second order, too', () => {
  setDevice(EXACT.make());
  const targets = tensor([1, 1, 2, 2, 1, 0], { shape: [2, 3], dtype: 'i32' });
  const random = new Random(2);
  const x = tensor(
    Float64Array.from({ length: 7 * 2 * 3 }, () => random.normal()),
    { shape: [7, 2, 3] },
  );
  for (const reduction of ['mean', 'none'] as const) {
    const f = (logp: Tensor): Tensor => ctcLoss(logp, targets, [7, 5], [3, 2], { reduction });
    checkGradients(f, [x]);
  }
  const small = tensor(
    Float64Array.from({ length: 4 * 3 }, () => random.normal()),
    { shape: [4, 1, 3] },
  );
  const target = tensor([1, 2], { shape: [1, 2], dtype: 'i32' });
  checkGradients((logp) => ctcLoss(logp, target, [4], [2]), [small], { order: 2, tolerance: 1e-5 });
});

testOnDevices('impossible classes, sure ones and long sequences stay numbers', async () => {
  const never = Number.NEGATIVE_INFINITY;
  const targets = tensor([1], { shape: [1, 1], dtype: 'i32' });
  const logp = tensor([0, never, never, never, 0, never, 0, never, never], { shape: [3, 1, 3] });
  assert.equal(ctcLoss(logp, targets, [3], [1]).item(), 0);
  const two = tensor([2], { shape: [1, 1], dtype: 'i32' });
  assert.equal(ctcLoss(logp, two, [3], [1]).item(), Number.POSITIVE_INFINITY);
  assert.equal(ctcLoss(logp, two, [3], [1], { zeroInfinity: true }).item(), 0);

  // A network that is sure of blanks: every other class is e⁻⁸⁰ at each step, far below what f32 holds as a product.
  const sure = tensor(
    Float32Array.from({ length: 60 * 4 }, (_, i) => (i % 4 === 0 ? 80 : 0)),
    { shape: [60, 1, 4] },
  );
  const path = tensor(
    Int32Array.from({ length: 10 }, (_, i) => 1 + (i % 3)),
    { shape: [1, 10] },
  );
  const f = compile((x: Tensor) => {
    const loss = ctcLoss(logSoftmax(x, 2), path, [60], [10], { reduction: 'sum' });
    return [loss, gradients(loss, [x])[0]];
  });
  const [loss, g] = await f(sure);
  assert.ok(loss.item() > 700 && loss.item() < 800, String(loss.item()));
  const data = [...g.data()];
  assert.ok(data.every(Number.isFinite));
  // Each step's gradient is softmax − share, and shares of blanks and of classes add up to 1.
  const pulled = data.reduce((total, v, i) => total + (i % 4 === 0 ? v : 0), 0);
  assert.ok(Math.abs(pulled - 10) < 1e-2, String(pulled));
});

test('classes and lengths out of range give NaN; shapes and options that do not fit are errors', () => {
  setDevice(TEST_DEVICES[0].make());
  const logp = logSoftmax(randomNormal([4, 2, 3], 1), 2);
  const make = (data: number[]): Tensor => tensor(data, { shape: [2, 2], dtype: 'i32' });
  const losses = (targets: number[], steps: number[], labels: number[]): boolean[] =>
    [...ctcLoss(logp, make(targets), steps, labels, { reduction: 'none' }).data()].map(Number.isNaN);
  assert.deepEqual(losses([1, 2, 1, 7], [4, 4], [2, 1]), [false, false]);
  assert.deepEqual(losses([1, 3, 1, -1], [4, 4], [2, 2]), [true, true]);
  assert.deepEqual(losses([1, 0, 1, 2], [4, 5], [2, 2]), [true, true]);
  assert.deepEqual(losses([1, 2, 1, 2], [0, 4], [2, 3]), [true, true]);
  const good = make([1, 2, 1, 2]);
  assert.throws(() => ctcLoss(logp, tensor([1, 2], { dtype: 'i32' }), [4, 4], [1, 1]), ShapeError);
  assert.throws(
    () => ctcLoss(logp, good, [4], [1, 1]),
    /inputLengths must be i32\[2\], one for each sample, got i32\[1\]/,
  );
  assert.throws(() => ctcLoss(logp, good, [4, 4], [1, 1], { blank: 3 }), OptionError);
  assert.throws(
    () => ctcLoss(logp, good, [4, 4], [1, 1], { reduction: 'average' as 'sum' }),
    /"mean", "sum" or "none"/,
  );
  assert.throws(() => ctcLoss(logp, good, [4, 4], [1, 1], { zero: true } as object), /unknown option "zero"/);
});

test('the loss as a module reads lengths from padding, and is made again from its configuration', () => {
  setDevice(TEST_DEVICES[0].make());
  const logp = logSoftmax(randomNormal([6, 2, 4], 3), 2);
  const padded = tensor([1, 2, 3, 2, -1, -1], { shape: [2, 3], dtype: 'i32' });
  const expected = ctcLoss(logp, padded, [6, 6], [3, 1], { zeroInfinity: true }).item();
  const loss = new CTCLoss({ zeroInfinity: true });
  assert.equal(loss.forward(logp, padded).item(), expected);
  assert.equal(lossFromConfig(loss.config()).forward(logp, padded).item(), expected);
  const shorter = loss.forward(logp, padded, [5, 4], [2, 1]).item();
  assert.equal(shorter, ctcLoss(logp, padded, [5, 4], [2, 1], { zeroInfinity: true }).item());
  assert.throws(() => new CTCLoss({ blank: -1 }), OptionError);
});

test('greedy decoding reads repetitions once and leaves out blanks', () => {
  const best = [
    [1, 0],
    [1, 2],
    [0, 2],
    [1, 1],
    [2, 0],
  ];
  const scores = tensor(Float32Array.from(best.flat().flatMap((c) => [0, 1, 2].map((k) => Number(k === c)))), {
    shape: [5, 2, 3],
  });
  assert.deepEqual(ctcGreedyDecode(scores), [
    [1, 1, 2],
    [2, 1],
  ]);
  assert.deepEqual(ctcGreedyDecode(scores, { inputLengths: [2, 3] }), [[1], [2]]);
  assert.deepEqual(ctcGreedyDecode(scores, { blank: 2 }), [
    [1, 0, 1],
    [0, 1, 0],
  ]);
  assert.throws(() => ctcGreedyDecode(tensor([[1]])), ShapeError);
  assert.throws(() => ctcGreedyDecode(scores, { blank: 3 }), OptionError);
  assert.throws(() => ctcGreedyDecode(scores, { inputLengths: [6, 1] }), OptionError);
});

test('beam search finds the readings that the loss finds most probable, where greedy decoding does not', () => {
  setDevice(EXACT.make());
  // Blank is the best class of both steps (0.6 · 0.6 = 0.36), but "1" reads three ways: 0.4 · 0.4 + 2 · 0.4 · 0.6 = 0.64.
  const two = tensor([0.6, 0.4, 0.6, 0.4].map(Math.log), { shape: [2, 1, 2] });
  assert.deepEqual(ctcGreedyDecode(two), [[]]);
  const [readings] = ctcBeamSearch(two, { top: 5 });
  assert.deepEqual(
    readings.map(({ classes }) => [...classes]),
    [[1], []],
  );
  assert.ok(Math.abs(Math.exp(readings[0].logProbability) - 0.64) < 1e-6);

  const random = new Random(4);
  for (const blank of [0, 2]) {
    const logp = logSoftmax(randomNormal([5, 2, 3], random, 0, 1.5), 2);
    const found = ctcBeamSearch(logp, { blank, beamWidth: 1000, top: 1000, inputLengths: [5, 3] });
    found.forEach((all, n) => {
      const sure = all.reduce((sum, { logProbability }) => sum + Math.exp(logProbability), 0);
      assert.ok(Math.abs(sure - 1) < 1e-5, `all readings together: ${sure}`);
      for (const { classes, logProbability } of all.slice(0, 6)) {
        const target = tensor(
          [0, 1].flatMap(() => [...classes, 9, 9, 9, 9, 9].slice(0, 5)),
          { shape: [2, 5], dtype: 'i32' },
        );
        const lengths = [classes.length, classes.length];
        const losses = ctcLoss(logp, target, [5, 3], lengths, { blank, reduction: 'none' }).data();
        assert.ok(Math.abs(losses[n] + logProbability) < 1e-5, `${classes}: ${losses[n]} and ${logProbability}`);
      }
      assert.ok(all.every((r, i) => i === 0 || r.logProbability <= all[i - 1].logProbability));
    });
    const narrow = ctcBeamSearch(logp, { blank, beamWidth: 8, inputLengths: [5, 3] });
    assert.deepEqual(narrow[0][0].classes, found[0][0].classes);
  }
  assert.throws(() => ctcBeamSearch(two, { beamWidth: 0 }), OptionError);
  assert.throws(() => ctcBeamSearch(two, { beam: 3 } as object), /unknown option "beam"/);
});
