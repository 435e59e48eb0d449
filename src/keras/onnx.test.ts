import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportOnnx } from '../formats/onnx/index.js';
import { MODEL, type ModelProto } from '../formats/onnx/messages.js';
import { decode } from '../formats/onnx/proto.js';
import { NO_ONNX_RUNTIME, onnxRuntime, runOnnx } from '../testing/onnxruntime.js';
import * as tf from './index.js';

function network(): tf.Sequential {
  return tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [12, 12, 3], filters: 8, kernelSize: 3, padding: 'same', strides: 2 }),
      tf.layers.batchNormalization(),
      tf.layers.activation({ activation: 'relu' }),
      tf.layers.maxPooling2d({ poolSize: 2 }),
      tf.layers.depthwiseConv2d({ kernelSize: 3, padding: 'same', activation: 'tanh' }),
      tf.layers.globalAveragePooling2d({}),
      tf.layers.dense({ units: 4, activation: 'softmax' }),
    ],
  });
}

test('a Keras model exports to ONNX: ONNX Runtime predicts the same', {
  skip: onnxRuntime() === undefined && NO_ONNX_RUNTIME,
}, async () => {
  const model = network();
  const x = tf.randomNormal([2, 12, 12, 3], 0, 1, 'float32', 4);
  const y = model.predict(x) as tf.Tensor;
  const bytes = exportOnnx(model.module, { inputs: [[1, 12, 12, 3]], dynamicBatch: true });
  const [result] = await runOnnx(bytes, [{ dtype: 'f32', shape: x.shape, data: Float32Array.from(await x.data()) }]);
  const expected = Array.from(await y.data());
  assert.equal(result.data.length, expected.length);
  expected.forEach((value, i) => {
    assert.ok(Math.abs(value - result.data[i]) <= 1e-5, `element ${i}: ${result.data[i]} and not ${value}`);
  });
});

test('transpositions between channels-last layers cancel', () => {
  const { graph } = decode<ModelProto>(MODEL, exportOnnx(network().module, { inputs: [[1, 12, 12, 3]] }), 'model');
  const types = graph?.node.map(({ opType }) => opType) ?? [];
  assert.ok(!types.some((type, i) => type === 'Transpose' && types[i + 1] === 'Transpose'), types.join(' '));
});
