import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../../testing/command-line.js';
import { sha256Of } from '../../testing/file-server.js';
import { PartialFile } from './partial-file.js';

const root = temporaryFolder();
const bytes = Buffer.from('some bytes of a file');

/** A folder with a partial file that was left. */
async function leave(key: string): Promise<string> {
  const parent = mkdtempSync(join(root, 'partial-'));
  const partial = await PartialFile.create(parent, key, { etag: '"1"' });
  await partial.append(bytes);
  await partial.release();
  return parent;
}

test('what was left is taken once, with its version and hash', async () => {
  const parent = await leave('a');
  const taken = await Promise.all(Array.from({ length: 8 }, () => PartialFile.take(parent, 'a')));
  const [partial, ...more] = taken.filter((one) => one !== undefined);
  assert.equal(more.length, 0);
  assert.deepEqual([partial.size, partial.version, partial.sha256()], [bytes.length, { etag: '"1"' }, sha256Of(bytes)]);
  // It belongs to this process now, which is alive.
  assert.equal(await PartialFile.take(parent, 'a'), undefined);
  await partial.append(bytes);
  await partial.restart({ etag: '"2"' });
  await partial.append(bytes.subarray(0, 4));
  assert.deepEqual([partial.size, partial.sha256()], [4, sha256Of(bytes.subarray(0, 4))]);
  await partial.release();
  const again = await PartialFile.take(parent, 'a');
  assert.deepEqual([again?.size, again?.version], [4, { etag: '"2"' }]);
  await again?.discard();
  assert.deepEqual(readdirSync(parent), []);
});

test('what a process that is gone had is taken; what belongs to another machine is not', async () => {
  const parent = await leave('a');
  const own = await PartialFile.take(parent, 'a');
  const [name] = readdirSync(parent);
  const gone = spawnSync(process.execPath, ['-e', '']).pid;
  const copyAs = (owner: string): void => {
    mkdirSync(join(parent, `a.${owner}.1`));
    writeFileSync(join(parent, `a.${owner}.1`, 'version.json'), '{}');
    writeFileSync(join(parent, `a.${owner}.1`, 'content'), bytes);
  };
  copyAs(`0123456789ab-${gone}`);
  assert.equal(await PartialFile.take(parent, 'a'), undefined);
  copyAs(name.split('.')[1].replace(/-\d+$/, `-${gone}`));
  const taken = await PartialFile.take(parent, 'a');
  assert.equal(taken?.size, bytes.length);
  await taken?.discard();
  await own?.discard();
});

test('what cannot be used goes, and what was forgotten', async () => {
  const parent = await leave('old');
  const [name] = readdirSync(parent);
  utimesSync(join(parent, name, 'content'), 1, 1);
  for (const folder of ['a.free.1', 'a.free.2', 'young.free.1']) mkdirSync(join(parent, folder));
  writeFileSync(join(parent, 'a.free.1', 'version.json'), '{"etag": "cut');
  writeFileSync(join(parent, 'young.free.1', 'content'), bytes);
  assert.equal(await PartialFile.take(parent, 'a'), undefined);
  assert.deepEqual(readdirSync(parent), ['young.free.1']);
});
