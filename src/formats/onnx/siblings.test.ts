import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { Linear } from '../../nn/index.js';
import { randomNormal } from '../../ops/create.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { sendFile, serve } from '../../testing/file-server.js';
import { fetchFile, siblingsOf } from '../remote/index.js';
import { saveOnnx } from './export/export.js';
import { loadOnnx } from './load.js';

setDevice(new ReferenceDevice());

test('a network on the net with its weights in a file beside it', async () => {
  const folder = temporaryFolder();
  const net = new Linear(64, 32);
  await saveOnnx(join(folder, 'net.onnx'), net, { inputs: [[1, 64]], externalData: true });
  const server = await serve((request, response) =>
    sendFile(readFileSync(join(folder, request.url as string)), request, response),
  );
  const url = `${server.origin}/net.onnx`;
  mkdirSync(join(folder, 'caches'));
  const options = { cache: mkdtempSync(join(folder, 'caches', 'cache-')) };
  const model = await loadOnnx(await fetchFile(url, options), { siblings: siblingsOf(url, options) });
  assert.deepEqual(
    server.requests.map((request) => request.url),
    ['/net.onnx', '/net.onnx.data'],
  );
  const x = randomNormal([1, 64], 1);
  assert.deepEqual(model.forward(x).data(), net.forward(x).data());
  const cache = mkdtempSync(join(folder, 'caches', 'cache-'));
  await assert.rejects(
    loadOnnx(await fetchFile(url, { cache })),
    /cannot read its data in "net\.onnx\.data": there is no such file/,
  );
});
