import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { withFile } from '../../formats/byte-source.js';
import { openZip } from '../../formats/zip.js';
import { setDevice } from '../../graph/device.js';
import { ELU, SELU } from '../../nn/index.js';
import { cpuDevice } from '../../runtime/cpu-device.js';
import { FileError } from '../../tensor/errors.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { assertClose, type FixtureArray, fixturePath, fixtureTensor, readFixtures } from '../../testing/fixtures.js';
import { KERAS_MODELS, randomized, TFJS_MODELS } from '../../testing/keras-models.js';
import { NO_TENSORFLOW, tensorflow } from '../../testing/tensorflow.js';
import * as tf from '../index.js';
import { LAYER_CLASSES } from './layer-table.js';
import { WRITTEN_CLASSES } from './write-layers.js';

setDevice(cpuDevice({ threads: 1 }));
const home = temporaryFolder();
const at = (...names: string[]): string => join(home, ...names);

interface Case {
  readonly name: string;
  readonly x: readonly FixtureArray[];
  readonly y: readonly FixtureArray[];
}

const fixture = (name: string): string => fixturePath(`keras-files/${name}`);
const CASES = readFixtures<Case>('keras-files/cases');
const TFJS = readFixtures<Case>('keras-files/tfjs/cases');

function outputs(model: tf.LayersModel, x: readonly tf.Tensor[]): number[][] {
  return [model.predict([...x])].flat().map((y) => [...y.data()]);
}

function text(model: tf.LayersModel): string[] {
  const lines: string[] = [];
  model.summary(undefined, undefined, (line) => lines.push(line));
  return lines;
}

/** Regularizers and flags, which neither outputs nor the summary show. */
function facts(model: tf.LayersModel): unknown {
  const layers = model.allLayers.filter(({ className }) => className !== 'InputLayer');
  return layers.map(({ name, className, weights, trainable }) => [
    name,
    className,
    // Without weights nothing is trained; Keras does not say it of all such layers.
    weights.length === 0 || trainable,
    weights.map(({ name: weight, shape, regularizer }) => [weight, shape, regularizer ?? null]),
  ]);
}

async function archive(path: string): Promise<Map<string, Buffer>> {
  return await withFile(path, async (source) => {
    const entries = [...(await openZip(source)).values()];
    return new Map(
      await Promise.all(entries.map(async (entry) => [entry.name, Buffer.from(await entry.read())] as const)),
    );
  });
}

interface Config {
  readonly class_name: string;
  readonly config: Readonly<Record<string, unknown>> & { readonly layers?: readonly Config[] };
}

async function configOf(path: string): Promise<Config> {
  return JSON.parse(String((await archive(path)).get('config.json'))) as Config;
}

for (const [name, make] of Object.entries(KERAS_MODELS)) {
  test(`${name}: saved for Keras and loaded it is the same model`, async () => {
    const { model, x } = randomized(make);
    const path = at('models', `${name}.keras`);
    assert.deepEqual(await model.save(path), []);
    assert.deepEqual([...(await archive(path)).keys()].sort(), ['config.json', 'metadata.json', 'model.weights.h5']);
    const again = await tf.loadKeras(path);
    assert.deepEqual(text(again), text(model));
    assert.deepEqual(facts(again), facts(model));
    const expected = outputs(model, x);
    assert.deepEqual(outputs(again, x), expected);
    const second = at('models', `${name} again.keras`);
    await again.save(second);
    const plain = (config: Config): unknown =>
      JSON.parse(JSON.stringify(config), (key, value: unknown) => (key.endsWith('_initializer') ? undefined : value));
    assert.deepEqual(plain(await configOf(second)), plain(await configOf(path)));

    const weights = at(`${name}.weights.h5`);
    await model.saveWeights(weights);
    again.setWeights(again.getWeights().map(({ shape }) => tf.ones(shape)));
    assert.notDeepEqual(outputs(again, x), expected);
    await again.loadWeights(weights);
    assert.deepEqual(outputs(again, x), expected);
    model.dispose();
    again.dispose();
  });
}

const inputs = (model: tf.LayersModel, { x }: Case): tf.Tensor[] =>
  x.map((array, i) => fixtureTensor(array, model.inputs[i].dtype === 'int32' ? 'i32' : 'f32'));

for (const c of CASES) {
  test(`${c.name} of Keras: saved again it computes what Keras computes, and its layers are as Keras wrote them`, async () => {
    const original = await tf.loadKeras(fixture(`${c.name}.keras`));
    const path = at(`${c.name}.keras`);
    assert.deepEqual(await original.save(path), []);
    const again = await tf.loadKeras(path);
    assert.deepEqual(text(again), text(original));
    [again.predict(inputs(again, c))].flat().forEach((y, i) => {
      assertClose(y, c.y[i], 1e-5, `${c.name}, output ${i}`);
    });
    compareLayers(await configOf(fixture(`${c.name}.keras`)), await configOf(path));
    original.dispose();
    again.dispose();
  });
}

/** What is not read, or written in one of several ways. */
const OTHERWISE =
  /_initializer$|^(dtype|quantization_config|seed|renorm.*|scale|offset|axis|layers|.*_regularizer|activation)$/;

/** Every key that Keras wrote, with its value, but for those whose values have been lost or are said in other words. */
function compareLayers(theirs: Config, ours: Config): void {
  const list = theirs.config.layers ?? [];
  assert.equal(ours.config.layers?.length, list.length);
  list.forEach((their, i) => {
    const our = ours.config.layers?.[i] as Config;
    assert.equal(our.class_name, their.class_name);
    if (their.config.layers !== undefined) compareLayers(their, our);
    for (const [key, value] of Object.entries(their.config)) {
      if (/^(quantization_config|renorm.*)$/.test(key)) continue;
      assert.ok(key in our.config, `${their.class_name}: ${key} is missing`);
      const inWords = OTHERWISE.test(key) && (typeof value !== 'string' || key === 'dtype');
      if (!inWords) assert.deepEqual(our.config[key], value, `${their.class_name}: ${key}`);
    }
  });
}

for (const c of TFJS.filter(({ name }) => name !== 'quantized')) {
  test(`${c.name} of TensorFlow.js: saved again it is the same model`, async () => {
    const original = await tf.loadKeras(fixture(`tfjs/${c.name}/model.json`));
    assert.deepEqual(await original.save(`file://${at('tfjs', c.name)}`), []);
    const again = await tf.loadKeras(at('tfjs', c.name, 'model.json'));
    assert.deepEqual(facts(again), facts(original));
    [again.predict(inputs(again, c))].flat().forEach((y, i) => {
      assertClose(y, c.y[i], 1e-5, `${c.name}, output ${i}`);
    });
  });
}

interface Manifest {
  readonly modelTopology: object;
  readonly weightsManifest: readonly { readonly paths: readonly string[]; readonly weights: readonly object[] }[];
}

const tfjs = tensorflow();

for (const [name, make] of Object.entries(TFJS_MODELS)) {
  test(`${name}: TensorFlow.js loads what is saved for it`, { skip: tfjs ? false : NO_TENSORFLOW }, async () => {
    assert.ok(tfjs);
    const { model, x } = randomized(make);
    const path = at('tfjs', name, 'model.json');
    assert.deepEqual(await model.save(path), []);
    const expected = outputs(model, x);
    const own = await tf.loadKeras(path);
    assert.deepEqual(facts(own), facts(model));
    assert.deepEqual(outputs(own, x), expected);
    const { modelTopology, weightsManifest } = JSON.parse(readFileSync(path, 'utf8')) as Manifest;
    const [{ paths, weights }] = weightsManifest;
    const data = Buffer.concat(paths.map((shard) => readFileSync(at('tfjs', name, shard))));
    const weightData = data.buffer.slice(data.byteOffset, data.byteOffset + data.length);
    const theirs = await tfjs.loadLayersModel(tfjs.io.fromMemory({ modelTopology, weightSpecs: weights, weightData }));
    const given = x.map((t, i) => tfjs.tensor(t.data(), t.shape, model.inputs[i].dtype));
    const got = [theirs.predict(given.length === 1 ? given[0] : given)].flat();
    assert.equal(got.length, expected.length);
    got.forEach((y, i) => {
      const error = Math.max(...[...Array.from(y.dataSync())].map((v, j) => Math.abs(v - expected[i][j])));
      assert.ok(error < 1e-5, `output ${i} is off by ${error}`);
    });
  });
}

test('weights for TensorFlow.js lie in shards of four megabytes', async () => {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1500, inputShape: [1501] })] });
  await model.save(at('large', 'model.json'));
  const sizes = readdirSync(at('large'))
    .filter((name) => name.endsWith('.bin'))
    .sort()
    .map((name) => statSync(at('large', name)).size);
  assert.deepEqual(sizes, [2 ** 22, 2 ** 22, 1502 * 1500 * 4 - 2 ** 23]);
  const again = await tf.loadKeras(at('large', 'model.json'));
  const weights = (m: tf.LayersModel): Buffer[] => m.getWeights().map((w) => Buffer.from(w.data().slice().buffer));
  weights(again).forEach((bytes, i) => {
    assert.ok(bytes.equals(weights(model)[i]));
  });
});

const line = (...layers: tf.Layer[]): tf.Sequential =>
  tf.sequential({ layers: [tf.layers.inputLayer({ inputShape: [8, 4] }), ...layers] });

function called(training: boolean): tf.LayersModel {
  const x = tf.input({ shape: [4] });
  return tf.model({ inputs: x, outputs: tf.layers.batchNormalization({ name: 'n' }).apply(x, { training }) });
}

test('what Keras or TensorFlow.js cannot say is an error by name, and nothing is written', async () => {
  const { layers } = tf;
  const conv = (options: object): tf.Sequential =>
    line(layers.conv1d({ filters: 4, kernelSize: 2, name: 'c', ...options }));
  const inner = layers.dense({ units: 2, name: 'both' });
  const x = tf.input({ shape: [4] });
  const once = tf.model({ inputs: x, outputs: inner.apply(x), name: 'once' });
  const both = tf.model({
    inputs: x,
    outputs: layers.add().apply([once.apply(x), inner.apply(x)]),
    name: 'both models',
  });
  const named = (): tf.Sequential => line(layers.dense({ units: 4, name: 'same' }));
  const models = tf.sequential({ layers: [named(), named()] });
  const bad: readonly (readonly [model: tf.LayersModel, file: string, message: RegExp])[] = [
    [
      conv({ activation: 'hardSigmoid' }),
      'a.keras',
      /layer "c" \(Conv1D\): activation: Keras 3 has no activation.*hardSigmoid/,
    ],
    [conv({ activation: 'hardSigmoid6' }), 'model.json', /layer "c".*TensorFlow\.js has no activation.*hardSigmoid6/],
    [conv({ activation: new ELU(0.5) }), 'a.keras', /layer "c".*the module ELU is none of Keras's/],
    [
      line(layers.thresholdedReLU({ name: 't' })),
      'a.keras',
      /layer "t" \(ThresholdedReLU\): Keras 3 has no such layer/,
    ],
    [
      line(layers.identity({ name: 'i' })),
      'model.json',
      /layer "i" \(Identity\): TensorFlow\.js has no such layer.*\.keras/,
    ],
    [conv({ groups: 2 }), 'model.json', /layer "c".*groups = 2 is not done by TensorFlow\.js/],
    [conv({ padding: 'causal' }), 'model.json', /layer "c".*padding = "causal" is not done/],
    [line(layers.softmax({ axis: 1, name: 's' })), 'model.json', /layer "s".*axis = 1 is not done/],
    [line(layers.gru({ units: 2, name: 'g' })), 'model.json', /layer "g".*reset_after = true is not done/],
    [called(true), 'model.json', /layer "n" \(BatchNormalization\): is called with training = true/],
    [models, 'model.json', /two layers of its models are named "same"/],
    [both, 'a.keras', /layer "both" \(Dense\) is part of the models "(once|both models)" and "(once|both models)"/],
    [tf.sequential({ name: 'open', layers: [layers.dense({ units: 2 })] }), 'a.keras', /"open" is not built yet/],
    [named(), 'a.h5', /whole models are written as \.keras/],
    [named(), 'a.weights.h5', /model\.saveWeights/],
    [named(), 'a', /written as \.keras \(Keras 3\), or model\.json/],
  ];
  for (const [model, file, message] of bad) {
    const path = at('bad', file);
    await assert.rejects(model.save(path), (error) => error instanceof FileError && message.test(error.message), file);
    assert.ok(!existsSync(path), file);
  }
  await assert.rejects(named().saveWeights(at('bad', 'a.h5')), /must end in \.weights\.h5/);
  await assert.rejects(named().save('https://example.org/a.keras'), /is an address/);
});

test('what is lost without harm is said', async () => {
  const mine: tf.Initializer = { className: 'Mine', values: (shape) => tf.ones(shape).data() as Float32Array };
  const model = line(tf.layers.dense({ units: 2, name: 'd', kernelInitializer: mine, activation: new SELU() }));
  model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  const notes = await model.save(at('notes.keras'));
  assert.equal(notes.length, 2);
  assert.match(notes[0], /layer "d" \(Dense\): kernelInitializer \(Mine\) is none of Keras's/);
  assert.match(notes[1], /optimizer/);
  assert.deepEqual(await called(false).save(at('called.keras')), []);
  assert.match((await called(false).save(at('called', 'model.json'))).join(), /layer "n".*training = false.*not heed/);
  const config = await configOf(at('notes.keras'));
  assert.equal(config.config.layers?.[1].config.activation, 'selu');
});

test('every class that is read is written, and saved by some test', async () => {
  const models = [...Object.values(KERAS_MODELS), ...Object.values(TFJS_MODELS)].map((make) => make());
  const files = await Promise.all(CASES.map(({ name }) => tf.loadKeras(fixture(`${name}.keras`))));
  const within = (layer: tf.Layer): string[] => [layer.className, ...Object.values(layer.inner).flatMap(within)];
  const saved = new Set([...models, ...files].flatMap((model) => model.allLayers.flatMap(within)));
  assert.deepEqual(
    WRITTEN_CLASSES.filter((name) => !saved.has(name)),
    [],
  );
  assert.deepEqual(
    LAYER_CLASSES.filter((name) => !WRITTEN_CLASSES.includes(name)),
    ['BatchNormalizationV1'],
  );
});

test('a model that begins within another has an input of its own', async () => {
  const x = tf.input({ shape: [6] });
  const middle = tf.layers.dense({ units: 4, name: 'first' }).apply(x);
  const tail = tf.model({ inputs: middle, outputs: tf.layers.dense({ units: 3 }).apply(middle) });
  await tail.save(at('tail.keras'));
  const again = await tf.loadKeras(at('tail.keras'));
  const data = tf.tensor([[1, 2, 3, 4]]);
  assert.deepEqual(outputs(again, [data]), outputs(tail, [data]));
  assert.deepEqual(again.inputNames, ['first']);
});
