import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { nativeProblem } from '../../../runtime/backend.js';
import { nativeLibrary } from '../../../runtime/native/library.js';
import { nativeAbi } from '../../../testing/native.js';
import { BARRIER_ABORT, BARRIER_YIELD } from './barrier.js';
import { X64Assembler, type X64Code } from './emitter.js';

const ROUNDS = 10_000;
const BARRIER = 64;
const SLOTS = 1024;
const SLOT = 64;
const problem = nativeProblem('avx2');

/**
 * Every thread counts its rounds in its own slot and checks, between two barriers, that every other thread is in the same
 * round. `run(thread, threads, rounds)`. A vector lives across every barrier.
 */
function program(): X64Code {
  const assembler = new X64Assembler({ features: 'avx2', abi: nativeAbi(), verify: true });
  const entry = assembler.define('rounds', 3, (m, [thread, threads, rounds]) => {
    const barrier = m.constant('i32', BARRIER);
    const slots = m.constant('i32', SLOTS);
    const mine = m.binary('add', slots, m.binary('mul', thread, m.constant('i32', SLOT)));
    const sum = m.copy(m.constant('f32', 0, true));
    m.loop({ from: 1, to: m.binary('add', rounds, m.constant('i32', 1)) }, (round) => {
      m.store(round, mine);
      m.barrier(barrier, threads);
      m.loop({ to: threads }, (other) => {
        const theirs = m.binary('add', slots, m.binary('mul', other, m.constant('i32', SLOT)));
        const wrong = m.maskToInt(m.compare('ne', m.load('i32', false, theirs), round));
        m.store(m.binary('add', m.load('i32', false, mine, 4), wrong), mine, 4);
      });
      m.set(sum, m.binary('add', sum, m.constant('f32', 1, true)));
      m.barrier(barrier, threads);
    });
    m.store(m.lane(sum, 7), mine, 8);
  });
  return assembler.finish(entry);
}

const WORKER = `
  const { workerData: { native, code, entry, memory, args }, parentPort } = require('node:worker_threads');
  import(native).then(({ addressOf, loadNative }) => {
    const { run } = loadNative({ code, entry }, addressOf(new Uint8Array(memory)));
    parentPort.postMessage(run(...args));
  });
`;

/** Starts a thread; gives what \`run\` returns. */
function start(memory: SharedArrayBuffer, thread: number, threads: number, rounds: number): Promise<number> {
  const { code, entry } = program();
  const native = new URL('../../../testing/native.js', import.meta.url).href;
  const worker = new Worker(WORKER, {
    eval: true,
    workerData: { native, code, entry, memory, args: [thread, threads, rounds] },
  });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}

function memoryWith(yields: boolean): SharedArrayBuffer {
  const memory = new SharedArrayBuffer(4096);
  const library = nativeLibrary();
  if (yields && typeof library !== 'string') {
    new BigUint64Array(memory)[(BARRIER + BARRIER_YIELD) / 8] = library.yieldFunction;
  }
  return memory;
}

for (const [threads, yields] of [
  [1, true],
  [2, true],
  [2, false],
  [4, true],
] as const) {
  const name = `x64 barrier: ${threads} threads meet often${yields ? '' : ', without a function to yield by'}`;
  test(name, { timeout: 60_000 }, async (t) => {
    if (problem !== undefined) {
      t.skip(problem);
      return;
    }
    // More threads than processors, or ones that only spin, wait for their time slices.
    const rounds = yields && threads <= 2 ? ROUNDS : 100;
    const memory = memoryWith(yields);
    const results = await Promise.all(
      Array.from({ length: threads }, (_, thread) => start(memory, thread, threads, rounds)),
    );
    assert.deepEqual(results, new Array(threads).fill(0));
    const words = new Int32Array(memory);
    for (let thread = 0; thread < threads; thread++) {
      const at = (SLOTS + thread * SLOT) / 4;
      assert.equal(words[at], rounds, `rounds of thread ${thread}`);
      assert.equal(words[at + 1], 0, `threads out of step, seen by ${thread}`);
      assert.equal(new Float32Array(memory)[at + 2], rounds, 'a vector that lives across barriers');
    }
    assert.deepEqual([...words.subarray(BARRIER / 4, BARRIER / 4 + 2)], [0, threads === 1 ? 0 : 2 * rounds]);
  });
}

test('x64 barrier: a thread that waits for one that never comes leaves when asked to', {
  timeout: 60_000,
}, async (t) => {
  if (problem !== undefined) {
    t.skip(problem);
    return;
  }
  const memory = memoryWith(true);
  const waiting = start(memory, 0, 2, 5);
  const words = new Int32Array(memory);
  while (Atomics.load(words, BARRIER / 4) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  Atomics.store(words, (BARRIER + BARRIER_ABORT) / 4, 1);
  assert.equal(await waiting, 1);
  // Also whoever arrives later.
  assert.equal(await start(memory, 1, 2, 5), 1);
});
