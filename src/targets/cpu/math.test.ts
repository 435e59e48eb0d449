import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Register, VectorMachine } from './machine.js';
import { emitPow, emitUnary, MATH_ERROR, type MathFunction } from './math.js';
import { WasmAssembler } from './wasm/emitter.js';
import { enableRelaxedSimd, wasmFeatures } from './wasm/features.js';
import { webAssembly } from './wasm/webassembly.js';

enableRelaxedSimd();
const MODES = wasmFeatures().fused ? [false, true] : [false];

const COUNT = 1 << 14;
const memory = new webAssembly!.Memory({ initial: 4, maximum: 4, shared: true });
const X = new Float32Array(memory.buffer, 1024, COUNT);
const Y = new Float32Array(memory.buffer, 1024 + 4 * COUNT, COUNT);
const RESULT = new Float32Array(memory.buffer, 1024 + 8 * COUNT, COUNT);

/** Runs `emit` on every pair of X and Y. */
function compile(
  relaxed: boolean,
  wide: boolean,
  emit: (m: VectorMachine, x: Register, y: Register) => Register,
): () => void {
  const assembler = new WasmAssembler({ relaxed });
  const entry = assembler.define('math', 0, (m) => {
    m.loop({ to: 4 * COUNT, step: wide ? 4 * m.lanes : 4 }, (i) => {
      const load = (array: Float32Array): Register => m.load('f32', wide, i, array.byteOffset);
      m.store(emit(m, load(X), load(Y)), i, RESULT.byteOffset);
    });
  });
  return new webAssembly!.Instance(new webAssembly!.Module(assembler.finish(entry)), { env: { memory } }).exports
    .run as () => void;
}

function unitInLastPlace(x: number): number {
  const magnitude = Math.abs(x);
  return magnitude < 2 ** -126 ? 2 ** -149 : 2 ** (Math.floor(Math.log2(magnitude)) - 23);
}

/** erf in double precision: 2/√π e^(−x²) Σ 2^n x^(2n+1) / (1·3·…·(2n+1)), all terms positive (Abramowitz and Stegun, 7.1.6). */
function erf(x: number): number {
  const a = Math.abs(x);
  if (!(a < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  let term = a;
  let sum = a;
  for (let n = 1; term > sum * 1e-18; n++) sum += term *= (2 * a * a) / (2 * n + 1);
  return Math.sign(x) * sum * (2 / Math.sqrt(Math.PI)) * Math.exp(-a * a) || x;
}

const EXACT: Record<MathFunction, (x: number) => number> = {
  exp: Math.exp,
  expm1: Math.expm1,
  log: Math.log,
  log1p: Math.log1p,
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  softplus: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
  erf,
  sin: Math.sin,
  cos: Math.cos,
};

const SPECIAL: readonly number[] = [
  0,
  -0,
  NaN,
  Infinity,
  -Infinity,
  1,
  -1,
  0.5,
  -0.5,
  2,
  -2,
  2 ** -149,
  -(2 ** -149),
  2 ** -126,
  -(2 ** -126),
  1e-40,
  3.4028235e38,
  -3.4028235e38,
  88.72283,
  88.72284,
  -87.33655,
  -103.97208,
  -103.97209,
  -103.2789,
  -17.5,
  9.01,
  -9.02,
  3.92,
  1 + 2 ** -23,
  1 - 2 ** -24,
  -1 + 2 ** -24,
  Math.PI,
  Math.PI / 2,
  -Math.PI / 4,
  9999.5,
  2 ** 24,
  2 ** 31,
].map(Math.fround);

/** Every sign and exponent many times: floats from evenly spaced bits. */
function spread(into: Float32Array, phase: number): void {
  const bits = new Int32Array(into.buffer, into.byteOffset, into.length);
  const step = 2 ** 32 / into.length;
  for (let i = 0; i < into.length; i++) bits[i] = (i * step + ((phase * 7919 + i * 104729) % step)) | 0;
}

function check(what: string, actual: number, exact: number, bound: number): void {
  const rounded = Math.fround(exact);
  if (Number.isFinite(rounded) && rounded !== 0) {
    const error = Math.abs(actual - exact) / unitInLastPlace(exact);
    if (error <= bound) return;
    assert.fail(`${what} is ${actual}, not ${exact}: ${error} ulp, stated ${bound}`);
  }
  if (Object.is(actual, rounded)) return;
  // An exact result at the edge of the smallest denormal may round either way, and so may one at the largest number.
  const atEdge = Math.abs(exact) > 2 ** -151 && Math.abs(actual - exact) <= bound * 2 ** -149 && exact !== 0;
  assert.ok(atEdge, `${what} is ${Object.is(actual, -0) ? '-0' : actual}, not ${rounded}`);
}

for (const name of Object.keys(EXACT) as MathFunction[]) {
  for (const fused of MODES) {
    test(`${name}, ${fused ? 'fused' : 'not fused'}: at most ${MATH_ERROR[name]} ulp, special values`, () => {
      const wide = compile(fused, true, (m, x) => emitUnary(m, name, x));
      const limit = name === 'sin' || name === 'cos' ? 10_000 : Infinity;
      for (let phase = 0; phase < 6; phase++) {
        spread(X, phase);
        if (phase === 0) X.set(SPECIAL);
        if (phase === 5) for (let i = 0; i < COUNT; i++) X[i] = (i / COUNT - 0.5) * 20;
        wide();
        for (let i = 0; i < COUNT; i++) {
          if (Math.abs(X[i]) <= limit || !Number.isFinite(X[i])) {
            check(`${name}(${X[i]})`, RESULT[i], EXACT[name](X[i]), MATH_ERROR[name]);
          } else {
            assert.ok(Math.abs(RESULT[i]) <= 1, `${name}(${X[i]}) is ${RESULT[i]}`);
          }
        }
      }
      // A tail handled by scalars gives the same bits.
      const bits = new Int32Array(RESULT.buffer, RESULT.byteOffset, COUNT);
      spread(X, 1);
      X.set(SPECIAL);
      wide();
      const expected = bits.slice();
      compile(fused, false, (m, x) => emitUnary(m, name, x))();
      for (let i = 0; i < COUNT; i++) {
        if (bits[i] === expected[i] || Number.isNaN(RESULT[i])) continue;
        assert.fail(`scalar ${name}(${X[i]}) differs from the wide form`);
      }
    });
  }
}

/** pow of C, which unlike JavaScript's is one for a base of one, and of minus one to an infinite power. */
function cPow(x: number, y: number): number {
  return x === 1 || (x === -1 && Math.abs(y) === Infinity) ? 1 : x ** y;
}

for (const fused of MODES) {
  test(`pow, ${fused ? 'fused' : 'not fused'}: at most ${MATH_ERROR.pow} ulp, special values`, () => {
    const wide = compile(fused, true, emitPow);
    const cases: ((i: number, u: number, v: number) => [number, number])[] = [
      (i) => [SPECIAL[i % SPECIAL.length], SPECIAL[Math.floor(i / SPECIAL.length) % SPECIAL.length]],
      (_, u, v) => [Math.exp(20 * (u - 0.5)), 20 * (v - 0.5)],
      (_, u, v) => [1 + (u - 0.5) * 2 ** (-20 * v), 2 ** (24 * u) * (v - 0.5)],
      (_, u, v) => [Math.exp(170 * (u - 0.5)), (320 * (v - 0.5)) / (245 * (u - 0.5))],
      (_, u, v) => [-10 * u, Math.round(40 * (v - 0.5))],
      (_, u) => [u * 100, 2],
    ];
    for (const pair of cases) {
      for (let i = 0; i < COUNT; i++) {
        // Points of the plane by the generalised golden ratio (Roberts, 2018).
        const [x, y] = pair(i, (0.5 + i * 0.7548776662466927) % 1, (0.5 + i * 0.5698402909980532) % 1);
        X[i] = x;
        Y[i] = y;
      }
      wide();
      for (let i = 0; i < COUNT; i++) check(`pow(${X[i]}, ${Y[i]})`, RESULT[i], cPow(X[i], Y[i]), MATH_ERROR.pow);
    }
    const expected = RESULT.slice();
    compile(fused, false, emitPow)();
    assert.deepEqual(RESULT.slice(), expected);
  });
}
