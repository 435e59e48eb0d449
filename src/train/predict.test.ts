import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encode } from 'fast-png';
import { normalizeImages } from '../data/index.js';
import { Flatten, Linear, Sequential } from '../nn/index.js';
import { tensor } from '../ops/create.js';
import { FileError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { tinyData, tinyModel, tinySplit } from '../testing/tiny-training.js';
import { Classifier } from './classifier.js';
import { fit } from './fit.js';
import { predict, predictImages } from './predict.js';
import { type Preprocessing, preprocessingOf } from './preprocessing.js';

const format: Preprocessing = { channels: 1, height: 6, width: 6, mean: [0.4], std: [0.3] };
const classes = ['left', 'right', 'top'];

/** Kernels for another batch size may round otherwise. */
function close(actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((row, i) => {
    row.forEach((p, c) => {
      assert.ok(Math.abs(p - expected[i][c]) < 1e-6, `image ${i}, class ${c}: ${p} and ${expected[i][c]}`);
    });
  });
}

test('every image gets the same probabilities alone and in any batch, from bytes and from floats', async () => {
  const model = tinyModel();
  const { images } = tinySplit(7, 1);
  const together = await predictImages(model, images, format);
  assert.equal(together.length, 7);
  for (const row of together) assert.ok(Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-6);
  close(await predictImages(model, images, format, { batchSize: 2 }), together);
  close(await predictImages(model, images.subarray(36, 72), format), [together[1]]);
  const x = tensor(normalizeImages(images, 36, format), { shape: [7, 1, 6, 6] });
  close(await predict(model, x, { batchSize: 3 }), together);
  assert.deepEqual(await predictImages(model, new Uint8Array(), format), []);
});

test('mirrored: the mean of the probabilities of an image and its mirror image', async () => {
  const model = tinyModel();
  const { images } = tinySplit(7, 1);
  const turned = images.map((_, i) => images[i - (i % 6) + 5 - (i % 6)]);
  const [straight, flipped] = [await predictImages(model, images, format), await predictImages(model, turned, format)];
  const means = straight.map((row, i) => row.map((p, c) => (p + flipped[i][c]) / 2));
  assert.ok(
    straight.some((row, i) => Math.abs(row[0] - flipped[i][0]) > 0.01),
    'the test needs a difference',
  );
  close(await predictImages(model, images, format, { mirrored: true }), means);
  close(await predictImages(model, turned, format, { mirrored: true, batchSize: 3 }), means);
  const x = tensor(normalizeImages(images, 36, format), { shape: [7, 1, 6, 6] });
  close(await predict(model, x, { mirrored: true }), means);
  const classifier = new Classifier(model, classes, format);
  const picture = { width: 6, height: 6, channels: 1 as const, data: images.slice(0, 36) };
  for (const { index, probability } of await classifier.classify(picture, { mirrored: true })) {
    assert.ok(Math.abs(probability - means[0][index]) < 1e-6);
  }
  await assert.rejects(predict(model, x, { mirrored: true, activation: 'sigmoid' }), /mirrored is for classes/);
  const rows = tensor(new Float32Array(36), { shape: [1, 36] });
  await assert.rejects(predict(new Linear(36, 3), rows, { mirrored: true }), /only images.*\[1, 36\]/);
});

test('inputs of other shapes and options are refused', async () => {
  const model = tinyModel();
  await assert.rejects(predict(model, tensor(new Float32Array(36), { shape: [1, 6, 6] })), /batch of one/);
  await assert.rejects(predictImages(model, new Uint8Array(35), format), /35 bytes are not whole images/);
  await assert.rejects(
    predictImages(model, new Uint8Array(36), format, { batch: 1 } as object),
    /unknown option "batch"/,
  );
  await assert.rejects(predictImages(model, new Uint8Array(36), format, { batchSize: 0 }), /batchSize/);
});

test('a classifier reads pictures of any size, and inverts dark drawings on white', async () => {
  const background = { mean: 5, deviation: 10 };
  const classifier = new Classifier(tinyModel(), classes, { ...format, background });
  // A 12×12 grey picture: white paper, a black square in the middle.
  const data = new Uint8Array(144).fill(255);
  for (let y = 4; y < 8; y++) data.fill(0, y * 12 + 4, y * 12 + 8);
  const png = encode({ width: 12, height: 12, data, channels: 1, depth: 8 });
  const planes = classifier.prepare(png);
  assert.deepEqual([planes.length, planes[0], planes[2 * 6 + 2]], [36, 0, 255]);
  const plain = new Classifier(classifier.model, classes, format);
  assert.deepEqual([plain.prepare(png)[0], plain.prepare(png)[2 * 6 + 2]], [255, 0]);

  const [probabilities] = await classifier.probabilities(planes);
  const predictions = await classifier.classify(png);
  assert.deepEqual(
    predictions.map(({ probability }) => probability),
    [...probabilities].sort((a, b) => b - a),
  );
  for (const { class: name, index, probability } of predictions) {
    assert.equal(name, classes[index]);
    assert.equal(probability, probabilities[index]);
  }
  assert.deepEqual(await classifier.classify({ width: 12, height: 12, channels: 1, data }, { top: 1 }), [
    predictions[0],
  ]);
  await assert.rejects(classifier.classify(Uint8Array.of(1, 2, 3)), (error: Error) => error instanceof FileError);
  await assert.rejects(classifier.classify(png, { top: 0 }), /top must be/);
});

test('a classifier whose classes are not its outputs says so', async () => {
  const model = new Sequential(new Flatten(), new Linear(36, 2, { random: new Random(1) }));
  await assert.rejects(
    new Classifier(model, classes, format).probabilities(new Uint8Array(36)),
    /2 outputs, but 3 classes/,
  );
});

test('what was learned is what is predicted', async () => {
  const data = tinyData(48, 3);
  const model = tinyModel();
  await fit(model, data, { epochs: 4, batchSize: 12, lr: 0.02, workers: 0, validate: false });
  const fresh = tinySplit(9, 77);
  const rows = await predictImages(model, fresh.images, format);
  const right = rows.filter((p, i) => p.indexOf(Math.max(...p)) === fresh.labels[i]).length;
  assert.ok(right >= 8, `${right} of 9`);
});

test('the preprocessing of a data set carries its background when it is grey', () => {
  const { train } = tinyData(6).splits;
  const dataset = {
    name: 'tiny',
    kind: 'tiny',
    classes,
    ...format,
    channels: 1 as const,
    splits: { train, test: train },
    skipped: [],
  };
  const grey = preprocessingOf(dataset, 'pad');
  assert.deepEqual({ ...grey, background: undefined }, { ...format, fit: 'pad', background: undefined });
  assert.ok((grey.background?.deviation as number) > 0);
  assert.deepEqual(JSON.parse(JSON.stringify(grey)), grey);
});
