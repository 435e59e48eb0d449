import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Flatten, Linear, Sequential } from '../nn/index.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { bitsOf, tinyData, tinyModel } from '../testing/tiny-training.js';
import { evaluate } from './evaluate.js';
import { argmaxRow, crossEntropyRow, perClassMetrics, softmaxRow } from './metrics.js';

const data = tinyData(3, 11);
const split = data.splits.test as NonNullable<typeof data.splits.test>;
const linear = new Linear(36, 3, { random: new Random(4) });
const model = new Sequential(new Flatten(), linear);

/** Probabilities of image `i` in plain double precision. */
function expected(i: number, images = split.images): number[] {
  const [w, b] = [linear.weight.data(), (linear.bias as NonNullable<typeof linear.bias>).data()];
  const logits = [0, 1, 2].map((c) => {
    let sum = b[c];
    for (let k = 0; k < 36; k++) sum += w[c * 36 + k] * Math.fround((images[i * 36 + k] / 255 - 0.4) / 0.3);
    return sum;
  });
  const total = logits.reduce((sum, z) => sum + Math.exp(z), 0);
  return logits.map((z) => Math.exp(z) / total);
}

test('loss, accuracy, confusion and mistakes are those of plain loops, for every batch size', async () => {
  const rows = Array.from({ length: split.count }, (_, i) => expected(i));
  const confusion = [0, 1, 2].map(() => [0, 0, 0]);
  const predicted = rows.map((p) => p.indexOf(Math.max(...p)));
  for (const [i, c] of predicted.entries()) confusion[split.labels[i]][c]++;
  const loss = rows.reduce((sum, p, i) => sum - Math.log(p[split.labels[i]]), 0) / rows.length;
  const wrong = predicted.flatMap((c, i) =>
    c === split.labels[i] ? [] : [{ index: i, label: split.labels[i], predicted: c, probability: rows[i][c] }],
  );
  wrong.sort((a, b) => b.probability - a.probability);
  assert.ok(wrong.length > 2 && wrong.length < split.count, 'the test needs mistakes and hits');
  for (const batchSize of [1, 4, 11, 64]) {
    const progress: number[] = [];
    const result = await evaluate(model, split, data, { batchSize, onProgress: (done) => progress.push(done) });
    assert.ok(Math.abs(result.loss - loss) < 1e-5, `${result.loss} ${loss}`);
    assert.equal(result.accuracy, (split.count - wrong.length) / split.count);
    assert.equal(result.count, split.count);
    assert.deepEqual(result.confusion, confusion);
    assert.deepEqual(
      result.mostWrong.map(({ index, label, predicted }) => [index, label, predicted]),
      wrong.map(({ index, label, predicted }) => [index, label, predicted]),
    );
    result.mostWrong.forEach((mistake, i) => {
      assert.ok(Math.abs(mistake.probability - wrong[i].probability) < 1e-5);
    });
    assert.equal(progress.at(-1), split.count);
    assert.equal(progress.length, Math.ceil(split.count / batchSize));
  }
  assert.equal((await evaluate(model, split, data, { mostWrong: 2 })).mostWrong.length, 2);
});

test('mirrored: of the mean of both probabilities, as plain loops have it', async () => {
  const turned = split.images.map((_, i) => split.images[i - (i % 6) + 5 - (i % 6)]);
  const rows = Array.from({ length: split.count }, (_, i) => {
    const other = expected(i, turned);
    return expected(i).map((p, c) => (p + other[c]) / 2);
  });
  const loss = rows.reduce((sum, p, i) => sum - Math.log(p[split.labels[i]]), 0) / rows.length;
  const right = rows.filter((p, i) => p.indexOf(Math.max(...p)) === split.labels[i]).length;
  const result = await evaluate(model, split, data, { mirrored: true, batchSize: 4 });
  assert.ok(Math.abs(result.loss - loss) < 1e-5, `${result.loss} ${loss}`);
  assert.equal(result.accuracy, right / split.count);
  assert.ok(Math.abs(result.loss - (await evaluate(model, split, data)).loss) > 1e-3, 'the test needs a difference');
  await assert.rejects(evaluate(model, split, data, { mirrored: true, loss: 'mse' }), /mirrored is for images/);
});

test('uses evaluation mode, changes nothing and repeats itself', async () => {
  const net = tinyModel();
  net.submodule('dropout').eval();
  const before = bitsOf(net);
  const first = await evaluate(net, split, data);
  assert.deepEqual(await evaluate(net, split, data), first);
  assert.deepEqual(bitsOf(net), before);
  assert.deepEqual(
    ['', 'bn', 'dropout'].map((name) => net.submodule(name).training),
    [true, true, false],
  );
});

test('sees what training has changed since', async () => {
  const net = new Sequential(new Flatten(), new Linear(36, 3, { random: new Random(4) }));
  const first = await evaluate(net, split, data);
  const bias = net.stateDict()['1.bias'];
  bias.write([100, 0, 0]);
  const second = await evaluate(net, split, data);
  assert.notEqual(second.loss, first.loss);
  assert.deepEqual(
    second.confusion.map((row) => row[0]),
    [4, 4, 3],
  );
});

test('bad input is an error that says why', async () => {
  await assert.rejects(evaluate(model, tinyData(3, 0).splits.test as typeof split, data), /no images in this part/);
  await assert.rejects(evaluate(model, split, { ...data, classes: ['a', 'b'] }), (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /image 2 has the label 2, but there are 2 classes/);
    return true;
  });
  const four = { ...data, classes: ['a', 'b', 'c', 'd'] };
  await assert.rejects(evaluate(model, split, four), (error: Error) => error instanceof ShapeError);
  await assert.rejects(evaluate(model, split, data, { top: 3 } as object), /unknown option "top"/);
  await assert.rejects(evaluate(model, split, data, { batchSize: 0 }), /batchSize/);
  await assert.rejects(evaluate(model, split, data, { signal: AbortSignal.abort(new Error('enough')) }), /enough/);
});

test('softmax and cross-entropy of rows hold for large logits, and keep NaN', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: -1e4, max: 1e4, noNaN: true }), { minLength: 1, maxLength: 6 }), (logits) => {
      const padded = [7, ...logits];
      const p = softmaxRow(padded, 1, new Float32Array(logits.length));
      assert.ok(Math.abs(p.reduce((a, b) => a + b, 0) - 1) < 1e-5);
      const best = argmaxRow(padded, 1, logits.length);
      assert.equal(logits[best], Math.max(...logits));
      const loss = crossEntropyRow(padded, 1, logits.length, best);
      assert.ok(loss >= 0 && Math.abs(Math.exp(-loss) - p[best]) < 1e-5);
    }),
  );
  assert.ok(Number.isNaN(crossEntropyRow([Number.NaN, 1], 0, 2, 1)));
  assert.equal(argmaxRow([1, 3, 3], 0, 3), 1);
});

test('precision and recall follow their definitions', () => {
  const [a, b, c] = perClassMetrics(
    ['a', 'b', 'c'],
    [
      [3, 1, 0],
      [2, 4, 0],
      [0, 0, 0],
    ],
  );
  assert.deepEqual(a, { class: 'a', precision: 3 / 5, recall: 3 / 4, f1: 6 / 9, count: 4 });
  assert.deepEqual([b.precision, b.recall, b.count], [4 / 5, 4 / 6, 6]);
  assert.ok(Number.isNaN(c.precision) && Number.isNaN(c.recall) && c.count === 0);
});
