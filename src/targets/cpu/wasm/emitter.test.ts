import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type KernelRunner, testVectorMachine, UNTOUCHED } from '../../../testing/vector-machine.js';
import { WasmAssembler, type WasmOptions } from './emitter.js';
import { enableRelaxedSimd, wasmFeatures } from './features.js';
import { webAssembly } from './webassembly.js';

enableRelaxedSimd();

const INPUT = 4096;
const OUTPUT = 32768;
const GUARD = 256;

function runner(options: WasmOptions): KernelRunner {
  const memory = new webAssembly!.Memory({ initial: 1, maximum: 65536, shared: options.shared ?? true });
  const bytes = new Uint8Array(memory.buffer);
  return (kernel) => {
    const assembler = new WasmAssembler(options);
    const entry = assembler.define('test', 2, (m, [input, output]) => kernel(m, input, output));
    const module = new webAssembly!.Module(assembler.finish(entry));
    const { run } = new webAssembly!.Instance(module, { env: { memory } }).exports;
    return (input, outputBytes) => {
      bytes.set(input, INPUT);
      bytes.fill(UNTOUCHED, OUTPUT - GUARD, OUTPUT + outputBytes + GUARD);
      run(INPUT, OUTPUT);
      const guards = [
        bytes.slice(OUTPUT - GUARD, OUTPUT),
        bytes.slice(OUTPUT + outputBytes, OUTPUT + outputBytes + GUARD),
      ];
      assert.ok(
        guards.every((guard) => guard.every((byte) => byte === UNTOUCHED)),
        'wrote outside of the output',
      );
      return bytes.slice(OUTPUT, OUTPUT + outputBytes);
    };
  };
}

testVectorMachine('wasm', 4, false, runner({ relaxed: false }));
testVectorMachine('wasm without shared memory', 4, false, runner({ relaxed: false, shared: false }));
if (wasmFeatures().fused) testVectorMachine('wasm relaxed', 4, true, runner({ relaxed: true }));
else test('wasm relaxed', (t) => t.skip('no fused multiply-add here'));
