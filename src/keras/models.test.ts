import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { strokes } from '../data/index.js';
import { loadModel, saveModel } from '../formats/index.js';
import { summary } from '../inspect/index.js';
import { Conv2d } from '../nn/index.js';
import { Sequential as EngineSequential } from '../nn/layers/container.js';
import * as tf from './index.js';

function random(shape: readonly number[], seed = 1): tf.Tensor {
  return tf.randomNormal(shape, 0, 1, 'float32', seed);
}

function assertNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length);
  for (let i = 0; i < actual.length; i++) {
    assert.ok(Math.abs(actual[i] - expected[i]) <= tolerance, `element ${i}: ${actual[i]} and not ${expected[i]}`);
  }
}

/** Strokes as an MNIST program has its data. */
function digits(count: number): { x: tf.Tensor; y: tf.Tensor } {
  const { images, labels } = strokes({ count });
  return {
    x: tf.tensor4d(
      Float32Array.from(images, (v) => v / 255),
      [count, 28, 28, 1],
    ),
    y: tf.oneHot(tf.tensor1d(Int32Array.from(labels), 'int32'), 10),
  };
}

test('the network of the TensorFlow.js course learns digits', async () => {
  tf.manualSeed(3);
  const model = tf.sequential();
  model.add(
    tf.layers.conv2d({
      inputShape: [28, 28, 1],
      kernelSize: 5,
      filters: 8,
      strides: 1,
      activation: 'relu',
      kernelInitializer: 'varianceScaling',
    }),
  );
  model.add(tf.layers.maxPooling2d({ poolSize: [2, 2], strides: [2, 2] }));
  model.add(
    tf.layers.conv2d({
      kernelSize: 5,
      filters: 16,
      strides: 1,
      activation: 'relu',
      kernelInitializer: 'varianceScaling',
    }),
  );
  model.add(tf.layers.maxPooling2d({ poolSize: [2, 2], strides: [2, 2] }));
  model.add(tf.layers.flatten());
  model.add(tf.layers.dense({ units: 10, kernelInitializer: 'varianceScaling', activation: 'softmax' }));
  model.compile({ optimizer: tf.train.adam(0.003), loss: 'categoricalCrossentropy', metrics: ['accuracy'] });
  const { x, y } = digits(640);
  const seen: number[] = [];
  const { epoch, history } = await model.fit(x, y, {
    batchSize: 64,
    epochs: 6,
    validationSplit: 0.1,
    callbacks: { onEpochEnd: (at, logs) => void seen.push(at, logs.val_acc) },
  });
  assert.deepEqual(epoch, [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(Object.keys(history), ['loss', 'acc', 'val_loss', 'val_acc']);
  assert.equal(seen.length, 12);
  assert.ok(history.loss[5] < history.loss[0] / 3, `losses ${history.loss}`);
  assert.ok(history.val_acc[5] > 0.6, `validation accuracies ${history.val_acc}`);
  const [loss, accuracy] = (model.evaluate(x, y) as tf.Tensor[]).map((t) => t.item());
  const probabilities = model.predict(x) as tf.Tensor;
  const right = tf.argMax(probabilities, 1).data();
  const wanted = tf.argMax(y, 1).data();
  assertNear([right.filter((c, i) => c === wanted[i]).length / 640], [accuracy]);
  assert.ok(loss < history.loss[0]);
  model.dispose();
});

test('functional models: residual blocks, shared layers, several inputs and outputs', async () => {
  const a = tf.input({ shape: [6, 6, 3], name: 'left' });
  const b = tf.input({ shape: [6, 6, 3], name: 'right' });
  const shared = tf.layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same', activation: 'relu', name: 'shared' });
  const block = tf.layers.conv2d({ filters: 4, kernelSize: 3, padding: 'same' });
  const features = [a, b].map((x) => {
    const y = shared.apply(x);
    return tf.layers.globalAveragePooling2d({}).apply(tf.layers.add().apply([y, block.apply(y)]));
  });
  const joined = tf.layers.concatenate().apply(features);
  const kind = tf.layers.dense({ units: 3, activation: 'softmax', name: 'kind' }).apply(joined);
  const amount = tf.layers.dense({ units: 1, name: 'amount' }).apply(joined);
  const model = tf.model({ inputs: [a, b], outputs: [kind, amount] });
  assert.deepEqual(model.inputNames, ['left', 'right']);
  assert.deepEqual(model.outputNames, ['kind', 'amount']);
  assert.deepEqual(model.outputShape, [
    [null, 3],
    [null, 1],
  ]);
  assert.equal(model.countParams(), 27 * 4 + 4 + (36 * 4 + 4) + (8 * 3 + 3) + (8 + 1));
  assert.equal(model.getLayer('shared'), shared);

  const x = [random([5, 6, 6, 3], 1), random([5, 6, 6, 3], 2)];
  const [kinds, amounts] = model.predict(x) as tf.Tensor[];
  const swapped = model.predict({ right: x[0], left: x[1] }) as tf.Tensor[];
  const again = model.predict([x[1], x[0]], { batchSize: 2 }) as tf.Tensor[];
  assertNear(swapped[0].data(), again[0].data());
  assert.deepEqual(
    [kinds.shape, amounts.shape],
    [
      [5, 3],
      [5, 1],
    ],
  );

  model.compile({
    optimizer: tf.train.adam(0.02),
    loss: { kind: 'sparseCategoricalCrossentropy', amount: 'meanSquaredError' },
    metrics: { kind: 'accuracy' },
  });
  const y = { kind: tf.tensor1d([0, 1, 2, 0, 1], 'int32'), amount: tf.tensor2d([[1], [2], [3], [1], [2]]) };
  const { history } = await model.fit(x, y, { epochs: 30, batchSize: 5 });
  assert.deepEqual(Object.keys(history), ['loss', 'kind_loss', 'amount_loss', 'kind_acc']);
  assert.ok(history.loss[29] < history.loss[0] / 2, String(history.loss));
  assertNear([history.loss[7]], [history.kind_loss[7] + history.amount_loss[7]], 1e-4);

  // Part of a model is a model, and a model is a layer.
  const part = tf.model({ inputs: a, outputs: features[0] });
  const c = tf.input({ shape: [6, 6, 3] });
  const outer = tf.model({ inputs: c, outputs: tf.layers.reshape({ targetShape: [2, 2] }).apply(part.apply(c)) });
  assertNear((outer.predict(x[0]) as tf.Tensor).data(), (part.predict(x[0]) as tf.Tensor).data());
  assert.throws(() => tf.model({ inputs: a, outputs: kind }), /depends on the input "right"/);
});

test('a sequential model without an input shape is built for its data', async () => {
  const model = tf.sequential({
    layers: [tf.layers.dense({ units: 4, activation: 'relu' }), tf.layers.dense({ units: 1 })],
  });
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  assert.throws(() => model.module, /not built yet/);
  const { history } = await model.fit(random([16, 3]), random([16, 1], 2), { epochs: 2 });
  assert.equal(history.loss.length, 2);
  assert.equal(model.countParams(), 16 + 5);
  assert.deepEqual(model.outputShape, [null, 1]);
});

test('the same seed gives the same bits; shuffling differs from epoch to epoch', async () => {
  const run = async (seed: number, shuffle = true): Promise<number[]> => {
    tf.manualSeed(1);
    const model = tf.sequential({
      layers: [
        tf.layers.dense({ units: 8, activation: 'tanh', inputShape: [4] }),
        tf.layers.dropout({ rate: 0.5 }),
        tf.layers.gaussianNoise({ stddev: 0.1 }),
        tf.layers.dense({ units: 1 }),
      ],
    });
    model.compile({ optimizer: 'adam', loss: 'mse' });
    await model.fit(random([20, 4]), random([20, 1], 2), { epochs: 3, batchSize: 8, seed, shuffle });
    return model.getWeights().flatMap((w) => [...w.data()]);
  };
  assert.deepEqual(await run(1), await run(1));
  assert.notDeepEqual(await run(1), await run(2));
  assert.deepEqual(await run(1, false), await run(2, false));
});

test('callbacks, early stopping, a first epoch', async () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
  model.compile({ optimizer: tf.train.sgd(0), loss: 'mae' });
  const [x, y] = [random([10, 2]), random([10, 1], 2)];
  const calls: string[] = [];
  const stop = tf.callbacks.earlyStopping({ monitor: 'loss', patience: 2, restoreBestWeights: true });
  const { epoch } = await model.fit(x, y, {
    epochs: 9,
    initialEpoch: 3,
    batchSize: 5,
    shuffle: false,
    callbacks: [
      stop,
      {
        onTrainBegin: () => void calls.push('begin'),
        onBatchEnd: async (batch, logs) => void calls.push(`${batch}:${logs.size}`),
        onTrainEnd: () => void calls.push('end'),
      },
    ],
  });
  assert.deepEqual(epoch, [3, 4, 5]);
  assert.equal(stop.stoppedEpoch, 5);
  assert.deepEqual(calls, ['begin', ...new Array(3).fill(['0:5', '1:5']).flat(), 'end']);
  await assert.rejects(model.fit(x, y, { callbacks: tf.callbacks.earlyStopping() }), /there is no "val_loss"/);
});

test('layers that do not fit are not added; the last one can be taken off', () => {
  const model = tf.sequential({ name: 'growing' });
  model.add(tf.layers.inputLayer({ inputShape: [4, 4, 1] }));
  model.add(tf.layers.conv2d({ filters: 2, kernelSize: 3 }));
  assert.throws(() => model.add(tf.layers.conv2d({ filters: 2, kernelSize: 3 })), /the input is 2 high/);
  assert.equal(model.layers.length, 1);
  model.add(tf.layers.flatten());
  assert.deepEqual(model.outputShape, [null, 8]);
  assert.deepEqual((model.predict(random([3, 4, 4, 1])) as tf.Tensor).shape, [3, 8]);
  model.pop();
  assert.deepEqual(model.outputShape, [null, 2, 2, 2]);
  assert.deepEqual((model.predict(random([3, 4, 4, 1])) as tf.Tensor).shape, [3, 2, 2, 2]);
  assert.throws(() => model.getLayer('none'), /model "growing" has no layer "none"; its layers: conv2d/);
  assert.throws(() => model.add(model.layers[0]), /two layers named/);
  // A model in a model.
  const outer = tf.sequential({ layers: [model, tf.layers.flatten(), tf.layers.dense({ units: 1 })] });
  assert.deepEqual(outer.outputShape, [null, 1]);
  assert.equal(outer.countParams(), model.countParams() + 9);
});

test('tensors as TensorFlow.js makes them', async () => {
  assert.deepEqual(
    [
      ...tf.tensor2d([
        [1, 2],
        [3, 4],
      ]).shape,
    ],
    [2, 2],
  );
  assert.deepEqual([...tf.tensor3d([1, 2, 3, 4], [1, 2, 2]).shape], [1, 2, 2]);
  assert.equal(tf.scalar(3, 'int32').dtype, 'i32');
  assert.throws(() => tf.tensor2d([1, 2, 3]), /tensor2d: needs 2 axes, got \[3\]/);
  const classes = tf.tidy(() => tf.oneHot(tf.tensor1d([2, 0], 'int32'), 3));
  assert.deepEqual([...classes.data()], [0, 0, 1, 1, 0, 0]);
  assert.deepEqual([...tf.argMax(classes, 1).data()], [2, 0]);
  tf.dispose([classes]);
  assert.ok(classes.disposed);
  await tf.nextFrame();
  assert.deepEqual([...tf.zeros([2]).data(), ...tf.ones([1]).data()], [0, 0, 1]);
});

test('fitDataset takes batches as they come', async () => {
  const make = (): tf.Sequential => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, kernelInitializer: 'ones' })] });
    model.compile({ optimizer: 'adam', loss: 'mse' });
    return model;
  };
  const [x, y] = [random([12, 2]), random([12, 1], 2)];
  const part = (t: tf.Tensor, from: number, width: number): tf.Tensor =>
    tf.tensor2d(t.data().slice(from * width, (from + 4) * width), [4, width]);
  async function* batches(): AsyncGenerator<tf.DatasetItem> {
    for (const from of [0, 4, 8]) yield { xs: part(x, from, 2), ys: part(y, from, 1) };
  }
  const [a, b] = [make(), make()];
  const streamed = await a.fitDataset(batches, { epochs: 3, validationData: [x, y] });
  const inMemory = await b.fit(x, y, { epochs: 3, batchSize: 4, shuffle: false, validationData: [x, y] });
  assertNear(streamed.history.loss, inMemory.history.loss);
  assertNear(streamed.history.val_loss, inMemory.history.val_loss);
  const short = await make().fitDataset([{ xs: x, ys: y }], { epochs: 2, batchesPerEpoch: 1 });
  assert.deepEqual(short.epoch, [0, 1]);
  await assert.rejects(a.fitDataset(batches(), { epochs: 2 }), /needs a function that starts anew/);
});

test('weights of classes and of examples are factors of their losses', async () => {
  const make = (): tf.Sequential => {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 3, activation: 'softmax', inputShape: [2] })] });
    model.setWeights([random([2, 3], 5), random([3], 6)]);
    model.compile({ optimizer: tf.train.sgd(0), loss: 'categoricalCrossentropy' });
    return model;
  };
  const x = random([4, 2]);
  const y = tf.oneHot(tf.tensor1d([0, 1, 2, 1], 'int32'), 3);
  const each = [0, 1, 2, 3].map((i) => {
    const row = (t: tf.Tensor, n: number): tf.Tensor => tf.tensor2d(t.data().slice(i * n, (i + 1) * n), [1, n]);
    return (make().evaluate(row(x, 2), row(y, 3)) as tf.Tensor).item();
  });
  const classes = await make().fit(x, y, { classWeight: { 1: 4 } });
  assertNear(classes.history.loss, [(each[0] + 4 * each[1] + each[2] + 4 * each[3]) / 4]);
  const samples = await make().fit(x, y, { sampleWeight: tf.tensor1d([1, 2, 3, 4]), batchSize: 3, shuffle: false });
  assertNear(samples.history.loss, [(each[0] + 2 * each[1] + 3 * each[2] + 4 * each[3]) / 4]);
  assert.equal(each.length, 4);
});

test('what is not trainable stays as it is', async () => {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 3, inputShape: [2], name: 'fixed', trainable: false }),
      tf.layers.batchNormalization({ trainable: false }),
      tf.layers.dense({ units: 1 }),
    ],
  });
  model.compile({ optimizer: 'adam', loss: 'mse' });
  assert.deepEqual(
    model.trainableWeights.map(({ name }) => name.split('/')[1]),
    ['kernel', 'bias'],
  );
  const fixed = (): number[] => model.layers.slice(0, 2).flatMap((l) => l.getWeights().flatMap((w) => [...w.data()]));
  const before = fixed();
  const last = [...model.layers[2].getWeights()[0].data()];
  await model.fit(random([8, 2]), random([8, 1], 2), { epochs: 2 });
  assert.deepEqual(fixed(), before);
  assert.notDeepEqual([...model.layers[2].getWeights()[0].data()], last);
});

test('penalties of outputs, for each example of the batch', async () => {
  const dense = tf.layers.dense({
    units: 2,
    inputShape: [3],
    activityRegularizer: tf.regularizers.l1l2({ l1: 0.1, l2: 0.2 }),
  });
  const model = tf.sequential({ layers: [dense] });
  model.compile({ optimizer: 'sgd', loss: 'mse' });
  const x = random([4, 3]);
  const y = Float32Array.from((model.predict(x) as tf.Tensor).data());
  const expected = y.reduce((sum, v) => sum + 0.1 * Math.abs(v) + 0.2 * v * v, 0) / 4;
  assertNear([(model.evaluate(x, tf.tensor2d(y, [4, 2])) as tf.Tensor).item()], [expected]);
});

test('losses of softmax and sigmoid are exact where probabilities are 0 or 1', async () => {
  for (const [activation, loss, y] of [
    ['softmax', 'categoricalCrossentropy', [[0, 1]]],
    ['sigmoid', 'binaryCrossentropy', [[0, 1]]],
  ] as const) {
    const model = tf.sequential({ layers: [tf.layers.dense({ units: 2, activation, inputShape: [1] })] });
    model.setWeights([tf.tensor2d([[100, -100]]), tf.tensor1d([0, 0])]);
    model.compile({ optimizer: tf.train.sgd(1), loss });
    const before = await model.trainOnBatch(tf.tensor2d([[1]]), tf.tensor2d(y as unknown as number[][]));
    assertNear([before as number], [activation === 'softmax' ? 200 : 100], 1e-3);
    assert.notDeepEqual([...model.getWeights()[0].data()], [100, -100]);
  }
});

test('the engine’s own tools work on the modules of a model', async () => {
  const make = (): tf.FunctionalModel => {
    const x = tf.input({ shape: [8, 8, 1] });
    const y = tf.layers.conv2d({ filters: 2, kernelSize: 3, padding: 'same', activation: 'relu' }).apply(x);
    const z = tf.layers.add().apply([x, y]);
    const pooled = tf.layers.maxPooling2d().apply(tf.layers.batchNormalization().apply(z));
    const flat = tf.layers.flatten().apply(tf.layers.prelu().apply(pooled));
    return tf.model({ inputs: x, outputs: tf.layers.dense({ units: 3 }).apply(flat) });
  };
  const model = make();
  const x = random([2, 8, 8, 1]);
  const expected = (model.predict(x) as tf.Tensor).data();
  assert.ok(model.layers.some(({ built }) => built));
  assert.equal(summary(model.module, [8, 8, 1]).totals.parameters, 20 + 4 + 32 + 99);
  const folder = mkdtempSync(join(tmpdir(), 'gabor-keras-'));
  try {
    const path = join(folder, 'model.safetensors');
    const preprocessing = { channels: 1, height: 8, width: 8, mean: [0], std: [1] } as const;
    await saveModel(path, model.module, { classes: ['a', 'b', 'c'], preprocessing });
    const { model: loaded } = await loadModel(path);
    assertNear(loaded.forward(x).data(), expected);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const plain = tf.sequential({ layers: [tf.layers.conv2d({ filters: 2, kernelSize: 3, inputShape: [8, 8, 1] })] });
  assert.ok(plain.module instanceof EngineSequential && plain.module.at(0) instanceof Conv2d);
});

test('the summary is Keras’s table', () => {
  const model = tf.sequential({
    name: 'small',
    layers: [
      tf.layers.conv2d({ filters: 128, kernelSize: 3, inputShape: [32, 32, 64], name: 'conv' }),
      tf.layers.batchNormalization({ name: 'norm' }),
    ],
  });
  const lines: string[] = [];
  model.summary(undefined, undefined, (line) => lines.push(line));
  const rows = lines.filter((line) => /[a-z]/.test(line)).map((line) => line.split(/ {2,}/));
  assert.deepEqual(rows, [
    ['Model: "small" (Sequential)'],
    ['Layer (type)', 'Output Shape', 'Param #'],
    ['conv (Conv2D)', '[null, 30, 30, 128]', '73856'],
    ['norm (BatchNormalization)', '[null, 30, 30, 128]', '512'],
    ['Total params: 74368'],
    ['Trainable params: 74112'],
    ['Non-trainable params: 256'],
  ]);
  assert.ok(lines.every((line) => line.length <= lines[1].length));
});

test('initial weights have the moments they claim', () => {
  const shape = [3, 3, 20, 40];
  const moments = (data: Float32Array): [number, number, number] => {
    const mean = data.reduce((a, b) => a + b) / data.length;
    const deviation = Math.sqrt(data.reduce((a, b) => a + (b - mean) ** 2, 0) / data.length);
    return [mean, deviation, data.reduce((a, b) => Math.max(a, Math.abs(b)))];
  };
  const cases = [
    [tf.initializers.glorotUniform({ seed: 1 }), Math.sqrt(2 / (9 * 60)), Math.sqrt(6 / (9 * 60))],
    [tf.initializers.glorotNormal({ seed: 1 }), Math.sqrt(2 / (9 * 60)), (2 / 0.8796) * Math.sqrt(2 / (9 * 60))],
    [tf.initializers.heNormal({ seed: 1 }), Math.sqrt(2 / 180), (2 / 0.8796) * Math.sqrt(2 / 180)],
    [tf.initializers.leCunUniform({ seed: 1 }), Math.sqrt(1 / 180), Math.sqrt(3 / 180)],
    [tf.initializers.randomNormal({ seed: 1 }), 0.05, 0.3],
  ] as const;
  for (const [initializer, deviation, limit] of cases) {
    const [mean, found, most] = moments(initializer.values(shape));
    assert.ok(Math.abs(mean) < deviation / 20, initializer.className);
    assert.ok(Math.abs(found / deviation - 1) < 0.03, `${initializer.className}: ${found} and not ${deviation}`);
    assert.ok(most <= limit * 1.001, initializer.className);
    assert.deepEqual(initializer.values([4, 2]), initializer.values([4, 2]));
  }
  // A layer's weights start like that, in the engine's layout.
  const layer = tf.layers.conv2d({
    filters: 40,
    kernelSize: 3,
    kernelInitializer: tf.initializers.glorotUniform({ seed: 1 }),
  });
  layer.apply(random([1, 4, 4, 20]));
  assert.deepEqual([...layer.getWeights()[0].data()], [...tf.initializers.glorotUniform({ seed: 1 }).values(shape)]);
});

test('options are checked: every mistake names the layer and what it expected', () => {
  const unknown = [
    // @ts-expect-error an option that does not exist
    () => tf.layers.conv2d({ filters: 2, kernelSize: 3, kernelConstraint: 'maxNorm' }),
    // @ts-expect-error a typing mistake
    () => tf.layers.dense({ unit: 3 }),
    // @ts-expect-error PyTorch's name
    () => tf.layers.maxPooling2d({ kernelSize: 2 }),
  ];
  for (const make of unknown)
    assert.throws(make, /(conv2d|dense|maxPooling2d): unknown option ".*"; known options are/);
  // @ts-expect-error not an activation
  assert.throws(() => tf.layers.dense({ units: 3, activation: 'rellu' }), /dense: activation must be one of celu, /);
  // @ts-expect-error a number, not a text
  assert.throws(() => tf.layers.dense({ units: '3' }), /dense: units must be an integer ≥ 1, got "3"/);
  // @ts-expect-error Keras calls it valid
  const unpadded = (): tf.Layer => tf.layers.conv2d({ filters: 2, kernelSize: 3, padding: 'none' });
  assert.throws(unpadded, /conv2d: padding must be one of "valid", "same", got "none"/);
  assert.throws(() => tf.layers.conv1d({ filters: 0, kernelSize: 3 }), /conv1d: filters must be an integer ≥ 1, got 0/);
  assert.throws(() => tf.layers.dropout({ rate: 1 }), /dropout: rate must be at least 0 and below 1/);
  const x = tf.input({ shape: [4, 4, 6] });
  const on = (layer: tf.Layer) => () => layer.apply(x);
  assert.throws(
    on(tf.layers.conv2d({ filters: 2, kernelSize: 5, name: 'big' })),
    /layer "big" \(Conv2D\): .*kernel 5 does not fit: the input is 4 high/,
  );
  assert.throws(on(tf.layers.conv2d({ filters: 4, kernelSize: 1, groups: 4, name: 'g' })), /layer "g" .*6.*4/);
  assert.throws(on(tf.layers.conv1d({ filters: 2, kernelSize: 1 })), /expected \[batch, length, channels\]/);
  assert.throws(on(tf.layers.reshape({ targetShape: [5, -1] })), /96 elements per example/);
  assert.throws(on(tf.layers.cropping2d({ cropping: 2 })), /nothing is left of axis 1/);
  assert.throws(on(tf.layers.groupNormalization({ groups: 4 })), /6 channels do not split into 4 groups/);
  assert.throws(
    () => tf.layers.add({ name: 'sum' }).apply([x, tf.input({ shape: [4, 3, 6] })]),
    /layer "sum" \(Add\): .*\[1, 4, 4, 6\] and \[1, 4, 3, 6\] do not fit together/,
  );
  const model = tf.model({ inputs: x, outputs: tf.layers.flatten().apply(x) });
  assert.throws(
    () => model.predict(random([1, 4, 4, 5])),
    /input "input_\w+" must be \[batch, 4, 4, 6\], got \[1, 4, 4, 5\]/,
  );
  assert.throws(() => model.evaluate(random([1, 4, 4, 6]), random([1, 96])), /call compile/);
  assert.throws(
    () => model.compile({ optimizer: 'adam', loss: 'mse', metric: [] } as never),
    /compile: unknown option "metric"/,
  );
  assert.throws(() => model.compile({ optimizer: 'adam', loss: 'no' as never }), /loss must be a function or one of/);
  assert.throws(() => model.setWeights([random([1])]), /has 0 weights/);
});
