import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileError } from '../tensor/errors.js';
import { bitsOf, tinyData, tinyModel } from '../testing/tiny-training.js';
import { type FitOptions, fit, type TrainingState } from '../train/index.js';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.js';
import { loadModel } from './model-file.js';
import { parseSafetensors, serializeSafetensors } from './safetensors.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));

const description = {
  classes: ['left', 'right', 'top'],
  preprocessing: { channels: 1, height: 6, width: 6, mean: [0.4], std: [0.3] },
} as const;

const OPTIMIZERS: FitOptions[] = [
  { optimizer: 'sgd', lr: 0.05, nesterov: true, weightDecay: 1e-3 },
  { optimizer: 'adam', lr: 0.01 },
  { optimizer: 'adamw', lr: 0.01 },
  { optimizer: 'adam', lr: 0.01, ema: 0.9 },
];

test('two epochs in one go, and one, a file, and one more, give the same bits with every optimizer', async () => {
  const data = tinyData(24, 6);
  for (const choice of OPTIMIZERS) {
    const options: FitOptions = { epochs: 2, batchSize: 6, seed: 3, augment: { shift: 1 }, workers: 0, ...choice };
    const straight = tinyModel();
    const paths: string[] = [];
    await fit(straight, data, {
      ...options,
      onCheckpoint: async (state) => {
        const path = join(folder, `${choice.optimizer}-${state.progress.epoch}.safetensors`);
        await saveCheckpoint(path, straight, state, description);
        paths.push(path);
      },
    });
    const { model, state } = await loadCheckpoint(paths[0]);
    const again = join(folder, 'again.safetensors');
    const { history } = await fit(model, data, {
      resume: state,
      workers: 0,
      onCheckpoint: (reached) => saveCheckpoint(again, model, untimed(reached), description),
    });
    assert.deepEqual(bitsOf(model), bitsOf(straight), choice.optimizer);
    assert.equal(history.length, 2);
    const { model: end, state: endState } = await loadCheckpoint(paths[1]);
    const expected = join(folder, 'expected.safetensors');
    await saveCheckpoint(expected, end, untimed(endState), description);
    assert.deepEqual(readFileSync(again), readFileSync(expected), 'the final checkpoints are the same bytes');
  }
});

/** Without the times, which differ from run to run. */
function untimed(state: TrainingState): TrainingState {
  return { ...state, history: state.history.map((record) => ({ ...record, seconds: 0, imagesPerSecond: 0 })) };
}

test('a checkpoint in the middle of an epoch goes on to the same bits', async () => {
  const data = tinyData(24, 6);
  const options: FitOptions = { epochs: 1, batchSize: 6, lr: 0.01, workers: 0 };
  const straight = tinyModel();
  await fit(straight, data, options);
  const controller = new AbortController();
  const path = join(folder, 'middle.safetensors');
  const stopped = tinyModel();
  await fit(stopped, data, {
    ...options,
    signal: controller.signal,
    onEvent: (event) => event.event === 'step' && event.batch === 2 && controller.abort(),
    onCheckpoint: (state) => saveCheckpoint(path, stopped, state, description),
  });
  const { model, state } = await loadCheckpoint(path);
  assert.ok(state.progress.batch >= 2 && state.progress.batch < 4);
  await fit(model, data, { resume: state, workers: 0 });
  assert.deepEqual(bitsOf(model), bitsOf(straight));
});

test('a checkpoint is also a model', async () => {
  const model = tinyModel();
  const path = join(folder, 'model.safetensors');
  await fit(model, tinyData(6, 3), {
    epochs: 1,
    workers: 0,
    ema: 0.5,
    onCheckpoint: (state) => saveCheckpoint(path, model, state, description),
  });
  const classifier = await loadModel(path);
  assert.deepEqual(classifier.classes, description.classes);
  assert.deepEqual(classifier.model.stateDict()['conv.weight'].data(), model.stateDict()['conv.weight'].data());
});

test('damaged checkpoints are FileErrors that say what is wrong', async () => {
  const model = tinyModel();
  const path = join(folder, 'damaged.safetensors');
  await fit(model, tinyData(6, 3), {
    epochs: 1,
    workers: 0,
    onCheckpoint: (state) => saveCheckpoint(path, model, state, description),
  });
  const whole = readFileSync(path);
  const { tensors, metadata } = parseSafetensors(whole);
  const training = JSON.parse(metadata.training);
  const state = Object.fromEntries(tensors);
  const { 'random.dropout.state': _, ...withoutRandom } = state;
  const stray = { ...state, other: { dtype: 'u8', shape: [1], data: Uint8Array.of(1) } } as typeof state;
  const text = (value: unknown): Record<string, string> => ({ ...metadata, training: JSON.stringify(value) });
  const { training: __, ...untrained } = metadata;
  const cases: [typeof state, Record<string, string>, RegExp][] = [
    [withoutRandom, metadata, /the model has dropout.state, which the file lacks/],
    [stray, metadata, /unknown tensor "other"/],
    [state, untrained, /"training" is missing/],
    [state, text(null), /no valid progress/],
    [state, text({ ...training, progress: { ...training.progress, epoch: -1 } }), /no valid progress/],
    [state, text({ ...training, history: [] }), /no history of its epochs/],
    [state, text({ ...training, data: undefined }), /what data it belongs to/],
    [state, text({ ...training, settings: undefined }), /no settings/],
    [state, text({ ...training, settings: { ...training.settings, lr: -1 } }), /settings that make no sense: .*lr/],
  ];
  for (const [changed, described, message] of cases) {
    writeFileSync(path, serializeSafetensors(changed, described));
    await assert.rejects(loadCheckpoint(path), (error: Error) => {
      assert.ok(error instanceof FileError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
  for (let length = 0; length < whole.length; length += 173) {
    writeFileSync(path, whole.subarray(0, length));
    await assert.rejects(loadCheckpoint(path), FileError);
  }
});
