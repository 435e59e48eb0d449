import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BinaryOp, Comparison, Register, UnaryOp, VectorMachine } from '../targets/cpu/machine.js';
import { Transposed } from '../targets/cpu/transpose.js';

/** A kernel that reads at `input` and writes at `output`, both addresses. */
export type TestKernel = (m: VectorMachine, input: Register, output: Register) => void;

/**
 * Assembles a kernel and returns a function that runs it on `input` and gives back `outputBytes` bytes, which hold
 * {@link UNTOUCHED} where the kernel did not write.
 */
export type KernelRunner = (kernel: TestKernel) => (input: Uint8Array, outputBytes: number) => Uint8Array;

export const UNTOUCHED = 0xa5;

type Numbers = Float32Array | Int32Array;
type Kind = 'f32' | 'i32';

const arrayOf = (kind: Kind, values: ArrayLike<number>): Numbers =>
  kind === 'f32' ? Float32Array.from(values) : Int32Array.from(values);
const bytesOf = (a: Numbers): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
const numbers = (kind: Kind, bytes: Uint8Array): Numbers =>
  kind === 'f32'
    ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
    : new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);

/** Elements per run; a multiple of every number of lanes. */
const COUNT = 64;
const SPECIAL = [0, -0, 1, -1, 0.5, -0.5, 1.5, 2.5, -2.5, NaN, Infinity, -Infinity, 1e-45, -1e-40, 3.4e38, -3.4e38];
const SPECIAL_INT = [0, 1, -1, 2, 7, -7, 255, 256, 2 ** 31 - 1, -(2 ** 31)];

const anyFloat: fc.Arbitrary<number> = fc.oneof(
  fc.float(),
  fc.float({ min: -1000, max: 1000 }),
  fc.constantFrom(...SPECIAL.map(Math.fround)),
);
const anyInt: fc.Arbitrary<number> = fc.oneof(
  fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  fc.integer({ min: -300, max: 300 }),
  fc.constantFrom(...SPECIAL_INT),
);
const arrays = (kind: Kind): fc.Arbitrary<number[]> =>
  fc.array(kind === 'f32' ? anyFloat : anyInt, { minLength: COUNT, maxLength: COUNT });

/** `a · b + c` for numbers of 24 bits, rounded once to 24 bits (sum rounded to odd: Boldo and Melquiond, 2008). */
export function fusedMultiplyAdd(a: number, b: number, c: number): number {
  const product = a * b; // exact in 53 bits
  const sum = product + c;
  const virtual = sum - product;
  const error = product - (sum - virtual) + (c - virtual); // exact (Knuth's two-sum)
  if (!Number.isFinite(sum) || error === 0) return Math.fround(sum);
  const bits = new BigInt64Array(new Float64Array([sum]).buffer);
  if ((bits[0] & 1n) === 0n) bits[0] += error > 0 === sum > 0 ? 1n : -1n;
  return Math.fround(new Float64Array(bits.buffer)[0]);
}

function roundHalfEven(x: number): number {
  if (!Number.isFinite(x) || Math.abs(x) >= 2 ** 23) return x;
  const floor = Math.floor(x);
  const rest = x - floor;
  const up = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0);
  const rounded = up ? floor + 1 : floor;
  return rounded === 0 && (x < 0 || Object.is(x, -0)) ? -0 : rounded;
}

/** What operations on two i32 mean. */
export const INTEGERS: Readonly<Record<string, (a: number, b: number) => number>> = {
  add: (a, b) => (a + b) | 0,
  sub: (a, b) => (a - b) | 0,
  mul: Math.imul,
  min: Math.min,
  max: Math.max,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

const UNARY: Record<Kind, Partial<Record<UnaryOp, (x: number) => number>>> = {
  f32: {
    neg: (x) => -x,
    abs: Math.abs,
    sqrt: (x) => Math.fround(Math.sqrt(x)),
    floor: Math.floor,
    ceil: Math.ceil,
    trunc: Math.trunc,
    round: roundHalfEven,
  },
  i32: { neg: (x) => -x | 0, abs: (x) => Math.abs(x) | 0 },
};
const BINARY: Record<Kind, Partial<Record<BinaryOp, (a: number, b: number) => number>>> = {
  f32: {
    add: (a, b) => Math.fround(a + b),
    sub: (a, b) => Math.fround(a - b),
    mul: (a, b) => Math.fround(a * b),
    div: (a, b) => Math.fround(a / b),
    min: Math.min,
    max: Math.max,
  },
  i32: INTEGERS,
};
/** What comparisons mean. */
export const COMPARISONS: Readonly<Record<Comparison, (a: number, b: number) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  lt: (a, b) => a < b,
  le: (a, b) => a <= b,
  gt: (a, b) => a > b,
  ge: (a, b) => a >= b,
};

function assertSame(actual: Numbers, expected: ArrayLike<number>, what: string): void {
  for (let i = 0; i < expected.length; i++) {
    if (!Object.is(actual[i], expected[i])) {
      assert.fail(`${what}: element ${i} is ${show(actual[i])}, expected ${show(expected[i])}`);
    }
  }
}

function show(x: number): string {
  return Object.is(x, -0) ? '-0' : String(x);
}

/** Registers every operation of the vector machine as a test, scalar and wide, against plain JavaScript. */
export function testVectorMachine(name: string, lanes: number, fused: boolean, assemble: KernelRunner): void {
  const widths = [false, true];

  /** Compares `operate`, applied element by element to `inputs` arrays, with `expected`. */
  function elementwise(
    what: string,
    kinds: readonly Kind[],
    result: Kind,
    operate: (m: VectorMachine, operands: Register[]) => Register,
    expected: (...operands: number[]) => number,
    runs = 30,
  ): void {
    for (const wide of widths) {
      const run = assemble((m, input, output) => {
        m.loop({ to: COUNT, step: wide ? m.lanes : 1 }, (i) => {
          const offset = m.shift('shl', i, 2);
          const at = m.binary('add', input, offset);
          const operands = kinds.map((kind, k) => m.load(kind, wide, at, 4 * COUNT * k));
          m.store(operate(m, operands), m.binary('add', output, offset));
        });
      });
      fc.assert(
        fc.property(fc.tuple(...kinds.map(arrays)), (columns) => {
          const operands = columns.map((column, k) => arrayOf(kinds[k], column));
          const bytes = new Uint8Array(4 * COUNT * kinds.length);
          operands.forEach((column, k) => {
            bytes.set(bytesOf(column), 4 * COUNT * k);
          });
          const actual = numbers(result, run(bytes, 4 * COUNT));
          const wanted = columns[0].map((_, i) => expected(...operands.map((column) => column[i])));
          for (let i = 0; i < COUNT; i++) {
            if (Object.is(actual[i], wanted[i])) continue;
            const from = operands.map((column) => show(column[i])).join(', ');
            assert.fail(`${wide ? 'wide' : 'scalar'} ${what}(${from}) is ${show(actual[i])}, not ${show(wanted[i])}`);
          }
        }),
        { numRuns: runs, seed: 1 },
      );
    }
  }

  for (const kind of ['f32', 'i32'] as const) {
    test(`${name}: unary ${kind}`, () => {
      for (const [op, expected] of Object.entries(UNARY[kind])) {
        elementwise(op, [kind], kind, (m, [x]) => m.unary(op as UnaryOp, x), expected);
      }
    });
    test(`${name}: binary ${kind}`, () => {
      for (const [op, expected] of Object.entries(BINARY[kind])) {
        elementwise(op, [kind, kind], kind, (m, [a, b]) => m.binary(op as BinaryOp, a, b), expected);
      }
    });
    test(`${name}: min, max, add, mul of ${kind} with a constant on either side`, () => {
      for (const op of ['min', 'max', 'add', 'mul'] as const) {
        for (const c of kind === 'f32' ? [0, -0, 6, -1.5, NaN, Infinity] : [0, 1, -5, 2 ** 31 - 1]) {
          const expected = BINARY[kind][op]!;
          const constant = (m: VectorMachine, x: Register): Register => m.constant(kind, c, x.wide);
          elementwise(
            `${op} with ${show(c)}`,
            [kind],
            kind,
            (m, [x]) => m.binary(op, x, constant(m, x)),
            (x) => expected(x, c),
            8,
          );
          elementwise(
            `${show(c)} ${op}`,
            [kind],
            kind,
            (m, [x]) => m.binary(op, constant(m, x), x),
            (x) => expected(c, x),
            8,
          );
        }
      }
    });
    test(`${name}: comparisons of ${kind}, mask logic, select`, () => {
      for (const [op, expected] of Object.entries(COMPARISONS)) {
        const compare = (m: VectorMachine, a: Register, b: Register): Register => m.compare(op as Comparison, a, b);
        elementwise(
          op,
          [kind, kind],
          'i32',
          (m, [a, b]) => m.maskToInt(compare(m, a, b)),
          (a, b) => +expected(a, b),
          10,
        );
        elementwise(
          `select ${op}`,
          [kind, kind],
          kind,
          (m, [a, b]) => m.select(compare(m, a, b), a, b),
          (a, b) => (expected(a, b) ? a : b),
          10,
        );
      }
      elementwise(
        'and, or, not of masks',
        [kind, kind, kind],
        'i32',
        (m, [a, b, c]) => {
          const both = m.binary('and', m.compare('lt', a, b), m.compare('lt', b, c));
          return m.maskToInt(m.unary('not', m.binary('or', both, m.compare('eq', a, c))));
        },
        (a, b, c) => +!((a < b && b < c) || a === c),
      );
    });
  }

  test(`${name}: shifts`, () => {
    for (const bits of [0, 1, 7, 16, 31]) {
      elementwise(
        `shl ${bits}`,
        ['i32'],
        'i32',
        (m, [x]) => m.shift('shl', x, bits),
        (x) => x << bits,
        5,
      );
      elementwise(
        `shr ${bits}`,
        ['i32'],
        'i32',
        (m, [x]) => m.shift('shr', x, bits),
        (x) => (x >>> bits) | 0,
        5,
      );
      elementwise(
        `sar ${bits}`,
        ['i32'],
        'i32',
        (m, [x]) => m.shift('sar', x, bits),
        (x) => x >> bits,
        5,
      );
    }
  });

  test(`${name}: conversions and bit casts`, () => {
    const saturate = (x: number): number =>
      Number.isNaN(x) ? 0 : Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.trunc(x))) | 0;
    elementwise('f32 to i32', ['f32'], 'i32', (m, [x]) => m.convert('i32', x), saturate, 100);
    elementwise('i32 to f32', ['i32'], 'f32', (m, [x]) => m.convert('f32', x), Math.fround, 100);
    elementwise(
      'bits of i32',
      ['i32'],
      'i32',
      (m, [x]) => m.bitcast('i32', m.unary('abs', m.bitcast('f32', x))),
      (x) => x & 0x7fffffff,
    );
    elementwise(
      'no conversion',
      ['f32'],
      'f32',
      (m, [x]) => m.convert('f32', m.bitcast('f32', x)),
      (x) => x,
    );
  });

  test(`${name}: multiplyAdd`, () => {
    elementwise(
      'multiplyAdd',
      ['f32', 'f32', 'f32'],
      'f32',
      (m, [a, b, c]) => {
        const sum = m.copy(c);
        m.multiplyAdd(sum, a, b);
        return sum;
      },
      (a, b, c) => (fused ? fusedMultiplyAdd(a, b, c) : Math.fround(Math.fround(a * b) + c)),
      200,
    );
    elementwise(
      'square, product of a product',
      ['f32', 'f32'],
      'f32',
      (m, [a, b]) => {
        const sum = m.constant('f32', 3, a.wide);
        m.multiplyAdd(sum, a, m.binary('mul', a, b));
        return sum;
      },
      (a, b) => {
        const product = Math.fround(a * b);
        return fused ? fusedMultiplyAdd(a, product, 3) : Math.fround(Math.fround(a * product) + 3);
      },
    );
  });

  test(`${name}: divide and remainder`, () => {
    for (const divisor of [1, 2, 3, 7, 16, 1000, 2 ** 31 - 1]) {
      const run = assemble((m, input, output) => {
        m.loop({ to: COUNT }, (i) => {
          const at = m.shift('shl', i, 2);
          const x = m.load('i32', false, m.binary('add', input, at));
          const to = m.binary('add', output, at);
          m.store(m.divide(x, divisor), to);
          m.store(m.remainder(x, divisor), to, 4 * COUNT);
          const register = m.copy(m.constant('i32', divisor));
          m.store(m.divide(x, register), to, 8 * COUNT);
          m.store(m.remainder(x, register), to, 12 * COUNT);
        });
      });
      fc.assert(
        fc.property(arrays('i32'), (xs) => {
          const actual = run(bytesOf(arrayOf('i32', xs)), 16 * COUNT);
          const expected = [...xs.map((x) => (x / divisor) | 0), ...xs.map((x) => (x % divisor) | 0)];
          assertSame(numbers('i32', actual), [...expected, ...expected], `by ${divisor}`);
        }),
        { numRuns: 10, seed: 1 },
      );
    }
  });

  test(`${name}: splat, lane, gather, iota, loadSplat, loadBytes`, () => {
    for (const kind of ['f32', 'i32'] as const) {
      const values = arrayOf(
        kind,
        Array.from({ length: lanes }, (_, i) => 3 * i - 5),
      );
      const run = assemble((m, input, output) => {
        const all = m.load(kind, true, input);
        const scalars = Array.from({ length: lanes }, (_, i) => m.lane(all, lanes - 1 - i));
        m.store(m.gather(scalars), output);
        m.store(m.splat(scalars[0]), output, 4 * lanes);
        m.store(m.loadSplat(kind, input, 4), output, 8 * lanes);
        m.store(scalars[1], output, 12 * lanes);
        const positive = m.compare('gt', all, m.constant(kind, 0, true));
        m.store(m.maskToInt(m.lane(positive, lanes - 1)), output, 12 * lanes + 4);
        m.store(m.maskToInt(m.lane(positive, 0)), output, 12 * lanes + 8);
        const scalarMask = m.compare('gt', scalars[0], m.constant(kind, 0));
        m.store(m.select(m.splat(scalarMask), all, m.gather(scalars)), output, 16 * lanes);
      });
      const out = run(bytesOf(values), 20 * lanes);
      const backwards = [...values].reverse();
      assertSame(numbers(kind, out.slice(0, 4 * lanes)), backwards, 'gather');
      assertSame(numbers(kind, out.slice(4 * lanes, 8 * lanes)), new Array(lanes).fill(values[lanes - 1]), 'splat');
      assertSame(numbers(kind, out.slice(8 * lanes, 12 * lanes)), new Array(lanes).fill(values[1]), 'loadSplat');
      assertSame(numbers(kind, out.slice(12 * lanes, 12 * lanes + 4)), [values[lanes - 2]], 'lane');
      assertSame(numbers('i32', out.slice(12 * lanes + 4, 12 * lanes + 12)), [1, 0], 'lane of a mask');
      assertSame(numbers(kind, out.slice(16 * lanes)), [...values], 'splat of a mask');
    }
    const bytes = Uint8Array.from({ length: lanes + 1 }, (_, i) => 200 + 13 * i);
    const run = assemble((m, input, output) => {
      m.store(m.loadBytes(true, input, 1), output);
      m.store(m.loadBytes(false, input), output, 4 * lanes);
      m.store(m.iota(), output, 8 * lanes);
    });
    const out = numbers('i32', run(bytes, 12 * lanes));
    assertSame(out.subarray(0, lanes), [...bytes.subarray(1)], 'wide loadBytes');
    assertSame(out.subarray(lanes, lanes + 1), [bytes[0]], 'scalar loadBytes');
    assertSame(out.subarray(2 * lanes), [...bytes.keys()].slice(0, lanes), 'iota');
  });

  test(`${name}: permute`, () => {
    const lane = fc.integer({ min: 0, max: lanes - 1 });
    // Any lanes; the same within every four, as groups of channels have them; each from its own four.
    const anywhere = fc.array(lane, { minLength: lanes, maxLength: lanes });
    const quarter = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 4, maxLength: 4 });
    const alike = quarter.map((four) => Array.from({ length: lanes }, (_, i) => i - (i % 4) + four[i % 4]));
    fc.assert(
      fc.property(anywhere, alike, fc.constantFrom('f32', 'i32'), (any, within, kind) => {
        const values = arrayOf(
          kind,
          Array.from({ length: lanes + 1 }, (_, i) => 3 * i - 5),
        );
        const run = assemble((m, input, output) => {
          // In a loop and outside of one, of a register and of memory.
          m.store(m.permute(m.load(kind, true, input), any), output);
          m.loop({ to: lanes }, () => {
            const loaded = m.load(kind, true, input, 4);
            const first = m.permute(loaded, within);
            m.store(m.permute(first, any), output, 4 * lanes);
            m.store(loaded, output, 8 * lanes);
            m.store(m.permute(m.load(kind, true, input, 4), within), output, 12 * lanes);
          });
        });
        const out = numbers(kind, run(bytesOf(values), 16 * lanes));
        const after = values.subarray(1);
        const expected = [
          ...any.map((i) => values[i]),
          ...any.map((i) => after[within[i]]),
          ...after,
          ...within.map((i) => after[i]),
        ];
        assertSame(out, expected, `permute [${any}], [${within}]`);
      }),
      { numRuns: 40 },
    );
  });

  test(`${name}: shuffle, columns of a square`, () => {
    const anywhere = fc.array(fc.integer({ min: 0, max: 2 * lanes - 1 }), { minLength: lanes, maxLength: lanes });
    const values = (length: number): number[] => Array.from({ length }, (_, i) => 3 * i - 5);
    fc.assert(
      fc.property(anywhere, fc.constantFrom('f32', 'i32'), (indices, kind) => {
        const run = assemble((m, input, output) => {
          m.loop({ to: lanes }, () => {
            const a = m.load(kind, true, input);
            const b = m.load(kind, true, input, 4 * lanes);
            m.store(m.shuffle(a, b, indices), output);
            m.store(a, output, 4 * lanes);
            m.store(b, output, 8 * lanes);
          });
        });
        const all = values(2 * lanes);
        const out = numbers(kind, run(bytesOf(arrayOf(kind, all)), 12 * lanes));
        assertSame(out, [...indices.map((i) => all[i]), ...all], `shuffle [${indices}]`);
      }),
      { numRuns: 30 },
    );
    for (let rows = 1; rows <= lanes; rows++) {
      const all = values(rows * lanes);
      const run = assemble((m, input, output) => {
        const loaded = Array.from({ length: rows }, (_, i) => m.load('f32', true, input, 4 * i * lanes));
        const transposed = new Transposed(m, loaded);
        for (let j = 0; j < lanes; j++) m.store(transposed.column(j), output, 4 * j * rows, rows);
      });
      const out = numbers('f32', run(bytesOf(arrayOf('f32', all)), 4 * rows * lanes));
      const expected = Array.from({ length: rows * lanes }, (_, k) => all[(k % rows) * lanes + Math.floor(k / rows)]);
      assertSame(out, expected, `columns of ${rows} rows`);
    }
  });

  test(`${name}: stores of every count touch nothing beyond`, () => {
    for (let count = 0; count <= lanes; count++) {
      for (const offset of [0, 1, 8, 13]) {
        for (const kind of ['f32', 'i32'] as const) {
          const values = arrayOf(
            kind,
            Array.from({ length: lanes }, (_, i) => i + 1),
          );
          const run = assemble((m, input, output) => m.store(m.load(kind, true, input), output, offset, count));
          const expected = new Uint8Array(12 * lanes).fill(UNTOUCHED);
          expected.set(bytesOf(values).subarray(0, 4 * count), offset);
          assert.deepEqual(run(bytesOf(values), 12 * lanes), expected);
        }
        const values = Int32Array.from({ length: lanes }, (_, i) => 0x12345600 + i + 1);
        const run = assemble((m, input, output) => m.storeBytes(m.load('i32', true, input), output, offset, count));
        const expected = new Uint8Array(12 * lanes).fill(UNTOUCHED);
        for (let i = 0; i < count; i++) expected[offset + i] = i + 1;
        assert.deepEqual(run(bytesOf(values), 12 * lanes), expected);
      }
    }
    const run = assemble((m, input, output) => {
      m.store(m.load('i32', false, input), output, 3);
      m.storeBytes(m.load('i32', false, input), output, 9);
    });
    const expected = new Uint8Array(16).fill(UNTOUCHED);
    expected.set([0x78, 0x56, 0x34, 0x12], 3);
    expected[9] = 0x78;
    assert.deepEqual(run(bytesOf(Int32Array.of(0x12345678)), 16), expected);
  });

  test(`${name}: prefetching changes nothing, wherever it points`, () => {
    for (const from of [0, 4096, 2 ** 30, 2 ** 31 - 64, -(2 ** 31)]) {
      const run = assemble((m, input, output) => {
        const address = m.copy(m.binary('add', input, m.constant('i32', from)));
        m.loop({ to: 3 }, () => {
          m.prefetch(address);
          m.prefetch(address, 192);
          m.bump(address, 64);
        });
        m.store(m.load('i32', false, input), output);
      });
      const expected = new Uint8Array(8).fill(UNTOUCHED);
      expected.set([1, 2, 3, 4]);
      assert.deepEqual(run(Uint8Array.of(1, 2, 3, 4), 8), expected);
    }
  });

  test(`${name}: negative and large offsets`, () => {
    const run = assemble((m, input, output) => {
      const end = m.binary('add', input, m.constant('i32', 64));
      const to = m.binary('add', output, m.constant('i32', 512));
      m.store(m.load('i32', true, end, -64), to, -512);
      m.store(m.loadSplat('i32', end, -4), to, -512 + 4 * lanes);
    });
    const values = Int32Array.from({ length: 16 }, (_, i) => i + 1);
    const out = numbers('i32', run(bytesOf(values), 8 * lanes));
    assertSame(out, [...values.subarray(0, lanes), ...new Array(lanes).fill(16)], 'offsets');
  });

  test(`${name}: loops run from ≤ i < to with known and unknown bounds`, () => {
    const anyBound = fc.integer({ min: -6, max: 12 });
    fc.assert(
      fc.property(
        anyBound,
        anyBound,
        fc.integer({ min: 1, max: 5 }),
        fc.boolean(),
        fc.boolean(),
        (from, to, step, a, b) => {
          const run = assemble((m, input, output) => {
            const next = m.copy(output);
            const range = {
              from: a ? m.load('i32', false, input) : from,
              to: b ? m.load('i32', false, input, 4) : to,
              step,
            };
            m.loop(range, (i) => {
              m.store(i, next);
              m.bump(next, 4);
              // The range is taken once, so changing the register is allowed.
              if (typeof range.to !== 'number') m.bump(range.to, 1);
            });
            m.store(m.constant('i32', 999), next);
          });
          const expected: number[] = [];
          for (let i = from; i < to; i += step) expected.push(i);
          const out = numbers('i32', run(bytesOf(Int32Array.of(from, to)), 4 * 20));
          assertSame(out, [...expected, 999], `from ${from} to ${to} step ${step}`);
        },
      ),
      { numRuns: 200, seed: 1 },
    );
  });

  test(`${name}: loops whose bounds only turn out to be known`, () => {
    const bound = fc.integer({ min: -3, max: 9 });
    fc.assert(
      fc.property(bound, bound, fc.integer({ min: 1, max: 3 }), fc.boolean(), (from, to, step, positions) => {
        const run = assemble((m, _, output) => {
          const next = m.copy(output);
          // Machines may fold these sums, or not.
          const sum = (n: number): Register => m.binary('add', m.constant('i32', n - 5), m.constant('i32', 5));
          m.loop({ from: sum(from), to: sum(to), step }, (i) => {
            m.store(positions ? i : m.constant('i32', 7), next);
            m.bump(next, 4);
          });
          m.store(m.constant('i32', 999), next);
        });
        const expected: number[] = [];
        for (let i = from; i < to; i += step) expected.push(positions ? i : 7);
        const out = numbers('i32', run(new Uint8Array(8), 4 * 20));
        assertSame(out, [...expected, 999], `from ${from} to ${to} step ${step}`);
      }),
      { numRuns: 100, seed: 1 },
    );
  });

  test(`${name}: registers that change: nested loops, when, set, constants as accumulators`, () => {
    const run = assemble((m, input, output) => {
      const n = m.load('i32', false, input);
      const odd = m.constant('i32', 0);
      const even = m.constant('i32', 0);
      const total = m.constant('f32', 0.5, true);
      const before = m.copy(total);
      m.loop({ to: n }, (i) => {
        m.loop({ to: i }, (j) => {
          const isOdd = m.compare('eq', m.remainder(m.binary('add', i, j), 2), m.constant('i32', 1));
          m.when(
            isOdd,
            () => m.bump(odd, 1),
            () => m.set(even, m.binary('add', even, m.constant('i32', 1))),
          );
          m.when(isOdd, () => m.multiplyAdd(total, m.constant('f32', 2, true), m.constant('f32', 1, true)));
        });
      });
      m.store(odd, output);
      m.store(even, output, 4);
      m.store(m.lane(total, 2), output, 8);
      m.store(m.lane(before, 2), output, 12);
    });
    const out = run(bytesOf(Int32Array.of(7)), 16);
    assertSame(numbers('i32', out.slice(0, 8)), [12, 9], 'counters');
    assertSame(numbers('f32', out.slice(8)), [24.5, 0.5], 'accumulator');
  });
}
