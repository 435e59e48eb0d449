import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import {
  contractionShape,
  type Geometry,
  multiplyAdds,
  ROLE_OPERANDS,
  type Role,
  type SpatialAxis,
  type Tensor3,
} from '../kernel/contraction.js';
import { ShapeError } from '../tensor/errors.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor, seeds } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { sum } from './broadcast.js';
import { contract, matmul } from './convolution.js';
import { tensor } from './create.js';
import { cast, mul } from './elementwise.js';

setDevice(new CheckingDevice());

const ROLES: readonly Role[] = ['output', 'input', 'filter'];

/** Any axis at all: the output extent need not be what padding and stride would give, kernels may exceed the input. */
const anyAxis = (most: number): fc.Arbitrary<SpatialAxis> =>
  fc.record({
    input: fc.integer({ min: 1, max: most }),
    kernel: fc.integer({ min: 1, max: most }),
    output: fc.integer({ min: 1, max: most }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 3 }),
    padLow: fc.integer({ min: -1, max: 3 }),
  });

/** The axis of a convolution layer: asymmetric padding, output extent from the usual formula. */
const usualAxis = (most: number): fc.Arbitrary<SpatialAxis> =>
  fc.tuple(anyAxis(most), fc.integer({ min: 0, max: 2 })).map(([a, padHigh]) => {
    const padLow = Math.max(0, a.padLow);
    const span = a.dilation * (a.kernel - 1) + 1;
    const output = Math.max(0, Math.floor((a.input + padLow + padHigh - span) / a.stride) + 1);
    return { ...a, padLow, output };
  });

const geometries = (sizes: readonly number[]): fc.Arbitrary<Geometry> =>
  fc.integer({ min: 0, max: sizes.length - 1 }).chain((rank) =>
    fc.record({
      batch: fc.integer({ min: 1, max: 2 }),
      groups: fc.integer({ min: 1, max: 3 }),
      // One channel per group is depthwise.
      channelsIn: fc.integer({ min: 1, max: 2 }),
      channelsOut: fc.integer({ min: 1, max: 2 }),
      axes: fc.array(fc.oneof(anyAxis(sizes[rank]), usualAxis(sizes[rank])), { minLength: rank, maxLength: rank }),
    }),
  );

/** The three tensors with random contents. */
function operands(g: Geometry, seed: number): Record<Tensor3, Tensor> {
  const make = (which: Tensor3, n: number): Tensor => randomTensor(contractionShape(g, which), seed + n);
  return { X: make('X', 0), W: make('W', 1), Z: make('Z', 2) };
}

const apply = (role: Role, t: Record<Tensor3, Tensor>, g: Geometry): Tensor =>
  contract(role, t[ROLE_OPERANDS[role][0]], t[ROLE_OPERANDS[role][1]], g);

function positions(shape: Shape): number[][] {
  return Array.from({ length: sizeOf(shape) }, (_, flat) =>
    stridesOf(shape).map((stride, axis) => Math.floor(flat / stride) % shape[axis]),
  );
}

/** A role by the letter of its definition: all triples (o, k, i), kept where stride · o + dilation · k = i + padLow. */
function definition(role: Role, t: Record<Tensor3, Tensor>, g: Geometry): Float64Array {
  const shapes = { X: t.X.shape, W: t.W.shape, Z: t.Z.shape };
  const data = { X: t.X.data(), W: t.W.data(), Z: t.Z.data() };
  const result = ROLE_OPERANDS[role][2];
  const sums = new Float64Array(sizeOf(shapes[result]));
  const at = (which: Tensor3, position: readonly number[]): number =>
    stridesOf(shapes[which]).reduce((total, stride, axis) => total + stride * position[axis], 0);
  const related = (o: readonly number[], k: readonly number[], i: readonly number[]): boolean =>
    g.axes.every((a, s) => a.stride * o[s] + a.dilation * k[s] === i[s] + a.padLow);
  const spatial = (extent: 'input' | 'kernel' | 'output'): number[][] => positions(g.axes.map((a) => a[extent]));
  for (const o of spatial('output')) {
    for (const k of spatial('kernel')) {
      for (const i of spatial('input')) {
        if (!related(o, k, i)) continue;
        for (const [n, group, ci, co] of positions([g.batch, g.groups, g.channelsIn, g.channelsOut])) {
          const x = at('X', [n, group * g.channelsIn + ci, ...i]);
          const w = at('W', [group * g.channelsOut + co, ci, ...k]);
          const z = at('Z', [n, group * g.channelsOut + co, ...o]);
          if (role === 'output') sums[z] += data.X[x] * data.W[w];
          if (role === 'input') sums[x] += data.W[w] * data.Z[z];
          if (role === 'filter') sums[w] += data.X[x] * data.Z[z];
        }
      }
    }
  }
  return sums;
}

function assertClose(got: ArrayLike<number>, expected: ArrayLike<number>): void {
  assert.equal(got.length, expected.length);
  for (let i = 0; i < got.length; i++) {
    assert.ok(Math.abs(got[i] - expected[i]) < 1e-12, `element ${i} is ${got[i]}, expected ${expected[i]}`);
  }
}

for (const role of ROLES) {
  test(`role ${role} is what the definition says`, () => {
    fc.assert(
      fc.property(geometries([1, 6, 4, 3]), seeds, (g, seed) => {
        const t = operands(g, seed);
        const result = apply(role, t, g);
        assert.deepEqual(result.shape, contractionShape(g, ROLE_OPERANDS[role][2]));
        assertClose(result.data(), definition(role, t, g));
      }),
      { numRuns: 40 },
    );
  });

  test(`role ${role}: gradients of first and second order`, () => {
    fc.assert(
      fc.property(geometries([1, 4, 2, 2]), seeds, (g, seed) => {
        const t = operands(g, seed);
        const [first, second] = ROLE_OPERANDS[role];
        checkGradients((a, b) => contract(role, a, b, g), [t[first], t[second]], { order: 2, seed });
      }),
      { numRuns: 15 },
    );
  });
}

test('the three roles agree on T(X, W, Z), which makes them adjoint to each other', () => {
  fc.assert(
    fc.property(geometries([1, 7, 5, 3]), seeds, (g, seed) => {
      const t = operands(g, seed);
      const values = ROLES.map((role) => sum(mul(apply(role, t, g), t[ROLE_OPERANDS[role][2]])).item());
      for (const value of values) assert.ok(Math.abs(value - values[0]) < 1e-10, `${values}`);
    }),
    { numRuns: 60 },
  );
});

test('depthwise, pointwise, one element, kernels larger than the input, empty batches', () => {
  const axis = { input: 4, kernel: 3, output: 4, stride: 1, dilation: 1, padLow: 1 };
  const base = { batch: 2, groups: 1, channelsIn: 2, channelsOut: 3, axes: [axis, axis] };
  const cases: Geometry[] = [
    { ...base, groups: 4, channelsIn: 1, channelsOut: 1 },
    { ...base, groups: 4, channelsIn: 1, channelsOut: 2 },
    { ...base, axes: [{ ...axis, kernel: 1, padLow: 0 }] },
    { ...base, axes: [{ input: 1, kernel: 1, output: 1, stride: 1, dilation: 1, padLow: 0 }] },
    { ...base, axes: [{ input: 2, kernel: 7, output: 3, stride: 2, dilation: 2, padLow: 6 }] },
    { ...base, axes: [{ input: 5, kernel: 2, output: 9, stride: 3, dilation: 1, padLow: 11 }] },
    { ...base, batch: 0 },
  ];
  for (const g of cases) {
    const t = operands(g, 5);
    for (const role of ROLES) assertClose(apply(role, t, g).data(), definition(role, t, g));
  }
  assert.equal(multiplyAdds(base), 2 * 2 * 3 * 16 * 9);
});

test('a known answer: correlation, not flipped', () => {
  const g = {
    batch: 1,
    groups: 1,
    channelsIn: 1,
    channelsOut: 1,
    axes: [{ input: 4, kernel: 2, output: 3, stride: 1, dilation: 1, padLow: 0 }],
  };
  const x = tensor([[[1, 2, 3, 4]]]);
  const w = tensor([[[10, 1]]]);
  assert.deepEqual([...contract('output', x, w, g).data()], [12, 23, 34]);
  const z = tensor([[[1, 1, 1]]]);
  assert.deepEqual([...contract('input', w, z, g).data()], [10, 11, 11, 1]);
  assert.deepEqual([...contract('filter', x, z, g).data()], [6, 9]);
});

test('matmul is the matrix product', () => {
  const extent = fc.integer({ min: 0, max: 5 });
  fc.assert(
    fc.property(extent, extent, extent, seeds, (n, k, m, seed) => {
      const [a, b] = [randomTensor([n, k], seed), randomTensor([k, m], seed + 1)];
      const [x, y] = [a.data(), b.data()];
      const expected = positions([n, m]).map(([i, j]) =>
        Array.from({ length: k }, (_, c) => x[i * k + c] * y[c * m + j]).reduce((total, v) => total + v, 0),
      );
      const product = matmul(a, b);
      assert.deepEqual(product.shape, [n, m]);
      assertClose(product.data(), expected);
      checkGradients(matmul, [a, b], { order: 2, seed });
    }),
    { numRuns: 20 },
  );
});

test('errors name both shapes', () => {
  const shapeError = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);
  assert.throws(
    () => matmul(randomTensor([2, 3], 1), randomTensor([4, 5], 1)),
    shapeError(/\[2, 3\] and \[4, 5\].*inner extents/),
  );
  assert.throws(() => matmul(randomTensor([2], 1), randomTensor([2, 2], 1)), shapeError(/\[2\] and \[2, 2\]/));
  const axis = { input: 4, kernel: 3, output: 2, stride: 1, dilation: 1, padLow: 0 };
  const g: Geometry = { batch: 1, groups: 1, channelsIn: 2, channelsOut: 3, axes: [axis] };
  const t = operands(g, 1);
  const { X, W } = t;
  assert.throws(() => contract('output', W, W, g), shapeError(/operand X is \[3, 2, 3\].*\[1, 2, 4\]/));
  assert.throws(() => contract('output', X, X, g), shapeError(/operand W is \[1, 2, 4\].*\[3, 2, 3\]/));
  assert.throws(() => contract('output', cast(X, 'i32'), W, g), shapeError(/needs f32, got i32/));
  assert.throws(() => contract('output', X, cast(W, 'f64'), g), shapeError(/f32 and f64/));
  for (const wrong of [{ stride: 0 }, { dilation: 0 }, { stride: 1.5 }, { padLow: 0.5 }, { output: -1 }]) {
    const bad = { ...g, axes: [{ ...axis, ...wrong }] };
    const [key] = Object.keys(wrong);
    assert.throws(() => contract('output', X, W, bad), shapeError(new RegExp(`${key}`)), JSON.stringify(wrong));
  }
});
