import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { LayerConfig } from '../nn/config.js';
import { Linear } from '../nn/layers/linear.js';
import { moduleFromConfig } from '../nn/registry.js';
import { randomNormal, tensor } from '../ops/create.js';
import { crossEntropy, mseLoss } from '../ops/losses.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { TEST_DEVICES, testOnDevices } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import { Adam, AdamW, clipGradNorm, type Optimizer, type ParameterList, SGD, type SGDOptions } from './index.js';

type Options = Record<string, number | boolean | number[]>;

function make(type: string, parameters: ParameterList, options: Options): Optimizer {
  if (type === 'SGD') return new SGD(parameters, options as unknown as SGDOptions);
  return type === 'Adam' ? new Adam(parameters, options) : new AdamW(parameters, options);
}

interface OptimizerCase {
  readonly name: string;
  readonly type: string;
  readonly options: Options;
  readonly initial: FixtureArray[];
  readonly steps: { readonly lr: number; readonly gradients: FixtureArray[]; readonly after: FixtureArray[] }[];
}

testOnDevices('optimizers agree with PyTorch, compiled and not', (device) => {
  for (const c of readFixtures<OptimizerCase>('optimizers')) {
    for (const compiled of [true, false]) {
      const parameters = c.initial.map((initial) => fixtureTensor(initial));
      const optimizer = make(c.type, parameters, c.options);
      const plain = (...g: Tensor[]): void => optimizer.step(g);
      const step = compiled ? compile(plain).sync : plain;
      c.steps.forEach(({ lr, gradients: g, after }, i) => {
        optimizer.setLearningRate(lr);
        step(...g.map((gradient) => fixtureTensor(gradient)));
        after.forEach((expected, k) => {
          assertClose(parameters[k], expected, device.tolerance, `${c.name}, parameter ${k} after step ${i + 1}`);
        });
      });
      assert.equal(optimizer.stepCount.item(), c.steps.length);
    }
  }
});

interface TrainingCase {
  readonly name: string;
  readonly layer: LayerConfig;
  readonly optimizer: string;
  readonly options: Options;
  readonly state: Record<string, FixtureArray>;
  readonly steps: { readonly input: FixtureArray; readonly labels: number[]; readonly loss: number }[];
  readonly after: Record<string, FixtureArray>;
  readonly used: { readonly input: FixtureArray; readonly output: FixtureArray };
}

testOnDevices('a training loop agrees with PyTorch', async (device) => {
  for (const c of readFixtures<TrainingCase>('training')) {
    const model = moduleFromConfig(c.layer);
    model.loadStateDict(c.state);
    const optimizer = make(c.optimizer, model.namedParameters(), c.options);
    const step = compile((x: Tensor, labels: Tensor) => {
      const loss = crossEntropy(model.forward(x), labels, { labelSmoothing: 0.1 });
      optimizer.step(gradients(loss, model.parameters()));
      return loss;
    });
    // Rounding errors of a network grow from step to step, above all where Adam divides by small averages.
    const tolerance = device.tolerance * 50;
    for (const { input, labels, loss } of c.steps) {
      const got = (await step(fixtureTensor(input), tensor(Int32Array.from(labels)))).item();
      assert.ok(Math.abs(got - loss) < tolerance, `${c.name}: loss ${got}, expected ${loss}`);
    }
    const state = model.stateDict();
    for (const [name, expected] of Object.entries(c.after)) assertClose(state[name], expected, tolerance, name);
    assertClose(model.eval().forward(fixtureTensor(c.used.input)), c.used.output, tolerance, 'output in use');
  }
});

const OPTIMIZERS: [string, Options][] = [
  ['SGD', { lr: 0.1 }],
  ['SGD', { lr: 0.05, momentum: 0.9 }],
  ['SGD', { lr: 0.05, momentum: 0.9, nesterov: true }],
  ['Adam', { lr: 0.05 }],
  ['Adam', { lr: 0.05, amsgrad: true }],
  ['AdamW', { lr: 0.05 }],
];

/** A linear layer, an optimizer and the compiled step of a regression. */
function regression(type: string, options: Options) {
  const layer = new Linear(3, 2, { random: new Random(1) });
  const optimizer = make(type, layer.namedParameters(), options);
  const step = compile((x: Tensor, y: Tensor) => {
    const loss = mseLoss(layer.forward(x), y);
    optimizer.step(gradients(loss, layer.parameters()));
    return loss;
  });
  return { layer, optimizer, step: (x: Tensor, y: Tensor): number => step.sync(x, y).item() };
}

testOnDevices('every optimizer solves a regression', () => {
  const truth = new Linear(3, 2, { random: new Random(2) });
  const x = randomNormal([16, 3], 3);
  const y = truth.forward(x);
  for (const [type, options] of OPTIMIZERS) {
    const { step } = regression(type, options);
    const losses = Array.from({ length: 100 }, () => step(x, y));
    const name = `${type} ${JSON.stringify(options)}: ${losses[0]} → ${losses[99]}`;
    assert.ok(losses[99] < 0.02 * losses[0], name);
    // What is still there after fifty steps keeps falling.
    assert.ok(losses[99] < losses[49], name);
  }
});

testOnDevices('a saved state goes on to the same bits', () => {
  const x = randomNormal([16, 3], 3);
  const y = randomNormal([16, 2], 4);
  const copy = (state: Record<string, Tensor>): Record<string, FixtureArray> =>
    Object.fromEntries(Object.entries(state).map(([name, t]) => [name, { shape: t.shape, data: [...t.data()] }]));
  for (const [type, options] of OPTIMIZERS) {
    const first = regression(type, options);
    for (let i = 0; i < 3; i++) first.step(x, y);
    first.optimizer.setLearningRate(0.01);
    const saved = { weights: copy(first.layer.stateDict()), state: copy(first.optimizer.stateDict()) };
    const expected = [first.step(x, y), first.step(x, y)];
    const second = regression(type, options);
    second.layer.loadStateDict(saved.weights);
    second.optimizer.loadStateDict(saved.state);
    assert.deepEqual([second.step(x, y), second.step(x, y)], expected, type);
    assert.equal(second.optimizer.stepCount.item(), 5);
  }
});

test('state is named after the parameters', () => {
  setDevice(TEST_DEVICES[0].make());
  const layer = new Linear(2, 1);
  assert.deepEqual(Object.keys(new SGD(layer.parameters(), { lr: 1, momentum: 0.5 }).stateDict()), [
    'lr',
    'step',
    'momentum_buffer.0',
    'momentum_buffer.1',
  ]);
  assert.deepEqual(Object.keys(new Adam(layer.namedParameters()).stateDict()), [
    'lr',
    'step',
    'exp_avg.weight',
    'exp_avg.bias',
    'exp_avg_sq.weight',
    'exp_avg_sq.bias',
  ]);
});

test('clipping bounds the joint norm', () => {
  setDevice(TEST_DEVICES[0].make());
  const g = [tensor([3, 0]), tensor([[4]])];
  const { gradients: clipped, norm } = clipGradNorm(g, 1);
  assert.ok(Math.abs(norm.item() - 5) < 1e-6);
  assertClose(clipped[0], { shape: [2], data: [0.6, 0] }, 1e-6, 'first');
  assertClose(clipped[1], { shape: [1, 1], data: [0.8] }, 1e-6, 'second');
  assertClose(clipGradNorm(g, 10).gradients[1], { shape: [1, 1], data: [4] }, 1e-6, 'within the bound');
});

test('optimizers refuse what makes no sense', () => {
  setDevice(TEST_DEVICES[0].make());
  const p = tensor([1, 2]);
  assert.throws(() => new SGD([], { lr: 1 }), /no parameters/);
  assert.throws(() => new SGD([p, p], { lr: 1 }), /twice/);
  assert.throws(() => new SGD([p], {} as SGDOptions), /lr must be a number ≥ 0, got undefined/);
  assert.throws(() => new SGD([p], { lr: -1 }), /lr must be a number ≥ 0, got -1/);
  assert.throws(() => new SGD([p], { lr: 1, nesterov: true }), /nesterov needs a momentum/);
  assert.throws(() => new SGD([p], { lr: 1, momentun: 0.9 } as SGDOptions), /unknown option "momentun"/);
  assert.throws(() => new AdamW([p], { betas: [0.9, 1] }), /AdamW: betas must be two numbers/);
  assert.throws(() => new Adam([p], { eps: -1 }), /eps must be a number ≥ 0/);
  const optimizer = new SGD([['w', p]], { lr: 1 });
  assert.throws(() => optimizer.step([]), /0 gradients for 1 parameters/);
  assert.throws(() => optimizer.step([tensor([1])]), /gradient of "w" is \[1\], the parameter \[2\]/);
  assert.throws(() => optimizer.setLearningRate(Number.NaN), /lr must be/);
});
