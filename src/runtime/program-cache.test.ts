import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { compileGraph } from '../compiler/compile.js';
import type { Graph } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { conv2d } from '../ops/conv.js';
import { full } from '../ops/create.js';
import { add, relu } from '../ops/elementwise.js';
import { softmax } from '../ops/softmax.js';
import { Tensor } from '../tensor/tensor.js';
import { temporaryFolder } from '../testing/command-line.js';
import { INSTRUCTIONS } from '../testing/devices.js';
import { chooseBackend } from './backend.js';
import { CacheFiles } from './cache-files.js';
import { type CompiledProgram, parseProgram, serializeProgram } from './compiled-program.js';
import { cpuDevice } from './cpu-device.js';
import { ProgramCache } from './program-cache.js';

/** A convolution with a bias that may be any number, an activation and a softmax. */
function network(bias: number, channels = 8): Graph {
  return trace((graph) => {
    const x = Tensor.fromTraced(graph.addInput({ dtype: 'f32', shape: [1, 3, 12, 12] }));
    const w = Tensor.fromTraced(graph.addInput({ dtype: 'f32', shape: [channels, 3, 3, 3] }));
    const y = relu(add(conv2d(x, w), full([1], bias)));
    return [softmax(y, 1)];
  }).graph;
}

function folderOf(t: TestContext): string {
  const folder = temporaryFolder();
  const before = process.env.GABOR_CACHE;
  process.env.GABOR_CACHE = folder;
  t.after(() => {
    if (before === undefined) delete process.env.GABOR_CACHE;
    else process.env.GABOR_CACHE = before;
  });
  return folder;
}

for (const instructions of INSTRUCTIONS) {
  test(`a program is compiled once for all that decides what it becomes [${instructions}]`, () => {
    const files = new CacheFiles(join(temporaryFolder(), 'p'));
    let compiled = 0;
    const program = (graph: Graph, options = {}, version = 'v1', choices = ''): CompiledProgram => {
      const other = chooseBackend({ instructions, ...options });
      return new ProgramCache(other, files, version).program(
        graph,
        () => choices,
        () => {
          compiled++;
          // Long enough to be kept.
          const until = performance.now() + 6;
          const result = other.emit(compileGraph(graph, other.machine));
          while (performance.now() < until);
          return result;
        },
      );
    };
    const first = program(network(0.5));
    assert.deepEqual(program(network(0.5)), first);
    assert.equal(compiled, 1);
    const others = [
      () => program(network(0.25)),
      () => program(network(-0)),
      () => program(network(0)),
      () => program(network(0.5, 9)),
      () => program(network(0.5), { winograd: false }),
      () => program(network(0.5), {}, 'v2'),
      () => program(network(0.5), {}, 'v1', 'measured'),
      ...(instructions === 'wasm' ? [() => program(network(0.5), { shared: false })] : []),
    ];
    others.forEach((other, i) => {
      const made = other();
      assert.equal(compiled, 2 + i);
      assert.deepEqual(other(), made);
      assert.equal(compiled, 2 + i, 'kept');
    });
  });

  test(`a device computes the same from its cache, and from one that was damaged [${instructions}]`, async (t) => {
    const folder = join(folderOf(t), 'programs');
    const run = async (): Promise<readonly number[]> => {
      const device = cpuDevice({ instructions, threads: 1, cache: true });
      const graph = network(0.5, 64);
      const inputs = graph.inputs.map(({ type }) => {
        const storage = device.allocate(type);
        storage.write(Float32Array.from({ length: type.shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i)));
        return storage;
      });
      const [y] = device.compile(graph).runSync(inputs);
      const values = [...y.read()];
      await device.close();
      return values;
    };
    const expected = await run();
    assert.deepEqual(await run(), expected);
    for (const name of readdirSync(folder)) {
      const file = join(folder, name);
      const bytes = readFileSync(file);
      bytes.fill(0, bytes.length >> 1);
      writeFileSync(file, bytes);
    }
    assert.deepEqual(await run(), expected);
  });
}

test('GABOR_CACHE=0 keeps nothing', (t) => {
  folderOf(t);
  process.env.GABOR_CACHE = '0';
  const device = cpuDevice({ threads: 1, cache: true });
  assert.ok(device.compile(network(0.5)));
  assert.ok(!readdirSync('.').includes('0'));
});

test('bytes that are no program are none', () => {
  const backend = chooseBackend({ instructions: 'wasm' });
  const { facts, code } = serializeProgram(backend.emit(compileGraph(network(1), backend.machine)));
  assert.ok(parseProgram(facts, code));
  const text = new TextDecoder().decode(facts);
  const changed = (from: RegExp, to: string): Uint8Array => new TextEncoder().encode(text.replace(from, to));
  for (const wrong of [
    facts.subarray(1),
    changed(/"inputs":2/, '"inputs":-1'),
    changed(/"arenaBytes":\d+/, '"arenaBytes":"a"'),
    changed(/"dtype":"f32"/, '"dtype":"f31"'),
    changed(/"updated":\[\]/, '"updated":[2]'),
    changed(/^\{/, `{"entry":${code.length},`),
  ]) {
    assert.notDeepEqual(wrong, facts);
    assert.equal(parseProgram(wrong, code), undefined, new TextDecoder().decode(wrong));
  }
});
