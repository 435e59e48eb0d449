import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readNpy, writeNpy } from './npy.js';

const folder = mkdtempSync(join(tmpdir(), 'gabor-'));
after(() => rmSync(folder, { recursive: true }));
const array = { dtype: 'f32', shape: [1], data: new Float32Array(1) } as const;

test('what cannot be written: addresses, folders without a name, folders inside of files', async () => {
  await assert.rejects(
    writeNpy('https://a.b/x.npy', array),
    /^FileError: cannot save https:\/\/a\.b\/x\.npy: it is an/,
  );
  await assert.rejects(writeNpy('hf://a/b/x.npy', array), /it is an address; give a path on this machine$/);
  writeFileSync(join(folder, 'file'), '');
  await assert.rejects(writeNpy(join(folder, 'file', 'x.npy'), array), /there is a file of this name$/);
});

test('permissions are told for what was wanted: to read or to write', {
  skip: process.platform === 'win32',
}, async () => {
  const path = join(folder, 'secret.npy');
  await writeNpy(path, array);
  // Nothing is forbidden to root: files are looked at with the rights of another user.
  const isRoot = process.getuid?.() === 0;
  chmodSync(path, 0);
  chmodSync(folder, 0o555);
  try {
    if (isRoot) process.seteuid?.(65534);
    await assert.rejects(readNpy(path), /secret\.npy: no permission to read it \(EACCES\)/);
    await assert.rejects(
      writeNpy(join(folder, 'more.npy'), array),
      /more\.npy: no permission to write there \(EACCES\)/,
    );
  } finally {
    if (isRoot) process.seteuid?.(0);
    chmodSync(folder, 0o700);
  }
});
