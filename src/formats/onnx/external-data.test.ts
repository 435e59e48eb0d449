import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { Conv2d, Sequential } from '../../nn/index.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { temporaryFolder } from '../../testing/command-line.js';
import { saveOnnx } from './export/export.js';
import { loadOnnx } from './load.js';

test('files of weights are opened once and closed', { skip: process.platform !== 'linux' }, async () => {
  setDevice(new ReferenceDevice());
  const path = join(temporaryFolder(), 'net.onnx');
  const layers = Array.from({ length: 6 }, () => new Conv2d(16, 16, 3));
  await saveOnnx(path, new Sequential(...layers), { inputs: [[1, 16, 20, 20]], externalData: true });
  const opened = (): number => readdirSync('/proc/self/fd').length;
  const before = opened();
  const asked: string[] = [];
  const model = await loadOnnx(path, {
    siblings: async (name) => {
      asked.push(name);
      return `${path}.data`;
    },
  });
  assert.deepEqual(asked, ['net.onnx.data']);
  assert.equal(model.parameters().length, 12);
  assert.equal(opened(), before);
  await assert.rejects(loadOnnx(`${path}.gone`), /cannot read it/);
  await assert.rejects(loadOnnx(join(path, '..')), /this is no file/);
  assert.equal(opened(), before);
});
