// What users import is the bundle (scripts/bundle.mjs), while the tests run the modules that it is made of.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as library from './index.js';
import * as keras from './keras/index.js';
import * as models from './models/index.js';

const folder = new URL('./bundle/', import.meta.url);
const skip = existsSync(fileURLToPath(folder)) ? false : 'this build has no bundle: npm run build makes it';

/** What a program prints, whose modules are those of the bundle. */
function output(program: string): unknown {
  const args = ['--input-type=module', '-e', program];
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 }));
}

const IMPORT = `
  const library = await import('${new URL('index.js', folder)}');
  const keras = await import('${new URL('keras.js', folder)}');`;

test('the bundle exports what the modules export', { skip }, () => {
  const names = output(`${IMPORT}
    const models = await import('${new URL('models.js', folder)}');
    console.log(JSON.stringify([library, keras, models].map((entry) => Object.keys(entry))));`);
  assert.deepEqual(
    names,
    [library, keras, models].map((entry) => Object.keys(entry)),
  );
});

test('the entries of the bundle share their classes', { skip }, () => {
  const shared = output(`${IMPORT}
    console.log(JSON.stringify([keras.Tensor === library.Tensor, keras.tensor([1]) instanceof library.Tensor]));`);
  assert.deepEqual(shared, [true, true]);
});

/** Needs worker threads of every kind; runs here and, as text, in a process of its own. */
async function work({ BatchLoader, compile, full, matmul, openDataset }: typeof library): Promise<number[]> {
  const data = await openDataset('strokes', { trainCount: 20, testCount: 10, threads: 1 });
  const loader = new BatchLoader(data.splits.train, data, { batchSize: 10, seed: 1, workers: 1 });
  let total = 0;
  for await (const { x } of loader.epoch(0)) for (const value of x) total += value;
  await loader.close();
  const product = compile((a: library.Tensor) => matmul(a, a));
  const result = await product(full([256, 256], 0.5));
  return [total, result.data()[0]];
}

test('threads of the bundle compute, draw and assemble batches as the modules do', { skip }, async () => {
  const ofBundle = output(`${IMPORT}
    ${work}
    console.log(JSON.stringify(await work(library)));
    process.exit(0);`);
  assert.deepEqual(ofBundle, await work(library));
});

test('the command line of the bundle knows its version and loads its commands', { skip }, () => {
  const run = (...args: readonly string[]): string =>
    execFileSync(process.execPath, [fileURLToPath(new URL('cli.js', folder)), ...args], { encoding: 'utf8' });
  assert.match(run('--version'), /^\d+\.\d+\.\d+$/m);
  assert.match(run('doctor'), /node/i);
});
