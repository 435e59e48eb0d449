import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { nativeProblem } from '../../../runtime/backend.js';
import { addressOf, loadNative, nativeAbi } from '../../../testing/native.js';
import { COMPARISONS, INTEGERS } from '../../../testing/vector-machine.js';
import type { BinaryOp, Comparison, Register, VectorMachine } from '../machine.js';
import { X64Assembler } from './emitter.js';

// Random structured programs, with far more live registers than there are, against a plain interpretation. Integers only, so
// that results are exact: scalars, vectors and masks of both kinds.

const LANES = { avx512: 16, avx2: 8 } as const;
const INPUT = 0;
const OUTPUT = 4096;
const WORDS = 64;

type Node =
  | {
      readonly op: 'scalar' | 'vector';
      readonly fn: BinaryOp;
      readonly a: number;
      readonly b: number;
      readonly to: number;
    }
  | {
      readonly op: 'fma' | 'blend' | 'lane' | 'splat' | 'load' | 'copy';
      readonly a: number;
      readonly b: number;
      readonly to: number;
    }
  | {
      readonly op: 'divide' | 'select';
      readonly a: number;
      readonly b: number;
      readonly to: number;
      readonly n: number;
    }
  | { readonly op: 'loop'; readonly trips: number; readonly known: boolean; readonly body: readonly Node[] }
  | {
      readonly op: 'when';
      readonly fn: Comparison;
      readonly a: number;
      readonly b: number;
      readonly yes: readonly Node[];
      readonly no: readonly Node[];
    }
  | { readonly op: 'call'; readonly a: number };

const place = fc.nat({ max: 1000 });
const { node } = fc.letrec<{ node: Node; nodes: Node[] }>((tie) => ({
  nodes: fc.array(tie('node'), { maxLength: 6, depthIdentifier: 'program' }),
  node: fc.oneof(
    { maxDepth: 3, depthIdentifier: 'program' },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constantFrom('scalar' as const, 'vector' as const),
        fn: fc.constantFrom<BinaryOp>('add', 'sub', 'mul', 'min', 'max', 'and', 'or', 'xor'),
        a: place,
        b: place,
        to: place,
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constantFrom(
          'fma' as const,
          'blend' as const,
          'lane' as const,
          'splat' as const,
          'load' as const,
          'copy' as const,
        ),
        a: place,
        b: place,
        to: place,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constantFrom('divide' as const, 'select' as const),
        a: place,
        b: place,
        to: place,
        n: fc.integer({ min: 1, max: 100 }),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('loop' as const),
        trips: fc.integer({ min: 0, max: 5 }),
        known: fc.boolean(),
        body: tie('nodes'),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        op: fc.constant('when' as const),
        fn: fc.constantFrom<Comparison>('eq', 'ne', 'lt', 'le', 'gt', 'ge'),
        a: place,
        b: place,
        yes: tie('nodes'),
        no: tie('nodes'),
      }),
    },
    { weight: 1, arbitrary: fc.record({ op: fc.constant('call' as const), a: place }) },
  ) as fc.Arbitrary<Node>,
}));

const programs = fc.record({
  /** Variables that live from the beginning to the end. */
  scalars: fc.integer({ min: 1, max: 20 }),
  vectors: fc.integer({ min: 1, max: 40 }),
  floats: fc.integer({ min: 1, max: 10 }),
  nodes: fc.array(node, { minLength: 1, maxLength: 25 }),
  input: fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: WORDS, maxLength: WORDS }),
});
type Program = typeof programs extends fc.Arbitrary<infer T> ? T : never;

/** What the program leaves in memory after the input. */
function interpret(program: Program, lanes: number): Int32Array {
  const memory = new Int32Array(WORDS + 4);
  memory.set(program.input);
  const scalars = Array.from({ length: program.scalars }, (_, i) => program.input[i % WORDS]);
  const vectors = Array.from({ length: program.vectors }, (_, i) =>
    program.input.slice(i % (WORDS - lanes), (i % (WORDS - lanes)) + lanes),
  );
  const floats = Array.from({ length: program.floats }, (_, i) =>
    program.input.slice(0, lanes).map((x) => (x + i) % 4),
  );
  let called = 0;
  const run = (nodes: readonly Node[]): void => {
    for (const n of nodes) {
      switch (n.op) {
        case 'scalar':
          scalars[n.to % scalars.length] = INTEGERS[n.fn](scalars[n.a % scalars.length], scalars[n.b % scalars.length]);
          break;
        case 'vector': {
          const b = vectors[n.b % vectors.length];
          vectors[n.to % vectors.length] = vectors[n.a % vectors.length].map((x, i) => INTEGERS[n.fn](x, b[i]));
          break;
        }
        case 'fma': {
          const a = floats[n.a % floats.length].map((x) => Math.sign(x));
          const b = floats[n.b % floats.length].map((x) => Math.sign(x));
          const to = floats[n.to % floats.length];
          floats[n.to % floats.length] = to.map((x, i) => x + a[i] * b[i]);
          break;
        }
        case 'blend': {
          const a = vectors[n.a % vectors.length];
          const b = vectors[n.b % vectors.length];
          vectors[n.to % vectors.length] = a.map((x, i) => (x < b[i] ? x + 1 : b[i] ^ 5) | 0);
          break;
        }
        case 'lane':
          scalars[n.to % scalars.length] = vectors[n.a % vectors.length][n.b % lanes];
          break;
        case 'splat':
          vectors[n.to % vectors.length] = new Array<number>(lanes).fill(scalars[n.a % scalars.length]);
          break;
        case 'load': {
          const count = (n.b % lanes) + 1;
          const from = (scalars[n.a % scalars.length] & 31) % (WORDS - lanes);
          const old = vectors[n.to % vectors.length];
          vectors[n.to % vectors.length] = old.map((x, i) => (i < count ? (x + memory[from + i]) | 0 : x));
          break;
        }
        case 'copy':
          scalars[n.to % scalars.length] = scalars[n.a % scalars.length];
          break;
        case 'divide': {
          const a = scalars[n.a % scalars.length];
          const b = (scalars[n.b % scalars.length] & 1023) + 1;
          scalars[n.to % scalars.length] = (Math.trunc(a / n.n) + (a % n.n) * 3 + Math.trunc(a / b)) | 0;
          break;
        }
        case 'select': {
          const [a, b] = [scalars[n.a % scalars.length], scalars[n.b % scalars.length]];
          scalars[n.to % scalars.length] = (a > n.n ? b : a) + +(b <= n.n);
          break;
        }
        case 'loop':
          for (let i = 0; i < n.trips; i++) {
            scalars[0] = (scalars[0] + i) | 0;
            run(n.body);
          }
          break;
        case 'when':
          run(COMPARISONS[n.fn](scalars[n.a % scalars.length], scalars[n.b % scalars.length]) ? n.yes : n.no);
          break;
        case 'call':
          called = (called + scalars[n.a % scalars.length]) | 0;
          break;
      }
    }
  };
  run(program.nodes);
  return Int32Array.from([called, ...scalars, ...vectors.flat(), ...floats.flat()]);
}

function emit(program: Program, m: VectorMachine, callee: (argument: Register) => void, five: Register): void {
  const input = m.constant('i32', INPUT);
  const { lanes } = m;
  const scalars = Array.from({ length: program.scalars }, (_, i) => m.load('i32', false, input, 4 * (i % WORDS)));
  const vectors = Array.from({ length: program.vectors }, (_, i) =>
    m.load('i32', true, input, 4 * (i % (WORDS - lanes))),
  );
  const floats = Array.from({ length: program.floats }, (_, i) => {
    const x = m.binary('add', m.load('i32', true, input), m.constant('i32', i, true));
    // (x % 4) with the sign of x
    const sign = m.shift('sar', x, 31);
    const rounded = m.binary('add', x, m.binary('and', sign, m.constant('i32', 3, true)));
    const whole = m.shift('shl', m.shift('sar', rounded, 2), 2);
    return m.copy(m.convert('f32', m.binary('sub', x, whole)));
  });
  const one = m.constant('f32', 1, true);
  const minusOne = m.constant('f32', -1, true);
  const sign = (x: Register): Register => m.binary('max', m.binary('min', x, one), minusOne);
  const of = (registers: readonly Register[], at: number): Register => registers[at % registers.length];
  const run = (nodes: readonly Node[]): void => {
    for (const n of nodes) {
      switch (n.op) {
        case 'scalar':
          m.set(of(scalars, n.to), m.binary(n.fn, of(scalars, n.a), of(scalars, n.b)));
          break;
        case 'vector':
          m.set(of(vectors, n.to), m.binary(n.fn, of(vectors, n.a), of(vectors, n.b)));
          break;
        case 'fma':
          m.multiplyAdd(of(floats, n.to), sign(of(floats, n.a)), sign(of(floats, n.b)));
          break;
        case 'blend': {
          const [a, b] = [of(vectors, n.a), of(vectors, n.b)];
          const more = m.binary('add', a, m.constant('i32', 1, true));
          const other = m.binary('xor', b, m.splat(m.constant('i32', 5)));
          m.set(of(vectors, n.to), m.select(m.compare('lt', a, b), more, other));
          break;
        }
        case 'lane':
          m.set(of(scalars, n.to), m.lane(of(vectors, n.a), n.b % lanes));
          break;
        case 'splat':
          m.set(of(vectors, n.to), m.splat(of(scalars, n.a)));
          break;
        case 'load': {
          const count = (n.b % lanes) + 1;
          const within = m.binary('and', of(scalars, n.a), m.constant('i32', 31));
          const from = m.remainder(within, WORDS - lanes);
          const loaded = m.load('i32', true, m.binary('mul', from, m.constant('i32', 4)), INPUT, count);
          const inside = m.compare('lt', m.iota(), m.constant('i32', count, true));
          const old = of(vectors, n.to);
          m.set(old, m.select(inside, m.binary('add', old, loaded), old));
          break;
        }
        case 'copy':
          m.set(of(scalars, n.to), of(scalars, n.a));
          break;
        case 'divide': {
          const a = of(scalars, n.a);
          const b = m.binary('add', m.binary('and', of(scalars, n.b), m.constant('i32', 1023)), m.constant('i32', 1));
          const rest = m.binary('mul', m.remainder(a, n.n), m.constant('i32', 3));
          const sum = m.binary('add', m.divide(a, n.n), rest);
          m.set(of(scalars, n.to), m.binary('add', sum, m.divide(a, b)));
          break;
        }
        case 'select': {
          const [a, b] = [of(scalars, n.a), of(scalars, n.b)];
          const limit = m.constant('i32', n.n);
          const chosen = m.select(m.compare('gt', a, limit), b, a);
          m.set(of(scalars, n.to), m.binary('add', chosen, m.maskToInt(m.compare('le', b, limit))));
          break;
        }
        case 'loop':
          // Registers that change inside loops; the number of trips is sometimes read from a register.
          m.loop({ to: n.known ? n.trips : m.binary('sub', five, m.constant('i32', 5 - n.trips)) }, (i) => {
            m.bump(scalars[0], i);
            run(n.body);
          });
          break;
        case 'when':
          m.when(
            m.compare(n.fn, of(scalars, n.a), of(scalars, n.b)),
            () => run(n.yes),
            () => run(n.no),
          );
          break;
        case 'call':
          callee(of(scalars, n.a));
          break;
      }
    }
  };
  run(program.nodes);
  let at = 4;
  for (const x of scalars) {
    m.store(x, m.constant('i32', OUTPUT), at);
    at += 4;
  }
  for (const x of vectors) {
    m.store(x, m.constant('i32', OUTPUT), at);
    at += 4 * lanes;
  }
  for (const x of floats) {
    m.store(m.convert('i32', x), m.constant('i32', OUTPUT), at);
    at += 4 * lanes;
  }
}

for (const features of ['avx512', 'avx2'] as const) {
  const problem = nativeProblem(features);
  test(`x64 ${features}: random programs with many registers`, (t) => {
    if (problem !== undefined) {
      t.skip(problem);
      return;
    }
    const bytes = new Uint8Array(new SharedArrayBuffer(1 << 16));
    const words = new Int32Array(bytes.buffer);
    const base = addressOf(bytes);
    const lanes = LANES[features];
    fc.assert(
      fc.property(programs, (program) => {
        const assembler = new X64Assembler({ features, abi: nativeAbi(), verify: true });
        // Overwrites every vector register, adds its argument to the first word of the output.
        const clobber = assembler.define('clobber', 1, (m, [x]) => {
          const output = m.constant('i32', OUTPUT);
          const all = Array.from({ length: m.vectorRegisters }, () => m.copy(m.splat(x)));
          m.loop({ to: 2 }, () => {
            for (const y of all) m.set(y, m.binary('xor', y, all[0]));
          });
          for (const y of all) m.store(y, output, 16384);
          m.store(m.binary('add', m.load('i32', false, output), x), output);
        });
        const entry = assembler.define('program', 1, (m, [five]) =>
          emit(program, m, (argument) => m.call(clobber, [argument]), five),
        );
        const { run, free } = loadNative(assembler.finish(entry), base);
        words.fill(0);
        words.set(program.input);
        assert.equal(run(5, 0), 0);
        free();
        const expected = interpret(program, lanes);
        assert.deepEqual(words.slice(OUTPUT / 4, OUTPUT / 4 + expected.length), expected);
      }),
      { numRuns: Number(process.env.GABOR_RUNS ?? 60) },
    );
  });
}
