import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { tensor } from '../ops/create.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import { testLayerFixtures } from '../testing/layer-fixtures.js';
import { Identity, ReLU } from './layers/activation.js';
import { type Merge, ModuleList, Parallel } from './layers/container.js';
import { Embedding } from './layers/embedding.js';
import { Linear } from './layers/linear.js';
import { moduleFromConfig } from './registry.js';

testLayerFixtures('containers');

test('an embedding starts normal with an empty padding row, and a number that is no word gives NaN', () => {
  setDevice(EXACT.make());
  const layer = new Embedding(200, 16, { paddingIdx: -200 });
  const data = [...layer.weight.data()];
  assert.ok(data.slice(0, 16).every((value) => value === 0));
  const rest = data.slice(16);
  const variance = rest.reduce((sum, value) => sum + value * value, 0) / rest.length;
  assert.ok(Math.abs(variance - 1) < 0.1, `variance ${variance}`);
  const numbers = tensor(Int32Array.of(-1, 0, 199, 200));
  assert.throws(() => layer.forward(numbers), /index -1 .*must lie between 0 and 199/);
  const y = compile((x: Tensor) => layer.forward(x))
    .sync(numbers)
    .data();
  assert.deepEqual(
    [0, 1, 2, 3].map((n) => Number.isNaN(y[16 * n])),
    [true, false, false, true],
  );
});

test('a module list holds modules and has no function', () => {
  setDevice(EXACT.make());
  const list = new ModuleList([new Linear(2, 3)]).append(new ReLU());
  assert.equal(list.length, 2);
  assert.equal(list.at(-1).type, 'ReLU');
  assert.deepEqual(
    [...list].map((module) => module.type),
    ['Linear', 'ReLU'],
  );
  assert.deepEqual(Object.keys(list.stateDict()), ['0.weight', '0.bias']);
  assert.deepEqual(moduleFromConfig(list.config()).config(), list.config());
  assert.throws(() => list.forward(tensor([1])), /has no function of its own/);
  assert.throws(() => list.at(2), /there is no child 2, only 2/);
});

test('containers and embeddings refuse what does not fit', () => {
  setDevice(EXACT.make());
  const x = tensor([[1, 2]]);
  const pair = [new Linear(2, 3), new Identity()];
  assert.throws(
    () => new Parallel(pair, { merge: 'sum' }).forward(x),
    /"0" gives \[1, 3\], but "1" \[1, 2\]; sum needs/,
  );
  assert.throws(() => new Parallel(pair, { dim: 0 }).forward(x), /may differ along axis 0 only/);
  assert.throws(() => new Parallel([]), /at least one branch/);
  assert.throws(() => new Parallel({ 1: new Identity() }), /JavaScript sorts keys/);
  assert.throws(() => new Parallel([new Identity()], { merge: 'min' as Merge }), /merge must be one of "concat"/);
  assert.throws(() => new Parallel([new Identity()], { merge: 'sum', dim: 2 }), /dim belongs to merge "concat"/);
  assert.throws(() => new Embedding(4, 2, { paddingIdx: 4 }), /one of the 4 rows/);
  assert.throws(() => new Embedding(4, 2, { maxNorm: 1 } as object), /unknown option "maxNorm"/);
  assert.throws(() => new Embedding(4, 2).forward(x), /numbers of words as i32, got f32\[1, 2\]/);
});
