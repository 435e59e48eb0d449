import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { inspect } from 'node:util';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { printGraph } from '../graph/print.js';
import { ones, randomNormal, tensor } from '../ops/create.js';
import { mul } from '../ops/elementwise.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, testOnDevices } from '../testing/devices.js';
import {
  AdaptiveAvgPool2d,
  AvgPool2d,
  BatchNorm2d,
  Conv2d,
  Dropout,
  Flatten,
  Identity,
  init,
  LeakyReLU,
  Linear,
  MaxPool2d,
  Module,
  manualSeed,
  moduleFromConfig,
  ReLU,
  Residual,
  registerModule,
  Sequential,
  Sigmoid,
  Tanh,
  withForwardHook,
} from './index.js';

beforeEach(() => setDevice(EXACT.make()));

class Scaled extends Module {
  readonly type = 'Scaled';
  readonly conv = this.child('conv', new Conv2d(1, 2, 3));
  readonly scale = this.parameter('scale', ones([1]));

  forward(x: Tensor): Tensor {
    return mul(this.conv.call(x), this.scale);
  }

  override config(): { type: string } {
    return { type: this.type };
  }
}

const network = (): Sequential =>
  new Sequential({
    features: new Sequential(
      new Conv2d(1, 4, [3, 2], { padding: [1, 0], bias: false }),
      new BatchNorm2d(4, { momentum: null }),
      new LeakyReLU(0.2),
      new MaxPool2d(2, { stride: 1, ceilMode: true }),
      new Residual(
        new Sequential(new Conv2d(4, 4, 3, { padding: 'same', groups: 2 }), new Tanh()),
        new Conv2d(4, 4, 1),
        new ReLU(),
      ),
      new Residual(new Identity()),
      new AvgPool2d([2, 1], { countIncludePad: false, divisorOverride: 3 }),
      new Dropout(0.25),
      new AdaptiveAvgPool2d([2, null]),
    ),
    flatten: new Flatten(),
    classifier: new Sequential(new Linear(48, 3), new Sigmoid()),
  });

testOnDevices('a configuration survives JSON and makes the same network', () => {
  const model = network().eval();
  const config = JSON.parse(JSON.stringify(model.config()));
  const copy = moduleFromConfig(config).eval();
  assert.deepEqual(JSON.parse(JSON.stringify(copy.config())), config);
  const report = copy.loadStateDict(model.stateDict());
  assert.deepEqual(report, { missing: [], unexpected: [], mismatched: [] });
  const x = randomNormal([2, 1, 8, 8], 1);
  assert.deepEqual(copy.forward(x).data(), model.forward(x).data());
});

test('names are paths, parents first', () => {
  const model = network();
  assert.deepEqual(
    model.namedParameters().map(([name]) => name),
    [
      'features.0.weight',
      'features.1.weight',
      'features.1.bias',
      'features.4.body.0.weight',
      'features.4.body.0.bias',
      'features.4.shortcut.weight',
      'features.4.shortcut.bias',
      'classifier.0.weight',
      'classifier.0.bias',
    ],
  );
  assert.deepEqual(
    model.namedBuffers().map(([name]) => name),
    ['features.1.running_mean', 'features.1.running_var', 'features.1.num_batches_tracked'],
  );
  assert.deepEqual(
    model.namedRandomStates().map(([name]) => name),
    ['features.7.state'],
  );
  assert.deepEqual(
    model
      .namedModules()
      .slice(0, 3)
      .map(([name, module]) => [name, module.type]),
    [
      ['', 'Sequential'],
      ['features', 'Sequential'],
      ['features.0', 'Conv2d'],
    ],
  );
  assert.equal(model.submodule('features.4.shortcut').type, 'Conv2d');
  assert.throws(
    () => model.submodule('features.4.x'),
    /Residual has no child "x"; its children: body, shortcut, activation/,
  );
});

test('modules of one’s own have parts, modes and configurations', () => {
  const model = new Scaled();
  assert.deepEqual(Object.keys(model.stateDict()), ['scale', 'conv.weight', 'conv.bias']);
  assert.equal(model.eval().conv.training, false);
  assert.throws(
    () => moduleFromConfig({ type: 'Scaled' }),
    /unknown layer "Scaled"; known layers are AdaptiveAvgPool1d,/,
  );
  registerModule('Scaled', () => new Scaled());
  assert.ok(moduleFromConfig({ type: 'Sequential', layers: [{ type: 'Scaled' }] }) instanceof Sequential);
  assert.throws(() => registerModule('Scaled', () => new Scaled()), /there is a layer "Scaled" already/);
  class Nameless extends Module {
    readonly type = 'Nameless';
    readonly a = this.child('a.b', new ReLU());
    forward = (x: Tensor): Tensor => x;
  }
  assert.throws(() => new Nameless(), /names are not empty and have no dots/);
});

test('a shared module is one module, but two keys', () => {
  const shared = new Linear(2, 2);
  const model = new Sequential(shared, new ReLU(), shared);
  assert.equal(model.parameters().length, 2);
  assert.deepEqual(Object.keys(model.stateDict()), ['0.weight', '0.bias', '2.weight', '2.bias']);
});

testOnDevices('nodes carry the layer’s path, hooks see every call', () => {
  const model = network().eval();
  const f = compile((x: Tensor) => {
    const seen: Record<string, Tensor> = {};
    const y = withForwardHook(
      ({ name, output }) => {
        seen[name] = output;
      },
      () => model.forward(x),
    );
    return { y, seen };
  });
  const x = randomNormal([1, 1, 8, 8], 1);
  assert.match(printGraph(f.graph(x)), /convolution.*# features\.4\.body\.0\n/);
  const { y, seen } = f.sync(x);
  assert.deepEqual(seen['features.3'].shape, [1, 4, 7, 6]);
  assert.deepEqual(seen.classifier.data(), y.data());
  assert.deepEqual(Object.keys(seen).slice(-3), ['classifier.0', 'classifier.1', 'classifier']);
});

test('a state that does not fit changes nothing', () => {
  const model = new Linear(2, 1);
  const before = model.weight.data();
  const state = {
    weight: { shape: [1, 3], data: [1, 2, 3] },
    extra: { shape: [], data: [1] },
  };
  assert.throws(
    () => model.loadStateDict(state),
    /missing: bias; unexpected: extra; "weight" is \[1, 3\], expected \[1, 2\]/,
  );
  assert.throws(
    () => model.loadStateDict({ ...state, weight: { shape: [1, 2], data: [1] } }, { strict: false }),
    /holds 1/,
  );
  assert.deepEqual(model.weight.data(), before);
  const report = model.loadStateDict({ ...state, bias: { shape: [1], data: [7] } }, { strict: false });
  assert.deepEqual(report, { missing: [], unexpected: ['extra'], mismatched: ['weight'] });
  assert.equal(model.bias?.item(), 7);
  const norm = new BatchNorm2d(1);
  norm.loadStateDict({ num_batches_tracked: { shape: [], data: [12n] } }, { strict: false });
  assert.equal(norm.numBatchesTracked?.item(), 12);
});

test('errors name the layer and show the arithmetic', () => {
  const fails = (module: Module, shape: number[], message: RegExp): void => {
    assert.throws(
      () => compile((x: Tensor) => new Sequential({ features: new Sequential(module) }).forward(x)).sync(ones(shape)),
      (error: Error) =>
        error instanceof ShapeError &&
        error.message.startsWith(`${module.type} "features.0": `) &&
        message.test(error.message.replace(' "features.0"', '')),
    );
  };
  const high = /Conv2d: kernel 5 with dilation 3 spans 13, but the padded input is 8 \+ 2·1 = 10 high$/;
  fails(new Conv2d(1, 1, 5, { dilation: 3, padding: 1 }), [1, 1, 8, 20], high);
  fails(new Conv2d(1, 1, [1, 5]), [1, 1, 8, 4], /Conv2d: kernel 5 does not fit: the input is 4 wide$/);
  fails(
    new Conv2d(1, 1, 9, {
      padding: [
        [0, 3],
        [1, 1],
      ],
    }),
    [1, 1, 5, 9],
    /the padded input is 5 \+ 0 \+ 3 = 8 high$/,
  );
  fails(new Conv2d(3, 1, 1), [1, 4, 2, 2], /Conv2d: expected 3 channels \(axis 1\), got 4 in \[1, 4, 2, 2\]$/);
  fails(new Conv2d(3, 1, 1), [3, 2, 2], /expected \[batch, 3, height, width\], got \[3, 2, 2\]; put a batch axis/);
  fails(new MaxPool2d(3), [1, 1, 2, 5], /MaxPool2d: kernel 3 does not fit: the input is 2 high$/);
  fails(new Linear(3, 1), [2, 4], /Linear: expected \[…, 3\], got \[2, 4\]$/);
  fails(new BatchNorm2d(3), [2, 4, 1, 1], /BatchNorm2d: expected 3 channels \(axis 1\), got 4 in \[2, 4, 1, 1\]$/);
  fails(new BatchNorm2d(3), [1, 3, 1, 1], /more than one value per channel/);
  fails(new Flatten(2, 1), [2, 3, 4], /has no axes from 2 to 1$/);
});

test('a block whose paths disagree says so', () => {
  const block = new Residual(new Conv2d(2, 4, 3, { stride: 2, padding: 1 }));
  assert.throws(
    () => block.forward(ones([1, 2, 6, 6])),
    /Residual: the body gives \[1, 4, 3, 3\], but the input is \[1, 2, 6, 6\]; give a shortcut/,
  );
});

test('constructors refuse what makes no sense', () => {
  const bad: [() => unknown, RegExp][] = [
    [() => new Conv2d(0, 1, 3), /Conv2d: inChannels must be an integer ≥ 1, got 0/],
    [() => new Conv2d(1, 1.5, 3), /outChannels must be an integer ≥ 1, got 1.5/],
    [() => new Conv2d(1, 1, -3), /kernelSize must be an integer ≥ 1 or 2 of them, got -3/],
    [() => new Conv2d(1, 1, [3, 3, 3]), /kernelSize must be .* got \[3,3,3\]/],
    [() => new Conv2d(1, 1, 3, { stride: 0 }), /stride must be an integer ≥ 1/],
    [() => new Conv2d(1, 1, 3, { padding: -1 }), /padding must be an integer ≥ 0/],
    [() => new Conv2d(1, 1, 3, { padding: 'full' as 'same' }), /"same" or "valid", got "full"/],
    [() => new Conv2d(1, 1, 3, { padding: 'causal' }), /padding "causal" is for one spatial axis, here are 2/],
    [() => new Conv2d(3, 4, 3, { groups: 2 }), /inChannels 3 does not split into 2 groups/],
    [() => new Conv2d(4, 3, 3, { groups: 2 }), /outChannels 3 does not split into 2 groups/],
    [() => new Conv2d(1, 1, 3, { paddingMode: 'mirror' as 'zeros' }), /paddingMode must be one of .* got "mirror"/],
    [() => new Conv2d(1, 1, 3, { strides: 2 } as object), /unknown option "strides"; known options are stride,/],
    [() => new Conv2d(1, 1, 3, { bias: 1 as unknown as boolean }), /bias must be true or false, got 1/],
    [() => new MaxPool2d(2, { padding: 2 }), /MaxPool2d: padding 2 is more than half of the window of 2/],
    [() => new MaxPool2d(2, { countIncludePad: true } as object), /unknown option "countIncludePad"/],
    [() => new AvgPool2d(2, { divisorOverride: 0 }), /divisorOverride must be/],
    [() => new AdaptiveAvgPool2d(0), /outputSize must be an integer ≥ 1 or null/],
    [() => new BatchNorm2d(2, { momentum: 2 }), /momentum must be a number between 0 and 1, got 2/],
    [() => new BatchNorm2d(2, { eps: -1 }), /eps must be a number ≥ 0, got -1/],
    [() => new Linear(2, Number.NaN), /outFeatures must be an integer/],
    [() => new Dropout(1.5), /p must lie between 0 and 1, got 1.5/],
    [() => new LeakyReLU('a' as unknown as number), /negativeSlope must be a number/],
    [() => new Sequential({ 1: new ReLU() }), /JavaScript sorts keys/],
    [() => new Sequential([new ReLU()] as unknown as Module), /not a module|JavaScript sorts/],
    [() => moduleFromConfig({ type: 'Conv2d', inChannels: 1, outChannels: 1, kernelSize: 3, speed: 1 }), /"speed"/],
    [() => moduleFromConfig({ type: 'Conv2d', inChannels: '1', outChannels: 1, kernelSize: 3 }), /inChannels must be/],
    [() => moduleFromConfig({ type: 'Sequential', layers: [null] }), /an object with a "type", got null/],
    [() => moduleFromConfig({ type: 'Sequential', layers: [{ type: 'Conv9d' }] }), /unknown layer "Conv9d"/],
    [() => moduleFromConfig({ type: 'ReLU', inplace: true }), /unknown option "inplace"/],
    [() => moduleFromConfig({ type: 'Residual' }), /an object with a "type", got undefined/],
  ];
  for (const [make, message] of bad) {
    assert.throws(make, (error: Error) => {
      assert.ok(error instanceof OptionError, `${error.name}: ${error.message}`);
      assert.match(error.message, message);
      return true;
    });
  }
});

testOnDevices('dropout keeps 1 − p of the elements, scaled, and changes from step to step', async () => {
  const layer = new Dropout(0.3, { random: new Random(5) });
  const step = compile((x: Tensor) => layer.forward(x), { key: () => layer.modeKey() });
  const x = ones([100, 100]);
  const first = (await step(x)).data();
  const kept = first.filter((value) => value !== 0);
  assert.ok(kept.every((value) => Math.abs(value - 1 / 0.7) < 1e-6));
  // Four standard deviations of a binomial distribution.
  assert.ok(Math.abs(kept.length / first.length - 0.7) < 4 * Math.sqrt((0.3 * 0.7) / first.length));
  const second = (await step(x)).data();
  const both = second.filter((value, i) => value !== 0 && first[i] !== 0).length / first.length;
  assert.ok(Math.abs(both - 0.49) < 0.03, 'the choices of two steps are independent');
  assert.equal(layer.state.data()[1], 2);

  const again = new Dropout(0.3, { random: new Random(5) });
  assert.deepEqual(again.forward(x).data(), first, 'outside of compile, from the same seed');
  const resumed = new Dropout(0.3, { random: new Random(6) });
  resumed.loadRandomStates({ state: { shape: [2], data: again.state.data() } });
  assert.deepEqual(resumed.forward(x).data(), second, 'from a saved state');
  layer.eval();
  assert.deepEqual((await step(x)).data(), x.data());
  assert.equal(layer.state.data()[1], 2);
  assert.ok(
    new Dropout(1)
      .forward(x)
      .data()
      .every((value) => value === 0),
  );
});

testOnDevices('two dropouts of one network choose differently', () => {
  const model = new Sequential(new Dropout(0.5), new Dropout(0.5));
  const left = model
    .forward(ones([10000]))
    .data()
    .filter((value) => value !== 0).length;
  assert.ok(Math.abs(left / 10000 - 0.25) < 0.03, `${left} of 10000 survive both`);
});

testOnDevices('batch normalisation changes its statistics in training only', () => {
  const layer = new BatchNorm2d(1);
  const x = tensor([[[[1, 3]]], [[[5, 7]]]]);
  const step = compile((v: Tensor) => layer.forward(v), { key: () => layer.modeKey() });
  step.sync(x);
  const close = (actual: Tensor | undefined, expected: number): void =>
    assert.ok(Math.abs((actual?.item() ?? Number.NaN) - expected) < 1e-6);
  close(layer.runningMean, 0.4);
  close(layer.runningVar, 0.9 + (0.1 * 20) / 3);
  close(layer.numBatchesTracked, 1);
  layer.eval();
  const y = step.sync(x).data();
  close(layer.runningMean, 0.4);
  close(layer.numBatchesTracked, 1);
  assert.ok(Math.abs(y[0] - (1 - 0.4) / Math.sqrt(0.9 + 2 / 3 + 1e-5)) < 1e-6);
});

test('initial weights repeat for a seed and have the variance they claim', () => {
  manualSeed(3);
  const first = new Conv2d(8, 16, 3);
  manualSeed(3);
  const second = new Conv2d(8, 16, 3);
  assert.deepEqual(first.weight.data(), second.weight.data());
  assert.notDeepEqual(new Conv2d(8, 16, 3).weight.data(), first.weight.data());
  const random = new Random(4);
  const seeded = new Conv2d(8, 16, 3, { random: new Random(4) });
  assert.deepEqual(new Conv2d(8, 16, 3, { random }).weight.data(), seeded.weight.data());
  const bound = 1 / Math.sqrt(72);
  for (const part of [first.weight, first.bias as Tensor]) {
    const largest = Array.from(part.data()).reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    assert.ok(largest <= bound && largest > 0.8 * bound);
  }
  const deviation = (t: Tensor): number =>
    Math.sqrt(Array.from(t.data()).reduce((total, v) => total + v * v, 0) / t.size);
  const near = (t: Tensor, expected: number): void => {
    const actual = deviation(t);
    assert.ok(Math.abs(actual / expected - 1) < 0.06, `deviation ${actual}, expected ${expected}`);
  };
  const { weight } = new Conv2d(16, 32, 3);
  const relu = { nonlinearity: 'relu', random } as const;
  near(init.kaimingNormal(weight, relu), Math.sqrt(2 / 144));
  near(init.kaimingUniform(weight, relu), Math.sqrt(2 / 144));
  near(init.kaimingNormal(weight, { ...relu, mode: 'fan_out' }), Math.sqrt(2 / 288));
  near(init.kaimingUniform(weight, { a: Math.sqrt(5), random }), 1 / Math.sqrt(3 * 144));
  near(init.xavierNormal(weight, { random }), Math.sqrt(2 / 432));
  near(init.xavierUniform(weight, { gain: 2, random }), 2 * Math.sqrt(2 / 432));
  assert.throws(() => init.kaimingNormal(weight, { mode: 'fan' as 'fan_in' }), /mode must be "fan_in" or "fan_out"/);
  assert.throws(() => init.kaimingNormal(weight, { nonlinearity: 'gelu' as 'relu' }), /unknown nonlinearity "gelu"/);
});

test('console.log shows the type of a tensor and the tree of a module', () => {
  const body = new Sequential(new Linear(2, 3), new ReLU());
  const network = new Sequential({ body, head: new Linear(3, 1) });
  const lines = [
    'Sequential(',
    '  (body): Sequential(',
    '    (0): Linear',
    '    (1): ReLU',
    '  )',
    '  (head): Linear',
    ')',
  ];
  assert.equal(inspect(network), lines.join('\n'));
  assert.equal(inspect({ x: ones([2, 3]) }), '{ x: Tensor(f32[2, 3]) }');
});
