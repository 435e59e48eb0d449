import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { encode as encodePng } from 'fast-png';
import jpeg from 'jpeg-js';
import { sharedPath } from '../testing/shared.js';
import type { DatasetOptions, ImageDataset } from './dataset.js';
import { openDataset } from './open.js';
import { strokes } from './strokes/index.js';

const root = await mkdtemp(join(tmpdir(), 'gabor-data-'));
after(() => rm(root, { recursive: true, force: true }));
let folders = 0;

/** A new folder with these files; `null` makes an empty folder. */
async function folder(files: Record<string, Uint8Array | string | null>): Promise<string> {
  const path = join(root, `data-${folders++}`);
  await mkdir(path);
  for (const [name, content] of Object.entries(files)) {
    await mkdir(content === null ? join(path, name) : dirname(join(path, name)), { recursive: true });
    if (content !== null) await writeFile(join(path, name), content);
  }
  return path;
}

const grey = (width: number, height: number, value: number): Uint8Array =>
  encodePng({ width, height, channels: 1, data: new Uint8Array(width * height).fill(value) });

function colour(width: number, height: number, red: number): Uint8Array {
  const data = new Uint8Array(4 * width * height);
  for (let i = 0; i < data.length; i += 4) data.set([red, 100, 50, 255], i);
  return jpeg.encode({ width, height, data }, 95).data;
}

/** Two classes with `count` grey images each; class a holds the values 1, 2, …, class b 101, 102, … */
function twoClasses(count: number, prefix = ''): Record<string, Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (let i = 1; i <= count; i++) {
    files[`${prefix}a/${String(i).padStart(3, '0')}.png`] = grey(32, 32, i);
    files[`${prefix}b/${String(i).padStart(3, '0')}.png`] = grey(32, 32, 100 + i);
  }
  return files;
}

const counts = ({ splits }: ImageDataset): (number | undefined)[] => [
  splits.train.count,
  splits.validation?.count,
  splits.test.count,
];

test('a folder of classes: sizes, labels, names, split, statistics; the same from any number of threads', async () => {
  const path = await folder({
    ...twoClasses(20),
    'README.md': 'not a class',
    '.git/x': 'hidden',
    'a/.DS_Store': 'hidden',
  });
  const phases = new Map<string, number>();
  const options: DatasetOptions = { valSplit: 0.25, seed: 3, onProgress: (phase, done) => phases.set(phase, done) };
  const data = await openDataset(path, options);
  assert.deepEqual(
    [data.kind, data.classes, data.channels, data.height, data.width],
    ['folder', ['a', 'b'], 1, 32, 32],
  );
  assert.deepEqual(counts(data), [24, 8, 8]);
  assert.deepEqual(data.skipped, []);
  assert.deepEqual(Object.fromEntries(phases), { measuring: 40, decoding: 40 });
  const seen: string[] = [];
  for (const split of [data.splits.train, data.splits.validation!, data.splits.test]) {
    for (let i = 0; i < split.count; i++) {
      const value = split.images[i * 1024];
      assert.ok(split.images.subarray(i * 1024, (i + 1) * 1024).every((v) => v === value));
      assert.equal(split.labels[i], value > 100 ? 1 : 0);
      assert.equal(split.names![i], join(value > 100 ? 'b' : 'a', `${String(value % 100).padStart(3, '0')}.png`));
      seen.push(split.names![i]);
    }
    assert.equal(split.labels.filter((label) => label === 0).length, split.count / 2);
  }
  assert.equal(new Set(seen).size, 40);
  const values = [...data.splits.train.images].map((v) => v / 255);
  const mean = values.reduce((sum, v) => sum + v, 0) / values.length;
  assert.ok(Math.abs(data.mean[0] - mean) < 1e-9);
  for (const threads of [0, 1, 3])
    assert.deepEqual(await openDataset(path, { valSplit: 0.25, seed: 3, threads }), data);
  assert.notDeepEqual((await openDataset(path, { valSplit: 0.25, seed: 4 })).splits.test.names, data.splits.test.names);
  assert.deepEqual(counts(await openDataset(path, { testSplit: 0 })), [40, undefined, 0]);
});

test('one colour image makes a colour data set; the median side picks 32, 64 or 128', async () => {
  for (const [side, expected] of [
    [10, 32],
    [40, 32],
    [64, 64],
    [100, 64],
    [128, 128],
    [300, 128],
  ]) {
    const path = await folder({
      'a/1.png': grey(side, side + 9, 7),
      'b/1.jpg': colour(side + 5, side, 200),
      'b/2.png': grey(side, side, 9),
    });
    const data = await openDataset(path, { testSplit: 0 });
    assert.deepEqual([data.channels, data.height, data.width], [3, expected, expected], String(side));
    const plane = expected * expected;
    const photo = data.splits.train.names!.indexOf(join('b', '1.jpg'));
    [200, 100, 50].forEach((value, c) => {
      assert.ok(Math.abs(data.splits.train.images[(3 * photo + c) * plane] - value) < 8);
    });
  }
  const path = await folder({ 'a/1.png': grey(50, 40, 7), 'b/1.jpg': colour(60, 60, 255) });
  const data = await openDataset(path, { size: [20, 30], channels: 1, testSplit: 0 });
  assert.deepEqual([data.channels, data.height, data.width, data.splits.train.images.length], [1, 20, 30, 2 * 600]);
});

test('files are told apart by content; numbers are ordered as numbers; deeper folders belong to their class', async () => {
  const path = await folder({
    '10/x.png': colour(32, 32, 9),
    '9/deep/er/y.jpeg': grey(32, 32, 5),
    '9/z': grey(32, 32, 6),
  });
  const data = await openDataset(path, { testSplit: 0 });
  assert.deepEqual(data.classes, ['9', '10']);
  assert.deepEqual([...data.splits.train.labels], [0, 0, 1]);
});

test('broken and foreign files are skipped with a reason, or an error with strict', async () => {
  const png = grey(40, 40, 3);
  const path = await folder({
    ...twoClasses(3),
    'a/002-cut.png': png.subarray(0, png.length - 20),
    'a/notes.txt': 'hello',
    'b/000.jpg': colour(32, 32, 5).subarray(0, 300),
    'b/empty.png': '',
  });
  for (const threads of [0, 2]) {
    const data = await openDataset(path, { testSplit: 0, channels: 1, threads });
    assert.equal(data.splits.train.count, 6);
    assert.deepEqual([...data.splits.train.labels], [0, 0, 0, 1, 1, 1]);
    assert.deepEqual(
      Array.from({ length: 6 }, (_, i) => data.splits.train.images[i * 1024]),
      [1, 2, 3, 101, 102, 103],
    );
    assert.deepEqual(
      data.skipped.map((file) => file.path),
      ['a/002-cut.png', 'a/notes.txt', 'b/000.jpg', 'b/empty.png'].map((name) => join(path, name)),
    );
    assert.match(data.skipped[1].reason, /neither PNG nor JPEG/);
    assert.match(data.skipped[3].reason, /the file is empty/);
  }
  await assert.rejects(openDataset(path, { strict: true }), {
    name: 'FileError',
    message: /002-cut\.png: .* \(and 3 more in .*\); without `strict` such files are skipped/,
  });
});

test('folders train, test and val', async () => {
  const path = await folder({ ...twoClasses(6, 'train/'), ...twoClasses(3, 'test/'), ...twoClasses(2, 'val/') });
  const data = await openDataset(path);
  assert.deepEqual(counts(data), [12, 4, 6]);
  assert.ok(data.splits.test.names!.every((name) => name.startsWith('test')));
  await assert.rejects(openDataset(path, { testSplit: 0.5 }), /testSplit: .* has a test part of its own/);
  await assert.rejects(openDataset(path, { valSplit: 0.5 }), /valSplit: .* has a validation part of its own/);
  assert.deepEqual(counts(await openDataset(await folder({ ...twoClasses(6, 'train/'), ...twoClasses(2, 'val/') }))), [
    12,
    undefined,
    4,
  ]);
  assert.deepEqual(counts(await openDataset(await folder(twoClasses(10, 'train/')), { valSplit: 0.5 })), [8, 8, 4]);
  assert.deepEqual(counts(await openDataset(await folder(twoClasses(5, 'test/')))), [0, undefined, 10]);
  // A class may be called test: it holds images, not class folders.
  const named = await openDataset(await folder({ 'test/1.png': grey(32, 32, 1), 'other/1.png': grey(32, 32, 2) }), {
    testSplit: 0,
  });
  assert.deepEqual(named.classes, ['other', 'test']);
  const stray = await folder({ ...twoClasses(2, 'train/'), 'c/1.png': grey(32, 32, 1) });
  await assert.rejects(openDataset(stray), /has part folders \(train\) and beside them c/);
  const unknown = await folder({ ...twoClasses(2, 'train/'), 'test/x/1.png': grey(32, 32, 1) });
  await assert.rejects(openDataset(unknown), /has a class x that is not among the expected 2: a, b/);
});

test("a model's classes decide the labels", async () => {
  const path = await folder(twoClasses(2));
  const data = await openDataset(path, { classes: ['b', 'c', 'a'], testSplit: 0 });
  assert.deepEqual(
    [data.classes, [...data.splits.train.labels]],
    [
      ['b', 'c', 'a'],
      [2, 2, 0, 0],
    ],
  );
  await assert.rejects(openDataset(path, { classes: ['b'] }), /has a class a that is not among/);
  const one = await folder({ 'a/1.png': grey(32, 32, 1) });
  assert.equal((await openDataset(one, { classes: ['a', 'b'], testSplit: 0 })).splits.train.count, 1);
});

test('what cannot be learned from says why', async () => {
  const cases: [Record<string, Uint8Array | string | null>, RegExp][] = [
    [
      { 'a/1.png': grey(9, 9, 1), b: null },
      /b: the class folder is empty; put images of the class "b" into it or remove it/,
    ],
    [{ 'a/1.png': grey(9, 9, 1) }, /there is only one class folder \("a"\)/],
    [
      { 'a/1.png': grey(9, 9, 1), 'b/1.png': 'no', 'b/2.png': 'no' },
      /b: none of the 2 files of the class "b" can be read; 1\.png: neither PNG nor JPEG/,
    ],
    [{ 'a/1.txt': 'x', 'b/1.txt': 'y' }, /none of its 2 files is a PNG or JPEG image; the first: neither/],
    [
      {},
      /found no data\. Looked for IDX files .* or one folder of PNG or JPEG images per class .*; found an empty folder/,
    ],
    [{ 'x.png': grey(9, 9, 1), 'y.csv': '1' }, /found no data.*; found only x\.png, y\.csv/],
  ];
  for (const [files, message] of cases)
    await assert.rejects(openDataset(await folder(files)), { name: 'FileError', message });
  await assert.rejects(openDataset(join(root, 'nowhere')), /nowhere: there is no such folder; data is "strokes"/);
  const file = await folder({ 'x.png': grey(9, 9, 1) });
  await assert.rejects(openDataset(join(file, 'x.png')), /is a file; give the folder/);
});

test('options out of range are errors', async () => {
  const path = await folder(twoClasses(2));
  const bad: [object, RegExp][] = [
    [{ testsplit: 1 }, /openDataset: unknown option "testsplit"/],
    [{ testSplit: 1 }, /testSplit must be at least 0 and less than 1, got 1/],
    [{ valSplit: -0.1 }, /valSplit must be/],
    [{ size: 0 }, /size must be a whole number of at least 1, got 0/],
    [{ size: [3, 2.5] }, /size must be/],
    [{ channels: 2 }, /channels must be 1 or 3, got 2/],
    [{ fit: 'squeeze' }, /fit must be crop, stretch or pad/],
    [{ threads: -1 }, /threads/],
    [{ seed: 'x' }, /seed must be a whole number/],
    [{ trainCount: 5 }, /trainCount is for strokes only/],
  ];
  for (const [options, message] of bad) {
    await assert.rejects(openDataset(path, options as DatasetOptions), { name: 'OptionError', message });
  }
});

test('strokes: both parts as the generator draws them, on any number of threads', async () => {
  const data = await openDataset('strokes', { trainCount: 700, testCount: 30, seed: 5, threads: 2 });
  assert.deepEqual(
    [data.kind, data.channels, data.height, data.width, data.classes.length],
    ['strokes', 1, 28, 28, 10],
  );
  assert.deepEqual(counts(data), [700, undefined, 30]);
  for (const [part, count] of [
    ['train', 700],
    ['test', 30],
  ] as const) {
    const drawn = strokes({ count, seed: 5, split: part });
    assert.deepEqual(Buffer.from(data.splits[part].images), Buffer.from(drawn.images));
    assert.deepEqual([...data.splits[part].labels], [...drawn.labels]);
  }
  const alone = await openDataset('strokes', { trainCount: 60, testCount: 30, seed: 5, threads: 0, valSplit: 0.5 });
  assert.deepEqual(counts(alone), [30, 30, 30]);
  assert.deepEqual(alone.splits.test, data.splits.test);
  const resized = await openDataset('strokes', { trainCount: 10, testCount: 1, size: 14, channels: 3 });
  assert.deepEqual([resized.channels, resized.height, resized.splits.train.images.length], [3, 14, 10 * 3 * 196]);
  await assert.rejects(openDataset('strokes', { testSplit: 0.1 }), /strokes has a test part of its own/);
  await assert.rejects(openDataset('strokes', { trainCount: 0 }), /trainCount must be/);
});

test('real photos: some of the flowers', async (t) => {
  const flowers = sharedPath('data/flowers');
  if (!flowers) return t.skip('data/flowers is not here');
  const path = await folder({});
  for (const name of ['daisy', 'tulip']) {
    await mkdir(join(path, name));
    const files = (await readdir(join(flowers, name))).sort().slice(0, 12);
    for (const file of files) await symlink(join(flowers, name, file), join(path, name, file));
    const photo = await readFile(join(flowers, name, files[0]));
    await writeFile(join(path, name, 'cut.jpg'), photo.subarray(0, photo.length >> 1));
  }
  const data = await openDataset(path, { testSplit: 0.25 });
  assert.deepEqual([data.channels, data.height, data.width], [3, 128, 128]);
  assert.deepEqual(counts(data), [18, undefined, 6]);
  assert.equal(data.skipped.length, 2);
  assert.ok(data.mean.every((m) => m > 0.2 && m < 0.8) && data.std.every((s) => s > 0.1 && s < 0.4));
});
