import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  apply,
  axisIndex,
  axisValue,
  cast,
  constant,
  constantIndex,
  countOperations,
  type Expression,
  guard,
  load,
  printExpression,
} from '../kernel/expression.js';
import { interpretKernel } from '../kernel/interpret.js';
import { mapNest } from '../kernel/kernel.js';
import type { ScalarFunction } from '../kernel/scalar.js';
import { simplifyExpression } from './simplify.js';

const x = load(0, 'f32', [axisIndex(0)]);
const n = load(1, 'i32', [axisIndex(0)]);
const c = (value: number): Expression => constant(value, 'f32');
const i = (value: number): Expression => constant(value, 'i32');
const bool = (value: number): Expression => constant(value, 'bool');
const print = (e: Expression): string => printExpression(simplifyExpression(e));

const FLOATS = [0, -0, 1, -1, 2.5, -3, 1e30, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN];
const INTEGERS = [0, 1, -1, 7, -8, 2147483647, -2147483648, 65536, 123456789, 3];

function evaluate(e: Expression): number[] {
  const size = FLOATS.length;
  const shape = [size];
  const out = e.dtype === 'f32' ? new Float64Array(size) : new Int32Array(size);
  const result = { type: { dtype: e.dtype, shape }, data: out };
  const floats = { type: { dtype: 'f32', shape }, data: Float64Array.from(FLOATS) } as const;
  const integers = { type: { dtype: 'i32', shape }, data: Int32Array.from(INTEGERS) } as const;
  interpretKernel(mapNest(shape, e), [floats, integers], [result]);
  return [...out];
}

test('what has no effect goes, what has one stays', () => {
  const same: [Expression, string][] = [
    [apply('add', x, c(0)), '$0[a0]'],
    [apply('add', c(0), x), '$0[a0]'],
    [apply('sub', x, c(0)), '$0[a0]'],
    [apply('mul', x, c(1)), '$0[a0]'],
    [apply('div', x, c(1)), '$0[a0]'],
    [apply('select', bool(1), x, c(2)), '$0[a0]'],
    [apply('select', apply('gt', x, c(0)), c(2), c(2)), '2'],
    [apply('mul', apply('add', c(2), c(3)), x), 'mul(5, $0[a0])'],
    // NaN and infinity times zero are not zero; zero minus x is −x but for zeros.
    [apply('mul', x, c(0)), 'mul($0[a0], 0)'],
    [apply('sub', x, x), 'sub($0[a0], $0[a0])'],
    [apply('sub', c(0), x), 'sub(0, $0[a0])'],
    [apply('eq', x, x), 'eq($0[a0], $0[a0])'],
    [apply('select', apply('gt', x, c(0)), c(0), c(-0)), 'select(gt($0[a0], 0), 0, 0)'],
  ];
  for (const [expression, expected] of same) assert.equal(print(expression), expected);
});

test('constants are folded as the machine would compute them', () => {
  assert.equal(print(apply('mul', i(123456789), i(987654321))), String(Math.imul(123456789, 987654321)));
  assert.equal(print(apply('add', i(2147483647), i(1))), '-2147483648');
  assert.equal(print(apply('add', c(16777216), c(1))), '16777216');
  assert.equal(print(cast('i32', c(3e9))), '2147483647');
  assert.equal(print(cast('u8', i(300))), '255');
  assert.equal(print(cast('f32', bool(1))), '1');
  assert.equal(print(apply('div', c(0), c(0))), 'NaN');
  assert.equal(print(apply('lt', c(Number.NaN), c(1))), '0');
});

test('a guard around one value is that value; equal parts become one', () => {
  const checks = [{ index: axisIndex(0, 1, -2), extent: 3 }];
  assert.equal(print(guard(checks, c(1), c(1))), '1');
  assert.match(print(guard(checks, c(0), c(-0))), /\?/);
  const twice = (): Expression => apply('exp', load(0, 'f32', [axisIndex(0)]));
  assert.equal(countOperations(simplifyExpression(apply('add', twice(), twice()))), 1 + countOperations(twice()));
  const shifted = apply('exp', load(0, 'f32', [constantIndex(1)]));
  assert.equal(countOperations(simplifyExpression(apply('add', twice(), shifted))), 1 + 2 * countOperations(twice()));
});

test('random expressions keep their values, but for the sign of zero', () => {
  const binary: ScalarFunction[] = ['add', 'sub', 'mul', 'min', 'max'];
  const { float } = fc.letrec<{ float: Expression; integer: Expression; condition: Expression }>((tie) => ({
    float: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      fc.constantFrom(0, -0, 1, -1, 2, Number.NaN, Number.POSITIVE_INFINITY).map(c),
      fc.constant(x),
      fc.tuple(fc.constantFrom(...binary), tie('float'), tie('float')).map(([fn, a, b]) => apply(fn, a, b)),
      fc.tuple(tie('float'), fc.constantFrom(1, 2, 0.5)).map(([a, b]) => apply('div', a, c(b))),
      fc.tuple(tie('condition'), tie('float'), tie('float')).map(([k, a, b]) => apply('select', k, a, b)),
      tie('integer').map((a) => cast('f32', a)),
      fc
        .tuple(fc.integer({ min: -3, max: 3 }), tie('float'), tie('float'))
        .map(([shift, a, b]) => guard([{ index: axisIndex(0, 1, shift), extent: 8 }], a, b)),
    ),
    integer: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      fc.constantFrom(...INTEGERS).map(i),
      fc.constant(n),
      fc.constant(axisValue(axisIndex(0))),
      fc.tuple(fc.constantFrom(...binary), tie('integer'), tie('integer')).map(([fn, a, b]) => apply(fn, a, b)),
      tie('condition').map((a) => cast('i32', a)),
    ),
    condition: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      fc.constantFrom(0, 1).map(bool),
      fc
        .tuple(fc.constantFrom<ScalarFunction>('lt', 'eq', 'ge'), tie('integer'), tie('integer'))
        .map(([fn, a, b]) => apply(fn, a, b)),
      fc
        .tuple(fc.constantFrom<ScalarFunction>('and', 'or'), tie('condition'), tie('condition'))
        .map(([fn, a, b]) => apply(fn, a, b)),
    ),
  }));
  fc.assert(
    fc.property(float, (e) => {
      const simple = simplifyExpression(e);
      const [expected, got] = [evaluate(e), evaluate(simple)];
      expected.forEach((value, at) => {
        const close = value === got[at] || Math.abs(value - got[at]) <= 1e-6 * Math.abs(value);
        assert.ok(
          close || Object.is(value, got[at]),
          `${printExpression(e)} → ${printExpression(simple)}: ${value}, ${got[at]}`,
        );
      });
      assert.ok(countOperations(simple) <= countOperations(e));
    }),
    { numRuns: 500 },
  );
});
