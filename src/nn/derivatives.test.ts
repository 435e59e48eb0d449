import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { adaptiveAvgPool2d } from '../ops/adaptive-pooling.js';
import { conv, linear } from '../ops/conv.js';
import { randomNormal, tensor } from '../ops/create.js';
import { mul, tanh } from '../ops/elementwise.js';
import { crossEntropy } from '../ops/losses.js';
import { batchNorm, batchNormInference } from '../ops/normalization.js';
import { avgPool2d, maxPool2d } from '../ops/pooling.js';
import { logSoftmax, softmax } from '../ops/softmax.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';

const CASES: Record<string, [(...xs: Tensor[]) => Tensor, ...Shape[]]> = {
  'convolution of rank 1': [
    (x, w, bias) => conv(x, w, { bias, stride: 2, padding: [[2, 1]], dilation: 2 }),
    [2, 3, 9],
    [2, 3, 3],
    [2],
  ],
  'convolution of rank 2': [
    (x, w, bias) => conv(x, w, { bias, stride: [2, 1], padding: [1, 2], dilation: [1, 2], groups: 2 }),
    [2, 4, 5, 6],
    [2, 2, 3, 2],
    [2],
  ],
  'convolution of rank 3': [(x, w) => conv(x, w, { padding: 'same' }), [1, 2, 3, 4, 3], [2, 2, 2, 3, 1]],
  'linear layer': [(x, w, bias) => linear(x, w, bias), [2, 3, 4], [5, 4], [5]],
  'batch normalisation, training': [(x, weight, bias) => batchNorm(x, { weight, bias }).y, [3, 2, 2, 2], [2], [2]],
  'batch statistics': [(x) => mul(batchNorm(x).variance, batchNorm(x).mean), [3, 2, 4]],
  'batch normalisation, in use': [
    (x, weight, bias) =>
      batchNormInference(x, { mean: tensor([0.5, -1]), variance: tensor([2, 0.3]) }, { weight, bias }),
    [3, 2, 2, 2],
    [2],
    [2],
  ],
  'max pooling': [(x) => maxPool2d(x, 3, { stride: 2, padding: 1, ceilMode: true }), [2, 2, 6, 5]],
  'average pooling': [(x) => avgPool2d(x, 3, { stride: 2, padding: 1, countIncludePad: false }), [2, 2, 6, 5]],
  'adaptive average pooling': [(x) => adaptiveAvgPool2d(x, [3, 4]), [2, 2, 5, 7]],
  softmax: [(x) => softmax(x, 1), [3, 4, 2]],
  'logarithm of softmax': [(x) => logSoftmax(x), [3, 4]],
  'cross-entropy': [
    (x) => crossEntropy(x, tensor(Int32Array.of(1, 0, 3)), { labelSmoothing: 0.1, reduction: 'none' }),
    [3, 4],
  ],
};

test('first and second derivatives agree with finite differences', async (t) => {
  setDevice(EXACT.make());
  for (const [name, [f, ...shapes]] of Object.entries(CASES)) {
    await t.test(name, () => {
      const xs = shapes.map((shape, i) => randomNormal(shape, 5 + i));
      // The outer tanh gives linear functions second derivatives, too.
      checkGradients((...values) => tanh(f(...values)), xs, { order: 2 });
    });
  }
});
