import assert from 'node:assert/strict';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { memorySource } from '../../formats/byte-source.js';
import { openZip, zip } from '../../formats/zip.js';
import { FileError } from '../../tensor/errors.js';
import type { Random } from '../../tensor/random.js';
import { fixturePath } from '../../testing/fixtures.js';
import { fuzz, mutate } from '../../testing/fuzz.js';
import { type TfjsWeight, writeTfjs } from '../../testing/write-tfjs.js';
import * as tf from '../index.js';
import { loadKeras } from './load.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-keras-'));
after(() => rmSync(folder, { recursive: true }));

const file = (name: string): string => fixturePath(`keras-files/${name}`);
const bytesOf = (name: string): Uint8Array => new Uint8Array(readFileSync(file(name)));

/** Refused with an error of files that says so, quickly. */
async function refused(path: string, message: RegExp, options: object = {}): Promise<void> {
  const start = performance.now();
  await assert.rejects(loadKeras(path, options), (error: Error) => {
    assert.ok(error instanceof FileError, `${error.stack}`);
    assert.match(error.message, message);
    return true;
  });
  assert.ok(performance.now() - start < 10_000, 'took long');
}

const layer = (className: string, config: object = {}, more: object = {}): object => ({
  class_name: className,
  config: { name: className.toLowerCase(), ...config },
  ...more,
});
const INPUT = layer('InputLayer', { name: 'x', batch_input_shape: [null, 4, 4, 2] });

function sequential(...layers: readonly object[]): object {
  return { class_name: 'Sequential', config: { name: 'net', layers: [INPUT, ...layers] }, keras_version: '2.7.0' };
}

const tfjs = (topology: object, weights: readonly TfjsWeight[] = []): string => writeTfjs(folder, topology, weights);

test('layers that are unknown are refused by name, with where they stand and what can be done', async () => {
  const at = /model\.json: layer "\w+" \(\w+\) of the model "net": /.source;
  await refused(
    tfjs(sequential(layer('Lambda', { function: ['…'] }))),
    new RegExp(`${at}there is no layer Lambda here; it stands for Python code, .* save again`),
  );
  await refused(tfjs(sequential(layer('TFOpLambda'))), /there is no layer TFOpLambda here; it stands for Python code/);
  await refused(tfjs(sequential(layer('ConvLSTM2D'))), /there is no layer ConvLSTM2D here; attention, and recurrent/);
  await refused(tfjs(sequential(layer('Masking'))), /there is no layer Masking here; steps cannot be masked/);
  await refused(tfjs(sequential(layer('CuDNNGRU'))), /there is no layer CuDNNGRU here; it has other weights/);
  await refused(
    tfjs(sequential(layer('RandomFlip'))),
    /there is no layer RandomFlip here; it changes images at random/,
  );
  await refused(
    tfjs(sequential(layer('MyLayer'))),
    /there is no layer MyLayer here; known ones are Conv1D, .*model\.loadWeights\(path\)/,
  );
  await refused(
    tfjs(sequential(layer('Divide', {}, { module: 'keras.src.ops.numpy', registered_name: 'Divide' }))),
    /is keras\.src\.ops\.numpy\.Divide, an operation between layers; in Keras, put a layer such as Rescaling/,
  );
  await refused(
    tfjs(sequential(layer('Dense', { units: 2 }, { module: 'my_package' }))),
    /is my_package\.Dense, a custom class; build the model with gabor\/keras/,
  );
  await refused(
    tfjs({ class_name: 'MyModel', config: { name: 'm' } }),
    /the model is a MyModel: only Sequential and Functional ones/,
  );
});

test('what a layer cannot do is refused, never ignored', async () => {
  const dense = (config: object): string => tfjs(sequential(layer('Dense', { units: 2, ...config })));
  await refused(dense({ kernel_constraint: { class_name: 'MaxNorm', config: {} } }), /ignoreConstraints: true/);
  await refused(dense({ new_option: 3 }), /the option new_option = 3 is not known/);
  await refused(dense({ activation: 'my_activation' }), /activation: the activation "my_activation" is not known/);
  await refused(
    dense({ activation: { class_name: 'function', config: 'mine', module: 'builtins' } }),
    /the activation "mine" is not known/,
  );
  await refused(
    dense({ kernel_regularizer: { class_name: 'Orthogonal', config: {} } }),
    /known ones are L1, L2 and L1L2/,
  );
  await refused(dense({ dtype: 'string' }), /the dtype "string" cannot be computed with/);
  await refused(
    dense({ dtype: { class_name: 'QuantizedDTypePolicy', config: { name: 'int8_from_float32' } } }),
    /dtype/,
  );
  await refused(
    tfjs(sequential(layer('Embedding', { input_dim: 3, output_dim: 2, mask_zero: true }))),
    /mask_zero = true/,
  );
  await refused(tfjs(sequential(layer('BatchNormalization', { renorm: true }))), /renorm = true cannot be done/);
  await refused(tfjs(sequential(layer('Conv2D', { filters: 2, kernel_size: [5, 5] }))), /layer "conv2d"/);
  const constrained = [
    { name: 'flatten/none', shape: [0] },
    { name: 'dense/kernel', shape: [32, 2] },
    { name: 'dense/bias', shape: [2] },
  ].slice(1);
  const network = sequential(
    layer('Flatten'),
    layer('Dense', { units: 2, kernel_constraint: { class_name: 'NonNeg', config: {} } }),
  );
  assert.deepEqual((await loadKeras(tfjs(network, constrained), { ignoreConstraints: true })).outputShape, [null, 2]);
});

/** A functional model of dense layers: each takes what the names say. */
function functional(edges: Readonly<Record<string, string>>, output: string, more: object = {}): object {
  const layers = Object.entries(edges).map(([name, from]) =>
    layer('Activation', { name, activation: 'relu' }, { name, inbound_nodes: [[[from, 0, 0, more]]] }),
  );
  return {
    class_name: 'Functional',
    config: {
      name: 'net',
      layers: [{ ...INPUT, name: 'x', inbound_nodes: [] }, ...layers],
      input_layers: [['x', 0, 0]],
      output_layers: [[output, 0, 0]],
    },
  };
}

test('graphs that are none', async () => {
  await loadKeras(tfjs(functional({ b: 'a', a: 'x' }, 'b')));
  await refused(tfjs(functional({ a: 'b', b: 'a' }, 'a')), /its layers go round in a circle: "[ab]" needs "[ab]"/);
  await refused(tfjs(functional({ a: 'a' }, 'a')), /go round in a circle/);
  await refused(tfjs(functional({ a: 'none' }, 'a')), /"a" takes the output of "none", which is no layer of it/);
  await refused(tfjs(functional({ a: 'x' }, 'b')), /uses output 0 of call 0 of "b", which does not exist/);
  await refused(tfjs(functional({ a: 'x' }, 'a', { mask: ['x', 0, 0] })), /is called with mask = /);
  const twice = functional({ a: 'x' }, 'a') as { config: { layers: object[] } };
  twice.config.layers.push(twice.config.layers[1]);
  await refused(tfjs(twice), /has two layers named "a"/);
  const chain = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`l${i}`, i === 0 ? 'x' : `l${i - 1}`]));
  assert.equal((await loadKeras(tfjs(functional(chain, 'l2999')))).layers.length, 3001);
});

test('descriptions that would take more memory than there is', async () => {
  const weights = [{ name: 'dense/kernel', shape: [3, 2] }];
  const cases = [
    layer('Dense', { units: 1e9 }),
    layer('Conv2D', { filters: 1e9, kernel_size: 3 }),
    layer('Conv2D', { filters: 1, kernel_size: [1e6, 1e6], padding: 'same' }),
    layer('DepthwiseConv2D', { kernel_size: 3, depth_multiplier: 1e9 }),
    layer('SeparableConv2D', { kernel_size: 1, filters: 1e9 }),
    layer('Conv2DTranspose', { filters: 1e9, kernel_size: 3 }),
    layer('Embedding', { input_dim: 1e9, output_dim: 1e3 }),
  ];
  for (const each of cases)
    await refused(tfjs(sequential(each), weights), /which are not in the file \(it can hold 6 in all\)/);
  const wide = layer('InputLayer', { name: 'x', batch_input_shape: [null, 1e6, 1e6] });
  for (const each of [layer('PReLU'), layer('BatchNormalization'), layer('LayerNormalization', { axis: [1, 2] })]) {
    const topology = { class_name: 'Sequential', config: { name: 'net', layers: [wide, each] } };
    await refused(tfjs(topology, weights), /which are not in the file/);
  }
  // Many that are each not too large.
  const many = Array.from({ length: 1000 }, (_, i) => layer('Dense', { name: `d${i}`, units: 100 }));
  await refused(
    tfjs(sequential(layer('Flatten'), ...many), [{ name: 'a', shape: [10000] }]),
    /which are not in the file/,
  );
  const deep = (depth: number): object =>
    depth === 0
      ? layer('Flatten')
      : { class_name: 'Sequential', config: { name: `s${depth}`, layers: [deep(depth - 1)] } };
  await refused(tfjs(sequential(deep(200))), /models within models more than 32 deep/);
  const large = { class_name: 'Dense', config: { units: 5e8 } };
  await refused(
    tfjs(sequential(layer('Activation', { activation: large }))),
    /Dense has weights; an activation has none/,
  );
  const within = (depth: number): string =>
    depth === 0 ? '"relu"' : `{"class_name": "Activation", "config": {"activation": ${within(depth - 1)}}}`;
  const nested = JSON.stringify(sequential(layer('Activation', { activation: 'HERE' })));
  writeFileSync(
    join(folder, 'within.json'),
    `{"modelTopology": ${nested.replace('"HERE"', within(5000))}, "format": "layers-model", "weightsManifest": []}`,
  );
  await refused(join(folder, 'within.json'), /within\.json/);
  const text = `{"modelTopology": ${'['.repeat(200_000)}${']'.repeat(200_000)}, "format": "layers-model", "weightsManifest": []}`;
  writeFileSync(join(folder, 'deep.json'), text);
  await refused(join(folder, 'deep.json'), /deep\.json/);
  const flat = Array.from({ length: 30_000 }, (_, i) => layer('Flatten', { name: `f${i}` }));
  await refused(tfjs(sequential(...flat)), /has more than 20000 layers/);
});

/** A model of one layer with changes to its manifest. */
function changed(
  change: (json: { weightsManifest: { paths: string[]; weights: Record<string, unknown>[] }[] }) => void,
): string {
  const path = tfjs(sequential(layer('Flatten'), layer('Dense', { units: 2 })), [
    { name: 'dense/kernel', shape: [32, 2] },
    { name: 'dense/bias', shape: [2] },
  ]);
  const json = JSON.parse(readFileSync(path, 'utf8'));
  change(json);
  writeFileSync(path, JSON.stringify(json));
  return path;
}

test('models of TensorFlow.js whose shards are not as they should be', async () => {
  assert.deepEqual((await loadKeras(changed(() => undefined))).outputShape, [null, 2]);
  for (const name of ['../shard.bin', '/etc/hostname', 'a/../../b', 'file:///etc/hostname', '..\\x', '']) {
    const path = changed((json) => {
      json.weightsManifest[0].paths[0] = name;
    });
    await refused(path, /which is none in its folder; refused/);
  }
  const linked = changed((json) => {
    json.weightsManifest[0].paths[0] = 'link.bin';
  });
  symlinkSync('/etc/hostname', join(dirname(linked), 'link.bin'));
  await refused(linked, /leads out of its folder; refused/);
  await refused(
    changed((json) => json.weightsManifest[0].paths.pop()),
    /its weights take 264 bytes, no file has 0/,
  );
  await refused(
    changed((json) => json.weightsManifest[0].paths.push('none.bin')),
    /cannot read its data in "none\.bin": there is no such file/,
  );
  const cut = changed(() => undefined);
  truncateSync(join(dirname(cut), 'shard.bin'), 100);
  await refused(cut, /its weights take 264 bytes, .*shard\.bin has 100; the model is damaged/);
  const weight = (key: string, value: unknown): string =>
    changed((json) => {
      json.weightsManifest[0].weights[0][key] = value;
    });
  await refused(weight('shape', [1e9, 1e9]), /its weights take /);
  await refused(weight('shape', [-1, 2]), /an extent must be an integer ≥ 0/);
  await refused(weight('dtype', 'string'), /has the dtype "string"; known ones are/);
  await refused(weight('quantization', { dtype: 'uint4', scale: 1, min: 0 }), /known ones are uint8, uint16, float16/);
  await refused(weight('quantization', { dtype: 'uint8', scale: '1', min: 0 }), /needs numbers "scale" and "min"/);
  await refused(weight('name', 'dense/bias'), /has two weights named "dense\/bias"/);
  await refused(weight('name', 'other/kernel'), /has no weight "dense\/kernel"/);
  await refused(
    changed((json) => Object.assign(json, { format: 'graph-model' })),
    /is a graph model of TensorFlow\.js, .* Convert .* or the graph model to ONNX/,
  );
});

test('HDF5 files and archives that are not as they should be', async () => {
  for (const name of ['nested.h5', 'compressed.h5']) {
    const whole = bytesOf(name);
    for (const part of [8, 100, 0.3, 0.6, 0.9, 0.99]) {
      const path = join(folder, `cut-${part}.h5`);
      writeFileSync(path, whole.subarray(0, part < 1 ? Math.floor(part * whole.length) : part));
      await refused(path, /cut-.*\.h5/);
    }
  }
  await refused(file('nested.weights.h5'), /has weights alone, no model: build it with gabor\/keras/);
  const path = join(folder, 'model.keras');
  const whole = bytesOf('nested.keras');
  writeFileSync(path, whole.subarray(0, 3000));
  await refused(path, /is no model of Keras/);
  const entries: [string, Uint8Array][] = [];
  for (const [name, entry] of await openZip(memorySource(whole, 'seed'))) entries.push([name, await entry.read()]);
  const packed = (change: (name: string, bytes: Uint8Array) => Uint8Array | undefined): void => {
    const kept = entries.flatMap(([name, bytes]): [string, Uint8Array][] => {
      const now = change(name, bytes);
      return now === undefined ? [] : [[name, now]];
    });
    writeFileSync(path, zip(kept, true));
  };
  packed((name, bytes) => (name === 'config.json' ? bytes.subarray(0, 500) : bytes));
  await refused(path, /config\.json: is not valid JSON/);
  packed((name, bytes) => (name === 'model.weights.h5' ? bytes.subarray(0, 9000) : bytes));
  await refused(path, /model\.weights\.h5/);
  const config = new TextDecoder().decode(entries.find(([name]) => name === 'config.json')?.[1]);
  const other = config.replace('"units": 4', '"units": 5');
  packed((name, bytes) => (name === 'config.json' ? new TextEncoder().encode(other) : bytes));
  await refused(path, /weight "layers\/dense\/vars\/0" is \[12, 4\], but "shared\/kernel" of the model is \[12, 5\]/);
  packed((name, bytes) => (name === 'metadata.json' ? undefined : bytes));
  assert.deepEqual((await loadKeras(path)).inputNames, ['left', 'right']);
});

test('small files that would unpack to very much', async () => {
  const model = tf.sequential({
    layers: [tf.layers.dense({ name: 'dense', units: 2, inputShape: [4], useBias: false })],
  });
  const cases: [string, RegExp][] = [
    ['many-long-names.h5', /is not read to the end: far more is in it than its size allows/],
    ['chunk.h5', /"dense\/kernel".*a chunk of 16 bytes unpacks to more/],
    ['large-chunk.h5', /far more is in it than its size allows/],
  ];
  for (const [name, message] of cases) {
    const [start, before] = [performance.now(), process.memoryUsage().rss];
    await assert.rejects(model.loadWeights(file(name)), (error: Error) => {
      assert.ok(error instanceof FileError, `${error.stack}`);
      assert.match(error.message, message);
      return true;
    });
    assert.ok(performance.now() - start < 5000 && process.memoryUsage().rss - before < 2 ** 28, name);
  }
});

/** Changes what is inside of an archive, so that its checksums are right. */
async function changeEntry(bytes: Uint8Array, random: Random): Promise<Uint8Array> {
  const entries: [string, Uint8Array][] = [];
  for (const [name, entry] of await openZip(memorySource(bytes, 'seed'))) entries.push([name, await entry.read()]);
  const at = random.integer(entries.length);
  entries[at] = [entries[at][0], mutate(entries[at][1], random)];
  return zip(entries, false);
}

async function loadBytes(name: string, bytes: Uint8Array): Promise<void> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  const model = await loadKeras(path);
  model.dispose();
}

test('changed files of Keras are read or refused', async () => {
  const archives = ['images.keras', 'nested.keras', 'sequences.keras', 'volumes.keras', 'activations.keras'];
  const seeds = archives.map((name): [string, Uint8Array] => [name, bytesOf(name)]);
  await fuzz(seeds, (bytes) => loadBytes('changed.keras', bytes));
  await fuzz(seeds, (bytes) => loadBytes('changed.keras', bytes), changeEntry);
  const hdf5 = ['images.h5', 'nested.h5', 'compressed.h5'].map((name): [string, Uint8Array] => [name, bytesOf(name)]);
  await fuzz(hdf5, (bytes) => loadBytes('changed.h5', bytes));
});

test('changed models of TensorFlow.js are read or refused', async () => {
  for (const name of ['group1-shard1of2.bin', 'group1-shard2of2.bin']) {
    copyFileSync(file(`tfjs/quantized/${name}`), join(folder, name));
  }
  await fuzz([['quantized', bytesOf('tfjs/quantized/model.json')]], (bytes) => loadBytes('changed.json', bytes));
  for (const name of ['group1-shard1of2.bin', 'group1-shard2of2.bin']) {
    copyFileSync(file(`tfjs/graph/${name}`), join(folder, name));
  }
  await fuzz([['graph', bytesOf('tfjs/graph/model.json')]], (bytes) => loadBytes('changed.json', bytes));
});
