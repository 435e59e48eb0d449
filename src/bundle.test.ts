// What users import is the bundle (scripts/bundle.mjs), while the tests run the modules that it is made of.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as library from './index.js';
import * as keras from './keras/index.js';
import * as models from './models/index.js';
import { temporaryFolder } from './testing/command-line.js';

const folder = new URL('./bundle/', import.meta.url);
const skip = existsSync(fileURLToPath(folder)) ? false : 'this build has no bundle: npm run build makes it';

/** What a program prints, whose modules are those of the bundle. */
function output(program: string, variables: Readonly<Record<string, string>> = {}): unknown {
  const args = ['--input-type=module', '-e', program];
  const env = { ...process.env, GABOR_DEBUG: '', ...variables };
  return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000, env }));
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

test('classes and functions of the bundle have the names that they have in the modules', { skip }, () => {
  const names = output(`${IMPORT}
    const models = await import('${new URL('models.js', folder)}');
    const named = (entry) => Object.entries(entry).filter(([, value]) => typeof value === 'function');
    console.log(JSON.stringify([library, keras, models].map((entry) => named(entry).map(([key, { name }]) => [key, name]))));`);
  const named = (entry: object): [string, string][] =>
    Object.entries(entry).flatMap(([key, value]) => (typeof value === 'function' ? [[key, value.name]] : []));
  assert.deepEqual(
    names,
    [library, keras, models].map((entry) => named(entry)),
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

/** A convolution and what is computed of it; says whether functions came as V8 had compiled them. */
const NETWORK = `
  const { Conv2d, Random, ReLU, Sequential, compile, tensor } = await import('${new URL('index.js', folder)}');
  const model = new Sequential(new Conv2d(3, 16, 3, { random: new Random(1) }), new ReLU());
  const run = compile((x) => model.call(x));
  const x = tensor(Float32Array.from({ length: 3 * 16 * 16 }, (_, i) => Math.sin(i)), { shape: [1, 3, 16, 16] });
  console.log(JSON.stringify([...run.sync(x).data()]));`;

for (const native of ['0', '1']) {
  test(`what the package keeps for other processes, it uses if it is whole; GABOR_NATIVE=${native}`, { skip }, () => {
    const cache = temporaryFolder();
    const run = (GABOR_CACHE: string): unknown => output(NETWORK, { GABOR_CACHE, GABOR_NATIVE: native });
    const expected = run('0');
    assert.ok(!existsSync('0'));
    const names = (kind: string): string[] => readdirSync(join(cache, kind)).sort();
    assert.deepEqual(run(cache), expected);
    const [programs, scripts] = [names('programs'), names('scripts')];
    assert.ok(programs.length > 0);
    assert.equal(scripts.length, 1);
    assert.deepEqual(run(cache), expected);
    assert.deepEqual([names('programs'), names('scripts')], [programs, scripts], 'nothing new is kept');
    for (const kind of ['programs', 'scripts']) {
      for (const name of names(kind)) {
        const file = join(cache, kind, name);
        const good = readFileSync(file);
        for (const bad of [good.subarray(0, 100), Buffer.from(good).fill(255, good.length >> 1), Buffer.alloc(0)]) {
          writeFileSync(file, bad);
          assert.deepEqual(run(cache), expected);
          assert.ok(readFileSync(file).length > 100, 'replaced');
        }
      }
    }
  });
}

test('the script is text of one byte for each character, and needs no package but koffi', { skip }, () => {
  const text = readFileSync(new URL('library.cjs', folder), 'latin1');
  assert.ok(
    [...text].every((character) => character === '\n' || character === '\t' || (character >= ' ' && character <= '~')),
  );
  const needed = new Set([...text.matchAll(/\brequire\("([^"]+)"\)/g)].map(([, name]) => name));
  assert.deepEqual(
    [...needed].filter((name) => !isBuiltin(name)),
    [],
  );
});

test('the licences of all packages in the bundle come with it, of those inside of a package, too', { skip }, () => {
  const licences = readFileSync(new URL('licences.txt', folder), 'utf8');
  for (const name of [
    '@bufbuild/protobuf',
    'commander',
    'fast-png',
    'fflate',
    'h5wasm',
    'iobuffer',
    'jpeg-js',
    'jsfive',
    'pako',
  ]) {
    assert.match(licences, new RegExp(`^${name} \\d`, 'm'));
  }
});

interface PackageFile {
  readonly exports: Readonly<Record<string, { readonly types: string }>>;
  readonly files: readonly string[];
}

test('declarations that users get need no package but Node’s, and no file that stays behind', () => {
  const root = new URL('./', import.meta.url);
  let top = root;
  while (!existsSync(new URL('package.json', top))) top = new URL('../', top);
  const { exports, files } = JSON.parse(readFileSync(new URL('package.json', top), 'utf8')) as PackageFile;
  const left = files.filter((file) => file.startsWith('!dist/')).map((file) => file.slice('!dist/'.length));
  const seen = new Set(Object.values(exports).map(({ types }) => types.replace('./dist/', '')));
  for (const file of seen) {
    assert.ok(!left.some((folder) => file.startsWith(`${folder}/`)), `${file} is not in the package`);
    const text = readFileSync(new URL(file, root), 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
    for (const [, specifier] of text.matchAll(/(?:\bfrom|\bimport\(|\bimport)\s*['"]([^'"]+)['"]/g)) {
      if (!specifier.startsWith('.')) assert.fail(`${file} imports ${specifier}`);
      seen.add(join(file, '..', specifier.replace(/\.js$/, '.d.ts')));
    }
  }
  assert.ok(seen.size > 100, `${seen.size} files`);
});
