import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { BatchLoader } from './loader.js';
import { mixBatch, planMix } from './mix.js';

interface Mixed {
  readonly before: Float32Array;
  readonly after: Float32Array;
  readonly labels: Int32Array;
  readonly y: Float32Array;
}

/** A batch of random samples, none of whose values occurs twice, mixed. */
function mixed(
  alphas: { mixup?: number; cutmix?: number },
  count: number,
  shape: readonly number[],
  classes: number,
  seed: number,
): Mixed {
  const size = shape.reduce((a, b) => a * b, 1);
  const random = new Random(seed);
  const before = Float32Array.from({ length: count * size }, (_, i) => i + random.uniform(0, 0.5));
  const labels = Int32Array.from({ length: count }, () => random.integer(classes));
  const after = before.slice();
  const y = new Float32Array(count * classes).fill(9);
  const plan = planMix({ ...alphas, classes }, shape, [], labels);
  assert.ok(plan !== undefined);
  mixBatch(plan, random.fork(1), shape, after, labels, y);
  return { before, after, labels, y };
}

function checkTargets({ labels, y }: Mixed, classes: number, own: number): void {
  const count = labels.length;
  for (let i = 0; i < count; i++) {
    for (let c = 0; c < classes; c++) {
      const expected = own * Number(labels[i] === c) + (1 - own) * Number(labels[(i + 1) % count] === c);
      assert.ok(Math.abs(y[i * classes + c] - expected) < 1e-6, `sample ${i}, class ${c}`);
    }
  }
}

const SIZES = fc.record({
  count: fc.integer({ min: 1, max: 7 }),
  classes: fc.integer({ min: 1, max: 4 }),
  seed: fc.nat(),
  alpha: fc.double({ min: 0.05, max: 4, noNaN: true }),
});

test('mixup: samples of any shape and targets are mixed in the same shares', () => {
  const shapes = fc.array(fc.integer({ min: 1, max: 5 }), { maxLength: 3 });
  fc.assert(
    fc.property(SIZES, shapes, ({ count, classes, seed, alpha }, shape) => {
      const batch = mixed({ mixup: alpha }, count, shape, classes, seed);
      const { before, after } = batch;
      const size = before.length / count;
      // The share follows from the first value; all others must have the same.
      const share = count === 1 ? 1 : (after[0] - before[size]) / (before[0] - before[size]);
      assert.ok(share > -1e-5 && share < 1 + 1e-5, `share ${share}`);
      for (let i = 0; i < count; i++) {
        const other = ((i + 1) % count) * size;
        for (let p = 0; p < size; p++) {
          const expected = share * before[i * size + p] + (1 - share) * before[other + p];
          assert.ok(Math.abs(after[i * size + p] - expected) < 1e-3, `sample ${i}, value ${p}`);
        }
      }
      if (count > 1) checkTargets(batch, classes, share);
      else checkTargets(batch, classes, 1);
    }),
  );
});

test('cutmix: one rectangle of the next image, the same in all channels, and shares of its area', () => {
  const shapes = fc.tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 9 }),
    fc.integer({ min: 1, max: 9 }),
  );
  fc.assert(
    fc.property(SIZES, shapes, ({ count, classes, seed, alpha }, [channels, height, width]) => {
      const batch = mixed({ cutmix: alpha }, count + 1, [channels, height, width], classes, seed);
      const { before, after } = batch;
      const plane = height * width;
      const pasted = new Set<number>();
      for (let p = 0; p < plane; p++) if (after[p] !== before[p]) pasted.add(p);
      for (let i = 0; i <= count; i++) {
        for (let c = 0; c < channels; c++) {
          for (let p = 0; p < plane; p++) {
            const from = pasted.has(p) ? (i + 1) % (count + 1) : i;
            const at = c * plane + p;
            assert.equal(after[i * channels * plane + at], before[from * channels * plane + at]);
          }
        }
      }
      const rows = [...pasted].map((p) => Math.floor(p / width));
      const columns = [...pasted].map((p) => p % width);
      if (pasted.size > 0) {
        const extent = (values: number[]): number => Math.max(...values) - Math.min(...values) + 1;
        assert.equal(pasted.size, extent(rows) * extent(columns), 'a rectangle');
      }
      checkTargets(batch, classes, 1 - pasted.size / plane);
    }),
  );
});

test('shares have the mean and the variance of Beta(α, α)', () => {
  for (const alpha of [0.2, 1, 3]) {
    const random = new Random(4);
    const shares = Array.from({ length: 4000 }, () => {
      const y = new Float32Array(4);
      const plan = planMix({ mixup: alpha, classes: 2 }, [1], [], [0, 1]);
      assert.ok(plan !== undefined);
      mixBatch(plan, random, [1], Float32Array.of(0, 1), [0, 1], y);
      return y[0];
    });
    const mean = shares.reduce((a, b) => a + b, 0) / shares.length;
    const variance = shares.reduce((a, b) => a + (b - mean) ** 2, 0) / shares.length;
    const expected = 1 / (4 * (2 * alpha + 1));
    assert.ok(Math.abs(mean - 0.5) < 4 * Math.sqrt(expected / 4000), `α ${alpha}: mean ${mean}`);
    assert.ok(Math.abs(variance / expected - 1) < 0.1, `α ${alpha}: variance ${variance}, expected ${expected}`);
  }
});

test('with both, half of the batches have each', () => {
  const kinds = { mixup: 0, cutmix: 0 };
  for (let seed = 0; seed < 400; seed++) {
    const { before, after } = mixed({ mixup: 1, cutmix: 1 }, 2, [1, 6, 6], 2, seed);
    const values = new Set(before);
    if (after.every((value) => values.has(value))) kinds.cutmix++;
    else kinds.mixup++;
  }
  assert.ok(kinds.mixup > 160 && kinds.cutmix > 160, JSON.stringify(kinds));
});

test('batches are the same bits on worker threads, from the middle of an epoch, and in every run', async () => {
  const count = 22;
  const random = new Random(2);
  const format = { channels: 3, height: 6, width: 5, mean: [0.4, 0.5, 0.6], std: [0.2, 0.3, 0.1] };
  const images = Uint8Array.from({ length: count * 90 }, () => random.integer(256));
  const split = { count, images, labels: Int32Array.from({ length: count }, (_, i) => i % 4) };
  const mix = { mixup: 0.4, cutmix: 1, classes: 4 };
  const collect = async (workers: number, epoch: number, from = 0): Promise<number[][]> => {
    const options = { batchSize: 5, seed: 3, augment: { flip: true }, mix, workers };
    const loader = new BatchLoader<Float32Array>(split, format, options);
    const batches: number[][] = [];
    for await (const { x, y, count: filled } of loader.epoch(epoch, from)) {
      assert.deepEqual([x.length, y.length], [filled * 90, filled * 4]);
      for (let i = 0; i < filled; i++) {
        const sum = y.subarray(4 * i, 4 * i + 4).reduce((a, b) => a + b, 0);
        assert.ok(Math.abs(sum - 1) < 1e-6, `shares add up to ${sum}`);
      }
      batches.push([...x, ...y]);
    }
    await loader.close();
    return batches;
  };
  const here = await collect(0, 1);
  assert.equal(here.length, 5);
  assert.deepEqual(await collect(2, 1), here);
  assert.deepEqual(await collect(1, 1, 3), here.slice(3));
  assert.notDeepEqual(await collect(0, 2), here);
});

test('what cannot be mixed is an error', () => {
  assert.equal(planMix({ mixup: 0, classes: 3 }, [2], [], [0]), undefined);
  const cases: [() => unknown, new (message: string) => Error, RegExp][] = [
    [
      () => planMix({ mixup: -1, classes: 2 }, [2], [], [0]),
      OptionError,
      /mixup must be a number of at least 0.*got -1/,
    ],
    [() => planMix({ mixup: 1, classes: 2, alpha: 1 } as never, [2], [], [0]), OptionError, /unknown option "alpha"/],
    [() => planMix({ mixup: 1, classes: 0 }, [2], [], [0]), OptionError, /classes must be a whole number/],
    [() => planMix({ mixup: 1, classes: 2 }, [2], [], [0, 2]), OptionError, /sample 1 has the label 2.*2 classes/],
    [() => planMix({ mixup: 1, classes: 2 }, [2], [3], Int32Array.of(0, 1, 1)), ShapeError, /one class each.*\[3\]/],
    [() => planMix({ mixup: 1, classes: 2 }, [2], [], Float32Array.of(0.5)), ShapeError, /one class each.*floats/],
    [() => planMix({ cutmix: 1, classes: 2 }, [2, 8], [], [0]), ShapeError, /cutmix is for images.*\[2, 8\].*mixup/],
  ];
  for (const [body, type, message] of cases) assert.throws(body, { name: type.name, message });
});
