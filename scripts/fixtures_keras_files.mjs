// Models of TensorFlow.js in tests/fixtures/keras-files/tfjs, as it saves them and with quantized weights, and what it computes with them.
// `npm install` in bench/ brings TensorFlow.js; without it nothing is done.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Numbers, size, tensorflow, toArray } from './fixtures_tools.mjs';

const tf = tensorflow('fixtures_keras_files');

const folder = fileURLToPath(new URL('../tests/fixtures/keras-files/tfjs/', import.meta.url));
rmSync(folder, { recursive: true, force: true });

const numbers = new Numbers();
const random = (shape) => ({ shape, data: Array.from({ length: size(shape) }, () => numbers.next()) });
const { layers } = tf;

function line() {
  return tf.sequential({
    name: 'line',
    layers: [
      layers.conv2d({
        inputShape: [8, 7, 2],
        filters: 4,
        kernelSize: 3,
        strides: 2,
        padding: 'same',
        activation: 'hardSigmoid',
        kernelRegularizer: tf.regularizers.l1l2({ l1: 0.01, l2: 0.02 }),
        name: 'first',
      }),
      layers.batchNormalization({ name: 'norm' }),
      layers.leakyReLU({ alpha: 0.2, name: 'leaky' }),
      layers.separableConv2d({ filters: 3, kernelSize: 2, name: 'separable' }),
      layers.prelu({ name: 'prelu' }),
      layers.zeroPadding2d({
        padding: [
          [1, 0],
          [0, 2],
        ],
        name: 'pad',
      }),
      layers.maxPooling2d({ poolSize: 2, strides: 1, name: 'pool' }),
      layers.dropout({ rate: 0.5, name: 'dropout' }),
      layers.flatten({ name: 'flat' }),
      layers.dense({ units: 3, activation: 'softmax', name: 'head' }),
    ],
  });
}

function graph() {
  const a = tf.input({ shape: [6, 3], name: 'a' });
  const b = tf.input({ shape: [6, 3], name: 'b' });
  const inner = tf.input({ shape: [6, 3], name: 'inner' });
  const hidden = layers.conv1d({ filters: 4, kernelSize: 3, padding: 'same', name: 'conv' }).apply(inner);
  const tower = tf.model({ inputs: inner, outputs: layers.elu({ name: 'elu' }).apply(hidden), name: 'tower' });
  const [left, right] = [tower.apply(a), tower.apply(b)];
  const sum = layers.add({ name: 'sum' }).apply([left, right]);
  const both = layers.concatenate({ name: 'both' }).apply([sum, right]);
  const score = layers
    .dense({ units: 2, name: 'score' })
    .apply(layers.globalAveragePooling1d({ name: 'mean' }).apply(both));
  return tf.model({ inputs: [a, b], outputs: [score, sum], name: 'graph' });
}

function recurrent() {
  const cell = { recurrentInitializer: 'glorotUniform' };
  const gated = { ...cell, recurrentActivation: 'hardSigmoid' };
  return tf.sequential({
    name: 'recurrent',
    layers: [
      layers.timeDistributed({
        inputShape: [5, 6, 2],
        layer: layers.conv1d({ filters: 4, kernelSize: 3, activation: 'relu', name: 'inside' }),
        name: 'every',
      }),
      layers.timeDistributed({ layer: layers.flatten({ name: 'flat' }), name: 'lines' }),
      layers.bidirectional({
        layer: layers.lstm({ units: 3, returnSequences: true, dropout: 0.2, name: 'memory', ...gated }),
        mergeMode: 'concat',
        name: 'both',
      }),
      layers.gru({ units: 4, returnSequences: true, goBackwards: true, name: 'gates', ...gated, resetAfter: false }),
      layers.bidirectional({
        layer: layers.gru({ units: 2, returnSequences: true, name: 'inner', ...gated, resetAfter: false }),
        mergeMode: 'ave',
        name: 'mean',
      }),
      layers.simpleRNN({ units: 3, useBias: false, name: 'plain', ...cell }),
      layers.dense({ units: 2, name: 'head' }),
    ],
  });
}

/** What TensorFlow.js saves: a description and the bytes of all weights. */
async function artifactsOf(model) {
  let saved;
  await model.save(
    tf.io.withSaveHandler(async (artifacts) => {
      saved = artifacts;
      return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
    }),
  );
  return saved;
}

/** Whole numbers or halves instead of floats, as the converter makes them. */
function quantized(artifacts, dtypes) {
  const parts = [];
  let at = 0;
  const specs = artifacts.weightSpecs.map((spec, i) => {
    const values = new Float32Array(artifacts.weightData.slice(at, at + 4 * size(spec.shape)));
    at += values.byteLength;
    const dtype = dtypes[i % dtypes.length];
    if (dtype === undefined) {
      parts.push(new Uint8Array(values.buffer));
      return spec;
    }
    if (dtype === 'float16') {
      // Every number here is one of few digits over 1024, so that nothing is rounded.
      parts.push(new Uint8Array(Uint16Array.from(values, half).buffer));
      return { ...spec, quantization: { dtype, original_dtype: 'float32' } };
    }
    const most = dtype === 'uint8' ? 255 : 65535;
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const scale = (high - low) / most || 1;
    const Whole = dtype === 'uint8' ? Uint8Array : Uint16Array;
    const numbers = Whole.from(values, (v) => Math.round((v - low) / scale));
    parts.push(new Uint8Array(numbers.buffer));
    return { ...spec, quantization: { dtype, scale, min: low, original_dtype: 'float32' } };
  });
  return { ...artifacts, weightSpecs: specs, weightData: new Uint8Array(Buffer.concat(parts)).buffer };
}

/** Binary16 by cutting off, for numbers of its usual range. */
function half(value) {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0];
  const exponent = ((bits >>> 23) & 0xff) - 112;
  return exponent <= 0 ? (bits >>> 16) & 0x8000 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

const cases = [];

async function write(name, artifacts) {
  mkdirSync(`${folder}${name}`, { recursive: true });
  const bytes = new Uint8Array(artifacts.weightData);
  // In two parts, with a weight across the border.
  const middle = Math.floor(bytes.length / 8) * 4 + 2;
  const paths = ['group1-shard1of2.bin', 'group1-shard2of2.bin'];
  writeFileSync(`${folder}${name}/${paths[0]}`, bytes.subarray(0, middle));
  writeFileSync(`${folder}${name}/${paths[1]}`, bytes.subarray(middle));
  const json = {
    modelTopology: artifacts.modelTopology,
    format: 'layers-model',
    generatedBy: artifacts.generatedBy,
    convertedBy: null,
    weightsManifest: [{ paths, weights: artifacts.weightSpecs }],
  };
  writeFileSync(`${folder}${name}/model.json`, JSON.stringify(json));
  const model = await tf.loadLayersModel(tf.io.fromMemory({ ...artifacts }));
  numbers.seed(99);
  const x = model.inputs.map(({ shape }) => random([2, ...shape.slice(1)]));
  const xs = x.map(({ shape, data }) => tf.tensor(data, shape));
  const y = [model.predict(xs.length === 1 ? xs[0] : xs)].flat();
  cases.push({ name, x, y: y.map(toArray) });
}

for (const make of [line, graph, recurrent]) {
  const model = make();
  numbers.seed(make.name.length);
  model.setWeights(
    model.weights.map((w) => {
      const { shape, data } = random(w.shape);
      return tf.tensor(w.name.includes('variance') ? data.map((v) => 1 + Math.abs(v)) : data, shape);
    }),
  );
  const artifacts = await artifactsOf(model);
  await write(make.name, artifacts);
  if (make === line) await write('quantized', quantized(artifacts, ['uint8', 'uint16', 'float16', undefined]));
}
writeFileSync(`${folder}cases.jsonl`, `${cases.map((c) => JSON.stringify(c)).join('\n')}\n`);
console.log(`keras-files/tfjs: ${cases.length} models`);
