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
  type Index,
  indirectIndex,
  load,
  loadBroadcast,
  makeIndex,
  printExpression,
  printIndex,
  reduced,
  rewriteExpression,
  substituteAxes,
  substituteIndex,
  visitExpression,
} from './expression.js';
import { Interner } from './intern.js';

const at = (index: Index, position: readonly number[]): number =>
  index.terms.reduce((sum, { axis, factor }) => sum + factor * position[axis], index.offset) / index.divisor;

const factor = fc.integer({ min: -3, max: 3 });
const indices = (divisors: number[]): fc.Arbitrary<Index> =>
  fc
    .tuple(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 2 }), factor), { maxLength: 4 }),
      factor,
      fc.constantFrom(...divisors),
    )
    .map(([terms, offset, divisor]) =>
      makeIndex(
        terms.map(([axis, f]) => ({ axis, factor: f })),
        offset,
        divisor,
      ),
    );
const positions = fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 3, maxLength: 3 });

test('makeIndex joins terms of one axis, drops zeros, sorts', () => {
  const index = makeIndex(
    [
      { axis: 2, factor: 1 },
      { axis: 0, factor: 2 },
      { axis: 2, factor: 3 },
      { axis: 1, factor: 5 },
      { axis: 1, factor: -5 },
    ],
    7,
    2,
  );
  assert.deepEqual(index, {
    terms: [
      { axis: 0, factor: 2 },
      { axis: 2, factor: 4 },
    ],
    offset: 7,
    divisor: 2,
  });
});

test('substituting axes is evaluating at the substituted position', () => {
  fc.assert(
    fc.property(
      indices([1, 2]),
      fc.tuple(indices([1]), indices([1]), indices([1])),
      positions,
      (index, by, position) => {
        const replaced = substituteIndex(index, by) as Index;
        const inner = by.map((i) => at(i, position));
        assert.equal(at(replaced, position), at(index, inner));
      },
    ),
  );
});

test('a divided index takes the place of a whole axis only', () => {
  const half = makeIndex([{ axis: 0, factor: 1 }], 0, 2);
  assert.equal(substituteIndex(axisIndex(0), [half]), half);
  assert.equal(substituteIndex(axisIndex(0, 2), [half]), undefined);
  assert.equal(substituteIndex(axisIndex(0, 1, 1), [half]), undefined);
  const e = apply('add', load(0, 'f32', [axisIndex(0)]), load(1, 'f32', [axisIndex(0, 3)]));
  assert.equal(substituteAxes(e, [half]), undefined);
  assert.equal(printExpression(substituteAxes(e, [axisIndex(1, 2)]) as Expression), 'add($0[2·a1], $1[6·a1])');
});

test('guards that always hold vanish', () => {
  const [inside, otherwise] = [load(0, 'f32', [axisIndex(0)]), constant(0, 'f32')];
  assert.equal(guard([], inside, otherwise), inside);
  assert.equal(guard([{ index: constantIndex(2), extent: 3 }], inside, otherwise), inside);
  for (const index of [constantIndex(3), constantIndex(-1), axisIndex(0), { ...constantIndex(1), divisor: 2 }]) {
    assert.equal(guard([{ index, extent: 3 }], inside, otherwise).kind, 'guard');
  }
});

test('dtypes follow from the arguments', () => {
  const x = load(0, 'f32', []);
  assert.equal(apply('gt', x, x).dtype, 'bool');
  assert.equal(apply('select', apply('gt', x, x), cast('i32', x), cast('i32', x)).dtype, 'i32');
  assert.equal(cast('f32', x), x);
  assert.equal(axisValue(axisIndex(0)).dtype, 'i32');
  assert.equal(reduced(0, 'i32', 'index').dtype, 'i32');
});

test('shared parts are visited once and stay shared', () => {
  const leaf = load(0, 'f32', [axisIndex(0)]);
  let e: Expression = leaf;
  for (let i = 0; i < 200; i++) e = apply('add', e, e);
  let visits = 0;
  visitExpression(e, () => visits++);
  assert.equal(visits, 201);
  assert.equal(
    rewriteExpression(e, (x) => x),
    e,
  );
  const moved = substituteAxes(e, [axisIndex(1), axisIndex(1)]) ?? e;
  visits = 0;
  visitExpression(moved, () => visits++);
  assert.equal(visits, 201);
  assert.equal(countOperations(e), 200);
  assert.ok(printExpression(e).length < 10_000);
});

test('rewriting goes bottom-up, through guards and casts', () => {
  const e = guard([{ index: axisIndex(0), extent: 2 }], cast('i32', constant(1, 'f32')), constant(2, 'i32'));
  const tripled = rewriteExpression(e, (x) => (x.kind === 'constant' ? { ...x, value: x.value * 3 } : x));
  assert.equal(printExpression(tripled), '(0≤a0<2 ? i32(3) : 6)');
});

test('printing', () => {
  const e = apply('max', loadBroadcast(2, 'f32', [4, 1], 3), constant(-0.5, 'f32'));
  assert.equal(printExpression(e), 'max($2[a1, 0], -0.5)');
  assert.equal(
    printIndex(
      makeIndex(
        [
          { axis: 0, factor: 2 },
          { axis: 1, factor: -1 },
        ],
        -3,
        2,
      ),
    ),
    '(2·a0−1·a1−3)/2',
  );
  assert.equal(printExpression(apply('add', reduced(0, 'f32'), reduced(1, 'f32', 'index'))), 'add(r0, r1.index)');
});

test('a position that is a value takes the place of an axis where the axis is the whole index', () => {
  const value = load(1, 'i32', [axisIndex(1)]);
  const to = [indirectIndex(value, 5), axisIndex(0)];
  const moved = (e: Expression): string | undefined => {
    const result = substituteAxes(e, to);
    return result && printExpression(result);
  };
  assert.equal(moved(load(0, 'f32', [axisIndex(0), axisIndex(1, 2, 1)])), '$0[⟨$1[a1]⟩, 2·a0+1]');
  assert.equal(moved(axisValue(axisIndex(0))), 'min(max($1[a1], 0), 4)');
  assert.equal(moved(load(0, 'f32', [axisIndex(0, 2)])), undefined);
  const one = constant(1, 'f32');
  assert.equal(moved(guard([{ index: axisIndex(0), extent: 3 }], one, constant(2, 'f32'))), undefined);
  // Inside of positions, too; each value once.
  const nested = load(0, 'f32', [indirectIndex(load(1, 'i32', [axisIndex(1)]), 5)]);
  assert.equal(moved(nested), '$0[⟨$1[a0]⟩]');
  const interner = new Interner();
  assert.equal(interner.intern(nested), interner.intern(load(0, 'f32', [indirectIndex(value, 5)])));
  assert.notEqual(interner.intern(nested), interner.intern(load(0, 'f32', [indirectIndex(value, 4)])));
});
