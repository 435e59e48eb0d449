import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SampleDataset, type SampleFormat, sampleDataset } from '../data/index.js';
import {
  BCEWithLogitsLoss,
  Conv2d,
  Conv3d,
  CrossEntropyLoss,
  DiceLoss,
  HuberLoss,
  Linear,
  Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { tensor } from '../ops/create.js';
import { ctcGreedyDecode } from '../ops/ctc-decode.js';
import { add, mul, sub } from '../ops/elementwise.js';
import { crossEntropy, diceLoss } from '../ops/losses.js';
import { mean } from '../ops/reduce.js';
import { logSoftmax, softmax } from '../ops/softmax.js';
import { transpose } from '../ops/transpose.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { bitsOf } from '../testing/tiny-training.js';
import { evaluate } from './evaluate.js';
import { type FitOptions, fit } from './fit.js';
import { Objective } from './objective.js';
import { predict } from './predict.js';
import type { TrainingState } from './state.js';

const OPTIONS: FitOptions = { epochs: 30, batchSize: 8, lr: 0.03, workers: 0, seed: 1 };

/** y = 2a − b + 0.5 */
function line(count: number, format: Partial<SampleFormat> = {}): Promise<SampleDataset> {
  const random = new Random(2);
  const inputs = Float32Array.from({ length: 2 * count }, () => random.uniform(-1, 1));
  const targets = Float32Array.from({ length: count }, (_, i) => 2 * inputs[2 * i] - inputs[2 * i + 1] + 0.5);
  return sampleDataset({ inputs, targets }, { inputShape: [2], targetShape: [], ...format }, { testSplit: 0.25 });
}

const linear = (outputs: number, inputs = 2): Linear => new Linear(inputs, outputs, { random: new Random(1) });

test('numbers: mean squared, absolute and Huber losses by name and as objects, with their mean absolute error', async () => {
  for (const targetShape of [[], [1]]) {
    const data = await line(64, { targetShape });
    assert.deepEqual([data.splits.train.count, data.splits.test?.count, data.splits.validation], [48, 16, undefined]);
    for (const loss of ['mse', 'l1', new HuberLoss({ delta: 0.5 })] as const) {
      const model = linear(1);
      const { history } = await fit(model, data, { ...OPTIONS, lr: 0.1, loss });
      const last = history[history.length - 1];
      assert.ok((last.metrics.meanAbsoluteError as number) < 0.1, JSON.stringify(last));
      assert.ok(last.accuracy === undefined && !('validationAccuracy' in last));
      const test = data.splits.test!;
      const scores = await evaluate(model, test, data, { loss, batchSize: 5 });
      const outputs = await predict(model, tensor(test.inputs as Float32Array, { shape: [16, 2] }), {
        activation: 'none',
      });
      const errors = outputs.map(([y], i) => Math.abs(y - test.targets[i]));
      const expected = errors.reduce((a, b) => a + b, 0) / 16;
      assert.ok(Math.abs(scores.metrics.meanAbsoluteError - expected) < 1e-5);
      if (loss === 'l1') assert.ok(Math.abs(scores.loss - expected) < 1e-5);
      assert.ok(Math.abs(scores.loss - (last.validationLoss as number)) < 1e-5);
      assert.equal(scores.count, 16);
      assert.ok(!('confusion' in scores) && !('regions' in scores));
    }
  }
});

test('labels that do not exclude each other, from a generator, as floats and as bytes', async () => {
  function* samples(): Generator<{ input: number[]; target: number[] }> {
    const random = new Random(3);
    for (let i = 0; i < 80; i++) {
      const input = [random.uniform(-1, 1), random.uniform(-1, 1)];
      yield { input, target: [Number(input[0] > 0), Number(input[1] > 0), Number(input[0] > input[1])] };
    }
  }
  for (const targetType of ['f32', 'u8'] as const) {
    const format = { inputShape: [2], targetShape: [3], targetType };
    const data = await sampleDataset(samples(), format, { testSplit: 0.2, valSplit: 0.25 });
    assert.deepEqual([data.splits.train.count, data.splits.validation?.count, data.splits.test?.count], [48, 16, 16]);
    const model = linear(3);
    const { history } = await fit(model, data, { ...OPTIONS, lr: 0.1, loss: new BCEWithLogitsLoss() });
    assert.ok((history[29].validationAccuracy as number) > 0.9, JSON.stringify(history[29]));
    const [row] = await predict(model, tensor([[1, -1]]), { activation: 'sigmoid' });
    assert.ok(row[0] > 0.9 && row[1] < 0.1 && row[2] > 0.9, String(row));
  }
});

/** Images 8×8 with a bright square; class 1 is the square, and 255 stands on the border where nobody knows. */
function squares(count: number, ignored: boolean): { inputs: Uint8Array; targets: Uint8Array } {
  const random = new Random(4);
  const inputs = new Uint8Array(count * 64);
  const targets = new Uint8Array(count * 64);
  for (let n = 0; n < count; n++) {
    const [top, left] = [random.integer(5), random.integer(5)];
    for (let i = 0; i < 64; i++) {
      const [y, x] = [Math.floor(i / 8), i % 8];
      const inside = y >= top && y < top + 4 && x >= left && x < left + 4;
      inputs[n * 64 + i] = (inside ? 150 : 0) + random.integer(100);
      targets[n * 64 + i] = ignored && (x === 0 || y === 0) ? 255 : Number(inside);
    }
  }
  return { inputs, targets };
}

const pixels = (): Module =>
  new Sequential(
    new Conv2d(1, 4, 3, { padding: 1, random: new Random(5) }),
    new ReLU(),
    new Conv2d(4, 2, 1, { random: new Random(6) }),
  );

test('a class for every pixel: accuracy, confusion, Dice and IoU, without ignored pixels, as plain loops count them', async () => {
  for (const ignored of [false, true]) {
    const format = {
      inputShape: [1, 8, 8],
      targetShape: [8, 8],
      classes: ['ground', 'square'],
      mean: [0.4],
      std: [0.3],
    };
    const loss = ignored
      ? new CrossEntropyLoss({ ignoreIndex: 255, weight: tensor([1, 2]) })
      : ('crossEntropy' as const);
    const data = await sampleDataset(squares(40, ignored), format, { testSplit: 0.25 });
    const model = pixels();
    const { history } = await fit(model, data, { ...OPTIONS, epochs: 8, loss });
    const test = data.splits.test!;
    const scores = await evaluate(model, test, data, { loss, batchSize: 4 });
    const { regions = [], confusion = [], perClass = [] } = scores;
    assert.ok(scores.metrics.meanDice > 0.9, JSON.stringify(scores));
    assert.ok(Math.abs((history[7].validationMetrics?.meanDice as number) - scores.metrics.meanDice) < 1e-9);

    const x = Float32Array.from(test.inputs, (v) => (v / 255 - 0.4) / 0.3);
    const rows = await predict(model, tensor(x, { shape: [10, 1, 8, 8] }));
    const dice: number[][] = [[], []];
    const counts = [
      [0, 0],
      [0, 0],
    ];
    rows.forEach((p, n) => {
      const own = [
        [0, 0],
        [0, 0],
      ];
      for (let i = 0; i < 64; i++) {
        assert.ok(Math.abs(p[i] + p[64 + i] - 1) < 1e-5);
        const label = test.targets[n * 64 + i];
        if (label < 2) own[label][Number(p[64 + i] > p[i])]++;
      }
      for (const c of [0, 1]) {
        const size = own[c][0] + own[c][1] + own[0][c] + own[1][c];
        if (size > 0) dice[c].push((2 * own[c][c]) / size);
        counts[c][0] += own[c][0];
        counts[c][1] += own[c][1];
      }
    });
    assert.deepEqual(confusion, counts);
    for (const c of [0, 1]) {
      const expected = dice[c].reduce((a, b) => a + b, 0) / dice[c].length;
      assert.ok(Math.abs(regions[c].dice - expected) < 1e-9);
      assert.equal(regions[c].iou, counts[c][c] / (counts[c][0] + counts[c][1] + counts[1 - c][c]));
      assert.equal(regions[c].class, format.classes[c]);
      assert.equal(perClass[c].recall, counts[c][c] / (counts[c][0] + counts[c][1]));
    }
    const all = counts.flat().reduce((a, b) => a + b);
    assert.ok(Math.abs(scores.metrics.accuracy - (counts[0][0] + counts[1][1]) / all) < 1e-6);
    assert.equal(all, ignored ? test.targets.filter((label) => label < 2).length : 640);
  }
});

test('voxels with a function as loss; a metric of one’s own; a resume needs the function again and gives the same bits', async () => {
  const random = new Random(7);
  const inputs = Float32Array.from({ length: 12 * 64 }, () => random.uniform(-1, 1));
  const targets = Uint8Array.from(inputs, (v) => Number(v > 0));
  const data = await sampleDataset({ inputs, targets }, { inputShape: [1, 4, 4, 4], targetShape: [4, 4, 4] });
  const loss: FitOptions['loss'] = (output, target) =>
    add(crossEntropy(output, target), diceLoss(softmax(output, 1), target, { batch: true }));
  const metrics = { meanOutput: (output: Parameters<typeof loss>[0]) => mean(output) };
  const make = (): Module => new Sequential(new Conv3d(1, 2, 1, { random: new Random(8) }));
  const options: FitOptions = { ...OPTIONS, epochs: 4, batchSize: 4, lr: 0.2, loss, metrics };
  const states: TrainingState[] = [];
  const straight = make();
  const { history, settings } = await fit(straight, data, {
    ...options,
    onCheckpoint: (state) => void states.push(state),
  });
  assert.ok((history[3].accuracy as number) > 0.9, JSON.stringify(history));
  assert.ok(Number.isFinite(history[3].metrics.meanOutput));
  assert.equal(settings.loss, 'function');
  const resumed = make();
  await assert.rejects(
    fit(resumed, data, { resume: states[1], workers: 0 }),
    /a function of the program; give it again/,
  );
  const rest = await fit(resumed, data, { resume: states[1], workers: 0, loss, metrics });
  assert.deepEqual(bitsOf(resumed), bitsOf(straight));
  assert.deepEqual(rest.history[3].metrics, history[3].metrics);
});

test('a loss with options is stored, and found again by a resume', async () => {
  const data = await line(32);
  const states: TrainingState[] = [];
  const straight = linear(1);
  const options: FitOptions = { ...OPTIONS, epochs: 2, loss: new HuberLoss({ delta: 0.3 }), validate: false };
  await fit(straight, data, { ...options, onCheckpoint: (state) => void states.push(state) });
  assert.deepEqual(states[0].settings.loss, { type: 'HuberLoss', delta: 0.3 });
  const resumed = linear(1);
  const stored = JSON.parse(JSON.stringify(states[0].settings)) as TrainingState['settings'];
  await fit(resumed, data, { resume: { ...states[0], settings: stored }, workers: 0, validate: false });
  assert.deepEqual(bitsOf(resumed), bitsOf(straight));
});

test('class weights and losses of probabilities work on images with one class each, too', async () => {
  const { inputs, targets } = squares(24, false);
  const labels = Int32Array.from({ length: 24 }, (_, n) => targets[n * 64 + 27]);
  const data = await sampleDataset(
    { inputs, targets: labels },
    { inputShape: [64], targetShape: [], mean: new Array(64).fill(0), std: new Array(64).fill(1) },
  );
  const weight = tensor([1, 3]);
  const { train } = data.splits;
  const model = linear(2, 64);
  await fit(model, data, { ...OPTIONS, epochs: 10, lr: 0.01, loss: new CrossEntropyLoss({ weight }) });
  const scores = await evaluate(model, train, data, { loss: new CrossEntropyLoss({ weight }) });
  const plain = await evaluate(model, train, data);
  assert.deepEqual(scores.confusion, plain.confusion);
  assert.notEqual(scores.loss, plain.loss);
  assert.ok((scores.mostWrong ?? []).every(({ label, predicted }) => label !== predicted));
  // By hand.
  const outputs = await predict(
    model,
    tensor(
      Float32Array.from(train.inputs, (v) => v / 255),
      { shape: [24, 64] },
    ),
  );
  const w = outputs.map((_, i) => (train.targets[i] === 1 ? 3 : 1));
  const nll = outputs.map((p, i) => -Math.log(p[train.targets[i]]) * w[i]);
  const total = (values: number[]): number => values.reduce((a, b) => a + b, 0);
  assert.ok(Math.abs(scores.loss - total(nll) / total(w)) < 1e-4);
});

test('what does not fit is an error that says what', async () => {
  const data = await line(16);
  const model = linear(1);
  await assert.rejects(fit(model, data, { loss: 'nonsense' as 'mse' }), (error: Error) => {
    assert.ok(error instanceof OptionError);
    assert.match(error.message, /loss must be one of crossEntropy, nll, .*got nonsense/);
    return true;
  });
  await assert.rejects(
    fit(model, data, { loss: 'mse', labelSmoothing: 0.1 }),
    /labelSmoothing is an option of the loss crossEntropy/,
  );
  await assert.rejects(
    fit(linear(3), data, { loss: 'mse', workers: 0 }),
    (error: Error) => error instanceof ShapeError,
  );
  const perElement: FitOptions['loss'] = (output, target) => mul(sub(output, target), 2);
  await assert.rejects(fit(linear(12), data, { loss: perElement, workers: 0, batchSize: 12 }), /one number/);
  await assert.rejects(
    sampleDataset({ inputs: new Float32Array(6), targets: new Float32Array(2) }, { inputShape: [2], targetShape: [] }),
    /3 targets of shape \[\] are 3 elements, got 2/,
  );
  await assert.rejects(
    sampleDataset([{ input: [1], target: 1 }], { inputShape: [2], targetShape: [] }),
    /the input of sample 0 has 1 elements/,
  );
  const { inputs, targets } = squares(4, true);
  const bytes = await sampleDataset(
    { inputs, targets },
    { inputShape: [1, 8, 8], targetShape: [8, 8], classes: ['a', 'b'] },
  );
  await assert.rejects(fit(pixels(), bytes), /the label 255, but there are 2 classes/);
  await assert.rejects(
    fit(pixels(), bytes, { augment: { flip: true }, loss: new CrossEntropyLoss({ ignoreIndex: 255 }) }),
    /augment changes images/,
  );
  await assert.rejects(predict(model, tensor([[1, 2]]), { activation: 'relu' as 'none' }), /activation must be one of/);
});

test('sequences without places: ctc by name, targets filled up with −1', async () => {
  const random = new Random(9);
  const [count, time] = [24, 6];
  const inputs = new Float32Array(count * time * 3);
  const targets = new Int32Array(count * 2);
  for (let n = 0; n < count; n++) {
    const classes = [1 + random.integer(2), random.integer(3)];
    targets.set([classes[0], classes[1] === 0 ? -1 : classes[1]], 2 * n);
    [0, classes[0], 0, 0, classes[1], 0].forEach((c, t) => {
      inputs[(n * time + t) * 3 + c] = 1;
    });
  }
  const data = await sampleDataset({ inputs, targets }, { inputShape: [time, 3], targetShape: [2] });
  const model = new Sequences();
  const { history } = await fit(model, data, { ...OPTIONS, epochs: 20, lr: 0.1, loss: 'ctc' });
  assert.deepEqual(history[19].metrics, {});
  assert.ok(history[19].loss < 0.2 * history[0].loss, JSON.stringify(history));
  const { train } = data.splits;
  const scores = model.forward(tensor(train.inputs as Float32Array, { shape: [count, time, 3] }));
  const expected = Array.from({ length: count }, (_, n) =>
    [...targets.subarray(2 * n, 2 * n + 2)].filter((c) => c > 0),
  );
  assert.deepEqual(ctcGreedyDecode(scores), expected);
});

/** [n, time, 3] → [time, n, classes] */
class Sequences extends Module {
  readonly type = 'Sequences';
  readonly linear: Linear = this.child('linear', linear(3, 3));

  forward(x: Tensor): Tensor {
    return logSoftmax(transpose(this.linear.call(x), [1, 0, 2]), 2);
  }
}

test('objectives name the metrics that their targets have', () => {
  const [logits, classes] = [
    tensor([
      [1, 0],
      [0, 1],
    ]),
    tensor([0, 0], { dtype: 'i32' }),
  ];
  assert.deepEqual(Object.keys(new Objective().metrics(logits, classes)), ['accuracy']);
  assert.deepEqual(Object.keys(new Objective({ loss: 'mse' }).metrics(logits, logits)), ['meanAbsoluteError']);
  const { accuracy } = new Objective({ loss: new DiceLoss() }).metrics(
    logits,
    tensor([
      [0, 1],
      [0, 1],
    ]),
  );
  assert.deepEqual([accuracy.total instanceof Object && accuracy.total.item(), accuracy.weight], [1, 2]);
});
