import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, testOnDevices } from '../testing/devices.js';
import { randomNormal } from './create.js';
import { batchedMatmul, einsum } from './einsum.js';

const SIZES: Readonly<Record<string, number>> = { a: 2, b: 3, c: 2, i: 3, j: 4, k: 2 };

/** The definition: a sum over all values of all labels. */
function byDefinition(equation: string, operands: readonly Tensor[]): number[] {
  const [left, output] = equation.split('->');
  const terms = left.split(',');
  const labels = [...new Set(terms.join(''))];
  const count = [...output].reduce((product, label) => product * SIZES[label], 1);
  const result = new Array<number>(count).fill(0);
  const at = (term: string, value: ReadonlyMap<string, number>): number =>
    [...term].reduce((flat, label) => flat * SIZES[label] + (value.get(label) as number), 0);
  const data = operands.map((x) => x.data());
  const visit = (depth: number, value: Map<string, number>): void => {
    if (depth < labels.length) {
      for (let i = 0; i < SIZES[labels[depth]]; i++) visit(depth + 1, value.set(labels[depth], i));
      return;
    }
    result[at(output, value)] += terms.reduce((product, term, n) => product * data[n][at(term, value)], 1);
  };
  visit(0, new Map());
  return result;
}

const EQUATIONS = [
  'ij,jk->ik',
  'bij,bjk->bik',
  'bij,jk->kib',
  'i,j->ji',
  'ij->i',
  'bii->ib',
  'iij,j->i',
  'ij,ij->',
  'ab,bc,cj->aj',
  'ai,bi,ci->abc',
  'i,i,i->i',
];

function operandsOf(equation: string): Tensor[] {
  const random = new Random(5);
  return equation
    .split('->')[0]
    .split(',')
    .map((term) =>
      randomNormal(
        [...term].map((label) => SIZES[label]),
        random,
      ),
    );
}

testOnDevices('einsum is the sum over all labels', ({ tolerance }) => {
  for (const equation of EQUATIONS) {
    const operands = operandsOf(equation);
    const expected = byDefinition(equation, operands);
    const actual = einsum(equation, ...operands);
    assert.equal(actual.size, expected.length, equation);
    const data = actual.data();
    expected.forEach((value, i) => {
      assert.ok(Math.abs(data[i] - value) <= tolerance * 10, `${equation}: ${data[i]} for ${value}`);
    });
  }
});

test('gradients of einsum and batchedMatmul', () => {
  setDevice(EXACT.make());
  for (const equation of ['bij,bjk->bik', 'iij,j->i', 'ab,bc,cj->aj']) {
    checkGradients((...operands: Tensor[]) => einsum(equation, ...operands), operandsOf(equation));
  }
  const random = new Random(6);
  checkGradients(
    (...[a, b]: Tensor[]) => batchedMatmul(a, b),
    [randomNormal([2, 1, 3, 2], random), randomNormal([3, 2, 4], random)],
  );
});

test('shapes of batchedMatmul, and the ellipsis', () => {
  setDevice(EXACT.make());
  const random = new Random(7);
  const of = (...shape: number[]): Tensor => randomNormal(shape, random);
  const cases: [number[], number[], number[]][] = [
    [
      [3, 4],
      [4, 2],
      [3, 2],
    ],
    [[4], [4], []],
    [[4], [2, 4, 3], [2, 3]],
    [[2, 3, 4], [4], [2, 3]],
    [
      [5, 1, 3, 4],
      [2, 4, 2],
      [5, 2, 3, 2],
    ],
    [
      [2, 3, 4],
      [4, 0],
      [2, 3, 0],
    ],
  ];
  for (const [a, b, y] of cases) assert.deepEqual([...batchedMatmul(of(...a), of(...b)).shape], y);
  assert.deepEqual([...einsum('...ij,...jk->...ik', of(5, 1, 3, 4), of(2, 4, 2)).shape], [5, 2, 3, 2]);
  assert.deepEqual([...einsum('ij,jk', of(3, 4), of(4, 2)).shape], [3, 2]);
});

test('what is no equation, or does not fit', () => {
  setDevice(EXACT.make());
  const random = new Random(8);
  const x = randomNormal([3, 4], random);
  assert.throws(() => batchedMatmul(x, x), ShapeError);
  assert.throws(() => einsum('ij;jk', x, x), OptionError);
  assert.throws(() => einsum('ij,jk->ik', x), OptionError);
  assert.throws(() => einsum('ij->ijk', x), OptionError);
  assert.throws(() => einsum('ij->ii', x), OptionError);
  assert.throws(() => einsum('ijk->i', x), ShapeError);
  assert.throws(() => einsum('ii->i', x), ShapeError);
  assert.throws(() => einsum('ij,ij->', x, randomNormal([3, 5], random)), ShapeError);
});
