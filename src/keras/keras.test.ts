import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { TEST_DEVICES, type TestDevice } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import * as tf from './index.js';

/** What `scripts/fixtures_keras.mjs` writes. */
interface KerasCase {
  readonly name: string;
  readonly inputs: readonly (readonly number[])[];
  readonly layers: readonly (readonly [factory: string, options: Record<string, unknown>])[];
  readonly weights: readonly FixtureArray[];
  readonly x: readonly FixtureArray[];
  readonly output: FixtureArray;
  readonly y?: FixtureArray;
  readonly loss?: tf.LossName;
  readonly metrics?: readonly tf.MetricName[];
  readonly optimizer?: keyof typeof OPTIMIZERS;
  /** loss and metrics of every step */
  readonly history?: readonly (readonly number[])[];
  readonly evaluated?: readonly number[];
  readonly after?: readonly FixtureArray[];
}

const OPTIMIZERS = {
  sgd: () => tf.train.sgd(0.1),
  adam: () => tf.train.adam(0.01),
  momentum: () => tf.train.momentum(0.1, 0.9, true),
  rmsprop: () => tf.train.rmsprop(0.01),
  rmspropMomentum: () => tf.train.rmsprop(0.01, 0.8, 0.9, 0.001),
  adagrad: () => tf.train.adagrad(0.1),
  adamax: () => tf.train.adamax(0.02),
};

type Factory = (options: Record<string, unknown>) => tf.Layer;

type LayerCase = KerasCase['layers'][number];

/** Layers within others are given as they are. */
function made([factory, options]: LayerCase): tf.Layer {
  const given = Object.entries(options).map(([key, value]) => {
    if (key.endsWith('Regularizer')) return [key, tf.regularizers.l1l2(value as { l1: number; l2: number })];
    return [key, key === 'layer' ? made(value as LayerCase) : value];
  });
  const make = (tf.layers as unknown as Record<string, Factory>)[factory];
  return make(Object.fromEntries(given));
}

function build({ inputs, layers }: KerasCase): tf.FunctionalModel {
  const symbolic = inputs.map((shape) => tf.input({ shape }));
  let output: tf.SymbolicTensor | tf.SymbolicTensor[] = symbolic.length === 1 ? symbolic[0] : symbolic;
  for (const layer of layers) output = made(layer).apply(output as tf.SymbolicTensor);
  return tf.model({ inputs: symbolic, outputs: output });
}

function near(actual: readonly number[], expected: readonly number[], tolerance: number, what: string): void {
  assert.equal(actual.length, expected.length, what);
  actual.forEach((value, i) => {
    const scale = Math.max(1, Math.abs(expected[i]));
    assert.ok(Math.abs(value - expected[i]) <= tolerance * scale, `${what}: ${actual} and not ${expected}`);
  });
}

async function check(c: KerasCase, device: TestDevice): Promise<void> {
  const model = build(c);
  assert.deepEqual(
    model.getWeights().map(({ shape }) => [...shape]),
    c.weights.map(({ shape }) => [...shape]),
    'shapes of weights',
  );
  model.setWeights(c.weights.map((w) => fixtureTensor(w)));
  const xs = c.x.map((x) => fixtureTensor(x));
  assert.deepEqual([...(model.outputShape as number[])].slice(1), c.output.shape.slice(1));
  // The other side computes in single precision and writes seven digits.
  const tolerance = Math.max(device.tolerance, 1e-5);
  assertClose(model.predict(xs) as tf.Tensor, c.output, tolerance, 'output');
  if (c.y === undefined || c.history === undefined || c.loss === undefined || c.optimizer === undefined) return;
  const y = fixtureTensor(c.y);
  model.compile({ optimizer: OPTIMIZERS[c.optimizer](), loss: c.loss, metrics: c.metrics ?? [] });
  for (const expected of c.history) {
    near([await model.trainOnBatch(xs, y)].flat(), expected, 5 * tolerance, 'loss and metrics of a step');
  }
  model.getWeights().forEach((weight, i) => {
    assertClose(weight, c.after?.[i] as FixtureArray, 5 * tolerance, `weight ${i} after training`);
  });
  const regularized = c.layers.some(([, options]) => Object.keys(options).some((key) => key.endsWith('Regularizer')));
  // TensorFlow.js leaves penalties out of evaluation; Keras does not.
  if (regularized) return;
  near(
    [model.evaluate(xs, y)].flat().map((value) => value.item()),
    c.evaluated ?? [],
    5 * tolerance,
    'evaluation',
  );
}

for (const device of TEST_DEVICES.filter(({ name }) => name !== 'reference')) {
  test(`layers, losses and optimizers agree with TensorFlow.js [${device.name}]`, async (t) => {
    setDevice(device.make());
    for (const c of readFixtures<KerasCase>('keras')) await t.test(c.name, () => check(c, device));
  });
}
