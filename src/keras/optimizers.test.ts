import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as tf from './index.js';

/** The weight of y = w · x after some steps towards 0 from x = 1, mean squared error: the gradient is 2 w. */
async function descend(optimizer: tf.KerasOptimizer, steps: number): Promise<number[]> {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, useBias: false, inputShape: [1] })] });
  model.setWeights([tf.tensor2d([[0.5]])]);
  model.compile({ optimizer, loss: 'mse' });
  const found: number[] = [];
  for (let i = 0; i < steps; i++) {
    await model.trainOnBatch(tf.tensor2d([[1]]), tf.tensor2d([[0]]));
    found.push(model.getWeights()[0].item());
  }
  return found;
}

/** The same in plain numbers. */
function expected(steps: number, change: (gradient: number) => number): number[] {
  let w = 0.5;
  return Array.from({ length: steps }, () => (w -= change(2 * w)));
}

function assertNear(actual: readonly number[], wanted: readonly number[]): void {
  actual.forEach((value, i) => {
    assert.ok(Math.abs(value - wanted[i]) < 1e-5, `${actual} and not ${wanted}`);
  });
}

// TensorFlow.js departs from the papers and from Keras here.

test('centred RMSprop subtracts the square of the mean gradient', async () => {
  let [square, mean, moment] = [0, 0, 0];
  const wanted = expected(5, (g) => {
    square = 0.8 * square + 0.2 * g * g;
    mean = 0.8 * mean + 0.2 * g;
    moment = 0.5 * moment + (0.01 * g) / Math.sqrt(square - mean * mean + 1e-3);
    return moment;
  });
  assertNear(await descend(tf.train.rmsprop(0.01, 0.8, 0.5, 1e-3, true), 5), wanted);
});

test('Adadelta divides by the mean square that includes the gradient', async () => {
  let [square, changes] = [0, 0];
  const wanted = expected(5, (g) => {
    square = 0.9 * square + 0.1 * g * g;
    const change = (Math.sqrt(changes + 1e-2) / Math.sqrt(square + 1e-2)) * g;
    changes = 0.9 * changes + 0.1 * change * change;
    return 0.5 * change;
  });
  assertNear(await descend(tf.train.adadelta(0.5, 0.9, 1e-2), 5), wanted);
});

test('AdamW shrinks weights apart from the gradient', async () => {
  const plain = await descend(tf.train.adam(0.1), 1);
  const decayed = await descend(tf.train.adamw(0.1, 0.2), 1);
  assertNear(decayed, [plain[0] - 0.5 * 0.1 * 0.2]);
});

test('the learning rate changes between steps; names have defaults', async () => {
  const optimizer = tf.train.sgd(0.1);
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, useBias: false, inputShape: [1] })] });
  model.setWeights([tf.tensor2d([[1]])]);
  model.compile({ optimizer, loss: 'mse' });
  const step = async (): Promise<number> => {
    await model.trainOnBatch(tf.tensor2d([[1]]), tf.tensor2d([[0]]));
    return model.getWeights()[0].item();
  };
  assertNear([await step()], [0.8]);
  optimizer.learningRate = 0.25;
  assertNear([await step()], [0.4]);
  assert.equal(model.optimizer, optimizer);
  for (const name of ['sgd', 'adam', 'adamw', 'rmsprop', 'adagrad', 'adadelta', 'adamax'] as const) {
    model.compile({ optimizer: name, loss: 'mse' });
    const before = model.getWeights()[0].item();
    assert.ok((await step()) < before, name);
  }
  assert.throws(() => model.compile({ optimizer: 'ftrl' as never, loss: 'mse' }), /optimizer must be one of sgd, adam/);
});
