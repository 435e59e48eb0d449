import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { valueAndGrad } from '../autodiff/transform.js';
import { setDevice } from '../graph/device.js';
import { randomNormal, randomUniform, tensor } from '../ops/create.js';
import { mul } from '../ops/elementwise.js';
import {
  binaryCrossEntropy,
  binaryCrossEntropyWithLogits,
  diceLoss,
  huberLoss,
  l1Loss,
  nllLoss,
  smoothL1Loss,
} from '../ops/losses.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import { assertClose } from '../testing/fixtures.js';
import { type LossCase, lossSubject, testLossFixtures } from '../testing/loss-fixtures.js';
import { optionNames } from '../testing/support.js';
import type { LayerConfig } from './config.js';
import { BCELoss, CrossEntropyLoss, HuberLoss, lossFromConfig, SmoothL1Loss } from './losses.js';

interface ModuleCase extends LossCase {
  readonly loss: LayerConfig;
}

testLossFixtures<ModuleCase>(
  'loss-modules',
  (c) => {
    const loss = lossFromConfig(lossFromConfig(c.loss).config());
    assert.deepEqual(loss.config(), c.loss);
    return (x, target) => loss.forward(x, target);
  },
  (c) => lossSubject(c.loss.type, optionNames(c.loss), c),
);

test('first and second derivatives of losses agree with finite differences, those of targets, too', () => {
  setDevice(EXACT.make());
  const x = randomNormal([3, 4], 1);
  const target = randomNormal([3, 4], 2);
  const p = randomUniform([3, 4], 3, 0.1, 0.9);
  const q = randomUniform([3, 4], 4, 0.1, 0.9);
  const labels = tensor(Int32Array.of(1, 3, 0));
  const check = (f: (...xs: Tensor[]) => Tensor, ...xs: Tensor[]): void => {
    checkGradients(f, xs, { order: 2 });
  };
  check((a, b) => smoothL1Loss(a, b, { beta: 0.8 }), x, target);
  check((a, b) => huberLoss(a, b, { delta: 0.7, reduction: 'none' }), x, target);
  check((a, b) => mul(l1Loss(a, b), l1Loss(a, b)), x, target);
  check((a, b) => binaryCrossEntropy(a, b), p, q);
  check((a, b, w) => binaryCrossEntropyWithLogits(a, b, { weight: w, posWeight: w }), x, q, randomNormal([4], 5));
  check((a, b) => diceLoss(a, b, { squared: true, reduction: 'none' }), p, q);
  check((a) => diceLoss(a, labels, { batch: true }), p);
  check((a, w) => nllLoss(a, labels, { weight: w }), x, randomUniform([4], 6, 0.5, 1));
});

test('binary cross-entropy at certain probabilities and huge logits', () => {
  setDevice(EXACT.make());
  const x = tensor([0, 0, 1, 1]);
  const target = tensor([0, 1, 0, 1]);
  const [, gradient] = valueAndGrad((v: Tensor) => binaryCrossEntropy(v, target, { reduction: 'sum' }))(x);
  assertClose(
    binaryCrossEntropy(x, target, { reduction: 'none' }),
    { shape: [4], data: [0, 100, 100, 0] },
    1e-6,
    'loss',
  );
  assertClose(gradient, { shape: [4], data: [1, 0, 0, -1] }, 1e-6, 'gradient');
  assert.ok(Number.isNaN(binaryCrossEntropy(tensor([1.5]), tensor([0])).item()));
  const logits = tensor([-1000, 1000, -1000, 1000]);
  const losses = binaryCrossEntropyWithLogits(logits, tensor([0, 1, 1, 0]), { reduction: 'none' });
  assertClose(losses, { shape: [4], data: [0, 0, 1000, 1000] }, 1e-9, 'huge logits');
});

test('a perfect segmentation has the Dice loss 0, one that misses everything nearly 1', () => {
  setDevice(EXACT.make());
  const perfect = tensor([
    [
      [1, 0],
      [0, 1],
    ],
  ]);
  assert.ok(Math.abs(diceLoss(perfect, tensor(Int32Array.of(0, 1), { shape: [1, 2] })).item()) < 1e-9);
  assert.ok(Math.abs(diceLoss(perfect, tensor(Int32Array.of(1, 0), { shape: [1, 2] })).item() - 1) < 1e-4);
});

test('losses refuse what does not fit', () => {
  setDevice(EXACT.make());
  const x = tensor([[0.1, 0.2, 0.7]]);
  assert.throws(() => l1Loss(x, tensor([1, 2, 3])), /l1Loss: shapes \[1, 3\] and \[3\] differ/);
  assert.throws(() => huberLoss(x, x, { delta: 0 }), /delta must be > 0/);
  assert.throws(() => smoothL1Loss(x, x, { beta: -1 }), /beta must be ≥ 0/);
  assert.throws(() => binaryCrossEntropy(x, x, { weight: tensor([1, 2]) }), /weight \[2\] does not broadcast/);
  assert.throws(() => diceLoss(x, tensor([1, 2])), /i32\[1\], got f32\[2\]/);
  assert.throws(() => nllLoss(x, tensor([1])), /for logarithms \[1, 3\] labels must be i32\[1\]/);
  assert.throws(() => diceLoss(tensor([[0.5]]), tensor([[1]]), { includeBackground: false }), /no class is left/);
  assert.throws(() => new HuberLoss({ delta: 0 }), /HuberLoss: delta must be > 0/);
  assert.throws(() => new SmoothL1Loss({ delta: 1 } as object), /unknown option "delta"/);
  assert.throws(() => new BCELoss({ weight: [1, 2] } as object), /weight must be a tensor/);
  assert.throws(() => new CrossEntropyLoss({ labelSmoothing: 2 }), /between 0 and 1/);
  assert.throws(() => lossFromConfig({ type: 'HingeLoss' }), /unknown loss "HingeLoss"/);
});
