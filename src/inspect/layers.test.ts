import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { ReLU } from '../nn/layers/activation.js';
import { GlobalAvgPool2d } from '../nn/layers/adaptive-pooling.js';
import { Parallel, Residual, Sequential } from '../nn/layers/container.js';
import { Conv1d, Conv2d, Conv3d } from '../nn/layers/conv.js';
import { ConvTranspose2d } from '../nn/layers/conv-transpose.js';
import { Embedding } from '../nn/layers/embedding.js';
import * as padding from '../nn/layers/padding-layers.js';
import { MaxPool2d } from '../nn/layers/pooling.js';
import { GRU, LSTM, RNN } from '../nn/layers/recurrent.js';
import { PixelShuffle, PixelUnshuffle } from '../nn/layers/shuffle.js';
import { Upsample } from '../nn/layers/upsample.js';
import { Module } from '../nn/module.js';
import { randomNormal } from '../ops/create.js';
import { flip } from '../ops/flip.js';
import { maxPoolWithIndices, maxUnpool } from '../ops/maxunpool.js';
import type { PaddingMode } from '../ops/padding.js';
import { OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import { featureMaps } from './feature-maps.js';
import { inputRegion, multiplyAdds, outputShape, receptiveField } from './geometry.js';
import { summary } from './summary.js';
import type { Network } from './trace-network.js';

setDevice(EXACT.make());

/** [size, stride, start] of the first axis; all axes agree. */
function field(network: Network, shape: Shape = [2, 16, 16]): (number | undefined)[] {
  const axes = receptiveField(network, shape);
  for (const [s, axis] of axes.entries()) {
    assert.equal(axis.dimension, 2 + s);
    assert.deepEqual({ ...axis, dimension: 2 }, axes[0]);
  }
  return [axes[0].size, axes[0].stride, axes[0].start];
}

const MODES: readonly PaddingMode[] = ['zeros', 'constant', 'reflect', 'replicate', 'circular'];

test('what padding repeats is padding: the field of the interior is the same in every mode', () => {
  for (const paddingMode of MODES) {
    const conv = (kernel: number, options = {}) =>
      new Conv2d(2, 2, kernel, { padding: 'same', paddingMode, ...options });
    assert.deepEqual(field(conv(3)), [3, 1, -1], paddingMode);
    assert.deepEqual(field(new Sequential(conv(3), new ReLU(), conv(3))), [5, 1, -2], paddingMode);
    assert.deepEqual(field(new Sequential(conv(3), conv(3, { stride: 2 }), conv(3))), [9, 2, -3], paddingMode);
    assert.deepEqual(field(new Residual(conv(5, { dilation: 2 }))), [9, 1, -4], paddingMode);
    const line = new Sequential(new Conv1d(2, 2, 7, { padding: 3, paddingMode }));
    assert.deepEqual(field(line, [2, 9]), [7, 1, -3], paddingMode);
    const volume = new Conv3d(2, 2, 3, { padding: 1, paddingMode });
    assert.deepEqual(field(volume, [2, 4, 4, 4]), [3, 1, -1], paddingMode);
  }
  const layers = [
    new padding.ReflectionPad2d(3),
    new padding.ReplicationPad2d(3),
    new padding.CircularPad2d(3),
    new padding.ZeroPad2d(3),
    new padding.ConstantPad2d(3, 1),
  ];
  for (const layer of layers)
    assert.deepEqual(field(new Sequential(layer, new Conv2d(2, 2, 7))), [7, 1, -3], layer.type);
});

test('a neuron at the border also reads what reflection, edges or the other end stand for', () => {
  const region = (paddingMode: PaddingMode, at: number): (number | undefined)[] => {
    const found = inputRegion(new Conv1d(1, 1, 5, { padding: 2, paddingMode }), [1, 8], [0, at]);
    return [found?.start[1], found?.end[1]];
  };
  assert.deepEqual(region('zeros', 0), [0, 3]);
  assert.deepEqual(region('reflect', 0), [0, 3]);
  assert.deepEqual(region('replicate', 0), [0, 3]);
  assert.deepEqual(region('circular', 0), [0, 8]);
  assert.deepEqual(region('circular', 4), [2, 7]);
  const shifted = new Sequential(new padding.ReflectionPad1d([3, 0]), new Conv1d(1, 1, 2));
  assert.deepEqual(inputRegion(shifted, [1, 8], [0, 0]), { start: [0, 2], end: [1, 4] });
});

test('upsampling, shuffling, transposed convolutions, unpooling and reversal', () => {
  const conv = new Conv2d(2, 2, 3, { padding: 1 });
  assert.deepEqual(field(new Upsample({ scaleFactor: 2 })), [1, 0.5, 0]);
  assert.deepEqual(field(new Sequential(new Upsample({ scaleFactor: 2 }), conv)), [2, 0.5, -0.5]);
  assert.deepEqual(field(new Sequential(conv, new Upsample({ scaleFactor: 4 }))), [3, 0.25, -1]);
  assert.deepEqual(field(new Sequential(conv, new MaxPool2d(2), new Upsample({ scaleFactor: 2 }))), [4, 1, -1]);
  const bilinear = new Upsample({ scaleFactor: 2, mode: 'bilinear' });
  assert.deepEqual(field(bilinear), [2, 0.5, -1]);
  assert.deepEqual(field(new Sequential(conv, bilinear)), [4, 0.5, -2]);
  assert.deepEqual(inputRegion(bilinear, [1, 8, 8], [0, 5, 0]), { start: [0, 2, 0], end: [1, 4, 1] });
  assert.deepEqual(field(new Upsample({ scaleFactor: 2, mode: 'trilinear' }), [2, 4, 5, 6]), [2, 0.5, -1]);
  const last = new Upsample({ scaleFactor: 2, mode: 'bilinear', dataFormat: 'channels-last' });
  assert.deepEqual(receptiveField(last, [8, 6, 3])[1], { dimension: 2, size: 2, stride: 0.5, start: -1 });
  assert.deepEqual(field(new Upsample({ size: 32, mode: 'bicubic' })).slice(0, 2), [4, 0.5]);
  assert.deepEqual(field(new Upsample({ size: 24, mode: 'nearest' })).slice(0, 2), [1, 16 / 24]);
  assert.deepEqual(field(new PixelUnshuffle(2)), [2, 2, 0]);
  assert.deepEqual(field(new PixelShuffle(2), [4, 8, 8]), [1, 0.5, 0]);
  assert.deepEqual(field(new Sequential(new PixelUnshuffle(2), new PixelShuffle(2))), [2, 1, 0]);
  assert.deepEqual(field(new ConvTranspose2d(2, 2, 4, { stride: 2, padding: 1 })).slice(0, 2), [2, 0.5]);
  const down = new Conv2d(2, 2, 3, { stride: 2, padding: 1 });
  assert.deepEqual(field(new Sequential(down, new ConvTranspose2d(2, 2, 2, { stride: 2 })))[1], 1);
  const unpooled = (x: Tensor): Tensor => {
    const { values, indices } = maxPoolWithIndices(x, 2);
    return maxUnpool(values, indices, 2);
  };
  const [size, stride] = field(unpooled);
  assert.ok(size !== undefined && size >= 2 && size <= 4, `${size}`);
  assert.equal(stride, 1);
  assert.deepEqual(inputRegion(unpooled, [1, 4, 4], [0, 2, 1]), { start: [0, 2, 0], end: [1, 4, 2] });
  const reversed = (x: Tensor): Tensor => conv.call(flip(x, [2, 3]));
  assert.deepEqual(field(reversed), [3, -1, 14]);
  assert.deepEqual(inputRegion(reversed, [2, 16, 16], [0, 0, 5]), { start: [0, 14, 9], end: [2, 16, 12] });
  assert.equal(receptiveField(new GlobalAvgPool2d(), [2, 16, 16])[0].size, 16);
});

/** A network with branches, a residual, padding layers, a transposed convolution and upsampling. */
const composite = (dataFormat: 'channels-first' | 'channels-last'): Sequential =>
  new Sequential({
    pad: new padding.ReflectionPad2d(1, { dataFormat }),
    stem: new Conv2d(3, 4, 3, { dataFormat }),
    branches: new Parallel(
      [
        new Conv2d(4, 4, 1, { dataFormat }),
        new Conv2d(4, 4, 5, { padding: 'same', paddingMode: 'circular', dataFormat }),
      ],
      { dim: dataFormat === 'channels-first' ? 1 : -1 },
    ),
    block: new Residual(new Conv2d(8, 8, 3, { padding: 1, dataFormat })),
    down: new MaxPool2d(2, { padding: 'same', dataFormat }),
    up: new ConvTranspose2d(8, 4, 2, { stride: 2, dataFormat }),
    wide: new Upsample({ scaleFactor: 2, dataFormat }),
  });

test('summaries of networks with branches, in both data formats', async () => {
  const [first, last] = [
    summary(composite('channels-first'), [3, 10, 12]),
    summary(composite('channels-last'), [10, 12, 3]),
  ];
  assert.deepEqual(first.outputShape, [4, 20, 24]);
  assert.deepEqual(last.outputShape, [20, 24, 4]);
  assert.deepEqual(
    last.rows.map(({ name, receptiveField: r, jump, parameters, multiplyAdds: m }) => [name, r, jump, parameters, m]),
    first.rows.map(({ name, receptiveField: r, jump, parameters, multiplyAdds: m }) => [name, r, jump, parameters, m]),
  );
  const row = (name: string) => first.rows.find((r) => r.name === name);
  assert.deepEqual(row('pad')?.receptiveField, [1, 1]);
  assert.deepEqual(row('stem')?.receptiveField, [3, 3]);
  assert.deepEqual(row('branches.0')?.receptiveField, [3, 3]);
  assert.deepEqual(row('branches')?.receptiveField, [7, 7]);
  assert.deepEqual(row('block')?.receptiveField, [9, 9]);
  assert.deepEqual(row('down')?.receptiveField, [10, 10]);
  assert.deepEqual(row('down')?.jump, [2, 2]);
  assert.deepEqual(row('up')?.receptiveField, [10, 10]);
  assert.deepEqual(row('wide')?.jump, [0.5, 0.5]);
  assert.deepEqual(receptiveField(composite('channels-last'), [10, 12, 3])[1].dimension, 2);
  const maps = await featureMaps(
    composite('channels-first'),
    randomNormal([1, 3, 10, 12], 1),
    (m) => m.type !== 'ReLU',
  );
  assert.deepEqual(
    maps.map(({ layer, shape }) => [layer, shape]),
    [
      ['pad', [3, 12, 14]],
      ['stem', [4, 10, 12]],
      ['branches.0', [4, 10, 12]],
      ['branches.1', [4, 10, 12]],
      ['branches', [8, 10, 12]],
      ['block.body', [8, 10, 12]],
      ['block', [8, 10, 12]],
      ['down', [8, 5, 6]],
      ['up', [4, 10, 12]],
      ['wide', [4, 20, 24]],
      ['', [4, 20, 24]],
    ],
  );
});

class Words extends Module {
  readonly type = 'Words';
  readonly embedding = this.child('embedding', new Embedding(30, 6));
  readonly conv = this.child('conv', new Conv1d(6, 4, 3, { dataFormat: 'channels-last' }));

  forward(x: Tensor): Tensor {
    return this.conv.call(this.embedding.call(x));
  }
}

test('networks that start with an embedding take numbers of words', () => {
  const words = new Words();
  assert.equal(words.inputDType, 'i32');
  assert.equal(new Sequential(new Words()).inputDType, 'i32');
  assert.equal(new Conv2d(1, 1, 1, { activation: 'relu' }).inputDType, 'f32');
  assert.deepEqual(outputShape(words, [12]), [10, 4]);
  assert.equal(multiplyAdds(words.conv, [12, 6]), 10 * 4 * 3 * 6);
  assert.deepEqual(receptiveField(words, [12]), [{ dimension: 1, size: 3, stride: 1, start: 0 }]);
  assert.deepEqual(inputRegion(words, [12], [4, 0]), { start: [4], end: [7] });
  const { rows, totals } = summary(words, [12]);
  assert.deepEqual(rows.find(({ name }) => name === 'conv')?.receptiveField, [3]);
  assert.equal(totals.inputBytes, 48);
  assert.deepEqual(
    outputShape((x: Tensor) => words.call(x), [12], { dtype: 'i32' }),
    [10, 4],
  );
  assert.throws(
    () => outputShape(words, [12], { dtype: 'u8' as 'i32' }),
    /outputShape: dtype must be "f32" or "i32", got "u8"/,
  );
  assert.throws(() => summary(words, [12], { format: 1 } as object), OptionError);
});

test('recurrent layers: products of all steps count, every step sees all before it', () => {
  const net = new Sequential(
    new Embedding(20, 6),
    new LSTM(6, 5, { batchFirst: true, numLayers: 2, bidirectional: true }),
    new GRU(10, 3, { batchFirst: true }),
  );
  const { rows, totals } = summary(net, [9]);
  const row = (type: string) => rows.find((each) => each.type === type);
  const products = (gates: number, inputs: number, hidden: number): number => gates * hidden * (inputs + hidden);
  assert.deepEqual(row('LSTM')?.outputShape, [9, 10]);
  assert.equal(row('LSTM')?.multiplyAdds, 9 * 2 * (products(4, 6, 5) + products(4, 10, 5)));
  assert.equal(row('LSTM')?.parameters, 2 * (products(4, 6, 5) + products(4, 10, 5) + 2 * 2 * 4 * 5));
  assert.equal(row('GRU')?.multiplyAdds, 9 * products(3, 10, 3));
  assert.equal(totals.multiplyAdds, multiplyAdds(net, [9]));
  class Last extends Module {
    readonly type = 'Last';
    readonly memory = this.child('memory', new GRU(6, 5, { batchFirst: true }));
    forward(x: Tensor): Tensor {
      return this.memory.run(x).h;
    }
  }
  const [, memory] = summary(new Last(), [7, 6]).rows;
  assert.deepEqual([memory.name, memory.type, memory.multiplyAdds], ['memory', 'GRU', 7 * products(3, 6, 5)]);
  const forwards = new Sequential(new Embedding(20, 6), new RNN(6, 5, { batchFirst: true }));
  assert.deepEqual(inputRegion(forwards, [9], [4, 0]), { start: [0], end: [5] });
  assert.deepEqual(inputRegion(net, [9], [4, 0]), { start: [0], end: [9] });
  const [axis] = receptiveField(forwards, [9]);
  assert.deepEqual([axis.size, axis.start, axis.dimension], [9, 0, undefined]);
});
