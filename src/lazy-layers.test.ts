import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  compile,
  Flatten,
  fit,
  initializeLazy,
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyConv2d,
  LazyLinear,
  LazySeparableConv2d,
  load,
  MaxPool2d,
  type Module,
  manualSeed,
  moduleFromConfig,
  openDataset,
  preprocessingOf,
  ReLU,
  randomNormal,
  Sequential,
  save,
  sequential,
  summary,
  type Tensor,
} from './index.js';

/** A network of which only the outputs are given. */
const network = (): Module => {
  manualSeed(1);
  return sequential(
    new LazyConv2d(4, 3),
    new LazyBatchNorm2d(),
    new ReLU(),
    new MaxPool2d(2),
    new LazySeparableConv2d(6, 3, { depthMultiplier: 2 }),
    new Flatten(),
    new LazyLinear(8),
    new LazyBatchNorm1d(),
    new LazyLinear(10),
  );
};

const preprocessing = { channels: 3, height: 12, width: 12, mean: [0, 0, 0], std: [1, 1, 1] } as const;

const state = (model: Module): unknown =>
  Object.entries(model.stateDict()).map(([name, tensor]) => [name, [...tensor.data()]]);

test('fit makes the parameters of lazy layers; the saved model has ordinary ones', async () => {
  const data = await openDataset('strokes', { trainCount: 64, testCount: 16, seed: 1 });
  const model = network();
  await fit(model, data, { epochs: 1, batchSize: 16, workers: 0 });
  const types = (model.config().layers as { type: string }[]).map(({ type }) => type);
  assert.ok(
    types.every((type) => !type.startsWith('Lazy')),
    types.join(),
  );
  const folder = mkdtempSync(join(tmpdir(), 'gabor-lazy-'));
  try {
    const path = join(folder, 'model.safetensors');
    await save(path, model, { classes: data.classes, preprocessing: preprocessingOf(data) });
    const { model: loaded } = await load(path);
    assert.deepEqual(loaded.config(), model.config());
    assert.deepEqual(state(loaded), state(model));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('summary, a first call, a first call in a program and initializeLazy make the same parameters', async () => {
  const x = randomNormal([2, 3, 12, 12], 1);
  const called = network();
  called.eval().forward(x);
  const compiled = network();
  const program = compile((images: Tensor) => compiled.eval().call(images));
  await program(x);
  const summarized = network();
  const { totals, rows } = summary(summarized, [3, 12, 12]);
  const initialized = network();
  initializeLazy(initialized, [3, 12, 12]);
  initializeLazy(initialized, [3, 12, 12]);
  for (const model of [compiled, summarized, initialized]) assert.deepEqual(state(model), state(called));
  const parameters = called.parameters().reduce((sum, { size }) => sum + size, 0);
  assert.equal(totals.parameters, parameters);
  assert.equal(parameters, 3 * 9 * 4 + 4 + 8 + (8 * 9 + 8 * 6 + 6) + (54 * 8 + 8) + 16 + (80 + 10));
  assert.equal(rows.find(({ name }) => name === '4.depthwise')?.kernel, '3×3');
  assert.ok(initialized.training);
});

test('before the first call, the message says which layer and what to do', async () => {
  const model = network();
  const folder = mkdtempSync(join(tmpdir(), 'gabor-lazy-'));
  try {
    await assert.rejects(
      async () =>
        save(join(folder, 'model.safetensors'), model, {
          classes: ['a', 'b'],
          preprocessing,
        }),
      /"0" \(LazyConv2d\) has no parameters before its first call, which tells it the input channels; call the model/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
  model.forward(randomNormal([2, 3, 12, 12], 1));
  assert.throws(() => model.forward(randomNormal([2, 1, 12, 12], 1)), /LazyConv2d "0": .*3/);
  const head = new Sequential({ head: new Sequential(new ReLU(), new LazyLinear(3)) });
  assert.throws(() => head.parameters(), /"head.1" \(LazyLinear\) has no parameters .* tells it the input features/);
  assert.equal(moduleFromConfig(head.config()).submodule('head.1').type, 'LazyLinear');
});
