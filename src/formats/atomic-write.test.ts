import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileError } from '../tensor/errors.js';
import { writeFileAtomic } from './atomic-write.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));

test('replaces a file and leaves nothing beside it', async () => {
  const here = join(folder, 'plain');
  const path = join(here, 'deep', 'file');
  await writeFileAtomic(path, new TextEncoder().encode('old'));
  await writeFileAtomic(path, [new TextEncoder().encode('ne'), new TextEncoder().encode('w')]);
  assert.equal(readFileSync(path, 'utf8'), 'new');
  assert.deepEqual(readdirSync(join(here, 'deep')), ['file']);
});

test('writes through a symbolic link', { skip: process.platform === 'win32' && 'links need rights' }, async () => {
  const here = join(folder, 'linked');
  mkdirSync(here);
  writeFileSync(join(here, 'real'), 'old');
  symlinkSync('real', join(here, 'link'));
  await writeFileAtomic(join(here, 'link'), new TextEncoder().encode('new'));
  assert.equal(readFileSync(join(here, 'real'), 'utf8'), 'new');
});

test('where the target is a folder, the message says so and nothing is left behind', async () => {
  const here = join(folder, 'occupied');
  mkdirSync(join(here, 'target', 'inner'), { recursive: true });
  await assert.rejects(writeFileAtomic(join(here, 'target'), new Uint8Array(3)), (error: Error) => {
    assert.ok(error instanceof FileError);
    assert.match(error.message, /cannot save .*target: .*folder/);
    return true;
  });
  assert.deepEqual(readdirSync(here), ['target']);
});

test('when writing fails half-way, the old file survives and the temporary one is gone', async () => {
  const here = join(folder, 'half');
  const path = join(here, 'file');
  await writeFileAtomic(path, new TextEncoder().encode('old'));
  const failing = function* (): Generator<Uint8Array> {
    yield new Uint8Array(10);
    throw new Error('out of tensors');
  };
  await assert.rejects(writeFileAtomic(path, failing()), /out of tensors/);
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(here), ['file']);
});

test('when the system takes no more bytes, the old file survives', {
  skip: process.platform === 'win32' && 'needs ulimit',
}, () => {
  const here = join(folder, 'full');
  mkdirSync(here);
  const path = join(here, 'file');
  writeFileSync(path, 'old');
  const program = `
      import { writeFileAtomic } from ${JSON.stringify(new URL('./atomic-write.js', import.meta.url).href)};
      try {
        await writeFileAtomic(${JSON.stringify(path)}, new Uint8Array(2 ** 20));
      } catch (error) {
        console.log(error.name + ': ' + error.message);
      }`;
  // At most 64 blocks of 512 (or 1024) bytes per file: the write really fails in the middle, with EFBIG.
  const child = spawnSync(
    'sh',
    ['-c', 'ulimit -f 64; exec "$0" --input-type=module -e "$1"', process.execPath, program],
    { encoding: 'utf8' },
  );
  assert.match(
    child.stdout,
    /^FileError: cannot save .*larger than the system allows \(EFBIG\).*unchanged/,
    child.stderr,
  );
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(here), ['file']);
});
