import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { OptionError } from '../../tensor/errors.js';
import { sharedPath } from '../../testing/shared.js';
import { type StrokesOptions, strokes } from './index.js';

const SIZE = 28 * 28;
const sample = strokes({ count: 4000, seed: 11 });

function image(index: number): Uint8Array {
  return sample.images.subarray(index * SIZE, (index + 1) * SIZE);
}

test('an image depends on seed, split and index only', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 60 }),
      fc.integer({ min: 1, max: 25 }),
      fc.maxSafeInteger(),
      fc.constantFrom('train' as const, 'test' as const),
      (start, count, seed, split) => {
        const all = strokes({ count: start + count, seed, split });
        const part = strokes({ count, start, seed, split });
        assert.deepEqual(part.images, all.images.slice(start * SIZE));
        assert.deepEqual(part.labels, all.labels.slice(start));
      },
    ),
    { numRuns: 20 },
  );
});

test('defaults are seed 0, start 0, train', () => {
  assert.deepEqual(strokes({ count: 20 }), strokes({ count: 20, seed: 0, start: 0, split: 'train' }));
});

test('seeds, also beyond 32 bits, and splits give different digits', () => {
  const seen = new Set<string>();
  const variants: StrokesOptions[] = [
    { count: 10, seed: 0 },
    { count: 10, seed: 1 },
    { count: 10, seed: -1 },
    { count: 10, seed: 2 ** 32 },
    { count: 10, seed: 0, split: 'test' },
    { count: 10, seed: 1, split: 'test' },
  ];
  for (const options of variants) {
    const { images } = strokes(options);
    for (let i = 0; i < 10; i++) seen.add(images.subarray(i * SIZE, (i + 1) * SIZE).join());
  }
  assert.equal(seen.size, 10 * variants.length);
});

test('every ten images show every digit once', () => {
  assert.deepEqual(sample.classes, ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
  for (let i = 0; i < sample.labels.length; i += 10) {
    assert.deepEqual([...sample.labels.subarray(i, i + 10)].sort(), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  }
  // … in an order that says nothing: each digit is about equally often the first of its ten.
  const first = new Array<number>(10).fill(0);
  for (let i = 0; i < sample.labels.length; i += 10) first[sample.labels[i]]++;
  for (const count of first) assert.ok(count > 18 && count < 66, `first digits ${first}`);
});

test('digits fill 20×20 and have their centre of mass in the middle', () => {
  for (let k = 0; k < sample.labels.length; k++) {
    const pixels = image(k);
    let [x0, y0, x1, y1, mass, mx, my] = [28, 28, -1, -1, 0, 0, 0];
    for (let y = 0; y < 28; y++) {
      for (let x = 0; x < 28; x++) {
        const value = pixels[y * 28 + x];
        mass += value;
        mx += value * x;
        my += value * y;
        if (value >= 64) {
          x0 = Math.min(x0, x);
          x1 = Math.max(x1, x);
          y0 = Math.min(y0, y);
          y1 = Math.max(y1, y);
        }
      }
    }
    const long = Math.max(x1 - x0, y1 - y0) + 1;
    assert.ok(long >= 18 && long <= 21, `image ${k}: longer side ${long}`);
    // Whole-pixel moves leave up to half a pixel.
    assert.ok(Math.abs(mx / mass - 14) <= 0.51 && Math.abs(my / mass - 14) <= 0.51, `image ${k}: off the middle`);
  }
});

test('pixels are distributed as in MNIST', () => {
  let [sum, squares, inked, full] = [0, 0, 0, 0];
  for (const value of sample.images) {
    sum += value / 255;
    squares += (value / 255) ** 2;
    if (value > 0) inked++;
    if (value >= 250) full++;
  }
  const n = sample.images.length;
  const mean = sum / n;
  const deviation = Math.sqrt(squares / n - mean * mean);
  // MNIST: mean 0.1307, standard deviation 0.3081, 19.1 % of the pixels not black.
  assert.ok(Math.abs(mean - 0.1307) < 0.008, `mean ${mean}`);
  assert.ok(Math.abs(deviation - 0.3081) < 0.012, `deviation ${deviation}`);
  assert.ok(Math.abs(inked / n - 0.191) < 0.015, `inked ${inked / n}`);
  assert.ok(full / inked > 0.25 && full / inked < 0.5, `full ${full / inked}`);
});

test('no digit is drawn twice, and every class varies', () => {
  const seen = new Set<string>();
  for (let k = 0; k < sample.labels.length; k++) seen.add(image(k).join());
  assert.equal(seen.size, sample.labels.length);

  for (let digit = 0; digit < 10; digit++) {
    const own = [...sample.labels.keys()].filter((k) => sample.labels[k] === digit).map(image);
    let variance = 0;
    for (let p = 0; p < SIZE; p++) {
      const mean = own.reduce((total, pixels) => total + pixels[p], 0) / own.length;
      variance += own.reduce((total, pixels) => total + (pixels[p] - mean) ** 2, 0) / own.length / 255 ** 2;
    }
    // Ones differ least; a class of copies would have none.
    assert.ok(variance > (digit === 1 ? 15 : 30), `digit ${digit}: total variance ${variance}`);
  }
});

/** The class of the nearest of the first `among` images of the sample. */
function nearest(query: ArrayLike<number>, among: number): number {
  let best = Infinity;
  let label = -1;
  for (let k = 0; k < among; k++) {
    let distance = 0;
    for (let p = 0; p < SIZE && distance < best; p++) distance += (query[p] - sample.images[k * SIZE + p]) ** 2;
    if (distance < best) {
      best = distance;
      label = sample.labels[k];
    }
  }
  return label;
}

test('nearest neighbours by other writers mostly show the same digit', () => {
  const queries = strokes({ count: 200, seed: 11, split: 'test' });
  let right = 0;
  for (let q = 0; q < 200; q++) {
    if (nearest(queries.images.subarray(q * SIZE, (q + 1) * SIZE), 2000) === queries.labels[q]) right++;
  }
  // Neither hopeless nor trivial, as with scanned digits.
  assert.ok(right >= 165 && right < 200, `${right} of 200`);
});

/** The values of a little-endian float32 `.npy` file (format version 1). */
function readNpy(path: string): Float32Array {
  const bytes = readFileSync(path);
  const start = 10 + bytes.readUInt16LE(8);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.byteLength));
}

test('scanned digits are nearest to drawn digits of their class', (t) => {
  const path = sharedPath('models/mnist-keras3/input.npy');
  if (path === undefined) return t.skip('needs models/mnist-keras3 of the shared test data');
  const scanned = readNpy(path).map((value) => value * 255);
  const classes = [7, 2, 1, 0, 4, 1, 4, 9];
  assert.equal(scanned.length, classes.length * SIZE);
  const right = classes.filter((label, i) => nearest(scanned.subarray(i * SIZE, (i + 1) * SIZE), 4000) === label);
  assert.ok(right.length >= 7, `${right.length} of 8`);
});

test('options out of range are errors that say what is expected', () => {
  const bad: [StrokesOptions, RegExp][] = [
    [{ count: 0 }, /count is 0/],
    [{ count: -3 }, /count is -3/],
    [{ count: 1.5 }, /count is 1.5/],
    [{ count: 1, seed: 0.5 }, /seed is 0.5/],
    [{ count: 1, start: -1 }, /start is -1/],
    [{ count: 2, start: 2 ** 32 - 1 }, /at most 2\^32/],
    [{ count: 1, split: 'val' as 'test' }, /split is "val"/],
    [{ count: 1, sed: 3 } as StrokesOptions, /unknown option "sed"/],
  ];
  for (const [options, message] of bad) {
    assert.throws(
      () => strokes(options),
      (error) => error instanceof OptionError && message.test(error.message),
    );
  }
});
