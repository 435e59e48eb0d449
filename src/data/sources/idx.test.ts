import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { sharedPath } from '../../testing/shared.js';
import { openDataset } from '../open.js';

const root = await mkdtemp(join(tmpdir(), 'gabor-idx-'));
after(() => rm(root, { recursive: true, force: true }));
let folders = 0;

async function folder(files: Record<string, Uint8Array | string>): Promise<string> {
  const path = join(root, `data-${folders++}`);
  await mkdir(path);
  for (const [name, content] of Object.entries(files)) await writeFile(join(path, name), content);
  return path;
}

function idx(shape: readonly number[], data: Uint8Array, type = 8): Buffer {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, type, shape.length]);
  shape.forEach((extent, i) => {
    header.writeUInt32BE(extent, 4 + 4 * i);
  });
  return Buffer.concat([header, data]);
}

/** `count` images of 3×2, all pixels of image i are `first + i`. */
const images = (count: number, first = 0): Buffer =>
  idx(
    [count, 3, 2],
    Uint8Array.from({ length: count * 6 }, (_, i) => first + Math.floor(i / 6)),
  );
const labels = (...values: number[]): Buffer => idx([values.length], Uint8Array.from(values));

const IMAGES = 'train-images-idx3-ubyte';
const LABELS = 'train-labels-idx1-ubyte';
const good = { [IMAGES]: images(6), [LABELS]: labels(0, 1, 2, 0, 1, 2) };
const goodTest = { 't10k-images-idx3-ubyte': images(3, 100), 't10k-labels-idx1-ubyte': labels(2, 1, 0) };

test('plain and gzipped files give the same data set', async () => {
  const plain = await openDataset(await folder({ ...good, ...goodTest, 'x.txt': 'ignored' }), { valSplit: 0.5 });
  assert.deepEqual(
    [plain.kind, plain.classes, plain.channels, plain.height, plain.width],
    ['idx', ['0', '1', '2'], 1, 3, 2],
  );
  const { train, validation, test } = plain.splits;
  assert.deepEqual([train.count, validation?.count, test.count], [3, 3, 3]);
  assert.deepEqual([...test.labels], [2, 1, 0]);
  assert.deepEqual(
    [...test.images],
    [100, 101, 102].flatMap((v) => new Array(6).fill(v)),
  );
  const zipped = Object.fromEntries(
    Object.entries({ ...good, ...goodTest }).map(([name, bytes]) => [`${name}.gz`, gzipSync(bytes)]),
  );
  const path = await folder(zipped);
  const other = await openDataset(path, { valSplit: 0.5 });
  assert.deepEqual({ ...other, name: plain.name }, plain);
});

test('a train part alone is split, a test part alone is not; names of the family are understood', async () => {
  const lone = await openDataset(await folder(good), { testSplit: 0.5 });
  assert.deepEqual([lone.splits.train.count, lone.splits.test.count], [3, 3]);
  const other = await openDataset(
    await folder({ 'digits.images-idx3-ubyte': good[IMAGES], 'digits.labels-idx1-ubyte': good[LABELS] }),
  );
  assert.equal(other.splits.train.count, 3 + 0 + 3);
  const tests = await openDataset(await folder(goodTest));
  assert.deepEqual([tests.splits.train.count, tests.splits.test.count], [0, 3]);
  assert.ok(tests.mean[0] > 0.39 && tests.mean[0] < 0.4);
  const emnist = await openDataset(
    await folder({
      'emnist-train-images-idx3-ubyte': good[IMAGES],
      'emnist-train-labels-idx1-ubyte': good[LABELS],
      'emnist-test-images-idx3-ubyte': goodTest['t10k-images-idx3-ubyte'],
      'emnist-test-labels-idx1-ubyte': goodTest['t10k-labels-idx1-ubyte'],
    }),
  );
  assert.deepEqual([emnist.splits.train.count, emnist.splits.test.count], [6, 3]);
});

test('classes.txt names the classes; a model decides their order', async () => {
  const named = { ...good, ...goodTest, 'classes.txt': 'shirt\nshoe\r\nbag\n\n' };
  const data = await openDataset(await folder(named));
  assert.deepEqual(data.classes, ['shirt', 'shoe', 'bag']);
  const mapped = await openDataset(await folder(named), { classes: ['bag', 'shirt', 'shoe'] });
  assert.deepEqual([...mapped.splits.test.labels], [0, 2, 1]);
  const plain = await openDataset(await folder({ ...good, ...goodTest }), { classes: ['x', 'y', 'z', 'w'] });
  assert.deepEqual(
    [plain.classes, [...plain.splits.test.labels]],
    [
      ['x', 'y', 'z', 'w'],
      [2, 1, 0],
    ],
  );
  await assert.rejects(
    openDataset(await folder({ ...good, 'classes.txt': 'a\nb' })),
    /a train image has label 2, but classes.txt names 2 classes/,
  );
});

test('size and channels are honoured', async () => {
  const data = await openDataset(await folder({ ...good, ...goodTest }), { size: [6, 4], channels: 3 });
  assert.deepEqual([data.channels, data.height, data.width], [3, 6, 4]);
  assert.deepEqual([...data.splits.test.images.subarray(0, 72)], new Array(72).fill(100));
});

test('damaged files say what is wrong', async () => {
  const whole = images(6);
  const big = Buffer.from(whole);
  big.writeUInt32BE(4_000_000_000, 4);
  const cases: [Record<string, Uint8Array>, RegExp][] = [
    [
      { ...good, [LABELS]: labels(0, 1) },
      /train-images-idx3-ubyte has 6 images, but train-labels-idx1-ubyte has 2 labels/,
    ],
    [
      { ...good, [IMAGES]: idx([6, 3, 2], new Uint8Array(36), 13) },
      /images-idx3-ubyte: begins with the bytes 0 0 13 3, but an IDX file of unsigned bytes with 3 axes begins with 0 0 8 3/,
    ],
    [
      { ...good, [LABELS]: idx([6, 1], new Uint8Array(6)) },
      /begins with the bytes 0 0 8 2, but .* with 1 axis begins with 0 0 8 1/,
    ],
    [{ ...good, [IMAGES]: whole.subarray(0, 30) }, /the header says 6×3×2, which makes 52 bytes, but the file has 30/],
    [{ ...good, [IMAGES]: whole.subarray(0, 9) }, /cut short in its header/],
    [{ ...good, [IMAGES]: whole.subarray(0, 2) }, /has only 2 bytes/],
    [{ ...good, [IMAGES]: Buffer.concat([whole, Buffer.from([1])]) }, /which makes 52 bytes, but the file has 53/],
    [{ ...good, [IMAGES]: big }, /the header says 4000000000×3×2, which makes 24000000016 bytes, but the file has 52/],
    [{ ...good, [IMAGES]: gzipSync(big) }, /the header says 4000000000×3×2, .* but the file has at most \d+/],
    [
      { ...good, [IMAGES]: gzipSync(Buffer.concat([whole, new Uint8Array(99)])) },
      /which makes 52 bytes, but the file has more than that/,
    ],
    [{ ...good, [IMAGES]: gzipSync(whole.subarray(0, 40)) }, /which makes 52 bytes, but the file has 40/],
    [{ ...good, [IMAGES]: idx([0, 3, 2], new Uint8Array(0)) }, /the header says 0×3×2; there is nothing in it/],
    [{ [IMAGES]: whole }, /there is train-images-idx3-ubyte but no train-labels-idx1-ubyte\[\.gz\] beside it/],
    [{ [LABELS]: good[LABELS] }, /there is train-labels-idx1-ubyte but no train-images-idx3-ubyte/],
    [{ ...good, [LABELS]: labels(1, 1, 1, 1, 1, 1) }, /all images have the label 1; at least two classes/],
    [
      { ...good, ...goodTest, 't10k-labels-idx1-ubyte': labels(0, 1, 9) },
      /a test image has label 9, but the train part has 3 classes, 0 … 2/,
    ],
    [
      { ...good, ...goodTest, 't10k-images-idx3-ubyte': idx([3, 2, 2], new Uint8Array(12)) },
      /the (train|test) images are \d×2, but the (train|test) images \d×2/,
    ],
    [
      { ...good, 'b-images-idx3-ubyte': whole, 'b-labels-idx1-ubyte': good[LABELS] },
      /cannot tell whether "b-…" is the train or the test part/,
    ],
    [
      { ...good, 'b-train-images-idx3-ubyte': whole, 'b-train-labels-idx1-ubyte': good[LABELS] },
      /both "b-train-…" and "train-…" look like the train part/,
    ],
  ];
  for (const [files, message] of cases)
    await assert.rejects(openDataset(await folder(files)), { name: 'FileError', message });
  await assert.rejects(
    openDataset(await folder({ ...good, ...goodTest }), { testSplit: 0.2 }),
    /has a test part of its own/,
  );
});

test('a gzip file cut short anywhere is a FileError', async () => {
  const data = Uint8Array.from({ length: 6 * 200 }, (_, i) => (i * 7919) % 251);
  const zipped = gzipSync(idx([6, 20, 10], data));
  for (let length = 0; length < zipped.length; length += 13) {
    const path = await folder({ ...good, [`${IMAGES}`]: zipped.subarray(0, length) });
    await assert.rejects(openDataset(path), { name: 'FileError' }, `cut to ${length} of ${zipped.length}`);
  }
});

test('Fashion-MNIST has the published counts and statistics', async (t) => {
  const path = sharedPath('data/fashion-mnist');
  if (!path) return t.skip('data/fashion-mnist is not here');
  const data = await openDataset(path);
  assert.deepEqual(
    [data.splits.train.count, data.splits.test.count, data.height, data.width],
    [60_000, 10_000, 28, 28],
  );
  const perClass = new Array(10).fill(0);
  for (const label of data.splits.train.labels) perClass[label]++;
  assert.deepEqual(perClass, new Array(10).fill(6000));
  assert.deepEqual([data.mean[0].toFixed(4), data.std[0].toFixed(4)], ['0.2860', '0.3530']);
  assert.deepEqual([...data.splits.train.labels.subarray(0, 8)], [9, 0, 0, 3, 0, 2, 7, 2]);
});
