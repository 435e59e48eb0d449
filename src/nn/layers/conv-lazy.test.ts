import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { sum } from '../../ops/broadcast.js';
import { ones, randomNormal } from '../../ops/create.js';
import { GaborError, OptionError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';
import { testOnDevices } from '../../testing/devices.js';
import type { Module } from '../module.js';
import { moduleFromConfig } from '../registry.js';
import { ReLU, Tanh } from './activation.js';
import { Sequential } from './container.js';
import { Conv1d, Conv2d, Conv3d } from './conv.js';
import {
  LazyConv1d,
  LazyConv2d,
  LazyConv3d,
  LazyConvTranspose1d,
  LazyConvTranspose2d,
  LazyConvTranspose3d,
  LazyDepthwiseConv1d,
  LazyDepthwiseConv2d,
  LazyDepthwiseConv3d,
  LazySeparableConv1d,
  LazySeparableConv2d,
  LazySeparableConv3d,
} from './conv-lazy.js';
import {
  DepthwiseConv1d,
  DepthwiseConv2d,
  DepthwiseConv3d,
  SeparableConv1d,
  SeparableConv2d,
  SeparableConv3d,
} from './conv-separable.js';
import { ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from './conv-transpose.js';
import { LazyLinear, Linear } from './linear.js';
import {
  BatchNorm1d,
  BatchNorm2d,
  BatchNorm3d,
  InstanceNorm1d,
  InstanceNorm2d,
  InstanceNorm3d,
} from './normalization.js';
import {
  LazyBatchNorm1d,
  LazyBatchNorm2d,
  LazyBatchNorm3d,
  LazyInstanceNorm1d,
  LazyInstanceNorm2d,
  LazyInstanceNorm3d,
} from './normalization-lazy.js';

testOnDevices('lazy layers become ordinary ones at their first call', () => {
  const options = () => ({ padding: 'same', groups: 3, random: new Random(7) }) as const;
  const depth = () => ({ padding: 1, depthMultiplier: 2, activation: 'relu', random: new Random(7) }) as const;
  const tracking = { affine: true, trackRunningStats: true, dataFormat: 'channels-last' } as const;
  const cases = [
    [new LazyConv1d(6, 3, options()), new Conv1d(3, 6, 3, options()), [2, 3, 7]],
    [new LazyConv2d(6, 3, options()), new Conv2d(3, 6, 3, options()), [2, 3, 7, 5]],
    [new LazyConv3d(6, 3, options()), new Conv3d(3, 6, 3, options()), [1, 3, 4, 3, 5]],
    [new LazyConvTranspose1d(6, 3, options()), new ConvTranspose1d(3, 6, 3, options()), [2, 3, 7]],
    [new LazyConvTranspose2d(6, 3, options()), new ConvTranspose2d(3, 6, 3, options()), [2, 3, 7, 5]],
    [new LazyConvTranspose3d(6, 3, options()), new ConvTranspose3d(3, 6, 3, options()), [1, 3, 4, 3, 5]],
    [new LazyDepthwiseConv1d(3, depth()), new DepthwiseConv1d(3, 3, depth()), [2, 3, 7]],
    [new LazyDepthwiseConv2d(3, depth()), new DepthwiseConv2d(3, 3, depth()), [2, 3, 7, 5]],
    [new LazyDepthwiseConv3d(3, depth()), new DepthwiseConv3d(3, 3, depth()), [1, 3, 4, 3, 5]],
    [new LazySeparableConv1d(5, 3, depth()), new SeparableConv1d(3, 5, 3, depth()), [2, 3, 7]],
    [new LazySeparableConv2d(5, 3, depth()), new SeparableConv2d(3, 5, 3, depth()), [2, 3, 7, 5]],
    [new LazySeparableConv3d(5, 3, depth()), new SeparableConv3d(3, 5, 3, depth()), [1, 3, 4, 3, 5]],
    [new LazyLinear(6, { random: new Random(7) }), new Linear(4, 6, { random: new Random(7) }), [2, 3, 4]],
    [new LazyBatchNorm1d(), new BatchNorm1d(3), [2, 3]],
    [new LazyBatchNorm1d(), new BatchNorm1d(3), [2, 3, 4]],
    [new LazyBatchNorm2d({ affine: false }), new BatchNorm2d(3, { affine: false }), [2, 3, 4, 5]],
    [new LazyBatchNorm3d({ momentum: null }), new BatchNorm3d(3, { momentum: null }), [2, 3, 4, 2, 2]],
    [new LazyInstanceNorm1d({ affine: true }), new InstanceNorm1d(3, { affine: true }), [2, 3, 4]],
    [new LazyInstanceNorm2d(tracking), new InstanceNorm2d(3, tracking), [2, 4, 5, 3]],
    [new LazyInstanceNorm3d(), new InstanceNorm3d(3), [2, 3, 4, 2, 2]],
  ] as const;
  for (const [lazy, ordinary, shape] of cases) {
    const x = randomNormal(shape, 1);
    const { inChannels: _, inFeatures: __, numFeatures: ___, ...config } = ordinary.config();
    assert.deepEqual(lazy.config(), { ...config, type: `Lazy${ordinary.type}` });
    assert.equal(lazy.type, `Lazy${ordinary.type}`);
    assert.deepEqual(moduleFromConfig(lazy.config()).config(), lazy.config());
    assert.throws(() => lazy.stateDict(), /has no parameters before its first call, which tells it the input (ch|f)/);
    assert.deepEqual(lazy.forward(x).data(), ordinary.forward(x).data(), 'the same initial weights');
    assert.deepEqual(lazy.config(), ordinary.config());
    const state = (module: Module): unknown =>
      Object.entries(module.stateDict()).map(([name, tensor]) => [name, tensor.shape, tensor.data()]);
    assert.deepEqual(state(lazy), state(ordinary));
    const again = moduleFromConfig(lazy.config());
    assert.equal(again.type, ordinary.type);
    again.loadStateDict(lazy.stateDict());
  }
});

testOnDevices('the first call may be inside of a program, which then trains what it made', async () => {
  const model = new Sequential(
    new LazyConv2d(4, 3, { dataFormat: 'channels-last', activation: 'relu' }),
    new LazyConv2d(2, 1, { dataFormat: 'channels-last' }),
  );
  const program = compile((x: Tensor) => {
    const y = model.call(x);
    return [y, ...gradients(sum(y), model.parameters())];
  });
  const x = randomNormal([2, 5, 6, 3], 2);
  const [y, ...grads] = await program(x);
  assert.deepEqual(y.shape, [2, 3, 4, 2]);
  assert.deepEqual(
    grads.map((g) => g.shape),
    [[4, 3, 3, 3], [4], [2, 4, 1, 1], [2]],
  );
  const again = model.forward(x).data();
  y.data().forEach((value, i) => {
    assert.ok(Math.abs(value - again[i]) < 1e-5);
  });
});

test('before the first call there are no parameters to list, and saying so names the layer', () => {
  const model = new Sequential({ features: new Sequential(new ReLU(), new LazyConv2d(4, 3, { groups: 2 })) });
  for (const use of [
    () => model.parameters(),
    () => model.stateDict(),
    () => model.loadStateDict({}),
    () => (model.submodule('features.1') as LazyConv2d).weight,
  ]) {
    assert.throws(
      use,
      (e) => e instanceof GaborError && /LazyConv2d.* no parameters before its first call/.test(e.message),
    );
  }
  assert.throws(() => model.parameters(), /"features.1" \(LazyConv2d\)/);
  assert.throws(
    () => model.forward(ones([2, 4, 4])),
    (e) =>
      e instanceof ShapeError &&
      /LazyConv2d.*: expected \[batch, channels, height, width\], got \[2, 4, 4\]/.test(e.message),
  );
  assert.throws(
    () => model.forward(ones([1, 3, 4, 4])),
    /LazyConv2d.*: inChannels 3 does not split into 2 groups: 3 = 1·2 \+ 1/,
  );
  model.eval().dispose();
  assert.deepEqual(model.forward(ones([1, 2, 4, 4])).shape, [1, 4, 2, 2]);
  assert.equal(model.parameters().length, 2);
});

test('channels, groups and options that make no sense name the layer', () => {
  const cases: [() => unknown, RegExp][] = [
    [() => new ConvTranspose2d(3, 4, 3, { groups: 2 }), /ConvTranspose2d: inChannels 3 does not split .* 3 = 1·2 \+ 1/],
    [
      () => new ConvTranspose3d(1, 1, 3, { stride: 2, outputPadding: [0, 2, 0] }),
      /ConvTranspose3d: .* 2 ≥ max\(2, 1\)/,
    ],
    [() => new ConvTranspose2d(1, 1, 3, { paddingMode: 'reflect' as 'zeros' }), /must be "zeros", got "reflect"/],
    [
      () => new DepthwiseConv2d(4, 3, { depthMultiplier: 0 }),
      /DepthwiseConv2d: depthMultiplier must be an integer ≥ 1/,
    ],
    [() => new DepthwiseConv2d(4, 3, { groups: 4 } as object), /DepthwiseConv2d: unknown option "groups"/],
    [() => new SeparableConv2d(4, 2, [3, 3, 3]), /SeparableConv2d: kernelSize must be/],
    [() => new SeparableConv2d(4, 0, 3), /SeparableConv2d: outChannels must be/],
    [() => new SeparableConv2d(4, 2, 3, { stride: 0 }), /SeparableConv2d: stride must be/],
    [() => new SeparableConv2d(4, 2, 3, { padding: 'causal' }), /SeparableConv2d: padding "causal" is for one/],
    [() => new Conv1d(1, 1, 3, { activation: 'swosh' as 'relu' }), /Conv1d: activation must be a module or one of "/],
    [() => new Conv1d(1, 1, 3, { dataFormat: 'NWC' as 'channels-last' }), /Conv1d: dataFormat must be/],
    [() => new Conv1d(1, 1, 3, { paddingValue: 1 }), /Conv1d: a padding value belongs to paddingMode "constant"/],
    [
      () => new Conv2d(undefined as unknown as number, 1, 3),
      /Conv2d: inChannels must be an integer ≥ 1, got undefined/,
    ],
    [() => new Linear(undefined as unknown as number, 1), /Linear: inFeatures must be an integer ≥ 1, got undefined/],
    [() => moduleFromConfig({ type: 'BatchNorm2d' }), /BatchNorm2d: numFeatures must be an integer ≥ 1, got undefined/],
    [() => moduleFromConfig({ type: 'SeparableConv2d', outChannels: 1, kernelSize: 3 }), /SeparableConv2d: inChannels/],
    [() => moduleFromConfig({ type: 'LazyBatchNorm2d', numFeatures: 3 }), /"numFeatures"/],
    [() => moduleFromConfig({ type: 'LazyConv2d', outChannels: 1, kernelSize: 3, inChannels: 3 }), /"inChannels"/],
  ];
  for (const [make, pattern] of cases) {
    assert.throws(make, (e: Error) => {
      assert.ok(e instanceof OptionError, `${e.name}: ${e.message}`);
      assert.match(e.message, pattern);
      return true;
    });
  }
});

test('parameters: groups divide them, depthwise separable ones are a fraction', () => {
  const count = (layer: { parameters(): Tensor[] }): number =>
    layer.parameters().reduce((total, parameter) => total + parameter.size, 0);
  assert.equal(count(new Conv2d(64, 128, 3)), 73_856);
  assert.equal(count(new Conv2d(64, 128, 3, { groups: 4, bias: false })) * 4, 73_728);
  assert.equal(count(new SeparableConv2d(64, 128, 3, { bias: false })) / 73_728, 1 / 128 + 1 / 9);
  assert.equal(count(new DepthwiseConv2d(64, 3, { depthMultiplier: 2 })), 128 * 9 + 128);
});

testOnDevices('a transposed layer takes the size that is wanted; activations are children', () => {
  const layer = new ConvTranspose2d(2, 3, 3, { stride: 2, padding: 1, activation: new Tanh() });
  const x = randomNormal([1, 2, 4, 4], 1);
  assert.deepEqual(layer.forward(x).shape, [1, 3, 7, 7]);
  assert.deepEqual(layer.forward(x, [8, 7]).shape, [1, 3, 8, 7]);
  assert.throws(() => layer.forward(x, 9), /ConvTranspose2d: outputSize 9/);
  assert.deepEqual(
    layer.namedChildren().map(([name, child]) => [name, child.type]),
    [['activation', 'Tanh']],
  );
  assert.ok(
    layer
      .forward(x)
      .data()
      .every((value) => Math.abs(value) <= 1),
  );
});

testOnDevices('activations by name', () => {
  const x = randomNormal([2, 3, 5], 4);
  const names = [
    'elu',
    'gelu',
    'hard_sigmoid',
    'hard_swish',
    'leaky_relu',
    'linear',
    'mish',
    'relu',
    'relu6',
    'selu',
  ] as const;
  for (const activation of [...names, 'sigmoid', 'silu', 'softplus', 'softsign', 'tanh'] as const) {
    const layer = new Conv1d(3, 4, 2, { activation });
    const { activation: _, ...config } = layer.config();
    const plain = moduleFromConfig(config);
    plain.loadStateDict(layer.stateDict());
    const applied = (layer.activation as Module).forward(plain.forward(x)).data();
    layer
      .forward(x)
      .data()
      .forEach((value, i) => {
        assert.ok(Math.abs(value - applied[i]) < 1e-5, activation);
      });
  }
});
