import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { WasmAssembler } from './emitter.js';
import { webAssembly } from './webassembly.js';

const ROUNDS = 10_000;
const BARRIER = 64;
const SLOTS = 1024;
const SLOT = 64;

/**
 * Every thread counts its rounds in its own slot and checks, between two barriers, that every other thread is in the same
 * round. `run(thread, threads, uneven)`; thread 0 dawdles in every 64th round if `uneven`, so that others fall asleep.
 */
function program(): Uint8Array {
  const assembler = new WasmAssembler({ relaxed: false });
  const entry = assembler.define('rounds', 3, (m, [thread, threads, uneven]) => {
    const barrier = m.constant('i32', BARRIER);
    const slots = m.constant('i32', SLOTS);
    const mine = m.binary('add', slots, m.binary('mul', thread, m.constant('i32', SLOT)));
    m.loop({ from: 1, to: ROUNDS + 1 }, (round) => {
      const slow = m.binary(
        'and',
        m.compare('eq', thread, m.constant('i32', 0)),
        m.compare('ne', uneven, m.constant('i32', 0)),
      );
      const now = m.compare('eq', m.remainder(round, 64), m.constant('i32', 0));
      m.when(m.binary('and', slow, now), () => {
        m.loop({ to: 100_000 }, (i) => m.store(i, mine, 8)); // about 0.1 ms
      });
      m.store(round, mine);
      m.barrier(barrier, threads);
      m.loop({ to: threads }, (other) => {
        const theirs = m.binary('add', slots, m.binary('mul', other, m.constant('i32', SLOT)));
        const wrong = m.maskToInt(m.compare('ne', m.load('i32', false, theirs), round));
        m.store(m.binary('add', m.load('i32', false, mine, 4), wrong), mine, 4);
      });
      m.barrier(barrier, threads);
    });
  });
  return assembler.finish(entry);
}

const WORKER = `
  const { workerData: { module, memory, args }, parentPort } = require('node:worker_threads');
  new WebAssembly.Instance(module, { env: { memory } }).exports.run(...args);
  parentPort.postMessage('done');
`;

for (const [threads, uneven] of [
  [1, false],
  [2, false],
  [2, true],
  [4, false],
  [4, true],
] as const) {
  test(`barrier: ${threads} threads meet ${2 * ROUNDS} times${uneven ? ', one of them late' : ''}`, {
    timeout: 60_000,
  }, async () => {
    const memory = new webAssembly!.Memory({ initial: 1, maximum: 16, shared: true });
    const module = new webAssembly!.Module(program());
    const started = Array.from({ length: threads }, (_, thread) => {
      const worker = new Worker(WORKER, {
        eval: true,
        workerData: { module, memory, args: [thread, threads, +uneven] },
      });
      return new Promise<void>((resolve, reject) => {
        worker.once('message', () => resolve());
        worker.once('error', reject);
      });
    });
    await Promise.all(started);
    const words = new Int32Array(memory.buffer);
    for (let thread = 0; thread < threads; thread++) {
      assert.equal(words[(SLOTS + thread * SLOT) / 4], ROUNDS, `rounds of thread ${thread}`);
      assert.equal(words[(SLOTS + thread * SLOT + 4) / 4], 0, `threads out of step, seen by ${thread}`);
    }
    const [arrived, generation, sleepers] = words.subarray(BARRIER / 4);
    assert.deepEqual([arrived, generation, sleepers], [0, threads === 1 ? 0 : 2 * ROUNDS, 0]);
  });
}
