import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeProblem } from '../../../runtime/backend.js';
import { addressOf, loadNative, nativeAbi } from '../../../testing/native.js';
import { type KernelRunner, testVectorMachine, UNTOUCHED } from '../../../testing/vector-machine.js';
import { X64Assembler, type X64Options } from './emitter.js';

const INPUT = 4096;
const OUTPUT = 32768;
const GUARD = 256;

function runner(features: X64Options['features'], lanes: number): KernelRunner {
  const bytes = new Uint8Array(new SharedArrayBuffer(1 << 16));
  const base = addressOf(bytes);
  return (kernel) => {
    const assembler = new X64Assembler({ features, abi: nativeAbi(), verify: true });
    const entry = assembler.define('test', 2, (m, [input, output]) => kernel(m, input, output), { lanes });
    const { run, free } = loadNative(assembler.finish(entry), base);
    // Programs are small and many: what is left at the end of the process is no loss.
    void free;
    return (input, outputBytes) => {
      bytes.set(input, INPUT);
      bytes.fill(UNTOUCHED, OUTPUT - GUARD, OUTPUT + outputBytes + GUARD);
      assert.equal(run(INPUT, OUTPUT), 0);
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

for (const [features, widths] of [
  ['avx512', [16, 8, 4]],
  ['avx2', [8, 4]],
] as const) {
  const problem = nativeProblem(features);
  for (const lanes of widths) {
    const name = `x64 ${features}, ${lanes} lanes`;
    if (problem === undefined) testVectorMachine(name, lanes, true, runner(features, lanes));
    else test(name, (t) => t.skip(problem));
  }
}
