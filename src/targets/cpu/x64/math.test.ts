import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeProblem } from '../../../runtime/backend.js';
import { Random } from '../../../tensor/random.js';
import { addressOf, loadNative, nativeAbi } from '../../../testing/native.js';
import type { Assembler, FunctionId, Register, VectorMachine } from '../machine.js';
import { emitPow, emitUnary, MATH_ERROR, type MathFunction } from '../math.js';
import { WasmAssembler } from '../wasm/emitter.js';
import { enableRelaxedSimd, wasmFeatures } from '../wasm/features.js';
import { webAssembly } from '../wasm/webassembly.js';
import { X64Assembler } from './emitter.js';

// Functions of f32 give the same bits as on WebAssembly with fused multiply-add, so the errors measured there hold here too.

enableRelaxedSimd();
const COUNT = 1 << 13;
const X = 1024;
const Y = X + 4 * COUNT;
const RESULT = Y + 4 * COUNT;

const memory = new webAssembly!.Memory({ initial: 4, maximum: 4, shared: true });
const words = new Int32Array(memory.buffer);
const results = words.subarray(RESULT / 4, RESULT / 4 + COUNT);

type Emit = (m: VectorMachine, x: Register, y: Register) => Register;

function define(assembler: Assembler, wide: boolean, emit: Emit, lanes?: number): FunctionId {
  return assembler.define(
    'math',
    1,
    (m) => {
      m.loop({ to: 4 * COUNT, step: wide ? 4 * m.lanes : 4 }, (i) => {
        m.store(emit(m, m.load('f32', wide, i, X), m.load('f32', wide, i, Y)), i, RESULT);
      });
    },
    { lanes },
  );
}

const FUNCTIONS: Readonly<Record<string, Emit>> = {
  ...Object.fromEntries(
    Object.keys(MATH_ERROR)
      .filter((name) => name !== 'pow')
      .map((name) => [name, (m: VectorMachine, x: Register): Register => emitUnary(m, name as MathFunction, x)]),
  ),
  pow: emitPow,
};

for (const features of ['avx512', 'avx2'] as const) {
  test(`x64 ${features}: exp, log, … have the same bits as on WebAssembly`, (t) => {
    const problem =
      nativeProblem(features) ?? (wasmFeatures().fused ? undefined : 'no fused multiply-add in WebAssembly');
    if (problem !== undefined) {
      t.skip(problem);
      return;
    }
    const base = addressOf(new Uint8Array(memory.buffer));
    const random = new Random(1);
    const floats = new Float32Array(memory.buffer);
    for (let i = 0; i < COUNT; i++) {
      // Half of the numbers have any bits, the other half an ordinary size.
      const any = i % 2 === 0;
      for (const at of [X, Y]) {
        if (any) words[at / 4 + i] = random.integer(2 ** 16) * 2 ** 16 + random.integer(2 ** 16);
        else floats[at / 4 + i] = 20 * (random.uniform() - 0.5);
      }
    }
    for (const [name, emit] of Object.entries(FUNCTIONS)) {
      const wasm = new WasmAssembler({ relaxed: true });
      const module = new webAssembly!.Module(wasm.finish(define(wasm, true, emit)));
      (new webAssembly!.Instance(module, { env: { memory } }).exports.run as (x: number) => void)(0);
      const expected = results.slice();
      for (const wide of [true, false]) {
        const native = new X64Assembler({ features, abi: nativeAbi(), verify: true });
        const { run, free } = loadNative(native.finish(define(native, wide, emit)), base);
        results.fill(0);
        assert.equal(run(0, 0), 0);
        free();
        const nan = (bits: number): boolean => (bits & 0x7fffffff) > 0x7f800000;
        const at = expected.findIndex((bits, i) => bits !== results[i] && !(nan(bits) && nan(results[i])));
        if (at < 0) continue;
        const of = (address: number): number => floats[address / 4 + at];
        assert.fail(`${wide ? 'wide' : 'scalar'} ${name}(${of(X)}, ${of(Y)}) is ${of(RESULT)}, not the same bits`);
      }
    }
  });
}
