import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { candidates, problemKey } from '../compiler/choices.js';
import type { Graph } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import type { Contraction } from '../kernel/contraction.js';
import { contract } from '../ops/convolution.js';
import { OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { Tensor } from '../tensor/tensor.js';
import { temporaryFolder } from '../testing/command-line.js';
import { chooseBackend } from './backend.js';
import { type CpuOptions, cpuDevice } from './cpu-device.js';
import { codeVersion } from './host.js';
import { type Measurement, TuningCache, type TuningKey } from './tuning-cache.js';
import { tuningKey } from './tuning-key.js';

const KEY: TuningKey = { code: 'abc', processor: 'x64 Some 1', instructions: 'wasm' };
const ENTRY: Measurement = { choice: 'fast', model: 'slow', best: 'fast', modelMilliseconds: 2, milliseconds: 1 };

/** Warnings from here on. */
function warnings(t: TestContext): readonly string[] {
  const found: string[] = [];
  t.mock.method(process, 'emitWarning', (message: string, type: unknown) => {
    if (type === 'GaborWarning') found.push(message);
  });
  return found;
}

test('measurements are kept for the next process, of this version on this processor alone', (t) => {
  const found = warnings(t);
  const folder = temporaryFolder();
  const cache = new TuningCache(KEY, folder);
  assert.equal(cache.get('a'), undefined);
  cache.set('a', ENTRY);
  assert.deepEqual(new TuningCache({ ...KEY }, folder).get('a'), ENTRY);
  for (const other of [{ code: 'abd' }, { processor: 'x64 Some 2' }, { instructions: 'avx2' }]) {
    const elsewhere = new TuningCache({ ...KEY, ...other }, folder);
    assert.equal(elsewhere.get('a'), undefined);
    elsewhere.set('a', { ...ENTRY, milliseconds: 1.5 });
  }
  assert.deepEqual(new TuningCache(KEY, folder).get('a'), ENTRY);
  assert.equal(readdirSync(dirname(cache.path as string)).length, 4, 'no temporary files');
  assert.deepEqual(found, []);
});

test('two processes that measure at once lose nothing that was written', () => {
  const folder = temporaryFolder();
  const [a, b] = [new TuningCache(KEY, folder), new TuningCache(KEY, folder)];
  assert.equal(a.get('a') ?? b.get('b'), undefined);
  a.set('a', ENTRY);
  b.set('b', ENTRY);
  a.set('c', ENTRY);
  const c = new TuningCache(KEY, folder);
  for (const problem of ['a', 'b', 'c']) assert.deepEqual(c.get(problem), ENTRY);
});

const fileOf = (change: object): string =>
  JSON.stringify({ format: 'gabor tuning 1', ...KEY, entries: { a: ENTRY }, ...change });

for (const [what, text] of [
  ['no JSON', '{"format": "gabor tun'],
  ['another kind of file', '[1, 2]'],
  ['another format', fileOf({ format: 'gabor tuning 0' })],
  ['another version', fileOf({ code: 'x' })],
  ['another processor', fileOf({ processor: 'x' })],
  ['other instructions', fileOf({ instructions: 'x' })],
  ['no measurement', fileOf({ entries: { a: { ...ENTRY, milliseconds: '1' } } })],
] as const) {
  test(`a cache with ${what} is ignored with a warning, and replaced`, (t) => {
    const found = warnings(t);
    const folder = temporaryFolder();
    const cache = new TuningCache(KEY, folder);
    mkdirSync(dirname(cache.path as string), { recursive: true });
    writeFileSync(cache.path as string, text);
    assert.equal(cache.get('a'), undefined);
    assert.equal(found.length, 1);
    assert.ok(found[0].includes(cache.path as string) && found[0].includes('ignored'), found[0]);
    cache.set('b', ENTRY);
    const next = new TuningCache(KEY, folder);
    assert.deepEqual(next.get('b'), ENTRY);
    assert.equal(next.get('a'), undefined);
    assert.equal(found.length, 1);
  });
}

test('where nothing can be written, measurements last as long as the process, with a warning', (t) => {
  const found = warnings(t);
  const folder = join(temporaryFolder(), 'file');
  writeFileSync(folder, '');
  const cache = new TuningCache(KEY, folder);
  cache.set('a', ENTRY);
  cache.set('b', ENTRY);
  assert.deepEqual([cache.get('a'), cache.get('b')], [ENTRY, ENTRY]);
  assert.equal(found.length, 1, found.join('\n'));
  assert.match(found[0], /cannot be written/);
});

test('the key names the code, the processor and what programs are compiled to', () => {
  assert.match(codeVersion(), /^[0-9a-f]{64}$/);
  assert.equal(codeVersion(), codeVersion());
  const wasm = tuningKey(chooseBackend({ instructions: 'wasm' }));
  assert.equal(wasm.code, codeVersion());
  assert.ok(wasm.processor.startsWith(`${process.arch} `));
  assert.ok(wasm.instructions.includes(process.versions.v8));
  const plain = tuningKey(chooseBackend({ instructions: 'wasm', relaxedSimd: false }), { relaxedSimd: false });
  assert.notEqual(plain.instructions, wasm.instructions);
});

const CONTRACTION: Contraction = {
  kind: 'contraction',
  role: 'output',
  geometry: {
    batch: 1,
    groups: 1,
    channelsIn: 20,
    channelsOut: 24,
    axes: [0, 1].map(() => ({ input: 12, kernel: 3, output: 12, stride: 1, dilation: 1, padLow: 1 })),
  },
};
const SHAPES = [
  [1, 20, 12, 12],
  [24, 20, 3, 3],
];

function convolution(): Graph {
  return trace((graph) => {
    const [x, w] = SHAPES.map((shape) => Tensor.fromTraced(graph.addInput({ dtype: 'f32', shape })));
    return [contract('output', x, w, CONTRACTION.geometry)];
  }).graph;
}

function results(options: CpuOptions): Float32Array {
  const device = cpuDevice({ threads: 1, ...options });
  const random = new Random(3);
  const inputs = SHAPES.map((shape) => {
    const storage = device.allocate({ dtype: 'f32', shape });
    storage.write(Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.normal()));
    return storage;
  });
  const program = device.compile(convolution());
  const [output] = program.runSync(inputs);
  return output.read() as Float32Array;
}

function inFolder(t: TestContext, folder: string): void {
  const before = process.env.GABOR_CACHE;
  process.env.GABOR_CACHE = folder;
  t.after(() => {
    if (before === undefined) delete process.env.GABOR_CACHE;
    else process.env.GABOR_CACHE = before;
  });
}

test('a tuned device measures once, and computes the same', (t) => {
  const folder = temporaryFolder();
  inFolder(t, folder);
  const found = warnings(t);
  const untuned = results({});
  assert.deepEqual(readdirSync(folder), [], 'without tune: true nothing is measured');
  const tuned = results({ tune: true });
  const largest = Math.max(...untuned.map(Math.abs));
  untuned.forEach((value, i) => {
    assert.ok(Math.abs(tuned[i] - value) <= 1e-3 * largest, `element ${i} is ${tuned[i]}, not ${value}`);
  });
  const [file] = readdirSync(join(folder, 'tuning'));
  const text = readFileSync(join(folder, 'tuning', file), 'utf8');
  const problems = Object.keys(JSON.parse(text).entries);
  assert.deepEqual(problems, [problemKey(CONTRACTION)]);
  // The same choice, so the same bits, on any number of threads.
  assert.deepEqual(results({ tune: true, threads: 2 }), tuned);
  assert.equal(readFileSync(join(folder, 'tuning', file), 'utf8'), text);
  const [row] = cpuDevice({ tune: true, threads: 1 }).tune(convolution());
  assert.deepEqual(row, {
    scope: '',
    role: 'output',
    geometry: CONTRACTION.geometry,
    ...JSON.parse(text).entries[problems[0]],
  });
  assert.ok(row.milliseconds <= row.modelMilliseconds);
  assert.deepEqual(found, [], 'every candidate was right');
});

test('what a device may not do is measured by itself', (t) => {
  const folder = temporaryFolder();
  inFolder(t, folder);
  const [row] = cpuDevice({ tune: true, threads: 1, winograd: false }).tune(convolution());
  assert.match(row.best, /^direct/);
  const cache = new TuningCache(tuningKey(chooseBackend({})));
  assert.equal(cache.get(problemKey(CONTRACTION)), undefined);
});

test('an untuned device cannot tune', () => {
  assert.throws(() => cpuDevice().tune(convolution()), OptionError);
});

const PROGRAM = `
const [tune, conv, tensor, device] = await Promise.all(
  ['graph/trace.js', 'ops/convolution.js', 'tensor/tensor.js', 'runtime/cpu-device.js'].map((file) => import(new URL(file, process.argv[1]))));
const { graph } = tune.trace((into) => {
  const [x, w] = ${JSON.stringify(SHAPES)}.map((shape) => tensor.Tensor.fromTraced(into.addInput({ dtype: 'f32', shape })));
  return [conv.contract('output', x, w, ${JSON.stringify(CONTRACTION.geometry)})];
});
const tuned = device.cpuDevice({ tune: true, threads: 1 });
console.log(JSON.stringify(tuned.tune(graph)));
tuned.compile(graph).dispose();
process.exit(0);`;

test('another process takes what the cache says', async () => {
  const backend = chooseBackend({});
  const choices = [...candidates(CONTRACTION, backend.machine).keys()];
  for (const [start, kernel] of [
    ['direct', 'tile'],
    ['F(2', 'tile winograd 2×2'],
    ['F(4', 'tile winograd 4×4'],
  ] as const) {
    const folder = temporaryFolder();
    const choice = choices.find((name) => name.startsWith(start)) as string;
    const entry = { choice, model: 'm', best: 'b', modelMilliseconds: 124, milliseconds: 123 };
    new TuningCache(tuningKey(backend), folder).set(problemKey(CONTRACTION), entry);
    const args = ['--input-type=module', '-e', PROGRAM, new URL('../', import.meta.url).href];
    const env = { ...process.env, GABOR_CACHE: folder, GABOR_DEBUG: 'graph' };
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, { env });
    assert.equal(JSON.parse(stdout)[0].milliseconds, 123, 'measured anew');
    const kernels = new Set(stderr.match(/^ +tile( winograd [\d×]+)?/gm)?.map((line) => line.trim()));
    assert.deepEqual([...kernels], [kernel]);
  }
});
