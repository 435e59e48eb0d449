import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Structures } from './structure.js';

test('equal data have equal numbers, however they share parts', () => {
  const structures = new Structures();
  const part = { kind: 'load', index: [1, 2] };
  const number = structures.numberOf({ a: part, b: part, c: undefined });
  assert.equal(structures.numberOf({ a: part, b: { kind: 'load', index: [1, 2] } }), number);
  assert.equal(structures.numberOf({ a: { ...part }, b: part }), number);
});

test('different data have different numbers', () => {
  const structures = new Structures();
  const f = (): number => 1;
  const data: object[] = [
    [],
    {},
    [0],
    [-0],
    [Number.NaN],
    [Number.POSITIVE_INFINITY],
    [1],
    ['1'],
    [true],
    ['true'],
    [null],
    ['null'],
    [1, 2],
    [[1], 2],
    [[1, 2]],
    { a: 1 },
    { b: 1 },
    { a: '1' },
    { a: [1] },
    ['a', 'b'],
    ['a,b'],
    ['#0'],
    [[]],
    [f],
    [(): number => 1],
    [new Map()],
    [new Map()],
  ];
  assert.equal(new Set(data.map((one) => structures.numberOf(one))).size, data.length);
  assert.equal(structures.numberOf([f]), structures.numberOf([f]));
});
