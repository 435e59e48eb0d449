import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { lenet, resnetSmall, vggSmall } from '../models/index.js';
import { FileError } from '../tensor/errors.js';
import { bitsOf, tinyModel, tinySplit } from '../testing/tiny-training.js';
import { type HostTensor, type Preprocessing, predictImages } from '../train/index.js';
import { loadCheckpoint } from './checkpoint.js';
import { loadModel, saveModel } from './model-file.js';
import { parseSafetensors, serializeSafetensors } from './safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));
const path = join(folder, 'model.safetensors');

const preprocessing: Preprocessing = { channels: 1, height: 6, width: 6, mean: [0.4], std: [0.3], fit: 'pad' };
const description = { classes: ['left', 'right', 'top'], preprocessing, extra: { note: 'made by a test' } };

/** The saved tiny model, changed. */
async function damaged(
  change: (tensors: Record<string, HostTensor>, metadata: Record<string, string>) => void,
): Promise<Uint8Array> {
  await saveModel(path, tinyModel(), description);
  const { tensors, metadata } = parseSafetensors(readFileSync(path));
  const parts = [Object.fromEntries(tensors), { ...metadata }] as const;
  change(...parts);
  return serializeSafetensors(...parts);
}

test('a loaded model is the saved one, bit by bit, in evaluation mode, with all that describes it', async () => {
  const models = [
    tinyModel(),
    lenet({ classes: 3, size: 12 }),
    vggSmall({ width: 4, size: 100, inChannels: 3 }),
    resnetSmall({ width: 4, blocks: 1 }),
  ];
  for (const model of models) {
    await saveModel(path, model, description);
    const loaded = await loadModel(path);
    assert.deepEqual(loaded.model.config(), model.config());
    const weights = (m: typeof model): object =>
      Object.fromEntries(Object.entries(m.stateDict()).map(([name, t]) => [name, [...t.data()]]));
    assert.deepEqual(weights(loaded.model), weights(model));
    assert.ok(loaded.model.modules().every(({ training }) => !training));
    assert.deepEqual(loaded.classes, description.classes);
    assert.deepEqual(loaded.preprocessing, preprocessing);
    assert.deepEqual(loaded.metadata, description.extra);
  }
  const [model] = models;
  await saveModel(path, model, description);
  const { images } = tinySplit(2, 5);
  const [before, again] = [model, (await loadModel(path)).model];
  assert.deepEqual(
    await predictImages(again, images, preprocessing),
    await predictImages(before, images, preprocessing),
  );
});

test('a model that classifies no pictures needs no description', async () => {
  const model = tinyModel();
  await saveModel(path, model);
  const { model: loaded, ...rest } = await loadModel(path);
  assert.deepEqual(rest, { metadata: {} });
  assert.deepEqual(loaded.config(), model.config());
  const inputs = [{ name: 'x', dtype: 'f32', shape: ['n', 1, null, 6] }] as const;
  await saveModel(path, model, { inputs, outputs: [{ name: 'y', dtype: undefined, shape: undefined }] });
  const ports = await loadModel(path);
  assert.deepEqual(ports.inputs, inputs);
  assert.deepEqual(ports.outputs, [{ name: 'y', dtype: undefined, shape: undefined }]);
});

test('any reader finds the weights by name, and the same model gives the same bytes', async () => {
  await saveModel(path, tinyModel(), description);
  const bytes = readFileSync(path);
  const { tensors, metadata } = parseSafetensors(bytes);
  assert.deepEqual(tensors.get('conv.weight')?.shape, [4, 1, 3, 3]);
  assert.deepEqual(tensors.get('bn.num_batches_tracked')?.shape, []);
  assert.equal(metadata.format, 'gabor');
  assert.equal(metadata.note, 'made by a test');
  await saveModel(path, tinyModel(), description);
  assert.deepEqual(readFileSync(path), bytes);
});

test('a damaged model is a FileError that names the tensor or layer, what was expected and what is there', async () => {
  const f32 = (...shape: number[]): HostTensor => ({
    dtype: 'f32',
    shape,
    data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
  });
  const architecture = (edit: (text: string) => string) => (_: object, metadata: Record<string, string>) => {
    metadata.architecture = edit(metadata.architecture);
  };
  const meta = (key: string, value?: string) => (_: object, metadata: Record<string, string>) => {
    if (value === undefined) delete metadata[key];
    else metadata[key] = value;
  };
  const preprocess = (change: object) => meta('preprocessing', JSON.stringify({ ...preprocessing, ...change }));
  const cases: [Parameters<typeof damaged>[0], RegExp][] = [
    [(t) => (t['fc.weight'] = f32(3, 35)), /tensor "fc.weight" is f32\[3, 35\], but the model expects f32\[3, 36\]/],
    [(t) => (t['fc.bias'] = { dtype: 'i32', shape: [3], data: new Int32Array(3) }), /"fc.bias" is i32\[3\].*f32\[3\]/],
    [(t) => delete t['bn.running_var'], /the model has bn.running_var, which the file lacks/],
    [(t) => (t.extra = f32(1)), /the file has extra, which the model lacks/],
    [
      architecture((text) => text.replace('"ReLU"', '"Swish"')),
      /unknown layer "Swish"; known layers are AdaptiveAvgPool1d/,
    ],
    [
      architecture((text) => text.replace('"outChannels":4', '"outChannels":-4')),
      /outChannels must be an integer ≥ 1, got -4/,
    ],
    [
      architecture((text) => text.replace('"outChannels":4', '"outChannels":1e8')),
      /Conv2d layer needs 900000000 numbers/,
    ],
    [
      architecture((text) => text.replace('"outFeatures":3', '"outFeatures":1e15')),
      /Linear layer needs 36000000000000000/,
    ],
    [architecture((text) => text.replace('"kernelSize":[3,3]', '"kernelSize":"big"')), /cannot build the model/],
    [architecture((text) => text.replace('"bias":true', '"bias":true,"speed":3')), /unknown option "speed"/],
    [architecture((text) => text.slice(1)), /"architecture" is not valid JSON/],
    [architecture(() => 'null'), /cannot build the model: a layer's configuration/],
    [meta('architecture'), /weights without an architecture/],
    [meta('format', 'pt'), /no format "gabor"/],
    [meta('version', '2'), /version 2 of the model format; this program reads version 1/],
    [meta('classes', '[1,2]'), /"classes" must be a list of names/],
    [meta('preprocessing', '3'), /"preprocessing" must be an object/],
    [preprocess({ channels: 2 }), /has 2 channels, expected 1 or 3/],
    [preprocess({ height: 0 }), /a size of 0×6/],
    [preprocess({ mean: [0, 0, 0] }), /1 numbers each in "mean" and "std"/],
    [preprocess({ std: [0] }), /standard deviation that is not positive/],
    [preprocess({ fit: 'zoom' }), /unknown fit "zoom"/],
    [preprocess({ background: {} }), /"background" without mean/],
    [meta('inputs', '3'), /"inputs" must be a list/],
    [meta('inputs', '[{"name":""}]'), /"inputs" does not name its entry 0/],
    [meta('outputs', '[{"name":"y","dtype":"f8"}]'), /"outputs" has the unknown dtype "f8"/],
    [meta('outputs', '[{"name":"y","shape":[-1]}]'), /"outputs" has the shape \[-1\] of "y"/],
  ];
  for (const [change, message] of cases) {
    writeFileSync(path, await damaged(change));
    await assert.rejects(loadModel(path), (error: Error) => {
      assert.ok(error instanceof FileError, `${message}: ${error.stack}`);
      assert.match(error.message, message);
      assert.ok(error.message.startsWith(path));
      return true;
    });
  }
});

test('a model file cut short is a FileError, wherever it ends', async () => {
  const whole = await damaged(() => undefined);
  for (let length = 0; length < whole.length; length += 97) {
    writeFileSync(path, whole.subarray(0, length));
    await assert.rejects(loadModel(path), FileError);
  }
  await assert.rejects(loadModel(join(folder, 'none')), /there is no such file/);
});

test('deep nesting in the architecture is a FileError, not a crash', async () => {
  const depth = 20_000;
  const text = `${'{"type":"Sequential","layers":['.repeat(depth)}${']}'.repeat(depth)}`;
  writeFileSync(path, await damaged((_, metadata) => (metadata.architecture = text)));
  await assert.rejects(loadModel(path), FileError);
});

test('metadata of its own cannot hide the description, and a model is no checkpoint', async () => {
  const extra = { architecture: '{}' };
  await assert.rejects(saveModel(path, tinyModel(), { ...description, extra }), /"architecture" has a meaning/);
  await saveModel(path, tinyModel(), description);
  await assert.rejects(loadCheckpoint(path), /is a model, not a checkpoint/);
});

test('loading leaves nothing of the fresh initial weights', async () => {
  const model = tinyModel(1);
  await saveModel(path, model, description);
  const { model: loaded } = await loadModel(path);
  const { 'dropout.state': _saved, ...expected } = bitsOf(model);
  const { 'dropout.state': _fresh, ...actual } = bitsOf(loaded);
  assert.deepEqual(actual, expected);
});
