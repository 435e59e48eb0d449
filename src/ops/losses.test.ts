import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { TEST_DEVICES } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor } from '../testing/fixtures.js';
import { type LossCase, lossSubject, testLossFixtures } from '../testing/loss-fixtures.js';
import { optionNames } from '../testing/support.js';
import { tensor } from './create.js';
import { type CrossEntropyOptions, crossEntropy, mseLoss, type Reduction } from './losses.js';
import { logSoftmax, softmax } from './softmax.js';

interface FunctionCase extends LossCase {
  readonly function: 'cross_entropy' | 'mse_loss';
  readonly options: CrossEntropyOptions;
  readonly weight?: FixtureArray;
}

const NAMES = { cross_entropy: 'crossEntropy', mse_loss: 'mseLoss' } as const;

testLossFixtures<FunctionCase>(
  'losses',
  (c) => {
    const options = c.weight ? { ...c.options, weight: fixtureTensor(c.weight) } : c.options;
    return c.function === 'mse_loss'
      ? (x, target) => mseLoss(x, target, options as { reduction: Reduction })
      : (x, target) => crossEntropy(x, target, options);
  },
  (c) => {
    const options = optionNames({ type: c.function, ...c.options });
    return lossSubject(NAMES[c.function], c.weight ? [...options, 'weight'] : options, c);
  },
);

test('a label that is no class gives NaN, an impossible class does not', () => {
  setDevice(TEST_DEVICES[0].make());
  const logits = tensor([[0, 1, 2]]);
  const nan = (labels: number): boolean => Number.isNaN(crossEntropy(logits, tensor(Int32Array.of(labels))).item());
  assert.deepEqual([-100, -1, 0, 2, 3].map(nan), [true, true, false, false, true]);
  const impossible = tensor([[0, Number.NEGATIVE_INFINITY, 0]]);
  assert.ok(Math.abs(crossEntropy(impossible, tensor(Int32Array.of(0))).item() - Math.LN2) < 1e-6);
});

test('softmax survives large numbers and shifts', () => {
  setDevice(TEST_DEVICES[0].make());
  const x = tensor([[1000, 1001, -5000]]);
  const e = Math.E / (1 + Math.E);
  assertClose(softmax(x), { shape: [1, 3], data: [1 - e, e, 0] }, 1e-7, 'softmax');
  assertClose(logSoftmax(x), { shape: [1, 3], data: [Math.log(1 - e), Math.log(e), -6001 + Math.log(e)] }, 1e-7, 'log');
});

test('losses refuse what does not fit', () => {
  setDevice(TEST_DEVICES[0].make());
  const logits = tensor([[0, 1, 2]]);
  const labels = tensor(Int32Array.of(1));
  assert.throws(() => crossEntropy(logits, tensor(Int32Array.of(1, 2))), /labels must be i32\[1\], got i32\[2\]/);
  assert.throws(() => crossEntropy(logits, tensor([1])), /probabilities are \[1\], logits \[1, 3\]/);
  assert.throws(() => crossEntropy(tensor([1, 2]), labels), /logits must be \[batch, classes, …\]/);
  assert.throws(() => crossEntropy(logits, labels, { labelSmoothing: 1.5 }), /between 0 and 1/);
  assert.throws(() => crossEntropy(logits, labels, { reduction: 'average' as Reduction }), /"mean", "sum" or "none"/);
  assert.throws(
    () => crossEntropy(logits, labels, { smoothing: 0.1 } as CrossEntropyOptions),
    /unknown option "smoothing"/,
  );
  assert.throws(() => crossEntropy(logits, labels, { weight: tensor([1, 2]) }), /weight must be \[3\]/);
  assert.throws(() => mseLoss(logits, tensor([1, 2, 3])), /shapes \[1, 3\] and \[3\] differ/);
});
