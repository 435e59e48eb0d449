import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { sum } from '../ops/broadcast.js';
import { randomNormal } from '../ops/create.js';
import { mul } from '../ops/elementwise.js';
import { transpose } from '../ops/transpose.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import { assertClose } from '../testing/fixtures.js';
import type { LayerConfig } from './config.js';
import { AdaptiveMaxPool2d } from './layers/adaptive-pooling.js';
import { Dropout2d } from './layers/dropout.js';
import { BatchNorm2d } from './layers/normalization.js';
import { ReflectionPad2d } from './layers/padding-layers.js';
import { MaxPool2d, MaxUnpool2d } from './layers/pooling.js';
import { PixelShuffle } from './layers/shuffle.js';
import { Upsample } from './layers/upsample.js';
import { moduleFromConfig } from './registry.js';

/** [batch, channels, …spatial] to [batch, …spatial, channels] and back. */
const toLast = (x: Tensor): Tensor =>
  x.rank < 3 ? x : transpose(x, [0, ...Array.from({ length: x.rank - 2 }, (_, s) => 2 + s), 1]);
const toFirst = (x: Tensor): Tensor =>
  x.rank < 3 ? x : transpose(x, [0, x.rank - 1, ...Array.from({ length: x.rank - 2 }, (_, s) => 1 + s)]);

const SPATIAL: readonly Shape[] = [
  [2, 4, 7],
  [2, 4, 6, 5],
  [1, 4, 4, 3, 5],
];

/** Every layer that tells channels from positions, and a channels-first input of it. */
const CASES: readonly (readonly [LayerConfig, Shape])[] = [
  ...SPATIAL.flatMap((shape, i): (readonly [LayerConfig, Shape])[] => {
    const [n, sides] = [`${i + 1}d`, Array.from({ length: 2 * (i + 1) }, (_, side) => side % 3)];
    return [
      [{ type: `Conv${n}`, inChannels: 4, outChannels: 3, kernelSize: 3, padding: 'same', stride: 2 }, shape],
      [{ type: `ConvTranspose${n}`, inChannels: 4, outChannels: 3, kernelSize: 3, stride: 2 }, shape],
      [{ type: `MaxPool${n}`, kernelSize: 3, stride: 2, padding: 'same' }, shape],
      [{ type: `AvgPool${n}`, kernelSize: 2, padding: 'same', countIncludePad: false }, shape],
      [{ type: `LPPool${n}`, normType: 2, kernelSize: 2, stride: 1 }, shape],
      [{ type: `AdaptiveAvgPool${n}`, outputSize: 2 }, shape],
      [{ type: `AdaptiveMaxPool${n}`, outputSize: 3 }, shape],
      [{ type: `GlobalAvgPool${n}`, keepDims: false }, shape],
      [{ type: `GlobalMaxPool${n}`, keepDims: true }, shape],
      [{ type: `BatchNorm${n}`, numFeatures: 4 }, shape],
      [{ type: `InstanceNorm${n}`, numFeatures: 4, affine: true }, shape],
      [{ type: `Dropout${n}`, p: 0.5 }, shape],
      [{ type: `ConstantPad${n}`, padding: sides, value: 3 }, shape],
      [{ type: `ZeroPad${n}`, padding: sides }, shape],
      [{ type: `ReflectionPad${n}`, padding: sides }, shape],
      [{ type: `ReplicationPad${n}`, padding: sides }, shape],
      [{ type: `CircularPad${n}`, padding: sides }, shape],
      [{ type: 'GroupNorm', numGroups: 2, numChannels: 4 }, shape],
      [{ type: 'LocalResponseNorm', size: 3, alpha: 0.5 }, shape],
      [{ type: 'PReLU', numParameters: 4 }, shape],
      [{ type: 'Upsample', scaleFactor: 2, mode: ['linear', 'bilinear', 'trilinear'][i] }, shape],
      [{ type: 'Upsample', scaleFactor: 1.5, mode: 'nearest' }, shape],
      [{ type: 'ChannelShuffle', groups: 2 }, shape],
    ];
  }),
  [{ type: 'BatchNorm1d', numFeatures: 4 }, [3, 4]],
  [{ type: 'PixelShuffle', upscaleFactor: 2 }, [2, 8, 3, 5]],
  [{ type: 'PixelUnshuffle', downscaleFactor: 2 }, [2, 3, 4, 6]],
];

test('every layer computes the same in both data formats, its gradients, too', async (t) => {
  setDevice(EXACT.make());
  for (const [config, shape] of CASES) {
    await t.test(`${config.type} ${shape.length - 2}`, () => {
      const first = moduleFromConfig(config);
      const last = moduleFromConfig({ ...config, dataFormat: 'channels-last' });
      assert.equal(last.config().dataFormat, 'channels-last');
      assert.equal(first.config().dataFormat, undefined);
      assert.deepEqual(moduleFromConfig(last.config()).config(), last.config());
      last.loadStateDict(first.stateDict());
      last.loadRandomStates(Object.fromEntries(first.namedRandomStates()));
      const run = (layer: typeof first, x: Tensor, back: (y: Tensor) => Tensor): Tensor[] => {
        const program = compile((images: Tensor) => {
          const y = layer.forward(images);
          const [g, ...rest] = gradients(sum(mul(y, mul(y, y))), [images, ...layer.parameters()]);
          return [back(y), back(g), ...rest];
        });
        return program.sync(x);
      };
      const x = randomNormal(shape, 3);
      const expected = run(first, x, (y) => y);
      run(last, toLast(x), toFirst).forEach((y, i) => {
        assertClose(y, { shape: expected[i].shape, data: Array.from(expected[i].data()) }, 1e-12, `result ${i}`);
      });
      for (const [name, buffer] of first.namedBuffers()) {
        const other = last.namedBuffers().find(([n]) => n === name)?.[1] as Tensor;
        assertClose(other, { shape: buffer.shape, data: Array.from(buffer.data()) }, 1e-12, name);
      }
    });
  }
});

test('indices of max pooling and unpooling in channels-last', () => {
  setDevice(EXACT.make());
  const x = randomNormal([2, 3, 5, 6], 4);
  const dataFormat = 'channels-last';
  for (const [first, last] of [
    [new MaxPool2d(2, { padding: 'same' }), new MaxPool2d(2, { padding: 'same', dataFormat })],
    [new AdaptiveMaxPool2d([2, 3]), new AdaptiveMaxPool2d([2, 3], { dataFormat })],
  ] as const) {
    const [a, b] = [first.forwardWithIndices(x), last.forwardWithIndices(toLast(x))];
    assert.deepEqual([...b.values.data()], [...toLast(a.values).data()]);
    assert.deepEqual([...b.indices.data()], [...toLast(a.indices).data()]);
  }
  const pooled = new MaxPool2d(2, { padding: 'same', dataFormat }).forwardWithIndices(toLast(x));
  const back = new MaxUnpool2d(2, { padding: 'same', dataFormat }).forward(pooled.values, pooled.indices, [5, 6]);
  assert.deepEqual(back.shape, [2, 5, 6, 3]);
  const [restored, original] = [back.data(), toLast(x).data()];
  assert.equal(Array.from(restored).filter((v) => v !== 0).length, pooled.values.size);
  for (let i = 0; i < restored.length; i++) assert.ok(restored[i] === 0 || restored[i] === original[i]);
});

test('dropout chooses the same channels in both formats', () => {
  setDevice(EXACT.make());
  const make = (dataFormat?: 'channels-last') => new Dropout2d(0.5, { random: new Random(3), dataFormat });
  const x = randomNormal([4, 6, 2, 3], 1);
  assert.deepEqual([...toFirst(make('channels-last').forward(toLast(x))).data()], [...make().forward(x).data()]);
});

test('a format that does not exist or does not fit is an error', () => {
  setDevice(EXACT.make());
  const dataFormat = 'channels-last';
  const cases: [() => unknown, typeof OptionError | typeof ShapeError, RegExp][] = [
    [
      () => new BatchNorm2d(3, { dataFormat: 'NHWC' as 'channels-last' }),
      OptionError,
      /^BatchNorm2d: dataFormat must be "channels-first" or "channels-last", got "NHWC"$/,
    ],
    [
      () => new BatchNorm2d(3, { dataFormat }).forward(randomNormal([2, 3, 4, 4], 1)),
      ShapeError,
      /^BatchNorm2d: expected 3 channels \(axis 3\), got 4 in \[2, 3, 4, 4\]$/,
    ],
    [
      () => new ReflectionPad2d(1, { dataFormat }).forward(randomNormal([3, 4, 4], 1)),
      ShapeError,
      /^ReflectionPad2d: expected \[batch, height, width, channels\], got \[3, 4, 4\]; put a batch axis/,
    ],
    [
      () => new PixelShuffle(2, { dataFormat }).forward(randomNormal([4, 4, 4], 1)),
      ShapeError,
      /^PixelShuffle: expected \[batch, height, width, channels\], got \[4, 4, 4\]/,
    ],
    [
      () => new Upsample({ scaleFactor: 2, mode: 'bilinear', dataFormat }).forward(randomNormal([1, 4, 4], 1)),
      ShapeError,
      /^Upsample: mode "bilinear" needs \[batch, height, width, channels\], got \[1, 4, 4\]$/,
    ],
  ];
  for (const [make, kind, pattern] of cases) {
    assert.throws(make, (e: Error) => e instanceof kind && pattern.test(e.message), String(pattern));
  }
});
