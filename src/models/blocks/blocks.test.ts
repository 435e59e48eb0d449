import '../../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { withoutMemory } from '../../inspect/index.js';
import { traceNetwork } from '../../inspect/trace-network.js';
import { Conv2d, init, moduleFromConfig, ReLU } from '../../nn/index.js';
import { sum } from '../../ops/broadcast.js';
import { ones, zeros } from '../../ops/create.js';
import { mul } from '../../ops/elementwise.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import * as models from '../index.js';
import { Block, StochasticDepth } from '../index.js';

test('a block runs what branches share once, and says what is wrong with its wiring', async () => {
  const shared = new ReLU();
  let calls = 0;
  const forward = shared.forward.bind(shared);
  shared.forward = (x) => {
    calls++;
    return forward(x);
  };
  const parts = { shared, a: new Conv2d(2, 3, 1), b: new Conv2d(2, 1, 1) };
  const wiring = {
    branches: [['shared', 'a'], ['shared', 'b'], []],
    merge: 'concat',
  } as const;
  const block = new Block('Fire', parts, wiring);
  const y = await compile((x: Tensor) => block.call(x))(ones([1, 2, 3, 3]));
  assert.deepEqual([...y.shape], [1, 6, 3, 3]);
  assert.equal(calls, 1);
  assert.deepEqual(Object.keys(block.stateDict()), ['a.weight', 'a.bias', 'b.weight', 'b.bias']);
  const bad: readonly (readonly [() => unknown, RegExp])[] = [
    [() => new Block('Fire', parts, { branches: [['c']], merge: 'sum' }), /names "c", which is no part/],
    [
      () => new Block('Fire', parts, { branches: [], merge: 'mean' } as never),
      /merge must be one of sum, product, concat/,
    ],
    [() => moduleFromConfig({ type: 'Fire', parts: {}, branches: [[1]], merge: 'sum' }), /lists of names/],
    [() => moduleFromConfig({ type: 'Fire', parts: [], branches: [], merge: 'sum' }), /parts must be/],
    [() => moduleFromConfig({ type: 'Fire', parts: {}, branches: [], merge: 'sum', x: 1 }), /unknown option "x"/],
    [() => moduleFromConfig({ type: 'Trunk', parts: {}, heads: { a: 'b' } }), /heads name "a"/],
    [() => moduleFromConfig({ type: 'UNet', parts: {} }), /parts must be inc/],
    [() => moduleFromConfig({ type: 'SegmentationModel', parts: {} }), /parts must be backbone, classifier/],
  ];
  for (const [make, message] of bad) {
    assert.throws(make, (error: Error) => {
      assert.ok(error instanceof OptionError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('stochastic depth drops whole examples in training, and keeps the mean', async () => {
  const layer = new StochasticDepth(0.25, { random: new Random(1) });
  const run = compile((x: Tensor) => layer.call(x));
  const y = (await run(ones([4000, 2, 3]))).data();
  let kept = 0;
  for (let n = 0; n < 4000; n++) {
    const row = y.subarray(n * 6, n * 6 + 6);
    assert.ok(row.every((value) => value === row[0]));
    assert.ok(row[0] === 0 || Math.abs(row[0] - 4 / 3) < 1e-6);
    if (row[0] !== 0) kept++;
  }
  // Five deviations of a binomial distribution: 5 · √(4000 · 0.75 · 0.25).
  assert.ok(Math.abs(kept - 3000) < 137, String(kept));
  const again = (await run(ones([4000, 2, 3]))).data();
  assert.notDeepEqual(again, y);
  layer.eval();
  const plain = compile((x: Tensor) => layer.call(x));
  assert.ok((await plain(ones([5, 2]))).data().every((value) => value === 1));
  assert.deepEqual(moduleFromConfig(layer.config()).config(), layer.config());
});

test('initial weights are drawn as in torchvision, and repeat for a seed', () => {
  const deviation = (data: ArrayLike<number>): number =>
    Math.sqrt(Array.from(data).reduce((total, x) => total + x * x, 0) / data.length);
  const near = (model: { stateDict(): Record<string, Tensor> }, key: string, expected: number): void => {
    const found = deviation(model.stateDict()[key].data());
    assert.ok(Math.abs(found / expected - 1) < 0.03, `${key}: ${found}, expected ${expected}`);
  };
  const all = { random: new Random(1), classes: 100 };
  const resnet = models.resnet18({ ...all, widthMult: 0.5, zeroInitResidual: true });
  near(resnet, 'layer4.1.conv2.weight', Math.sqrt(2 / (256 * 9)));
  near(resnet, 'fc.weight', 1 / Math.sqrt(3 * 256));
  assert.ok(
    resnet
      .stateDict()
      ['layer4.1.bn2.weight'].data()
      .every((value) => value === 0),
  );
  assert.ok(
    resnet
      .stateDict()
      ['layer4.1.bn1.weight'].data()
      .every((value) => value === 1),
  );
  const mobilenet = models.mobilenetV2({ ...all, widthMult: 0.35 });
  near(mobilenet, 'classifier.1.weight', 0.01);
  assert.ok(
    mobilenet
      .stateDict()
      ['classifier.1.bias'].data()
      .every((value) => value === 0),
  );
  const squeezenet = models.squeezenet1_1(all);
  near(squeezenet, 'features.12.expand3x3.weight', Math.sqrt(2 / (64 * 9)));
  near(squeezenet, 'classifier.1.weight', 0.01);
  near(models.densenet121({ ...all, widthMult: 0.5 }), 'features.transition3.conv.weight', Math.sqrt(2 / 512));
  near(models.efficientnetB0(all), 'classifier.1.weight', 0.1 / Math.sqrt(3));
  const inception = models.inceptionV3({ ...all, widthMult: 0.25 });
  near(inception, 'Mixed_7c.branch1x1.conv.weight', 0.1);
  near(inception, 'AuxLogits.conv1.conv.weight', 0.01);
  near(models.vgg11({ ...all, widthMult: 0.25, hidden: 100 }), 'classifier.0.weight', 0.01);
  const tcn = models.tcn(all);
  near(tcn, 'tcn.network.7.conv2.weight_v', 0.01);
  const again = models.tcn({ ...all, random: new Random(1) });
  const once = models.tcn({ ...all, random: new Random(1) });
  for (const [key, value] of Object.entries(once.stateDict())) {
    assert.deepEqual(again.stateDict()[key].data(), value.data(), key);
  }
});

test('weights are left alone in skipInit, and drawn after it', () => {
  const skipped = init.skipInit(() => new Conv2d(2, 2, 3));
  assert.ok(skipped.weight.data().every((value) => value === 0));
  assert.throws(() =>
    init.skipInit(() => {
      throw new Error('inside');
    }),
  );
  assert.ok(new Conv2d(2, 2, 3).weight.data().some((value) => value !== 0));
});

test('auxiliary heads have gradients where they are asked for, and none otherwise', async () => {
  const model = models.googlenet({ widthMult: 0.1, classes: 3, auxLogits: true, random: new Random(1) });
  const { aux1, aux2, out } = model.outputs(zeros([2, 3, 32, 32]));
  for (const logits of [aux1, aux2, out]) assert.deepEqual([...logits.shape], [2, 3]);
  const weight = (model.submodule('aux1.fc2') as unknown as { weight: Tensor }).weight;
  const loss = compile((x: Tensor) => {
    const { aux1: head } = model.outputs(x);
    return gradients(sum(mul(head, head)), [weight])[0];
  });
  assert.ok((await loss(ones([2, 3, 32, 32]))).data().some((value) => value !== 0));
  const plain = compile((x: Tensor) => {
    const y = model.call(x);
    return gradients(sum(mul(y, y)), [weight])[0];
  });
  assert.ok((await plain(ones([2, 3, 32, 32]))).data().every((value) => value === 0));
});

test("torchvision's file of DenseNet has other keys", () => {
  const entry = { shape: [1], data: [1] };
  const old = {
    'features.denseblock1.denselayer1.norm.1.weight': entry,
    'features.denseblock1.denselayer1.conv.2.weight': entry,
  };
  assert.deepEqual(Object.keys(models.densenetKeys(old)), [
    'features.denseblock1.denselayer1.norm1.weight',
    'features.denseblock1.denselayer1.conv2.weight',
  ]);
});

test('options that make no sense are errors', () => {
  const cases: readonly (readonly [() => unknown, RegExp])[] = [
    [() => models.resnet18({ widthMult: 0 }), /resnet18: widthMult must be a positive number/],
    [() => models.resnet18({ width: 3 } as object), /resnet18: unknown option "width"/],
    [() => models.vgg16({ size: 31 }), /vgg16: images of 31×31 are too small.*at least 32/],
    [() => models.inceptionV3({ size: 74 }), /at least 75/],
    [() => models.googlenet({ transformInput: true, inChannels: 1 }), /colour images/],
    [() => models.mobilenetV2({ dropout: 2 }), /p must lie between 0 and 1/],
    [() => models.unet2d({ levels: 0 }), /levels/],
    [() => models.c3d({ frames: 15 }), /frames must be a whole number of at least 16/],
    [() => models.m5({ stride: 0 }), /stride/],
    [() => models.textCnn({ windows: [] }), /windows/],
    [() => models.tcn({ channels: [] }), /channels/],
    [() => models.wavenet({ layers: 0 }), /layers/],
  ];
  for (const [make, message] of cases) {
    assert.throws(make, (error: Error) => {
      assert.ok(error instanceof OptionError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('sides below the least are refused, and the least is enough', async () => {
  const least: Readonly<Record<string, number>> = {
    alexnet: 63,
    vgg16: 32,
    inception_v3: 75,
    squeezenet1_0: 21,
    squeezenet1_1: 17,
    densenet121: 29,
    googlenet: 15,
    resnet18: 1,
    resnet20: 1,
    mobilenet_v1: 1,
    mobilenet_v2: 1,
    mobilenet_v3_large: 1,
    efficientnet_b0: 1,
  };
  for (const [name, side] of Object.entries(least)) {
    const { create } = models.findModel(name);
    const shapeAt = (size: number): readonly number[] =>
      withoutMemory(() => traceNetwork('test', create({ widthMult: 0.25 } as object).eval(), [3, size, size])).output
        .type.shape;
    assert.equal(shapeAt(side).length, 2, name);
    if (side > 1) {
      assert.throws(() => shapeAt(side - 1), ShapeError, name);
      assert.throws(() => create({ size: side - 1 }), /too small/, name);
    }
  }
});
