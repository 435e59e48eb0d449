import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../graph/compile.js';
import { tensor } from '../ops/create.js';
import { OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { fillWithHashes } from '../testing/model-weights.js';
import { muLawDecode, muLawEncode, wavenet } from './index.js';

const SMALL = {
  classes: 16,
  layers: 3,
  stacks: 2,
  residualChannels: 6,
  dilationChannels: 5,
  skipChannels: 12,
  endChannels: 10,
} as const;

for (const kernelSize of [1, 2, 3]) {
  test(`generating gives what the whole network predicts at every position, kernel ${kernelSize}`, async () => {
    const model = wavenet({ ...SMALL, kernelSize }).eval();
    fillWithHashes(model);
    const start = [3, 1, 4, 1, 5];
    const count = 40;
    const generated = await model.generate(start, count, { temperature: 0 });
    const all = Int32Array.from([...start, ...generated]);
    const run = compile((x: Tensor) => model.call(x));
    const logits = await run(tensor(all, { shape: [1, all.length] }));
    const data = logits.data() as Float32Array;
    const best = (position: number): number => {
      const column = Array.from({ length: 16 }, (_, level) => data[level * all.length + position]);
      return column.indexOf(Math.max(...column));
    };
    assert.deepEqual(
      [...generated],
      Array.from({ length: count }, (_, i) => best(start.length + i - 1)),
    );
    // Otherwise one level would be right everywhere.
    if (kernelSize > 1) assert.ok(new Set(generated).size > 2, String(generated));
    run.dispose();
    model.dispose();
  });
}

test('what is drawn repeats for a seed and follows the temperature', async () => {
  const model = wavenet({ ...SMALL, random: new Random(5) }).eval();
  const draw = (seed: number, temperature?: number): Promise<Int32Array> =>
    model.generate([0], 30, { random: new Random(seed), ...(temperature === undefined ? {} : { temperature }) });
  assert.deepEqual(await draw(1), await draw(1));
  assert.notDeepEqual(await draw(1), await draw(2));
  assert.deepEqual(await draw(1, 1e-6), await draw(2, 0));
  assert.equal((await model.generate([1, 2], 0)).length, 0);
  for (const [start, count, options, message] of [
    [[], 3, {}, /at least one level/],
    [[16], 3, {}, /from 0 to 15, got 16/],
    [[1.5], 3, {}, /got 1.5/],
    [[1], -1, {}, /count/],
    [[1], 3, { temperature: -1 }, /temperature/],
    [[1], 3, { seed: 1 }, /unknown option "seed"/],
  ] as const) {
    await assert.rejects(model.generate(start, count, options as object), (error: Error) => {
      assert.ok(error instanceof OptionError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
  model.dispose();
});

test('a prediction depends on exactly the samples of the receptive field', async () => {
  const model = wavenet({ ...SMALL, kernelSize: 2 }).eval();
  fillWithHashes(model);
  // Two stacks of dilations 1, 2 and 4.
  assert.equal(model.receptiveField, 15);
  const run = compile((x: Tensor) => model.call(x));
  const length = 20;
  const last = async (changed?: number): Promise<string> => {
    const levels = Int32Array.from({ length }, (_, i) => (i * 7 + (i === changed ? 1 : 0)) % 16);
    const data = (await run(tensor(levels, { shape: [1, length] }))).data();
    return Array.from({ length: 16 }, (_, level) => data[level * length + length - 1]).join();
  };
  const before = await last();
  assert.equal(await last(length - 16), before);
  assert.notEqual(await last(length - 15), before);
  assert.notEqual(await last(length - 1), before);
  run.dispose();
  model.dispose();
});

test('mu-law levels', () => {
  // ITU-T G.711 with 255: the ends, the middle, and a quiet sample by hand: ln(1 + 255 · 0.01) / ln 256 = 0.22847.
  assert.deepEqual([...muLawEncode([-1, 1, 0, 0.01, -2])], [0, 255, 128, 157, 0]);
  const levels = Int32Array.from({ length: 256 }, (_, i) => i);
  assert.deepEqual(muLawEncode(muLawDecode(levels)), levels);
  const decoded = muLawDecode([0, 255]);
  assert.deepEqual([...decoded], [-1, 1]);
  assert.throws(() => muLawEncode([0], 1), /classes/);
});
