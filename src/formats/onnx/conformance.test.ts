import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { setDevice } from '../../graph/device.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { fixturePath, readFixtures } from '../../testing/fixtures.js';
import { conformanceCases, factsOf, runConformance } from '../../testing/onnx-conformance.js';
import { type OnnxResult, renderOnnxPage } from '../../testing/onnx-page.js';
import { sharedPath } from '../../testing/shared.js';
import { NEWEST_OPSET } from './check.js';
import { OPERATORS } from './operators/index.js';

const RANDOM = 'the expected numbers come from the random generator of NumPy';

/** Node tests that do not pass, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  'core/test_training_dropout': RANDOM,
  'core/test_training_dropout_default': RANDOM,
  'core/test_training_dropout_default_mask': RANDOM,
  'core/test_training_dropout_mask': RANDOM,
};

const root = sharedPath('conformance/onnx');
const all = process.env.GABOR_ONNX === 'all' || process.env.GABOR_ONNX === 'write';
const MISSING = "ONNX's node tests (shared/conformance/onnx) are not there";

// The reference, WebAssembly, and what machine code there is.
for (const [i, device] of TEST_DEVICES.slice(1).entries()) {
  test(`ONNX's node tests pass but for listed ones [${device.name}]`, async (t) => {
    if (root === undefined) {
      t.skip(MISSING);
      return;
    }
    setDevice(device.make());
    const failed: string[] = [];
    const cases = conformanceCases(root).filter((_, n) => i < 2 || all || n % 6 === 0);
    for (const one of cases) {
      const problem = await runConformance(one).then(
        () => undefined,
        (error: Error) => error.message,
      );
      if ((problem === undefined) === one.name in EXCEPTIONS)
        failed.push(`${one.name}: ${problem ?? 'passes, but is listed'}`);
    }
    assert.deepEqual(failed, []);
  });
}

test('docs/onnx.md tells what passes', (t) => {
  if (root === undefined) {
    t.skip(MISSING);
    return;
  }
  const node = conformanceCases(root).map(
    ({ name, folder }): OnnxResult => ({
      ...factsOf(readFileSync(`${folder}/model.onnx`)),
      name,
      exception: EXCEPTIONS[name],
      suite: 'node',
    }),
  );
  const compared = readFixtures<{ name: string; model: string }>('onnx').map(
    ({ name, model }): OnnxResult => ({
      ...factsOf(Buffer.from(model, 'base64')),
      name,
      exception: undefined,
      suite: 'runtime',
    }),
  );
  const page = renderOnnxPage(OPERATORS, [...node, ...compared], NEWEST_OPSET);
  const path = fileURLToPath(new URL('../../docs/onnx.md', `file://${fixturePath('')}`));
  if (process.env.GABOR_ONNX === 'write') writeFileSync(path, page);
  assert.equal(readFileSync(path, 'utf8'), page, 'npm run onnx writes docs/onnx.md');
});
