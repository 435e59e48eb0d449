import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readNpy } from '../../formats/npy.js';
import { exportOnnx } from '../../formats/onnx/index.js';
import { setDevice } from '../../graph/device.js';
import { moduleFromConfig } from '../../nn/registry.js';
import { reshape } from '../../ops/reshape.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { assertClose, type FixtureArray, fixturePath, fixtureTensor, readFixtures } from '../../testing/fixtures.js';
import { assertSame, NO_ONNX_RUNTIME, onnxRuntime } from '../../testing/onnxruntime.js';
import { sharedPath } from '../../testing/shared.js';
import { writeTfjs } from '../../testing/write-tfjs.js';
import * as tf from '../index.js';
import { callModule } from '../modules.js';

/** What `scripts/fixtures_keras_files.*` write beside the models. */
interface Case {
  readonly name: string;
  readonly x: readonly FixtureArray[];
  readonly y: readonly FixtureArray[];
}

const file = (name: string): string => fixturePath(`keras-files/${name}`);
const CASES = readFixtures<Case>('keras-files/cases');
const TFJS = readFixtures<Case>('keras-files/tfjs/cases');
const DEVICES = TEST_DEVICES.filter(({ name }) => name !== 'reference');

function inputs(model: tf.LayersModel, { x }: Case): tf.Tensor[] {
  return x.map((array, i) => fixtureTensor(array, model.inputs[i].dtype === 'int32' ? 'i32' : 'f32'));
}

function check(model: tf.LayersModel, c: Case, tolerance: number): void {
  const outputs = [model.predict(inputs(model, c))].flat();
  assert.equal(outputs.length, c.y.length);
  c.y.forEach((expected, i) => {
    assertClose(outputs[i], expected, tolerance, `${c.name}, output ${i}`);
  });
}

const caseOf = (name: string): Case => CASES.find((c) => c.name === name) as Case;

/** Other weights than the model's, so that loading has something to do. */
function clear(model: tf.LayersModel): void {
  model.setWeights(model.getWeights().map(({ shape }) => tf.ones(shape)));
}

for (const device of DEVICES) {
  test(`models of Keras compute what Keras computes [${device.name}]`, async (t) => {
    setDevice(device.make());
    const tolerance = Math.max(device.tolerance, 1e-5);
    for (const c of CASES) {
      const files = [`${c.name}.keras`, ...(['images', 'nested'].includes(c.name) ? [`${c.name}.h5`] : [])];
      for (const name of files) {
        await t.test(name, async () => {
          const model = await tf.loadKeras(file(name));
          check(model, c, tolerance);
          model.dispose();
        });
      }
    }
    for (const c of TFJS) {
      await t.test(`tfjs/${c.name}`, async () => {
        const model = await tf.loadKeras(file(`tfjs/${c.name}/model.json`));
        check(model, c, tolerance);
        model.dispose();
      });
    }
    await t.test('compressed.h5, with halves', async () => {
      check(await tf.loadKeras(file('compressed.h5')), caseOf('nested'), 1e-3);
    });
  });
}

test('the format of a file is found by its content', async () => {
  assert.equal(await tf.kerasFormat(file('images.keras')), 'keras');
  assert.equal(await tf.kerasFormat(file('images.weights.h5')), 'hdf5');
  assert.equal(await tf.kerasFormat(file('tfjs/line/model.json')), 'tfjs');
  assert.equal(await tf.kerasFormat(fixturePath('formats/arrays.npz')), undefined);
  assert.equal(await tf.kerasFormat(fixturePath('formats/net.json')), undefined);
  await assert.rejects(tf.kerasFormat(file('none.keras')), /there is no such file/);
  await assert.rejects(tf.loadKeras(fixturePath('formats/arrays.npz')), /is no model of Keras: known are/);
});

test('layers have the names, flags and order that they have in Keras', async () => {
  const model = await tf.loadKeras(file('nested.keras'));
  assert.deepEqual(
    model.layers.map(({ name }) => name),
    'left right backbone block shared subtract multiply average maximum minimum dot concatenate head'.split(' '),
  );
  assert.deepEqual(model.inputNames, ['left', 'right']);
  assert.equal(model.getLayer('shared').trainable, false);
  assert.equal(model.trainableWeights.length, model.weights.length - 4);
  const images = await tf.loadKeras(file('images.keras'));
  assert.deepEqual(images.inputShape, [null, 12, 11, 3]);
  const kernel = images.getLayer('conv2d').weights[0];
  assert.deepEqual([kernel.regularizer?.l1, Math.fround(kernel.regularizer?.l2 ?? 0)], [0, Math.fround(0.01)]);
});

test('weights alone go into a model that has layers for them', async () => {
  for (const name of ['images', 'nested']) {
    const model = await tf.loadKeras(file(`${name}.keras`));
    for (const weights of [`${name}.weights.h5`, `${name}.h5`, `${name}.keras`]) {
      clear(model);
      await model.loadWeights(file(weights));
      check(model, caseOf(name), 1e-5);
    }
    clear(model);
    await model.loadWeights(file(`${name}.h5`), { byName: true });
    check(model, caseOf(name), 1e-5);
    await assert.rejects(model.loadWeights(file(`${name}.weights.h5`), { byName: true }), /leave out byName/);
  }
  const sequences = await tf.loadKeras(file('sequences.keras'));
  clear(sequences);
  await sequences.loadWeights(file('sequences.older.h5'));
  check(sequences, caseOf('sequences'), 1e-5);
  const [c] = TFJS;
  const model = await tf.loadKeras(file(`tfjs/${c.name}/model.json`));
  clear(model);
  await model.loadWeights(file(`tfjs/${c.name}/model.json`));
  check(model, c, 1e-5);
});

test('by name: layers that the file lacks stay as they are', async () => {
  const conv = (name: string): tf.Layer => tf.layers.conv2d({ name, filters: 8, kernelSize: 1, padding: 'same' });
  const x = tf.input({ shape: [6, 6, 8] });
  const model = tf.model({ inputs: x, outputs: conv('mine').apply(conv('conv2d_2').apply(x)) });
  const before = model.getLayer('mine').getWeights();
  await model.loadWeights(file('images.h5'), { byName: true });
  const images = await tf.loadKeras(file('images.h5'));
  const data = (tensors: readonly tf.Tensor[]): number[][] => tensors.map((t) => [...t.data()]);
  assert.deepEqual(data(model.getLayer('conv2d_2').getWeights()), data(images.getLayer('conv2d_2').getWeights()));
  assert.deepEqual(data(model.getLayer('mine').getWeights()), data(before));
  await assert.rejects(model.loadWeights(file('images.h5')), /the layers with weights do not fit: the model has 2 \(/);
  const other = tf.model({ inputs: x, outputs: conv('other').apply(x) });
  await assert.rejects(other.loadWeights(file('images.h5'), { byName: true }), /has none of the layers other/);
});

test('weights that do not fit change nothing', async () => {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ name: 'head', units: 2, inputShape: [25] }),
      tf.layers.dense({ name: 'shared', units: 9 }),
    ],
  });
  const before = model.getWeights().map((w) => [...w.data()]);
  await assert.rejects(
    model.loadWeights(file('nested.h5'), { byName: true }),
    /weight "model_weights\/shared\/.*" is \[12, 4\], but "shared\/kernel" of the model is \[2, 9\]/,
  );
  assert.deepEqual(
    model.getWeights().map((w) => [...w.data()]),
    before,
  );
  await assert.rejects(
    model.loadWeights(file('nested.weights.h5')),
    /weight "layers\/dense\/vars\/0" is \[12, 4\], but/,
  );
  await assert.rejects(
    tf.sequential({ layers: [tf.layers.dense({ units: 2 })] }).loadWeights(file('nested.h5')),
    /has no weights yet/,
  );
});

test('a model that was loaded exports to ONNX: ONNX Runtime predicts the same', {
  skip: onnxRuntime() === undefined && NO_ONNX_RUNTIME,
}, async () => {
  for (const name of ['images', 'volumes', 'activations']) {
    const model = await tf.loadKeras(file(`${name}.keras`));
    const x = inputs(model, caseOf(name));
    const outputs = [model.predict(x)].flat();
    if (outputs.length > 1) continue;
    const bytes = exportOnnx(model.module, { inputs: [x[0].shape] });
    await assertSame(bytes, x, outputs);
  }
});

test('modules of models that were loaded are made again of their configurations', async () => {
  for (const c of CASES) {
    const model = await tf.loadKeras(file(`${c.name}.keras`));
    const again = moduleFromConfig(JSON.parse(JSON.stringify(model.module.config())));
    again.loadStateDict(model.module.stateDict());
    const outputs = callModule('again', again.eval(), inputs(model, c));
    c.y.forEach((expected, i) => {
      assertClose(outputs[i], expected, 1e-5, `${c.name}, output ${i}`);
    });
    assert.deepEqual(again.config(), model.module.config());
  }
});

test('a model that was loaded goes on training; what is frozen stays', async () => {
  tf.manualSeed(3);
  const model = await tf.loadKeras(file('nested.keras'));
  const frozen = model.getLayer('shared').getWeights();
  const backbone = model.getLayer('backbone') as tf.LayersModel;
  const kernel = backbone.getLayer('conv').getWeights()[0].data();
  model.compile({ optimizer: tf.train.adam(0.01), loss: 'meanSquaredError' });
  const x = [tf.randomNormal([32, 4, 4, 2], 0, 1, 'float32', 1), tf.randomNormal([32, 4, 4, 2], 0, 1, 'float32', 2)];
  const y = [tf.randomNormal([32, 2], 0, 1, 'float32', 3), tf.randomNormal([32, 4, 4, 2], 0, 1, 'float32', 4)];
  const { history } = await model.fit(x, y, { epochs: 15, batchSize: 16 });
  const { loss } = history as { loss: number[] };
  assert.ok(loss[14] < 0.75 * loss[0] && loss[4] < loss[0], `${loss}`);
  model
    .getLayer('shared')
    .getWeights()
    .forEach((weight, i) => {
      assert.deepEqual([...weight.data()], [...frozen[i].data()]);
    });
  assert.notDeepEqual([...backbone.getLayer('conv').getWeights()[0].data()], [...kernel]);
});

test('a call with training: false leaves running statistics alone', async () => {
  const x = tf.input({ shape: [4] });
  const norm = tf.layers.batchNormalization({ name: 'norm' });
  const y = tf.layers.dense({ units: 1 }).apply(norm.apply(x, { training: false }));
  const model = tf.model({ inputs: x, outputs: y });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  await model.trainOnBatch(tf.randomNormal([8, 4], 5, 1, 'float32', 1), tf.zeros([8, 1]));
  const [, , mean, variance] = norm.getWeights();
  assert.deepEqual([...mean.data(), ...variance.data()], [0, 0, 0, 0, 1, 1, 1, 1]);
  // Without it they move.
  const usual = tf.model({ inputs: x, outputs: tf.layers.dense({ units: 1 }).apply(norm.apply(x)) });
  usual.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  await usual.trainOnBatch(tf.randomNormal([8, 4], 5, 1, 'float32', 1), tf.zeros([8, 1]));
  assert.ok(
    norm
      .getWeights()[2]
      .data()
      .every((value) => value > 0.01),
  );
});

test('dialects of old versions mean the same', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-keras-'));
  try {
    const flat = (config: object): object => ({ class_name: 'Sequential', config });
    const dense = {
      class_name: 'Dense',
      config: { name: 'd', units: 2, batch_input_shape: [null, 3], bias_constraint: null },
    };
    const activations = [
      ['hard_sigmoid', '2.7.0', (v: number) => Math.max(0, Math.min(1, 0.2 * v + 0.5))],
      ['hard_sigmoid', '3.1.0', (v: number) => Math.max(0, Math.min(6, v + 3)) / 6],
      [
        { class_name: 'LeakyReLU', config: { name: 'l', trainable: true, dtype: 'float32', alpha: 0.3 } },
        '2.7.0',
        (v: number) => (v > 0 ? v : 0.3 * v),
      ],
      [
        {
          module: 'keras.layers',
          class_name: 'ReLU',
          config: {
            name: 'r',
            dtype: { class_name: 'DTypePolicy', config: { name: 'float32' } },
            max_value: 0.5,
            negative_slope: 0,
            threshold: 0,
          },
        },
        '3.1.0',
        (v: number) => Math.max(0, Math.min(0.5, v)),
      ],
    ] as const;
    const weights = [
      { name: 'd/kernel', shape: [3, 2], data: [0.5, -1, 1, 0.25, -0.5, 2] },
      { name: 'd/bias', shape: [2], data: [0.25, -0.5] },
    ];
    const x = tf.tensor2d([1, 2, 3, -1, 0.5, -2], [2, 3]);
    const linear = [1, 2, 3, -1, 0.5, -2];
    const rows = [0, 3].flatMap((at) =>
      [0, 1].map(
        (j) => weights[1].data[j] + [0, 1, 2].reduce((sum, i) => sum + linear[at + i] * weights[0].data[2 * i + j], 0),
      ),
    );
    for (const [activation, version, expected] of activations) {
      const withIt = { ...dense, config: { ...dense.config, activation } };
      // As a list of layers, as TensorFlow.js's and as the converter's description.
      for (const config of [{ name: 's', layers: [withIt] }, [withIt]]) {
        for (const topology of [
          { ...flat(config), keras_version: version },
          { model_config: flat(config), keras_version: version, backend: 'tensorflow' },
        ]) {
          const model = await tf.loadKeras(writeTfjs(folder, topology, weights));
          assertClose(
            model.predict(x) as tf.Tensor,
            { shape: [2, 2], data: rows.map(expected) },
            1e-6,
            JSON.stringify(activation),
          );
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a shape of the caller fills what the file leaves open, or takes its place', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-keras-'));
  try {
    const layers = [
      { class_name: 'InputLayer', config: { name: 'x', batch_input_shape: [null, null, null, 1] } },
      { class_name: 'Conv2D', config: { name: 'c', filters: 1, kernel_size: [2, 2], use_bias: false } },
    ];
    const topology = { class_name: 'Sequential', config: { name: 's', layers } };
    const path = writeTfjs(folder, topology, [{ name: 'c/kernel', shape: [2, 2, 1, 1], data: [1, 2, 3, 4] }]);
    await assert.rejects(
      tf.loadKeras(path),
      /input "x": the file says the shape \[null, null, null, 1\]; .* load with \{ inputShape: \[height, width, channels\] \}/,
    );
    const model = await tf.loadKeras(path, { inputShape: [3, 4, 1] });
    assert.deepEqual(model.outputShape, [null, 2, 3, 1]);
    assert.deepEqual((await tf.loadKeras(path, { inputShape: { x: [2, 2, 1] } })).outputShape, [null, 1, 1, 1]);
    await assert.rejects(tf.loadKeras(path, { inputShape: [3, 4] }), /inputShape needs 3 extents, got \[3, 4\]/);
    await assert.rejects(tf.loadKeras(path, { inputShape: { y: [3, 4, 1] } }), /has no input "y"; its inputs: x/);
    await assert.rejects(
      tf.loadKeras(path, { inputShape: [3, 4, 2] }),
      /layer "c" \(Conv2D\) of the model "s": its weights would be 8 numbers, which are not in the file \(it can hold 4 in all\)/,
    );
    await assert.rejects(
      tf.loadKeras(file('nested.keras'), { inputShape: [4, 4, 2] }),
      /has 2 inputs \(left, right\); give/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const SHARED: readonly (readonly [path: string, tolerance: number, inputShape?: tf.InputShapes])[] = [
  ['mlperf-tiny-resnet8/model.h5', 1e-4],
  ['mlperf-tiny-vww-mobilenetv1-0.25/model.h5', 1e-4],
  ['mnist-keras3/mnist_model.h5', 1e-4],
  // Saved at another time than what the outputs are of: Keras itself is 0.000397 from them.
  ['mnist-keras3/mnist_model.keras', 5e-4],
  ['meshnet3d-model5_gw_ae/tfjs/model.json', 1e-4, [32, 32, 32, 1]],
];

for (const [name, tolerance, inputShape] of SHARED) {
  const path = sharedPath(`models/${name}`);
  test(`${name} computes what it should`, {
    skip: path === undefined && 'the shared models are not here',
  }, async () => {
    setDevice(DEVICES[1].make());
    const model = await tf.loadKeras(path as string, inputShape === undefined ? {} : { inputShape });
    const folder = `models/${name.split('/')[0]}`;
    const [x, y] = await Promise.all(
      ['input', 'output'].map((n) => readNpy(sharedPath(`${folder}/${n}.npy`) as string)),
    );
    const output = model.predict(tf.tensor(x.data, x.shape)) as tf.Tensor;
    assertClose(output, { shape: y.shape, data: Array.from(y.data) }, tolerance, name);
    model.dispose();
  });
}

/** The network of the weights, which come without a description (Kim et al., CREPE, 2018; the smallest one). */
function crepe(): tf.Sequential {
  const model = tf.sequential();
  model.add(tf.layers.reshape({ name: 'input-reshape', targetShape: [1024, 1, 1], inputShape: [1024] }));
  [128, 16, 16, 16, 32, 64].forEach((filters, i) => {
    const name = `conv${i + 1}`;
    const kernelSize = [i === 0 ? 512 : 64, 1];
    const strides = [i === 0 ? 4 : 1, 1];
    model.add(tf.layers.conv2d({ name, filters, kernelSize, strides, padding: 'same', activation: 'relu' }));
    model.add(tf.layers.batchNormalization({ name: `${name}-BN` }));
    model.add(tf.layers.maxPooling2d({ name: `${name}-maxpool`, poolSize: [2, 1] }));
    model.add(tf.layers.dropout({ name: `${name}-dropout`, rate: 0.25 }));
  });
  model.add(tf.layers.permute({ name: 'transpose', dims: [2, 1, 3] }));
  model.add(tf.layers.flatten({ name: 'flatten' }));
  model.add(tf.layers.dense({ name: 'classifier', units: 360, activation: 'sigmoid' }));
  return model;
}

const crepePath = sharedPath('models/crepe-tiny-conv1d/model.h5');

test('weights alone of Keras 2.1', { skip: crepePath === undefined && 'the shared models are not here' }, async () => {
  setDevice(DEVICES[1].make());
  const path = crepePath as string;
  await assert.rejects(tf.loadKeras(path), /has weights alone, no model: build it with gabor\/keras/);
  const folder = 'models/crepe-tiny-conv1d';
  const [x, y] = await Promise.all(['input', 'output'].map((n) => readNpy(sharedPath(`${folder}/${n}.npy`) as string)));
  const rows = reshape(tf.tensor(x.data, x.shape), [x.shape[0], 1024]);
  for (const byName of [false, true]) {
    const model = crepe();
    await model.loadWeights(path, { byName });
    assertClose(model.predict(rows) as tf.Tensor, { shape: y.shape, data: Array.from(y.data) }, 1e-4, 'crepe');
    model.dispose();
  }
});

const resnet = sharedPath('models/mlperf-tiny-resnet8/model.h5');

test('a real network exports to ONNX with the same logits, and trains on', {
  skip: (resnet === undefined && 'the shared models are not here') || (onnxRuntime() === undefined && NO_ONNX_RUNTIME),
}, async () => {
  setDevice(DEVICES[1].make());
  const model = await tf.loadKeras(resnet as string);
  const x = await readNpy(sharedPath('models/mlperf-tiny-resnet8/input.npy') as string);
  const images = tf.tensor(x.data, x.shape);
  const output = model.predict(images) as tf.Tensor;
  await assertSame(exportOnnx(model.module, { inputs: [x.shape] }), [images], [output]);
  model.compile({ optimizer: tf.train.adam(0.001), loss: 'categoricalCrossentropy' });
  const y = tf.oneHot(tf.tensor1d([3, 1, 4, 1, 5, 9, 2, 6], 'int32'), 10);
  const { history } = await model.fit(images, y, { epochs: 8, batchSize: 8 });
  const { loss } = history as { loss: number[] };
  assert.ok(loss[7] < 0.7 * loss[0], `${loss}`);
});
