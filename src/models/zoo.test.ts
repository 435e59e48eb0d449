import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readNpy } from '../formats/npy.js';
import { readSafetensors } from '../formats/safetensors.js';
import { compile } from '../graph/compile.js';
import { withoutMemory } from '../inspect/index.js';
import { init } from '../nn/index.js';
import { tensor } from '../ops/create.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertClose } from '../testing/fixtures.js';
import { checkModelCase, modelCases } from '../testing/model-fixtures.js';
import { stateDigest } from '../testing/model-weights.js';
import { sharedPath } from '../testing/shared.js';
import { findModel, MODELS, resnet20 } from './index.js';

/** Deeper, wider or larger ones of what others run as well: computed only where GABOR_ZOO is "all". */
const LARGE: readonly RegExp[] = [
  /^vgg(13|16|19_bn|13_bn)$/,
  /^(resnet101|resnet152|resnext101_32x8d|wide_resnet.*|resnet32|resnet44)$/,
  /^(r3d_18|deeplabv3_resnet50)$/,
];

const all = process.env.GABOR_ZOO === 'all';
const cases = modelCases();

test('every model is compared with PyTorch', () => {
  const known = Object.keys(MODELS).filter((name) => !['vgg-small', 'resnet-small'].includes(name));
  assert.deepEqual([...new Set(cases.map(({ name }) => name))].sort(), known.sort());
});

test('keys and shapes of the state are those of the original, in its order', () => {
  for (const { name, options = {}, full } of cases) {
    // The sizes that tests make smaller; the others are of the structure.
    const { hidden: _, size: __, words: ___, ...structure } = options as Record<string, number | boolean>;
    assert.equal(
      withoutMemory(() => stateDigest(findModel(name).create(structure))),
      full,
      name,
    );
  }
});

test('outputs are those of PyTorch with the same weights', async (t) => {
  for (const c of cases) {
    const large = LARGE.some((pattern) => pattern.test(c.name)) || c.input.includes(299);
    const skip = large && !all ? 'only with GABOR_ZOO=all' : false;
    await t.test(`${c.name} ${JSON.stringify(c.options ?? {})}`, { skip }, async (t) => {
      const worst = await checkModelCase(c, () => findModel(c.name).create(c.options), 1e-4);
      t.diagnostic(`${c.name}: largest difference ${worst.toExponential(1)} of the largest output`);
    });
  }
});

test('trained weights of others load by name and give their outputs', async (t) => {
  const folder = sharedPath('models/resnet20-cifar10');
  if (folder === undefined) return t.skip('no shared models here');
  const { tensors } = await readSafetensors(`${folder}/model.safetensors`);
  const model = init.skipInit(() => resnet20()).eval();
  const report = model.loadStateDict(Object.fromEntries(tensors), { strict: false });
  assert.deepEqual([report.unexpected, report.mismatched], [[], []]);
  assert.ok(report.missing.every((key) => key.endsWith('num_batches_tracked')));
  const [input, output] = await Promise.all([readNpy(`${folder}/input.npy`), readNpy(`${folder}/output.npy`)]);
  const run = compile((x: Tensor) => model.call(x));
  const logits = await run(tensor(input.data as Float32Array, { shape: input.shape }));
  assertClose(logits, { shape: output.shape, data: Array.from(output.data, Number) }, 1e-4, 'logits');
  run.dispose();
  model.dispose();
});
