import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { WasmAssembler } from './emitter.js';
import { enableRelaxedSimd, wasmFeatures } from './features.js';
import { webAssembly } from './webassembly.js';

test('relaxed SIMD can be had in every supported Node, after other modules have been compiled', () => {
  new webAssembly!.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0));
  assert.equal(enableRelaxedSimd(), true);
  const { simd, relaxedSimd, threads } = wasmFeatures();
  assert.deepEqual({ simd, relaxedSimd, threads }, { simd: true, relaxedSimd: true, threads: true });
});

test('worker threads compile relaxed SIMD, too', async () => {
  enableRelaxedSimd();
  const assembler = new WasmAssembler({ relaxed: true });
  const bytes = assembler.finish(
    assembler.define('f', 1, (m, [p]) =>
      m.multiplyAdd(m.load('f32', true, p), m.load('f32', true, p), m.load('f32', true, p)),
    ),
  );
  const valid = await new Promise((resolve, reject) => {
    const source = `const { workerData, parentPort } = require('node:worker_threads');
      parentPort.postMessage(WebAssembly.validate(workerData));`;
    const worker = new Worker(source, { eval: true, workerData: bytes });
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  assert.equal(valid, true);
});

test('the multiply-add rounds alike in the first and in the optimised code', (t) => {
  enableRelaxedSimd();
  if (!wasmFeatures().fused) return t.skip('no fused multiply-add here');
  const assembler = new WasmAssembler({ relaxed: true });
  const entry = assembler.define('f', 2, (m, [p, n]) => {
    m.loop({ to: n }, () => {
      const sum = m.load('f32', true, p, 16);
      const factor = m.load('f32', true, p);
      m.multiplyAdd(sum, factor, factor);
      m.store(m.binary('max', sum, m.load('f32', true, p, 32)), p, 32);
      m.store(m.binary('min', sum, m.load('f32', true, p, 48)), p, 48);
    });
  });
  const memory = new webAssembly!.Memory({ initial: 1, maximum: 1, shared: true });
  const { run } = new webAssembly!.Instance(new webAssembly!.Module(assembler.finish(entry)), { env: { memory } })
    .exports;
  const values = new Float32Array(memory.buffer);
  values.fill(1 + 2 ** -12, 0, 4);
  values.fill(-(1 + 2 ** -11), 4, 8);
  values.fill(-1, 8, 12);
  values.fill(1, 12, 16);
  for (let i = 0; i < 300; i++) run(0, 1000);
  assert.deepEqual([...values.subarray(8, 16)], new Array(8).fill(2 ** -24));
});
