import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { castValue, evaluateScalar, roundTo, SCALAR, type ScalarFunction, scalarResult } from './scalar.js';

test('every function has the arity of its row', () => {
  for (const [name, { arity, evaluate }] of Object.entries(SCALAR)) {
    const args = [1, 0.5, 0.25].slice(0, arity);
    assert.equal(typeof evaluate(...args), 'number', name);
    assert.ok(evaluate.length === arity || evaluate.length === 0 || name === 'min' || name === 'max', name);
  }
});

test('dtypes of results', () => {
  assert.equal(scalarResult('add', ['i32', 'i32']), 'i32');
  assert.equal(scalarResult('lt', ['f32', 'f32']), 'bool');
  assert.equal(scalarResult('select', ['bool', 'f32', 'f32']), 'f32');
});

test('i32 arithmetic is that of the machine, floats are not rounded', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(word, word, (a, b) => {
      const i32 = (fn: ScalarFunction): number => evaluateScalar(fn, 'i32', a, b);
      assert.equal(i32('mul'), Number(BigInt.asIntN(32, BigInt(a) * BigInt(b))));
      assert.equal(i32('add'), Number(BigInt.asIntN(32, BigInt(a) + BigInt(b))));
      assert.equal(i32('sub'), Number(BigInt.asIntN(32, BigInt(a) - BigInt(b))));
    }),
  );
  assert.equal(evaluateScalar('mul', 'f32', 0.1, 3), 0.1 * 3);
  assert.equal(evaluateScalar('select', 'f32', 1, 0.1, 2), 0.1);
});

test('stores wrap, casts saturate', () => {
  assert.deepEqual(
    [300, -1, 2 ** 31].map((x) => roundTo('u8', x)),
    [44, 255, 0],
  );
  assert.deepEqual(
    [2 ** 31, 1.9, -1.9].map((x) => roundTo('i32', x)),
    [-(2 ** 31), 1, -1],
  );
  assert.deepEqual(
    [0.5, 0, -0, Number.NaN].map((x) => roundTo('bool', x)),
    [1, 0, 0, 1],
  );
  assert.equal(roundTo('f32', 0.1), Math.fround(0.1));
  assert.deepEqual(
    [300, -1, 254.9, -0.5, Number.NaN].map((x) => castValue('u8', x)),
    [255, 0, 254, 0, 0],
  );
  assert.deepEqual(
    [3e9, -3e9, -0.5, Number.NaN].map((x) => castValue('i32', x)),
    [2 ** 31 - 1, -(2 ** 31), 0, 0],
  );
});

test('pow of one is one, as in C', () => {
  const { evaluate } = SCALAR.pow;
  const cases: [number, number, number][] = [
    [1, Number.NaN, 1],
    [1, Number.POSITIVE_INFINITY, 1],
    [-1, Number.NEGATIVE_INFINITY, 1],
    [Number.NaN, 0, 1],
    [-2, 3, -8],
    [-2, 0.5, Number.NaN],
    [0, -1, Number.POSITIVE_INFINITY],
  ];
  for (const [a, b, y] of cases) assert.ok(Object.is(evaluate(a, b), y), `${a} ** ${b} is ${evaluate(a, b)}`);
});

test('round: to nearest, halves to even, sign of zero kept', () => {
  const { evaluate } = SCALAR.round;
  const cases: [number, number][] = [
    [0.5, 0],
    [-0.5, -0],
    [1.5, 2],
    [-1.5, -2],
    [2.5, 2],
    [-2.5, -2],
    [0.49999999999999994, 0],
    [-0.2, -0],
    [2251799813685248.5, 2251799813685248],
    [-0, -0],
    [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
  ];
  for (const [x, y] of cases) assert.ok(Object.is(evaluate(x), y), `round(${x}) is ${evaluate(x)}`);
});
