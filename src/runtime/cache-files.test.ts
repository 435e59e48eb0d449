import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { temporaryFolder } from '../testing/command-line.js';
import { CacheFiles } from './cache-files.js';

const posix = process.platform === 'win32' ? 'Windows keeps the folders of users apart by itself' : false;
const parts = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 4 });

/** The only file in a folder. */
function onlyFile(folder: string): string {
  const names = readdirSync(folder);
  assert.equal(names.length, 1, names.join(', '));
  return join(folder, names[0]);
}

test('entries come back as they were written, to this and to other processes', () => {
  const folder = join(temporaryFolder(), 'a', 'b');
  fc.assert(
    fc.property(fc.string(), parts, parts, (key, first, second) => {
      const cache = new CacheFiles(folder);
      assert.ok(cache.write(key, first));
      assert.ok(cache.write(key, second));
      for (const reader of [cache, new CacheFiles(folder)]) {
        assert.deepEqual(
          reader.read(key)?.map((part) => [...part]),
          second.map((part) => [...part]),
        );
      }
      // Keys are printable: no other run has written this one.
      assert.equal(cache.read(`${key}\n`), undefined);
    }),
    { numRuns: 50 },
  );
  assert.ok(readdirSync(folder).every((name) => !name.endsWith('.tmp')));
});

test('entries that were damaged, cut or belong to another key are none, and are replaced', () => {
  const folder = join(temporaryFolder(), 'c');
  const cache = new CacheFiles(folder);
  const content = [Uint8Array.from({ length: 40 }, (_, i) => i), new Uint8Array(7)];
  assert.ok(cache.write('key', content));
  const file = onlyFile(folder);
  const good = readFileSync(file);
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good);
    bad[at] ^= 16;
    writeFileSync(file, bad);
    assert.equal(cache.read('key'), undefined, `byte ${at}`);
  }
  for (let length = 0; length < good.length; length++) {
    writeFileSync(file, good);
    truncateSync(file, length);
    assert.equal(cache.read('key'), undefined, `${length} bytes`);
  }
  writeFileSync(file, Buffer.concat([good, Buffer.alloc(16)]));
  assert.equal(cache.read('key'), undefined);
  assert.ok(cache.write('yek', content));
  writeFileSync(file, readFileSync(join(folder, readdirSync(folder).find((name) => !file.endsWith(name)) as string)));
  assert.equal(cache.read('key'), undefined, 'the entry of another key');
  assert.ok(cache.write('key', content));
  assert.deepEqual(cache.read('key')?.length, 2);
});

test('nothing is read that someone else can have written', { skip: posix }, () => {
  const folder = join(temporaryFolder(), 'd');
  assert.ok(new CacheFiles(folder).write('key', [new Uint8Array(3)]));
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const file = onlyFile(folder);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  const isThere = (): boolean => new CacheFiles(folder).read('key') !== undefined;
  assert.ok(isThere());
  chmodSync(file, 0o620);
  assert.ok(!isThere(), 'a file that a group can write to');
  chmodSync(file, 0o600);
  chmodSync(folder, 0o702);
  assert.ok(!isThere(), 'a folder that everyone can write to');
  assert.ok(!new CacheFiles(folder).write('other', []));
  chmodSync(folder, 0o755);
  assert.ok(isThere());
  assert.equal(statSync(folder).mode & 0o777, 0o700);
  const linked = join(temporaryFolder(), 'linked');
  symlinkSync(folder, linked);
  assert.equal(new CacheFiles(linked).read('key'), undefined);
});

test('a folder that cannot be used is no error', () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'file'), '');
  const cache = new CacheFiles(join(folder, 'file', 'programs'));
  assert.equal(cache.read('key'), undefined);
  assert.equal(cache.write('key', []), false);
  const { problem, ...empty } = cache.usage();
  assert.deepEqual(empty, { files: 0, bytes: 0 });
  assert.match(String(problem), /ENOTDIR/);
  assert.deepEqual(new CacheFiles(join(folder, 'nothing')).usage(), { files: 0, bytes: 0 });
});

test('a folder that cannot be made is no error, and is told', { skip: posix }, () => {
  if (process.platform === 'linux') {
    const cache = new CacheFiles('/proc/gabor/programs');
    assert.equal(cache.write('key', []), false);
  }
  // Nothing is forbidden to root.
  if (process.getuid?.() === 0) return;
  const folder = temporaryFolder();
  chmodSync(folder, 0o500);
  const cache = new CacheFiles(join(folder, 'gabor', 'programs'));
  assert.equal(cache.write('key', []), false);
  assert.deepEqual(cache.usage(), {
    files: 0,
    bytes: 0,
    problem: `cannot be made: no permission to write to ${folder}`,
  });
});

test('an entry that cannot take its place leaves nothing behind', () => {
  const folder = join(temporaryFolder(), 'f');
  const cache = new CacheFiles(folder);
  assert.ok(cache.write('key', []));
  const file = onlyFile(folder);
  rmSync(file);
  mkdirSync(file);
  assert.equal(cache.write('key', [new Uint8Array(5)]), false);
  assert.equal(onlyFile(folder), file);
});

test('the entries that were not used for longest make room', () => {
  const folder = join(temporaryFolder(), 'e');
  mkdirSync(folder, { mode: 0o700 });
  const entry = [new Uint8Array(1000)];
  const old = new CacheFiles(folder);
  for (let i = 0; i < 8; i++) old.write(`${i}`, entry);
  readdirSync(folder).forEach((name) => {
    utimesSync(join(folder, name), 1000, 1000);
  });
  assert.ok(old.read('3'), 'reading an entry makes it young');
  const cache = new CacheFiles(folder, 8500);
  assert.ok(cache.write('8', entry));
  const kept = Array.from({ length: 9 }, (_, i) => `${i}`).filter((key) => cache.read(key) !== undefined);
  assert.ok(kept.includes('3') && kept.includes('8'), kept.join(' '));
  const { files, bytes } = cache.usage();
  assert.equal(files, kept.length);
  assert.ok(bytes <= 8500 && files >= 4, `${files} files, ${bytes} bytes`);
});
