import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { Worker } from 'node:worker_threads';
import { GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { AugmentOptions } from './augment.js';
import type { BatchTargets } from './batch.js';
import type { ImageSplit } from './dataset.js';
import { BatchLoader, type BatchLoaderOptions } from './loader.js';
import type { SampleFormat, SampleSplit } from './samples.js';

const FORMAT = { channels: 3, height: 6, width: 5, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.1] };
const SIZE = 90;

function split(count: number): ImageSplit {
  const random = new Random(count);
  const images = Uint8Array.from({ length: count * SIZE }, () => random.integer(256));
  return { count, images, labels: Int32Array.from({ length: count }, (_, i) => (i * 7) % 4) };
}

interface Copy {
  x: Float32Array;
  y: Int32Array;
  indices: Int32Array;
}

async function collect(data: ImageSplit, options: BatchLoaderOptions, epoch: number, from = 0): Promise<Copy[]> {
  const loader = new BatchLoader(data, FORMAT, options);
  const batches: Copy[] = [];
  for await (const { x, y, indices, count, shape, batch } of loader.epoch(epoch, from)) {
    assert.equal(batch, from + batches.length);
    assert.deepEqual(shape, [count, 3, 6, 5]);
    assert.deepEqual([x.length, y.length, indices.length], [count * SIZE, count, count]);
    batches.push({ x: x.slice(), y: y.slice(), indices: indices.slice() });
  }
  await loader.close();
  return batches;
}

const AUGMENTS: (AugmentOptions | undefined)[] = [
  undefined,
  { flip: true, crop: 1 },
  {
    shift: 1,
    rotate: 20,
    scale: 0.1,
    flip: true,
    elastic: { alpha: 3, sigma: 1 },
    brightness: 0.2,
    contrast: 0.2,
    erase: 0.4,
  },
];

test('any number of workers gives the bits of none', async () => {
  const data = split(53);
  for (const augment of AUGMENTS) {
    const options = { batchSize: 8, seed: 5, ...(augment ? { augment } : {}) };
    const alone = await collect(data, { ...options, workers: 0 }, 2);
    assert.equal(alone.length, 7);
    for (const [workers, prefetch] of [
      [1, 1],
      [1, 4],
      [3, 2],
      [2, 9],
    ]) {
      assert.deepEqual(await collect(data, { ...options, workers, prefetch }, 2), alone);
    }
  }
});

test('a batch holds the normalised images and labels of its indices; an epoch holds each image once', async () => {
  const data = split(21);
  const orders: number[][] = [];
  for (const epoch of [0, 1, 0]) {
    const batches = await collect(data, { batchSize: 4, seed: 1 }, epoch);
    assert.deepEqual(
      batches.map((batch) => batch.y.length),
      [4, 4, 4, 4, 4, 1],
    );
    for (const { x, y, indices } of batches) {
      indices.forEach((index, i) => {
        assert.equal(y[i], data.labels[index]);
        for (let j = 0; j < SIZE; j++) {
          const c = Math.floor(j / 30);
          const value = data.images[index * SIZE + j] / 255;
          assert.equal(x[i * SIZE + j], Math.fround((value - FORMAT.mean[c]) / FORMAT.std[c]));
        }
      });
    }
    orders.push(batches.flatMap((batch) => [...batch.indices]));
  }
  for (const order of orders)
    assert.deepEqual(
      [...order].sort((a, b) => a - b),
      Array.from({ length: 21 }, (_, i) => i),
    );
  assert.deepEqual(orders[0], orders[2]);
  assert.notDeepEqual(orders[0], orders[1]);
  const other = await collect(data, { batchSize: 4, seed: 2 }, 0);
  assert.notDeepEqual(
    other.flatMap((batch) => [...batch.indices]),
    orders[0],
  );
});

test('augmentation belongs to seed, epoch and image, not to the place in a batch', async () => {
  const data = split(12);
  const augment = AUGMENTS[2]!;
  const byIndex = async (options: Partial<BatchLoaderOptions>, epoch: number): Promise<Map<number, Float32Array>> => {
    const batches = await collect(data, { batchSize: 4, seed: 3, augment, ...options }, epoch);
    return new Map(
      batches.flatMap(({ x, indices }) =>
        [...indices].map((index, i) => [index, x.slice(i * SIZE, (i + 1) * SIZE)] as const),
      ),
    );
  };
  const a = await byIndex({}, 0);
  const b = await byIndex({ shuffle: false, batchSize: 5 }, 0);
  for (let i = 0; i < 12; i++) assert.deepEqual(a.get(i), b.get(i));
  const c = await byIndex({}, 1);
  const d = await byIndex({ seed: 4 }, 0);
  assert.notDeepEqual(a.get(0), c.get(0));
  assert.notDeepEqual(a.get(0), d.get(0));
});

test('dropLast, shuffle: false, and going on in the middle of an epoch', async () => {
  const data = split(11);
  const loader = new BatchLoader(data, FORMAT, { batchSize: 4, dropLast: true });
  assert.deepEqual([loader.batches, loader.samples], [2, 8]);
  const ordered = await collect(data, { batchSize: 4, dropLast: true, shuffle: false }, 0);
  assert.deepEqual(
    ordered.map((batch) => [...batch.indices]),
    [
      [0, 1, 2, 3],
      [4, 5, 6, 7],
    ],
  );
  const whole = await collect(data, { batchSize: 2 }, 3);
  assert.deepEqual(await collect(data, { batchSize: 2 }, 3, 4), whole.slice(4));
  assert.deepEqual(await collect(data, { batchSize: 2 }, 3, 6), []);
  assert.deepEqual(await collect(split(0), { batchSize: 2 }, 0), []);
  assert.equal((await collect(data, { batchSize: 64 }, 0))[0].y.length, 11);
});

test('the ring is used again: a thousand batches touch prefetch + 1 buffers', async () => {
  const data = split(64);
  await using loader = new BatchLoader(data, FORMAT, { batchSize: 2, prefetch: 3 });
  const buffers = new Set<ArrayBufferLike>();
  let seen = 0;
  for (let epoch = 0; seen < 1000; epoch++) {
    for await (const { x } of loader.epoch(epoch)) {
      buffers.add(x.buffer);
      seen++;
    }
  }
  assert.equal(buffers.size, 4);
});

test('a batch stays untouched while the loop body awaits', async () => {
  const data = split(40);
  await using loader = new BatchLoader(data, FORMAT, { batchSize: 4, prefetch: 2 });
  for await (const { x, indices } of loader.epoch(0)) {
    const before = [x.slice(), indices.slice()];
    await new Promise((resolve) => setTimeout(resolve, 3));
    assert.deepEqual([x, indices], before);
  }
});

test('leaving a loop early leaves the loader fit for the next epoch', async () => {
  const data = split(50);
  const expected = await collect(data, { batchSize: 4, workers: 0 }, 1);
  await using loader = new BatchLoader(data, FORMAT, { batchSize: 4, workers: 2 });
  for await (const _ of loader.epoch(0)) break;
  await assert.rejects(async () => {
    for await (const _ of loader.epoch(0)) throw new Error('from the body');
  }, /from the body/);
  let i = 0;
  for await (const { x } of loader.epoch(1)) assert.deepEqual(x.slice(), expected[i++].x);
  assert.equal(i, expected.length);
});

test('two epochs at once, or one after closing, are errors; closing in the middle ends the loop with one', async () => {
  const loader = new BatchLoader(split(50), FORMAT, { batchSize: 4 });
  await assert.rejects(async () => {
    for await (const _ of loader.epoch(0)) for await (const __ of loader.epoch(1)) assert.fail();
  }, /BatchLoader: another epoch is under way/);
  await assert.rejects(async () => {
    for await (const _ of loader.epoch(0)) await loader.close();
  }, /closed/);
  await assert.rejects(loader.epoch(0).next(), /closed/);
  await loader.close();
});

test('a worker that dies is an error, not a hang', async () => {
  const workers: Worker[] = [];
  const remember = (worker: Worker): void => void workers.push(worker);
  process.on('worker', remember);
  // The pool lets go of the dying thread, so that awaiting its end needs something else that keeps the process alive.
  const alive = setInterval(() => {}, 1000);
  // More than is made ahead.
  const loader = new BatchLoader(split(400), FORMAT, { batchSize: 2, workers: 2 });
  await assert.rejects(
    async () => {
      for await (const { batch } of loader.epoch(0)) if (batch === 3) await workers[0].terminate();
    },
    (error) => error instanceof GaborError && /loading batches: a worker thread ended early/.test(error.message),
  );
  process.off('worker', remember);
  clearInterval(alive);
  assert.equal(workers.length, 2);
  await loader.close();
});

test('a forgotten loader does not keep the process alive', async () => {
  const url = new URL('./loader.js', import.meta.url).href;
  const code = `
    import { BatchLoader } from ${JSON.stringify(url)};
    const split = { count: 40, images: new Uint8Array(40 * 4), labels: new Int32Array(40) };
    const loader = new BatchLoader(split, { channels: 1, height: 2, width: 2, mean: [0], std: [1] }, { batchSize: 2 });
    let n = 0;
    for await (const _ of loader.epoch(0)) if (++n === 3) break;
    for await (const _ of loader.epoch(1)) n++;
    console.log(n);`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', code], {
    timeout: 20_000,
  });
  assert.equal(stdout.trim(), '23');
});

test('options and shapes that do not fit are errors', () => {
  const make = (options: object, data = split(4), format: object = FORMAT): (() => unknown) => {
    return () => new BatchLoader(data, format as typeof FORMAT, options as BatchLoaderOptions);
  };
  assert.throws(make({ batchsize: 3 }), /BatchLoader: unknown option "batchsize"/);
  for (const batchSize of [0, -1, 1.5, Number.NaN, undefined]) assert.throws(make({ batchSize }), OptionError);
  assert.throws(make({ batchSize: 1, workers: -1 }), /workers must be a whole number of at least 0/);
  assert.throws(make({ batchSize: 1, prefetch: 0 }), /prefetch/);
  assert.throws(make({ batchSize: 1, seed: 0.5 }), /seed/);
  assert.throws(make({ batchSize: 1, augment: { spin: 1 } }), /augment: unknown option "spin"/);
  assert.throws(make({ batchSize: 1 }, { ...split(4), count: 5 }), ShapeError);
  assert.throws(make({ batchSize: 1 }, split(4), { ...FORMAT, mean: [0] }), ShapeError);
  assert.throws(make({ batchSize: 1 }, split(4), { ...FORMAT, std: [1, 0, 1] }), OptionError);
});

test('samples of any shape: floats as they are, bytes normalised, dense targets beside them, the same bits on workers', async () => {
  const random = new Random(8);
  const count = 11;
  const floats = Float32Array.from({ length: count * 24 }, () => random.uniform());
  const bytes = Uint8Array.from(floats, (v) => 255 * v);
  const classes = Uint8Array.from({ length: count * 12 }, () => random.integer(3));
  const format = { inputShape: [2, 3, 4], targetShape: [3, 4] };
  const cases: [SampleSplit, SampleFormat, (row: number, i: number) => number][] = [
    [{ count, inputs: floats, targets: classes }, format, (row, i) => floats[row * 24 + i]],
    [{ count, inputs: floats, targets: new Float32Array(classes) }, format, (row, i) => floats[row * 24 + i]],
    [
      { count, inputs: bytes, targets: Int32Array.from(classes) },
      { ...format, mean: [0.1, 0.2], std: [1, 0.5] },
      (row, i) => Math.fround(i < 12 ? bytes[row * 24 + i] / 255 - 0.1 : (bytes[row * 24 + i] / 255 - 0.2) / 0.5),
    ],
  ];
  for (const [split, shapes, expected] of cases) {
    for (const workers of [0, 2]) {
      await using loader = new BatchLoader<BatchTargets>(split, shapes, { batchSize: 4, workers, seed: 1 });
      const seen: number[] = [];
      for await (const { x, y, indices, shape, count: n } of loader.epoch(1)) {
        assert.deepEqual(shape, [n, 2, 3, 4]);
        assert.equal(y instanceof Float32Array, split.targets instanceof Float32Array);
        indices.forEach((row, at) => {
          seen.push(row);
          assert.deepEqual([...y.subarray(at * 12, at * 12 + 12)], [...classes.subarray(row * 12, row * 12 + 12)]);
          for (let i = 0; i < 24; i++) assert.ok(Math.abs(x[at * 24 + i] - expected(row, i)) < 1e-6);
        });
      }
      assert.deepEqual(
        seen.sort((a, b) => a - b),
        [...Array(count).keys()],
      );
    }
  }
  const [[split]] = cases;
  const make =
    (shapes: object, options: object = {}) =>
    () =>
      new BatchLoader(split, shapes as SampleFormat, { batchSize: 2, ...options });
  assert.throws(make({ ...format, inputShape: [2, 3, 5] }), /11 inputs of shape \[2, 3, 5\] are 330 elements, got 264/);
  assert.throws(make({ ...format, targetShape: [3] }), /11 targets of shape \[3\] are 33 elements, got 132/);
  assert.throws(make({ ...format, mean: [0, 0] }), /mean and std are for inputs that are bytes/);
  assert.throws(make(format, { augment: { flip: true } }), /augment changes images/);
});
