import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Worker } from 'node:worker_threads';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { assign } from '../graph/trace.js';
import { sum } from '../ops/broadcast.js';
import { conv2d } from '../ops/conv.js';
import { matmul } from '../ops/convolution.js';
import { tensor } from '../ops/create.js';
import { mul, relu, sub } from '../ops/elementwise.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Instructions, nativeProblem } from './backend.js';
import { type CpuDevice, cpuDevice } from './cpu-device.js';
import { codeBytesInUse } from './native/code.js';

/** How many programs; `GABOR_SOAK=10000 node scripts/test.mjs soak` for a long run, which prints what it saw. */
const PROGRAMS = Number(process.env.GABOR_SOAK ?? 240);
const long = process.env.GABOR_SOAK !== undefined;
/** What the collector of garbage and the allocators of Node and the system may keep for later. */
const SLACK = 48 * 2 ** 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

const workers: Worker[] = [];
process.on('worker', (worker) => workers.push(worker));

/** Not by an operator, whose program would be kept for the next one. */
function filled(shape: Shape, value: number): Tensor {
  return tensor(new Float32Array(sizeOf(shape)).fill(value), { shape });
}

interface Held {
  /** executable pages, bytes */
  readonly code: number;
  /** memory of the device, bytes */
  readonly memory: number;
  /** of the process, bytes */
  readonly resident: number;
  /** undefined where the system does not tell */
  readonly threads?: number;
  readonly files?: number;
}

async function held(device: CpuDevice): Promise<Held> {
  // Finalisers run some turns after the collection.
  for (let i = 0; i < 4; i++) {
    collect();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const count = (folder: string): number => readdirSync(`/proc/self/${folder}`).length;
  return {
    code: codeBytesInUse(),
    memory: device.memory.used,
    resident: process.memoryUsage.rss(),
    ...(process.platform === 'linux' ? { threads: count('task'), files: count('fd') } : {}),
  };
}

/** A training step of a small network of its own, run twice; on the calling thread alone or, where it is larger, on all. */
async function one(i: number): Promise<void> {
  const size = i % 2 === 0 ? 5 + (i % 7) : 28 + (i % 9);
  const channels = 1 + (i % 11);
  const w = filled([channels, 3, 3, 3], 0.01);
  const x = filled([2, 3, size, size], 0.5);
  const step = compile((t: Tensor) => {
    const loss = sum(relu(conv2d(t, w, { padding: i % 3 })));
    const [g] = gradients(loss, [w]);
    assign(w, sub(w, mul(g, 1e-3)));
    return loss;
  });
  const results = [await step(x), step.sync(x)];
  const [first, second] = results.map((t) => t.data()[0]);
  assert.ok(second < first, `the loss falls: ${first}, ${second}`);
  // Every eighth program, with its tensors, is left to the collector of garbage.
  if (i % 8 === 1) return;
  for (const t of [...results, w, x]) t.dispose();
  step.dispose();
}

const native = (['avx512', 'avx2'] as const).find((features) => nativeProblem(features) === undefined);
const all: readonly Instructions[] = native === undefined ? ['wasm'] : [native, 'wasm'];

for (const instructions of all) {
  test(`programs that were compiled, run and freed leave nothing behind, ${instructions}`, async (t) => {
    const device = cpuDevice({ threads: 2, instructions });
    setDevice(device);
    const begin = await held(device);
    const warm = Math.ceil(PROGRAMS / 4);
    for (let i = 0; i < warm; i++) await one(i);
    const before = await held(device);
    for (let i = warm; i < PROGRAMS; i++) await one(i);
    const after = await held(device);
    if (long) t.diagnostic(`${PROGRAMS} programs: ${JSON.stringify({ begin, before, after })}`);
    assert.equal(before.code, begin.code);
    assert.equal(after.code, begin.code);
    assert.equal(after.memory, begin.memory);
    assert.equal(after.threads, before.threads);
    assert.equal(after.files, before.files);
    assert.ok(after.resident < before.resident + SLACK, `${before.resident} bytes before, ${after.resident} after`);
    await device.close();
    assert.equal((await held(device)).code, begin.code);
  });
}

test('a device that nobody closed gives its pages back when it is collected', async (t) => {
  if (native === undefined) return t.skip(nativeProblem('avx2'));
  const before = codeBytesInUse();
  let during = 0;
  await (async () => {
    const device = cpuDevice({ threads: 1, instructions: native });
    setDevice(device);
    for (let i = 0; i < 3; i++) {
      const run = compile((x: Tensor) => relu(mul(x, i + 2)));
      run.sync(filled([3], 1)).dispose();
    }
    during = codeBytesInUse();
  })();
  assert.ok(during > before);
  const other = cpuDevice({ threads: 1 });
  setDevice(other);
  for (let i = 0; i < 50 && codeBytesInUse() > before; i++) await held(other);
  assert.equal(codeBytesInUse(), before);
});

for (const instructions of native === undefined ? (['wasm'] as const) : (['wasm', native] as const)) {
  test(`a device that nobody closed ends its threads when it is collected, ${instructions}`, async () => {
    const first = workers.length;
    let dropped: WeakRef<CpuDevice> | undefined;
    await (async () => {
      const device = cpuDevice({ threads: 2, instructions });
      dropped = new WeakRef(device);
      setDevice(device);
      const x = filled([256, 256], 1);
      const run = compile((t: Tensor) => matmul(t, t));
      for (let i = 0; i < 3; i++) (await run(x)).dispose();
      run.sync(x).dispose();
      // What is kept for the next call of an operator does not keep the device either.
      matmul(x, x).dispose();
      await new Promise((resolve) => setImmediate(resolve));
    })();
    const threads = workers.slice(first);
    assert.ok(threads.length >= 2);
    const ended = Promise.all(threads.map((worker) => (worker.threadId < 0 ? undefined : once(worker, 'exit'))));
    const other = cpuDevice({ threads: 1 });
    setDevice(other);
    for (let i = 0; i < 50 && dropped?.deref() !== undefined; i++) await held(other);
    assert.equal(dropped?.deref(), undefined);
    await ended;
    await other.close();
  });
}
