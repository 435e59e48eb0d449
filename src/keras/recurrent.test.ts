import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exportOnnx } from '../formats/onnx/index.js';
import { setDevice } from '../graph/device.js';
import { moduleFromConfig } from '../nn/registry.js';
import { transpose } from '../ops/transpose.js';
import { EXACT, TEST_DEVICES, testOnDevices } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import type { LayerCase } from '../testing/layer-fixtures.js';
import { assertSame, NO_ONNX_RUNTIME, onnxRuntime } from '../testing/onnxruntime.js';
import * as tf from './index.js';

setDevice(EXACT.make());
/** Plain loops would take long to learn anything. */
const DEVICES = TEST_DEVICES.filter(({ name }) => name.startsWith('cpu'));

/** Rows of gates in another order, [gates · units, columns]; a column is a vector. */
function reordered({ shape, data }: FixtureArray, order: readonly number[]): number[][] {
  const columns = shape[1] ?? 1;
  const units = shape[0] / order.length;
  return order.flatMap((gate) =>
    Array.from({ length: units }, (_, unit) =>
      Array.from({ length: columns }, (_, column) => data[(gate * units + unit) * columns + column]),
    ),
  );
}

const turned = (rows: readonly (readonly number[])[]): number[][] => rows[0].map((_, i) => rows.map((row) => row[i]));

test('layers compute what those of PyTorch do, whose weights lie otherwise', () => {
  const cases = readFixtures<LayerCase>('recurrent');
  for (const [name, make, order] of [
    ['RNN', tf.layers.simpleRNN, [0]],
    ['LSTM', tf.layers.lstm, [0, 1, 2, 3]],
    // Keras: z, r, h
    ['GRU', tf.layers.gru, [1, 0, 2]],
  ] as const) {
    const c = cases.find((each) => each.name === name) as LayerCase;
    const x = transpose(fixtureTensor(c.input), [1, 0, 2]);
    const layer = make({ units: c.output.shape[2], returnSequences: true });
    layer.apply(x);
    const [kernel, recurrent, ...biases] = Object.values(c.state).map((part) => reordered(part, order));
    const [first, second] = biases.map((rows) => rows.flat());
    // A GRU that resets after the product has both biases; elsewhere only their sum counts.
    const bias = name === 'GRU' ? [first, second] : first.map((value, i) => value + second[i]);
    layer.setWeights([turned(kernel), turned(recurrent), bias].map((values) => tf.tensor(values)));
    assertClose(transpose(layer.apply(x), [1, 0, 2]), c.output, 1e-6, name);
  }
});

test('shapes, weights and how they start', () => {
  tf.manualSeed(1);
  const lstm = tf.layers.lstm({ units: 4, name: 'memory', recurrentRegularizer: 'l2' });
  const both = tf.layers.bidirectional({ layer: tf.layers.gru({ units: 3, returnSequences: true, name: 'g' }) });
  const model = tf.sequential({
    layers: [
      tf.layers.timeDistributed({ layer: tf.layers.dense({ units: 5 }), inputShape: [7, 2] }),
      both,
      lstm,
      tf.layers.dense({ units: 2 }),
    ],
  });
  assert.deepEqual(
    model.layers.map(({ outputShape }) => outputShape),
    [
      [null, 7, 5],
      [null, 7, 6],
      [null, 4],
      [null, 2],
    ],
  );
  assert.deepEqual(
    both.weights.map(({ name, shape }) => [name, ...shape]),
    ['forward_g', 'backward_g'].flatMap((name) => [
      [`${name}/kernel`, 5, 9],
      [`${name}/recurrent_kernel`, 3, 9],
      [`${name}/bias`, 2, 9],
    ]),
  );
  assert.equal(both.countParams(), 2 * (5 * 9 + 3 * 9 + 2 * 9));
  const [, recurrent, bias] = lstm.getWeights().map((weight) => weight.data());
  assert.deepEqual([...bias], [0, 0, 0, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  // Rows of length one, at right angles.
  for (let a = 0; a < 4; a++) {
    for (let b = 0; b <= a; b++) {
      const product = Array.from({ length: 16 }, (_, i) => recurrent[a * 16 + i] * recurrent[b * 16 + i]);
      const sum = product.reduce((total, value) => total + value, 0);
      assert.ok(Math.abs(sum - Number(a === b)) < 1e-6, `${a} and ${b}: ${sum}`);
    }
  }
  assert.equal(lstm.weights[1].regularizer?.l2, 0.01);
  both.trainable = false;
  assert.deepEqual([both.trainableWeights.length, both.nonTrainableWeights.length], [0, 6]);
  assert.equal(model.trainableWeights.length, 2 + 3 + 2);
});

testOnDevices(
  'a model learns what a sequence began with, with dropout, and not what is frozen',
  async () => {
    tf.manualSeed(3);
    const frozen = tf.layers.timeDistributed({
      layer: tf.layers.dense({ units: 3 }),
      inputShape: [6, 1],
      trainable: false,
    });
    const model = tf.sequential({
      layers: [
        frozen,
        tf.layers.lstm({ units: 8, dropout: 0.1 }),
        tf.layers.dense({ units: 1, activation: 'sigmoid' }),
      ],
    });
    model.compile({ optimizer: tf.train.adam(0.03), loss: 'binaryCrossentropy', metrics: ['accuracy'] });
    const before = frozen.getWeights()[0].data();
    const data = Array.from({ length: 64 }, (_, i) =>
      Array.from({ length: 6 }, (_, t) => [t === 0 ? i % 2 : ((i * 7 + t * 5) % 11) / 11]),
    );
    const y = tf.tensor(data.map((_, i) => [i % 2]));
    const x = tf.tensor(data);
    const history = await model.fit(x, y, { epochs: 40, batchSize: 32, shuffle: false, verbose: 0 });
    const losses = history.history.loss as number[];
    assert.ok(losses[0] > 0.5 && (losses.at(-1) as number) < 0.2, `${losses[0]} … ${losses.at(-1)}`);
    assert.deepEqual(frozen.getWeights()[0].data(), before);
    model.dispose();
  },
  DEVICES,
);

const SKIP = onnxRuntime() === undefined && NO_ONNX_RUNTIME;

test('exported to ONNX it is the same, and as a configuration, too', { skip: SKIP }, async () => {
  setDevice(EXACT.make());
  const model = tf.sequential({
    layers: [
      tf.layers.timeDistributed({ layer: tf.layers.conv1d({ filters: 3, kernelSize: 2 }), inputShape: [4, 5, 2] }),
      tf.layers.timeDistributed({ layer: tf.layers.globalMaxPooling1d() }),
      tf.layers.bidirectional({ layer: tf.layers.gru({ units: 3, returnSequences: true }), mergeMode: 'mul' }),
      tf.layers.bidirectional({
        layer: tf.layers.lstm({ units: 2, returnSequences: true, recurrentActivation: 'hardSigmoid' }),
      }),
      tf.layers.gru({ units: 3, resetAfter: false, goBackwards: true, activation: 'softsign' }),
      tf.layers.dense({ units: 2 }),
    ],
  });
  const x = fixtureTensor({ shape: [2, 4, 5, 2], data: Array.from({ length: 80 }, (_, i) => Math.sin(i * 1.3)) });
  const y = model.predict(x) as tf.Tensor;
  await assertSame(exportOnnx(model.module, { inputs: [x.shape] }), [x], [y]);
  const again = moduleFromConfig(JSON.parse(JSON.stringify(model.module.config())));
  again.loadStateDict(model.module.stateDict());
  assert.deepEqual(again.eval().forward(x).data(), model.module.eval().forward(x).data());
});

test('errors say what was expected', () => {
  const { lstm, gru, bidirectional, timeDistributed, dense } = tf.layers;
  assert.throws(() => lstm({ units: 0 }), /lstm: units must be an integer ≥ 1/);
  assert.throws(
    () => lstm({ units: 2, activation: 'softmax' }),
    /lstm: activation of a recurrent layer must be one of .*"softmax"/,
  );
  assert.throws(() => lstm({ units: 2, resetAfter: true } as object as { units: number }), /resetAfter/);
  assert.throws(() => gru({ units: 2, dropout: 1 }), /dropout must be at least 0 and below 1/);
  assert.throws(
    () => lstm({ units: 2, inputShape: [3] }).apply(tf.input({ shape: [3] })),
    /expected \[batch, time, features\]/,
  );
  assert.throws(() => bidirectional({ layer: dense({ units: 2 }) }), /must be a SimpleRNN, LSTM or GRU, got Dense/);
  assert.throws(
    () => bidirectional({ layer: lstm({ units: 2 }), mergeMode: 'max' as 'sum' }),
    /mergeMode must be concat, sum/,
  );
  assert.throws(
    () => bidirectional({ layer: lstm({ units: 2 }), backwardLayer: lstm({ units: 2 }) }),
    /backwardLayer needs the opposite goBackwards/,
  );
  assert.throws(() => timeDistributed({ layer: 'dense' as unknown as tf.Layer }), /layer must be a layer/);
  assert.throws(
    () => timeDistributed({ layer: dense({ units: 2 }) }).apply(tf.input({ shape: [3] })),
    /expected \[batch, time, …\], got/,
  );
});
