import assert from 'node:assert/strict';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { FileError } from '../../tensor/errors.js';
import { floats, onnxBytes } from '../../testing/onnx-models.js';
import { loadOnnx } from './load.js';
import { readSkeleton } from './skeleton.js';

const folder = await mkdtemp(join(tmpdir(), 'gabor-onnx-'));
after(() => rm(folder, { recursive: true }));
const path = join(folder, 'model.onnx');

/** One initialiser of 160 kB, one of 12 bytes. */
const bytes = onnxBytes({
  inputs: { x: [1, 200] },
  outputs: ['y'],
  initialisers: [floats('small', [3]), floats('large', [200, 200])],
  nodes: [
    { type: 'MatMul', inputs: ['x', 'large'], outputs: ['h'] },
    { type: 'ReduceSum', inputs: ['h'], outputs: ['s'] },
    { type: 'Add', inputs: ['s', 'small'], outputs: ['y'] },
  ],
});

test('large tensors stay in the file until they are read, one at a time', async () => {
  setDevice(new ReferenceDevice());
  await writeFile(path, bytes);
  const handle = await open(path);
  const skeleton = await readSkeleton(handle, bytes.length, path);
  await handle.close();
  assert.ok(skeleton.length < 1000, `${skeleton.length} bytes`);
  const [a, b] = [(await loadOnnx(path)).stateDict(), (await loadOnnx(bytes)).stateDict()];
  assert.deepEqual(Object.keys(a), ['small', 'large']);
  for (const name of Object.keys(a)) assert.deepEqual(a[name].data(), b[name].data());
  await assert.rejects(loadOnnx(skeleton), /lie in another file/);
});

test('files that end early or lie about lengths', async () => {
  setDevice(new ReferenceDevice());
  for (const length of [0, 1, 5, 100, 5000, 100_000, bytes.length - 100, bytes.length - 1]) {
    await writeFile(path, bytes.subarray(0, length));
    await assert.rejects(loadOnnx(path), FileError, `${length} of ${bytes.length} bytes`);
  }
  await writeFile(path, Buffer.concat([Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f), bytes]));
  await assert.rejects(loadOnnx(path), FileError);
  await assert.rejects(
    loadOnnx(join(folder, 'missing.onnx')),
    /missing\.onnx: cannot read it: there is no such file \(ENOENT\)/,
  );
  await assert.rejects(loadOnnx(folder), FileError);
});
