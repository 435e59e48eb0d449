import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FileError } from '../tensor/errors.js';
import type { TrainingOptions, TrainingSettings } from '../train/index.js';
import { UsageError } from './failure.js';
import { shellWord } from './run-folder.js';
import {
  checkAgainstCheckpoint,
  dataChoice,
  parseRunRecord,
  type RunRecord,
  type TrainFlags,
  trainingOptions,
} from './train-options.js';

const defaults: TrainingOptions = {
  epochs: 8,
  batchSize: 128,
  optimizer: 'sgd',
  lr: 0.1,
  momentum: 0.9,
  nesterov: true,
  weightDecay: 5e-4,
  schedule: { type: 'cosine', warmup: 1 },
  augment: { flip: true },
};
const flags = (given: Partial<TrainFlags>): TrainFlags => ({ device: 'cpu', ...given });

test('what was typed goes before the model’s defaults', () => {
  assert.deepEqual(trainingOptions(flags({}), defaults), { ...defaults, seed: 0 });
  assert.deepEqual(trainingOptions(flags({ lr: 0.5, seed: 4, epochs: 2 }), defaults), {
    ...defaults,
    lr: 0.5,
    seed: 4,
    epochs: 2,
  });
});

test('rates of one optimizer are not taken for another', () => {
  const { optimizer, lr, momentum, nesterov, weightDecay, batchSize } = trainingOptions(
    flags({ optimizer: 'adam' }),
    defaults,
  );
  assert.deepEqual(
    [optimizer, lr, momentum, nesterov, weightDecay, batchSize],
    ['adam', undefined, undefined, undefined, undefined, 128],
  );
});

test('schedules and augmentation', () => {
  assert.deepEqual(trainingOptions(flags({ warmup: 2 }), defaults).schedule, { type: 'cosine', warmup: 2 });
  assert.deepEqual(trainingOptions(flags({ schedule: 'constant' }), defaults).schedule, {
    type: 'constant',
    warmup: 1,
  });
  assert.deepEqual(trainingOptions(flags({ schedule: 'step', epochs: 9 }), defaults).schedule, {
    type: 'step',
    stepSize: 3,
    warmup: 1,
  });
  assert.equal(trainingOptions(flags({ augment: false }), defaults).augment, undefined);
  assert.deepEqual(trainingOptions(flags({ augment: true }), defaults).augment, { flip: true });
  assert.deepEqual(trainingOptions(flags({ augment: { shift: 1 } }), defaults).augment, { shift: 1 });
});

test('after --resume, everything typed must be as in the checkpoint', () => {
  const record: RunRecord = { data: 'strokes', model: 'lenet', options: { seed: 0, size: [32, 32] }, gabor: '0' };
  const settings: TrainingSettings = {
    epochs: 8,
    batchSize: 64,
    optimizer: 'adam',
    lr: 0.002,
    momentum: 0,
    nesterov: false,
    weightDecay: 0,
    schedule: { type: 'cosine' },
    loss: 'crossEntropy',
    labelSmoothing: 0,
    augment: null,
    mixup: 0,
    cutmix: 0,
    ema: 0,
    seed: 0,
    dropLast: true,
  };
  const check = (given: Partial<TrainFlags>) => checkAgainstCheckpoint(flags(given), record, settings);
  check({ epochs: 20, threads: 3, device: 'reference', strict: true, data: '/moved/here' });
  check({ lr: 0.002, seed: 0, size: [32, 32], valSplit: 0, optimizer: 'adam', augment: false, fit: 'crop' });
  for (const given of [
    { lr: 0.1 },
    { batchSize: 32 },
    { ema: 0.9 },
    { mixup: 0.2 },
    { cutmix: 1 },
    { seed: 1 },
    { size: 32 },
    { valSplit: 0.1 },
    { augment: true },
    { augment: { flip: true } },
    { model: 'vgg-small' },
    { schedule: 'step' as const },
    { channels: '3' as const },
  ]) {
    assert.throws(() => check(given), UsageError, JSON.stringify(given));
  }
});

test('what a model remembers of its data', () => {
  const options = dataChoice(flags({ channels: '3', size: 64, lr: 1 }));
  assert.deepEqual(options, { seed: 0, size: 64, channels: 3 });
  const record = { data: '/a', model: 'lenet', options, gabor: '0.1.0' };
  assert.deepEqual(JSON.parse(JSON.stringify(parseRunRecord('m', JSON.stringify(record)))), record);
  assert.equal(parseRunRecord('m', undefined), undefined);
  for (const text of ['{', '{}', '{"data":"a","model":"b"}', '{"data":"a","model":"b","options":null}']) {
    assert.throws(() => parseRunRecord('m', text), FileError, text);
  }
});

test('words for a shell', () => {
  assert.equal(shellWord('runs/a-1'), 'runs/a-1');
  assert.equal(shellWord("it's here"), "'it'\\''s here'");
});
