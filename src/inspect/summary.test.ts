import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Random } from '../tensor/random.js';
import '../runtime/default-device.js';
import { ReLU } from '../nn/layers/activation.js';
import { AdaptiveAvgPool2d } from '../nn/layers/adaptive-pooling.js';
import { Residual, Sequential } from '../nn/layers/container.js';
import { Conv2d } from '../nn/layers/conv.js';
import { Flatten } from '../nn/layers/flatten.js';
import { Linear } from '../nn/layers/linear.js';
import { AvgPool2d, MaxPool2d } from '../nn/layers/pooling.js';
import { Module } from '../nn/module.js';
import { tensor } from '../ops/create.js';
import { tanh } from '../ops/elementwise.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { featureMaps, firstFilters } from './feature-maps.js';
import { formatBytes, formatDuration, formatLarge, formatPercent } from './format.js';
import { summary } from './summary.js';
import { receptiveText } from './summary-text.js';

function lenet(): Module {
  return new Sequential({
    features: new Sequential(
      new Conv2d(1, 6, 5, { padding: 2 }),
      new ReLU(),
      new MaxPool2d(2),
      new Conv2d(6, 16, 5),
      new ReLU(),
      new MaxPool2d(2),
    ),
    flatten: new Flatten(),
    classifier: new Sequential(new Linear(400, 120), new ReLU(), new Linear(120, 84), new ReLU(), new Linear(84, 10)),
  });
}

test('LeNet: parameters, multiply-adds, memory and receptive fields as by hand', () => {
  const result = summary(lenet(), [1, 28, 28]);
  const row = (name: string) => result.rows.find((r) => r.name === name)!;
  assert.deepEqual(result.rows.map((r) => [r.name, r.depth, r.container]).slice(0, 4), [
    ['', 0, true],
    ['features', 1, true],
    ['features.0', 2, false],
    ['features.1', 2, false],
  ]);
  assert.equal(result.rows.length, 1 + 1 + 6 + 1 + 1 + 5);
  assert.deepEqual(
    ['features.0', 'features.3', 'classifier.0', 'classifier.2', 'classifier.4'].map((name) => [
      row(name).parameters,
      row(name).multiplyAdds,
    ]),
    [
      [6 * 25 + 6, 28 * 28 * 6 * 25],
      [16 * 6 * 25 + 16, 10 * 10 * 16 * 6 * 25],
      [400 * 120 + 120, 400 * 120],
      [120 * 84 + 84, 120 * 84],
      [84 * 10 + 10, 84 * 10],
    ],
  );
  assert.equal(result.totals.parameters, 61_706);
  assert.equal(result.totals.multiplyAdds, 416_520);
  // Two convolutions, their activations and pools; no memory for flattening; three linear layers, two activations.
  assert.equal(result.totals.activationBytes, 4 * (2 * 4704 + 1176 + 2 * 1600 + 400 + 2 * 120 + 2 * 84 + 10));
  assert.equal(row('flatten').activationBytes, 0);
  assert.deepEqual(row('features.2').outputShape, [6, 14, 14]);
  assert.deepEqual(result.outputShape, [10]);
  assert.deepEqual(result.rows.filter((r) => /features\.\d/.test(r.name)).map(receptiveText), [
    '5×5',
    '5×5',
    '6×6',
    '14×14',
    '14×14',
    '16×16',
  ]);
  assert.deepEqual(row('features.5').jump, [4, 4]);
  assert.equal(receptiveText(row('classifier.0')), 'all');
  assert.equal(row('features.0').kernel, '5×5 pad 2');
  assert.equal(row('features.2').kernel, '2×2');
});

test('residual blocks, strides, groups and shared modules', () => {
  const shared = new Conv2d(4, 4, 3, { padding: 1, groups: 4, bias: false });
  const model = new Sequential(
    new Conv2d(3, 4, 3, { stride: 2, padding: 1, dilation: 2 }),
    new Residual(new Sequential(shared, new ReLU(), shared)),
    new AvgPool2d(2, { stride: 1 }),
    new AdaptiveAvgPool2d(1),
    new Flatten(),
  );
  const { rows, totals } = summary(model, [3, 16, 16]);
  const types = rows.map((r) => `${r.name} ${r.type}`);
  const first = rows[1];
  assert.equal(first.kernel, '3×3 stride 2 pad 1 dilation 2');
  const calls = rows.filter((r) => r.kernel === '3×3 pad 1 groups 4');
  assert.equal(calls.length, 2, types.join('; '));
  assert.deepEqual(
    calls.map((r) => [r.parameters, r.again]),
    [
      [36, false],
      [0, true],
    ],
  );
  assert.equal(calls[0].multiplyAdds, 7 * 7 * 4 * 9);
  assert.equal(calls[1].multiplyAdds, calls[0].multiplyAdds);
  assert.equal(totals.parameters, 3 * 4 * 9 + 4 + 36);
  // 5, then twice 3×3 in steps of 2; the sum itself is memory of the block.
  const block = rows.find((r) => r.type === 'Residual')!;
  assert.deepEqual(block.receptiveField, [13, 13]);
  assert.equal(block.activationBytes, 4 * 4 * 7 * 7);
  assert.equal(rows.find((r) => r.type === 'AvgPool2d')!.kernel, '2×2 stride 1');
  assert.deepEqual(rows.find((r) => r.type === 'AvgPool2d')!.receptiveField, [15, 15]);
  assert.equal(receptiveText(rows.find((r) => r.type === 'AdaptiveAvgPool2d')!), 'all');
});

test('modules of users need no config', () => {
  class Squash extends Module {
    readonly type = 'Squash';
    readonly conv = this.child('conv', new Conv2d(1, 2, 3));
    forward(x: Tensor): Tensor {
      return tanh(this.conv.call(x));
    }
  }
  const { rows } = summary(new Squash(), [1, 8, 8]);
  assert.deepEqual(
    rows.map((r) => [r.name, r.type, r.activationBytes]),
    [
      ['', 'Squash', 2 * 36 * 4],
      ['conv', 'Conv2d', 2 * 36 * 4],
    ],
  );
});

test('shapes that do not fit name the layer; nonsense is rejected; modes are kept', () => {
  const model = lenet();
  model.train();
  assert.throws(
    () => summary(model, [3, 28, 28]),
    (error) => error instanceof ShapeError && /features\.0/.test(error.message),
  );
  assert.throws(
    () => summary(model, [1, 32, 32]),
    (error) => error instanceof ShapeError && /classifier\.0/.test(error.message),
  );
  assert.throws(() => summary(model, [1, 0, 28]), OptionError);
  assert.throws(() => summary(model, [1, 2.5, 28]), OptionError);
  assert.ok(model.modules().every((module) => module.training));
});

test('feature maps are what the layers put out', async () => {
  const random = new Random(3);
  const first = new Conv2d(1, 3, 3, { random });
  const second = new Conv2d(3, 2, 3, { random });
  const model = new Sequential(first, new ReLU(), second, new Flatten());
  const x = tensor(
    Float32Array.from({ length: 64 }, () => random.normal()),
    { shape: [1, 1, 8, 8] },
  );
  const maps = await featureMaps(model, x);
  assert.deepEqual(
    maps.map((map) => [map.layer, map.shape]),
    [
      ['0', [3, 6, 6]],
      ['2', [2, 4, 4]],
    ],
  );
  assert.deepEqual(maps[0].data, first.forward(x).data());
  assert.deepEqual(maps[1].data, second.forward(new ReLU().forward(first.forward(x))).data());
  const filters = firstFilters(model)!;
  assert.deepEqual([filters.layer, filters.shape], ['0', [3, 1, 3, 3]]);
  assert.deepEqual(filters.data, first.weight.data());
  assert.equal(firstFilters(new Sequential(new Flatten())), undefined);
});

test('numbers for people', () => {
  assert.deepEqual([0, 999, 1000, 61_706, 416_520, 999_999, 5_570_000_000].map(formatLarge), [
    '0',
    '999',
    '1.00 k',
    '61.7 k',
    '417 k',
    '1.00 M',
    '5.57 G',
  ]);
  assert.deepEqual([0, 1023, 1024, 3 * 2 ** 20].map(formatBytes), ['0 B', '1023 B', '1.00 KiB', '3.00 MiB']);
  assert.deepEqual([0.5, 42, 65, 7384, Number.NaN].map(formatDuration), [
    '0.5 s',
    '42 s',
    '1 min 05 s',
    '2 h 03 min',
    '—',
  ]);
  assert.deepEqual([formatPercent(0.98254), formatPercent(Number.NaN)], ['98.25 %', '—']);
});
