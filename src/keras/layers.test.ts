import assert from 'node:assert/strict';
import { test } from 'node:test';
import { concat } from '../ops/concat.js';
import { reshape } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import * as tf from './index.js';

// What TensorFlow.js lacks: against layers that are compared with it, or against the formula.

function random(shape: readonly number[], seed = 1): tf.Tensor {
  return tf.randomNormal(shape, 0, 1, 'float32', seed);
}

function assertSame(actual: tf.Tensor, expected: tf.Tensor, tolerance = 1e-5): void {
  assert.deepEqual([...actual.shape], [...expected.shape]);
  const wanted = expected.data();
  actual.data().forEach((value, i) => {
    assert.ok(Math.abs(value - wanted[i]) <= tolerance, `element ${i}: ${value} and not ${wanted[i]}`);
  });
}

/** Gives `to` the weights of `from`, whatever the axes of extent one. */
function copyWeights(from: tf.Layer, to: tf.Layer): void {
  to.setWeights(from.getWeights().map((w, i) => reshape(w, to.weights[i].shape)));
}

/** A layer of sequences gives what the one of images gives for images of one column. */
test('layers of sequences are those of images with one column', () => {
  const x = random([2, 7, 4]);
  const column = reshape(x, [2, 7, 1, 4]);
  const pairs: [tf.Layer, tf.Layer][] = [
    [
      tf.layers.conv1dTranspose({ filters: 3, kernelSize: 3, strides: 2, padding: 'same' }),
      tf.layers.conv2dTranspose({ filters: 3, kernelSize: [3, 1], strides: [2, 1], padding: 'same' }),
    ],
    [
      tf.layers.depthwiseConv1d({ kernelSize: 3, strides: 2, depthMultiplier: 2 }),
      tf.layers.depthwiseConv2d({ kernelSize: [3, 1], strides: [2, 1], depthMultiplier: 2 }),
    ],
    [
      tf.layers.separableConv1d({ filters: 3, kernelSize: 3, padding: 'same' }),
      tf.layers.separableConv2d({ filters: 3, kernelSize: [3, 1], padding: 'same' }),
    ],
    [tf.layers.zeroPadding1d({ padding: [1, 2] }), tf.layers.zeroPadding2d({ padding: [[1, 2], 0] })],
    [tf.layers.cropping1d({ cropping: [1, 2] }), tf.layers.cropping2d({ cropping: [[1, 2], 0] })],
    [tf.layers.upSampling1d({ size: 3 }), tf.layers.upSampling2d({ size: [3, 1] })],
  ];
  for (const [line, image] of pairs) {
    const y = line.apply(x);
    const wanted = image.apply(column);
    copyWeights(line, image);
    const again = image.apply(column);
    assert.deepEqual([...wanted.shape], [y.shape[0], y.shape[1], 1, y.shape[2]], line.className);
    assertSame(y, reshape(again, y.shape));
  }
});

test('layers of volumes are those of images with one slice', () => {
  const x = random([2, 4, 5, 3]);
  const slices = reshape(x, [2, 1, 4, 5, 3]);
  const pairs: [tf.Layer, tf.Layer][] = [
    [tf.layers.zeroPadding3d({ padding: [0, 1, [2, 0]] }), tf.layers.zeroPadding2d({ padding: [1, [2, 0]] })],
    [tf.layers.cropping3d({ cropping: [0, 1, [2, 0]] }), tf.layers.cropping2d({ cropping: [1, [2, 0]] })],
    [tf.layers.upSampling3d({ size: [1, 2, 3] }), tf.layers.upSampling2d({ size: [2, 3] })],
    [tf.layers.globalMaxPooling3d(), tf.layers.globalMaxPooling2d()],
    [tf.layers.globalAveragePooling3d(), tf.layers.globalAveragePooling2d()],
  ];
  for (const [volume, image] of pairs) {
    const y = image.apply(x);
    assertSame(reshape(volume.apply(slices), y.shape), y);
  }
});

test('the data format changes the order of axes only', () => {
  const x = random([2, 5, 6, 4]);
  const first = transpose(x, [0, 3, 1, 2]);
  const dataFormat = 'channelsFirst';
  const pairs: [tf.Layer, tf.Layer][] = [
    [tf.layers.averagePooling2d({ padding: 'same' }), tf.layers.averagePooling2d({ padding: 'same', dataFormat })],
    [
      tf.layers.upSampling2d({ interpolation: 'bilinear' }),
      tf.layers.upSampling2d({ interpolation: 'bilinear', dataFormat }),
    ],
    [tf.layers.zeroPadding2d(), tf.layers.zeroPadding2d({ dataFormat })],
    [tf.layers.batchNormalization(), tf.layers.batchNormalization({ axis: 1 })],
    [tf.layers.groupNormalization({ groups: 2 }), tf.layers.groupNormalization({ groups: 2, axis: 1 })],
    [
      tf.layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2 }),
      tf.layers.conv2dTranspose({ filters: 3, kernelSize: 3, strides: 2, dataFormat }),
    ],
  ];
  for (const [a, b] of pairs) {
    a.apply(x);
    b.apply(first);
    const weights = a.weights.map(({ shape }, i) => tf.randomUniform(shape, 0.5, 1, 'float32', i));
    a.setWeights(weights);
    b.setWeights(weights);
    assertSame(transpose(b.apply(first), [0, 2, 3, 1]), a.apply(x));
  }
  assertSame(tf.layers.flatten({ dataFormat }).apply(first), tf.layers.flatten().apply(x));
});

test('causal convolution is one of an input with zeros in front', () => {
  const x = random([2, 6, 3]);
  const causal = tf.layers.conv1d({ filters: 2, kernelSize: 3, padding: 'causal', dilationRate: 2 });
  const plain = tf.layers.conv1d({ filters: 2, kernelSize: 3, dilationRate: 2 });
  const y = causal.apply(x);
  const padded = tf.layers.zeroPadding1d({ padding: [4, 0] }).apply(x);
  plain.apply(padded);
  copyWeights(causal, plain);
  assertSame(plain.apply(padded), y);
});

test('a convolution in groups is one of each part of the channels', () => {
  const x = random([1, 5, 5, 4]);
  const grouped = tf.layers.conv2d({ filters: 6, kernelSize: 3, groups: 2 });
  const y = grouped.apply(x);
  const [kernel, bias] = grouped.getWeights();
  assert.deepEqual([...kernel.shape], [3, 3, 2, 6]);
  const parts = [0, 1].map((g) => {
    const part = tf.layers.conv2d({ filters: 3, kernelSize: 3 });
    const input = slice(x, [0, 0, 0, 2 * g], [1, 5, 5, 2]);
    part.apply(input);
    part.setWeights([slice(kernel, [0, 0, 0, 3 * g], [3, 3, 2, 3]), slice(bias, [3 * g], [3])]);
    return part.apply(input);
  });
  assertSame(y, concat(parts, 3));
});

test('transposed convolutions have the extents of Keras’s deconv_output_length', () => {
  for (const kernel of [1, 2, 3, 4]) {
    for (const strides of [1, 2, 3]) {
      for (const padding of ['valid', 'same'] as const) {
        for (const outputPadding of [undefined, 0, 1, 2]) {
          if (outputPadding !== undefined && outputPadding >= strides) continue;
          const layer = tf.layers.conv1dTranspose({ filters: 1, kernelSize: kernel, strides, padding, outputPadding });
          const n = 5;
          const usual = padding === 'same' ? n * strides : n * strides + Math.max(kernel - strides, 0);
          const pad = padding === 'same' ? Math.floor(kernel / 2) : 0;
          const length = outputPadding === undefined ? usual : (n - 1) * strides + kernel - 2 * pad + outputPadding;
          const { shape } = layer.apply(tf.input({ shape: [n, 1] }));
          assert.deepEqual(shape, [null, length, 1], JSON.stringify({ kernel, strides, padding, outputPadding }));
        }
      }
    }
  }
  // Where both are asked for the same extent, they are the same.
  const x = random([1, 5, 2]);
  const usual = tf.layers.conv1dTranspose({ filters: 2, kernelSize: 3, strides: 2, padding: 'same' });
  const explicit = tf.layers.conv1dTranspose({
    filters: 2,
    kernelSize: 3,
    strides: 2,
    padding: 'same',
    outputPadding: 1,
  });
  const y = usual.apply(x);
  explicit.apply(x);
  copyWeights(usual, explicit);
  assertSame(explicit.apply(x), y);
});

test('group normalization with one group is that of all elements of an example', () => {
  const x = random([2, 3, 4, 6]);
  const group = tf.layers.groupNormalization({ groups: 1, scale: false, center: false });
  const layer = tf.layers.layerNormalization({ axis: [1, 2, 3], scale: false, center: false });
  assertSame(group.apply(x), layer.apply(x));
  assert.equal(group.countParams() + layer.countParams(), 0);
  // By the formula: mean 0 and variance 1 − ε / (σ² + ε) for each group.
  const data = tf.layers.groupNormalization({ groups: 3 }).apply(x).data();
  const elements: number[] = [];
  data.forEach((v, i) => {
    if (i < 72 && Math.floor((i % 6) / 2) === 1) elements.push(v);
  });
  assert.equal(elements.length, 24);
  const mean = elements.reduce((a, b) => a + b) / 24;
  const variance = elements.reduce((a, b) => a + (b - mean) ** 2, 0) / 24;
  assert.ok(Math.abs(mean) < 1e-5 && Math.abs(variance - 1) < 0.01, `${mean} ${variance}`);
});

test('prelu with shared axes, elu, softmax, subtract by their formulas', () => {
  const x = random([2, 3, 4]);
  const prelu = tf.layers.prelu({ sharedAxes: [1], alphaInitializer: tf.initializers.constant({ value: 0.25 }) });
  const wanted = x.data().map((v) => (v > 0 ? v : v / 4));
  assertSame(prelu.apply(x), tf.tensor3d(wanted, [2, 3, 4]));
  assert.deepEqual([...prelu.getWeights()[0].shape], [1, 4]);
  const elu = tf.layers.elu({ alpha: 0.7 }).apply(x);
  assertSame(
    elu,
    tf.tensor3d(
      x.data().map((v) => (v > 0 ? v : 0.7 * Math.expm1(v))),
      [2, 3, 4],
    ),
  );
  const y = random([2, 3, 4], 2);
  const sums = tf.layers.softmax({ axis: 1 }).apply(x).data();
  for (const at of [0, 1, 2, 3]) assert.ok(Math.abs(sums[at] + sums[at + 4] + sums[at + 8] - 1) < 1e-5);
  const difference = tf.layers.subtract().apply([x, y]).data();
  x.data().forEach((v, i) => {
    assert.ok(Math.abs(difference[i] - (v - y.data()[i])) < 1e-6);
  });
});

test('resizing: nearest by centres, bilinear by half-pixel centres', () => {
  const x = tf.tensor4d([0, 1, 2, 3], [1, 1, 4, 1]);
  const nearest = tf.layers.resizing({ height: 1, width: 2, interpolation: 'nearest' }).apply(x);
  assert.deepEqual([...nearest.data()], [1, 3]);
  const bilinear = tf.layers.resizing({ height: 1, width: 2 }).apply(x);
  assertSame(bilinear, tf.tensor4d([0.5, 2.5], [1, 1, 2, 1]));
});

test('noise is for training only, and has the parts it claims', async () => {
  const x = tf.ones([4, 50, 40, 5]);
  const cases: [tf.Layer, (values: Float32Array) => void][] = [
    [
      tf.layers.dropout({ rate: 0.25 }),
      (v) => assert.ok(Math.abs(v.filter((n) => n === 0).length / v.length - 0.25) < 0.01),
    ],
    [
      tf.layers.spatialDropout2d({ rate: 0.5 }),
      (v) => {
        // Channels are zero everywhere or nowhere.
        for (let i = 0; i < 4; i++) {
          for (let c = 0; c < 5; c++) {
            const values = Array.from({ length: 2000 }, (_, p) => v[(i * 2000 + p) * 5 + c]);
            assert.ok(values.every((n) => n === values[0]) && (values[0] === 0 || values[0] === 2));
          }
        }
      },
    ],
    [
      tf.layers.gaussianNoise({ stddev: 0.5 }),
      (v) => {
        const mean = v.reduce((a, b) => a + b) / v.length;
        const deviation = Math.sqrt(v.reduce((a, b) => a + (b - mean) ** 2, 0) / v.length);
        assert.ok(Math.abs(mean - 1) < 0.01 && Math.abs(deviation - 0.5) < 0.01, `${mean} ${deviation}`);
      },
    ],
  ];
  for (const [layer, check] of cases) {
    assertSame(layer.apply(x), x, 0);
    layer.module.train();
    check(Float32Array.from(layer.module.forward(x).data()));
  }
});

test('batch normalization along another axis', () => {
  const x = random([4, 3, 5]);
  const layer = tf.layers.batchNormalization({ axis: 1, center: false, epsilon: 0 });
  layer.apply(x);
  layer.setWeights([tf.tensor1d([1, 2, 3]), tf.tensor1d([0.5, 1, 1.5]), tf.tensor1d([1, 4, 9])]);
  const wanted = x.data().map((v, i) => {
    const c = Math.floor(i / 5) % 3;
    return ((v - 0.5 * (c + 1)) / (c + 1)) * (c + 1);
  });
  assertSame(layer.apply(x), tf.tensor3d(wanted, [4, 3, 5]));
});
