import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { resnet20 } from '../../models/index.js';
import type { Module } from '../../nn/module.js';
import { tensor } from '../../ops/create.js';
import { crossEntropy } from '../../ops/losses.js';
import { SGD } from '../../optim/index.js';
import type { Tensor } from '../../tensor/tensor.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { sharedPath } from '../../testing/shared.js';
import { fit } from '../../train/fit.js';
import { readNpy } from '../npy.js';
import { loadWeights } from '../weights.js';
import { loadOnnx } from './load.js';

/** The largest difference, relative to the largest magnitude of `expected`. */
function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let [worst, largest] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    worst = Math.max(worst, Math.abs(actual[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return worst / largest;
}

test('a trained ResNet-20 trains on the same way from ONNX and from safetensors', async (t) => {
  const folder = sharedPath('models/resnet20-cifar10');
  if (folder === undefined) return t.skip('shared/models is not there');
  setDevice(TEST_DEVICES[TEST_DEVICES.length - 1].make());
  const fromWeights = resnet20();
  await loadWeights(fromWeights, `${folder}/model.safetensors`);
  const fromOnnx = await loadOnnx(`${folder}/model.onnx`);
  const [input, logits] = [await readNpy(`${folder}/input.npy`), await readNpy(`${folder}/output.npy`)];
  const x = tensor(Float32Array.from(input.data), { shape: input.shape });
  // What the network says of each picture, and the class after that: what it has to learn instead.
  const labels = Int32Array.from({ length: input.shape[0] }, (_, n) => {
    const row = Array.from(logits.data.subarray(10 * n, 10 * n + 10) as Float32Array);
    return (row.indexOf(Math.max(...row)) + 1) % 10;
  });
  const y = tensor(labels);
  const losses: number[][] = [];
  // Batch normalisation of an imported network uses the statistics of the file; so does the other one in evaluation mode.
  for (const model of [fromWeights.eval(), fromOnnx.eval()] as Module[]) {
    assert.ok(difference(model.call(x).data(), logits.data as Float32Array) < 1e-4);
    const optimizer = new SGD(model.parameters(), { lr: 0.001, momentum: 0.9 });
    const step = compile((images: Tensor, classes: Tensor) => {
      const loss = crossEntropy(model.call(images), classes);
      optimizer.step(gradients(loss, optimizer.parameters));
      return loss;
    });
    const seen: number[] = [];
    for (let i = 0; i < 8; i++) {
      using loss = await step(x, y);
      seen.push(loss.item());
    }
    losses.push(seen);
  }
  t.diagnostic(losses.map((seen) => seen.map((loss) => loss.toFixed(3)).join(' ')).join(' | '));
  assert.ok(losses[0][7] < 0.5 * losses[0][0], 'the loss falls');
  losses[0].forEach((loss, i) => {
    assert.ok(Math.abs(losses[1][i] - loss) < 1e-3 * losses[0][0], `step ${i}: ${losses[1][i]} instead of ${loss}`);
  });
  // Every weight has moved to the same place.
  const [own, imported] = [fromWeights.stateDict(), fromOnnx.stateDict()];
  const names = Object.keys(own).filter((name) => own[name].dtype === 'f32' && Object.hasOwn(imported, name));
  assert.ok(names.length >= 60, `${names.length} names in common`);
  for (const name of names) {
    const apart = difference(imported[name].data(), own[name].data());
    assert.ok(apart < 1e-3, `${name} differs by ${apart} of the largest`);
  }
});

test('a network from ONNX trains on with fit', async (t) => {
  const folder = sharedPath('models/resnet20-cifar10');
  if (folder === undefined) return t.skip('shared/models is not there');
  setDevice(TEST_DEVICES[TEST_DEVICES.length - 1].make());
  const model = await loadOnnx(`${folder}/model.onnx`);
  const [input, logits] = [await readNpy(`${folder}/input.npy`), await readNpy(`${folder}/output.npy`)];
  const [count] = input.shape;
  const targets = Int32Array.from({ length: count }, (_, n) => {
    const row = Array.from(logits.data.subarray(10 * n, 10 * n + 10) as Float32Array);
    return (row.indexOf(Math.max(...row)) + 1) % 10;
  });
  const train = { count, inputs: Float32Array.from(input.data), targets };
  const data = { inputShape: [3, 32, 32], targetShape: [], classes: [...'abcdefghij'], splits: { train } };
  const { history } = await fit(model, data, { epochs: 12, batchSize: count, optimizer: 'adam', lr: 3e-4 });
  assert.equal(history[0].accuracy, 0);
  assert.ok((history.at(-1)?.accuracy ?? 0) >= 0.75, history.map(({ accuracy }) => accuracy).join(' '));
});
