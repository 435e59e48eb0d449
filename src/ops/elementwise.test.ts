import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { grad } from '../autodiff/transform.js';
import { setDevice } from '../graph/device.js';
import type { DType } from '../tensor/dtype.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { broadcastable, distinctTensor, randomTensor, seeds, shapes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { sum } from './broadcast.js';
import { tensor } from './create.js';
import * as ops from './elementwise.js';

setDevice(new CheckingDevice());

const SOME = { numRuns: 25 };

interface UnaryCase {
  readonly f: (x: Tensor) => Tensor;
  readonly model: (x: number) => number;
  readonly low?: number;
  readonly high?: number;
  /** has no derivative worth checking */
  readonly flat?: boolean;
}

const erfTable = [
  // Abramowitz & Stegun, table 7.1, and WolframAlpha beyond
  [0, 0],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [2, 0.9953222650189527],
  [2.9, 0.9999589021219005],
  [3.1, 0.9999883513426328],
  [4, 0.9999999845827421],
  [7, 1],
];

const UNARY: Record<string, UnaryCase> = {
  neg: { f: ops.neg, model: (x) => -x },
  abs: { f: ops.abs, model: Math.abs },
  sqrt: { f: ops.sqrt, model: Math.sqrt, low: 0.5, high: 9 },
  exp: { f: ops.exp, model: Math.exp },
  expm1: { f: ops.expm1, model: Math.expm1 },
  log: { f: ops.log, model: Math.log, low: 0.5, high: 9 },
  log1p: { f: ops.log1p, model: Math.log1p, low: -0.5, high: 9 },
  tanh: { f: ops.tanh, model: Math.tanh },
  sigmoid: { f: ops.sigmoid, model: (x) => 1 / (1 + Math.exp(-x)) },
  sin: { f: ops.sin, model: Math.sin, low: -9, high: 9 },
  cos: { f: ops.cos, model: Math.cos, low: -9, high: 9 },
  floor: { f: ops.floor, model: Math.floor, low: -9, high: 9, flat: true },
  ceil: { f: ops.ceil, model: Math.ceil, low: -9, high: 9, flat: true },
  trunc: { f: ops.trunc, model: Math.trunc, low: -9, high: 9, flat: true },
  round: { f: ops.round, model: Math.round, low: -9, high: 9, flat: true },
  relu: { f: ops.relu, model: (x) => Math.max(x, 0) },
  leakyRelu: { f: (x) => ops.leakyRelu(x, 0.2), model: (x) => (x > 0 ? x : 0.2 * x) },
  negativeSlope: { f: (x) => ops.leakyRelu(x, -0.5), model: (x) => (x > 0 ? x : -0.5 * x) },
  stopGradient: { f: ops.stopGradient, model: (x) => x, flat: true },
};

for (const [name, { f, model, low = -2, high = 2, flat }] of Object.entries(UNARY)) {
  test(`${name}: values and gradients of first and second order`, () => {
    fc.assert(
      fc.property(shapes(0, 4, { minExtent: 0 }), seeds, (shape, seed) => {
        const x = randomTensor(shape, seed, low, high);
        const got = f(x).data();
        x.data().forEach((value, i) => {
          assert.ok(Math.abs(got[i] - model(value)) <= 1e-14 * Math.max(1, Math.abs(got[i])));
        });
        if (flat) assert.deepEqual([...grad((t) => sum(f(t)))(x).data()], new Array(x.size).fill(0));
        else checkGradients(f, [awayFromZero(x)], { order: 2, seed });
      }),
      SOME,
    );
  });
}

/** A copy whose elements keep a distance from the kink at zero. */
function awayFromZero(x: Tensor): Tensor {
  return tensor(
    x.data().map((value) => (Math.abs(value) < 0.01 ? 0.3 : value)),
    { shape: x.shape },
  );
}

test('erf agrees with the tables', () => {
  for (const [x, y] of erfTable) {
    const got = ops.erf(tensor([x, -x])).data();
    assert.ok(Math.abs(got[0] - y) < 1e-15, `erf(${x}) is ${y}, got ${got[0]}`);
    assert.equal(got[1] + got[0], 0);
  }
  assert.ok(Number.isNaN(ops.erf(Number.NaN).item()));
  checkGradients((x) => ops.erf(x), [randomTensor([40], 1, -3.5, 3.5)], { order: 2 });
});

test('round takes halves to the even neighbour', () => {
  const x = tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, -0.2, 1e15 + 0.5, Number.NaN, Number.POSITIVE_INFINITY]);
  const expected = [-2, -2, -0, 0, 2, 2, -0, 1e15, Number.NaN, Number.POSITIVE_INFINITY];
  assert.deepEqual([...ops.round(x).data()], expected);
});

interface BinaryCase {
  readonly f: (a: Tensor, b: Tensor) => Tensor;
  readonly model: (a: number, b: number) => number;
  /** operands positive and away from zero */
  readonly positive?: boolean;
}

const BINARY: Record<string, BinaryCase> = {
  add: { f: ops.add, model: (a, b) => a + b },
  sub: { f: ops.sub, model: (a, b) => a - b },
  mul: { f: ops.mul, model: (a, b) => a * b },
  div: { f: ops.div, model: (a, b) => a / b, positive: true },
  pow: { f: ops.pow, model: (a, b) => a ** b, positive: true },
  minimum: { f: ops.minimum, model: Math.min },
  maximum: { f: ops.maximum, model: Math.max },
};

const COMPARISONS: Record<string, BinaryCase> = {
  equal: { f: ops.equal, model: (a, b) => Number(a === b) },
  notEqual: { f: ops.notEqual, model: (a, b) => Number(a !== b) },
  less: { f: ops.less, model: (a, b) => Number(a < b) },
  lessEqual: { f: ops.lessEqual, model: (a, b) => Number(a <= b) },
  greater: { f: ops.greater, model: (a, b) => Number(a > b) },
  greaterEqual: { f: ops.greaterEqual, model: (a, b) => Number(a >= b) },
};

/** NumPy's rule, element by element: position i of an operand is position i of the result, or 0 where its extent is 1. */
function broadcastModel(joint: readonly number[], operands: Tensor[], model: (...xs: number[]) => number): number[] {
  const data = operands.map((x) => x.data());
  return Array.from({ length: sizeOf(joint) }, (_, flat) => {
    const position = stridesOf(joint).map((stride, axis) => Math.floor(flat / stride) % joint[axis]);
    return model(
      ...operands.map((x, n) => {
        const own = position.slice(joint.length - x.rank);
        const strides = stridesOf(x.shape);
        return data[n][own.reduce((at, p, axis) => at + (x.shape[axis] === 1 ? 0 : p * strides[axis]), 0)];
      }),
    );
  });
}

function jointOf(list: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...list.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) =>
    list.reduce((extent, shape) => {
      const own = shape[axis - rank + shape.length] ?? 1;
      return own === 1 ? extent : own;
    }, 1),
  );
}

for (const [name, { f, model, positive }] of Object.entries(BINARY)) {
  test(`${name}: broadcasts as in NumPy; gradients of first and second order`, () => {
    fc.assert(
      fc.property(broadcastable(2), seeds, ({ shapes: list }, seed) => {
        const operands = list.map((shape, i) =>
          positive ? randomTensor(shape, seed + i, 0.5, 2) : distinctTensor(shape, seed + i),
        );
        // No ties between the operands either.
        if (!positive) operands[1] = ops.add(operands[1], 0.03);
        const y = f(operands[0], operands[1]);
        assert.deepEqual(y.shape, jointOf(list));
        assert.deepEqual([...y.data()], broadcastModel(y.shape, operands, model));
        checkGradients(f, operands, { order: 2, seed });
      }),
      SOME,
    );
  });
}

for (const [name, { f, model }] of Object.entries(COMPARISONS)) {
  test(`${name}: broadcasts as in NumPy, gives bool`, () => {
    fc.assert(
      fc.property(broadcastable(2), seeds, fc.constantFrom<DType>('f32', 'i32'), ({ shapes: list }, seed, dtype) => {
        const operands = list.map((shape, i) => ops.round(randomTensor(shape, seed + i)));
        const y = f(ops.cast(operands[0], dtype), ops.cast(operands[1], dtype));
        assert.equal(y.dtype, 'bool');
        assert.deepEqual([...y.data()], broadcastModel(jointOf(list), operands, model));
      }),
      SOME,
    );
    const nan = tensor([Number.NaN]);
    assert.equal(f(nan, nan).item(), Number(name === 'notEqual'));
  });
}

test('where picks by condition, broadcasts, and sends the gradient to the picked side', () => {
  fc.assert(
    fc.property(broadcastable(3), seeds, ({ shapes: list }, seed) => {
      const condition = ops.greater(randomTensor(list[0], seed), 0);
      const [a, b] = [randomTensor(list[1], seed + 1), randomTensor(list[2], seed + 2)];
      const y = ops.where(condition, a, b);
      const expected = broadcastModel(jointOf(list), [condition, a, b], (c, x, z) => (c ? x : z));
      assert.deepEqual([...y.data()], expected);
      checkGradients((x, z) => ops.where(condition, ops.mul(x, x), ops.mul(z, x)), [a, b], { order: 2, seed });
    }),
    SOME,
  );
  assert.throws(() => ops.where(tensor([1, 0]), 1, 2), /condition must be bool, got f32/);
  assert.equal(ops.where(ops.equal(tensor([1], { dtype: 'u8' }), 1), tensor([3], { dtype: 'i32' }), 4).dtype, 'i32');
});

test('the not chosen branch may be anything, NaN too', () => {
  const x = tensor([4, -1]);
  const f = (t: Tensor): Tensor => ops.where(ops.greater(t, 0), ops.sqrt(ops.maximum(t, 0.5)), 7);
  assert.deepEqual([...f(x).data()], [2, 7]);
  assert.deepEqual([...grad((t) => sum(f(t)))(x).data()], [0.25, 0]);
});

test('logic on bool', () => {
  const a = ops.greater(tensor([0, 0, 1, 1]), 0);
  const b = ops.greater(tensor([0, 1, 0, 1]), 0);
  assert.deepEqual([...ops.logicalAnd(a, b).data()], [0, 0, 0, 1]);
  assert.deepEqual([...ops.logicalOr(a, b).data()], [0, 1, 1, 1]);
  assert.deepEqual([...ops.logicalNot(a).data()], [1, 1, 0, 0]);
  assert.throws(() => ops.logicalNot(tensor([1])), /not: needs bool, got f32; use cast\(x, 'bool'\)/);
});

test('i32 arithmetic wraps around, bit operations are those of 32-bit words', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const i32 = (...values: number[]): Tensor => tensor(new Int32Array(values));
  fc.assert(
    fc.property(word, word, fc.integer({ min: 0, max: 31 }), (a, b, shift) => {
      assert.equal(ops.add(i32(a), i32(b)).item(), (a + b) | 0);
      assert.equal(ops.sub(i32(a), i32(b)).item(), (a - b) | 0);
      assert.equal(ops.mul(i32(a), i32(b)).item(), Math.imul(a, b));
      assert.equal(ops.neg(i32(a)).item(), -a | 0);
      assert.equal(ops.abs(i32(a)).item(), Math.abs(a) | 0);
      assert.equal(ops.bitXor(i32(a), i32(b)).item(), a ^ b);
      assert.equal(ops.bitOr(i32(a), i32(b)).item(), a | b);
      assert.equal(ops.shiftLeft(i32(a), shift).item(), a << shift);
      assert.equal(ops.shiftRight(i32(a), shift).item(), (a >>> shift) | 0);
    }),
    { numRuns: 50 },
  );
  assert.throws(() => ops.shiftLeft(i32(1), 32), OptionError);
  assert.throws(() => ops.shiftRight(tensor([1]), 1), /shr: needs i32, got f32/);
  assert.throws(() => ops.bitXor(tensor([1.5]), tensor([2.5])), /bitxor: needs i32, got f32/);
});

test('minimum and maximum: NaN wins, ties share the gradient', () => {
  const a = tensor([1, Number.NaN, 2]);
  const b = tensor([Number.NaN, 1, 2]);
  assert.deepEqual([...ops.maximum(a, b).data()], [Number.NaN, Number.NaN, 2]);
  assert.deepEqual([...ops.minimum(a, b).data()], [Number.NaN, Number.NaN, 2]);
  for (const f of [ops.maximum, ops.minimum]) {
    const [da, db] = grad((x, y) => sum(f(x, y)), { argnums: [0, 1] })(tensor([2]), tensor([2]));
    assert.deepEqual([da.item(), db.item()], [0.5, 0.5]);
  }
});

test('pow: derivatives at zero and for negative bases', () => {
  const slope = (b: number) => grad((x) => sum(ops.pow(x, b)));
  assert.deepEqual([...slope(0)(tensor([0, 2])).data()], [0, 0]);
  assert.deepEqual([...slope(1)(tensor([0, -2])).data()], [1, 1]);
  assert.deepEqual([...slope(2)(tensor([0, -2])).data()], [0, -4]);
  const curvature = grad((x) => sum(slope(2)(x)));
  assert.deepEqual([...curvature(tensor([0, -2])).data()], [2, 2]);
  const third = grad((x) => sum(curvature(x)));
  assert.deepEqual([...third(tensor([0, -2])).data()].map(Math.abs), [0, 0]);
  const fourth = grad((x) => sum(third(x)));
  assert.deepEqual([...fourth(tensor([0, -2])).data()].map(Math.abs), [0, 0]);
  // ∂²/∂a∂b of a^b at b = 0 is 1/a.
  const mixed = grad((b) => sum(grad((a) => sum(ops.pow(a, b)))(tensor([2, 4]))));
  assert.deepEqual([...mixed(tensor([0, 0])).data()], [0.5, 0.25]);
  const exponent = grad((b) => sum(ops.pow(tensor([0, -2, 2]), b)));
  assert.deepEqual([...exponent(tensor([2, 2, 2])).data()], [0, 0, 4 * Math.log(2)]);
});

test('relu of infinities, NaN and zeros', () => {
  const x = tensor([Number.NEGATIVE_INFINITY, -1, -0, 0, Number.POSITIVE_INFINITY, Number.NaN]);
  const y = [...ops.relu(x).data()];
  assert.deepEqual(y.slice(0, 5), [0, 0, 0, 0, Number.POSITIVE_INFINITY]);
  assert.ok(Number.isNaN(y[5]));
  assert.deepEqual([...grad((t) => sum(ops.relu(t)))(tensor([-1, 0, 1])).data()], [0, 0, 1]);
  assert.deepEqual([...grad((t) => sum(ops.leakyRelu(t)))(tensor([-1, 0, 1])).data()], [0.01, 0.01, 1]);
});

test('casts truncate and saturate; anything but zero is true', () => {
  const x = tensor([1.9, -1.9, -0.5, 300, -300, 3e9, -3e9, Number.NaN, Number.POSITIVE_INFINITY, 0]);
  const to = (dtype: DType): number[] => [...ops.cast(x, dtype).data()];
  assert.deepEqual(to('u8'), [1, 0, 0, 255, 0, 255, 0, 0, 255, 0]);
  assert.deepEqual(to('i32'), [1, -1, 0, 300, -300, 2147483647, -2147483648, 0, 2147483647, 0]);
  assert.deepEqual(to('bool'), [1, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
  assert.deepEqual([...ops.cast(ops.cast(x, 'u8'), 'f32').data()], to('u8'));
  // From i32, and no sign of zero survives an integer.
  assert.deepEqual([...ops.cast(tensor(new Int32Array([-1, 255, 256])), 'u8').data()], [0, 255, 255]);
  assert.ok(Object.is(ops.cast(ops.cast(tensor([-0.5]), 'i32'), 'f32').item(), 0));
  assert.deepEqual([...grad((t) => sum(ops.cast(ops.cast(t, 'i32'), 'f32')))(tensor([1.5])).data()], [0]);
});

test('a number takes the dtype of the other operand, or is refused', () => {
  const x = tensor(new Int32Array([1, 2]));
  assert.deepEqual([...ops.mul(x, 3).data()], [3, 6]);
  assert.equal(ops.mul(3, x).dtype, 'i32');
  assert.throws(
    () => ops.mul(x, 0.5),
    (e) => e instanceof OptionError && /0\.5/.test(e.message) && /i32/.test(e.message),
  );
  assert.throws(() => ops.add(x, Number.NaN), OptionError);
});

test('errors name the operator and both shapes or dtypes', () => {
  const [a, b] = [tensor([[1, 2, 3]]), tensor([1, 2])];
  for (const [name, { f }] of Object.entries({ ...BINARY, ...COMPARISONS })) {
    assert.throws(
      () => f(a, b),
      (e) => e instanceof ShapeError && /\[1, 3\] and \[2\]/.test(e.message),
      name,
    );
    assert.throws(() => f(b, ops.cast(b, 'i32')), ShapeError, name);
  }
  assert.throws(() => ops.where(ops.greater(a, 0), b, 0), /\[1, 3\] and \[2\]/);
  for (const [name, { f }] of Object.entries(UNARY)) {
    if (name === 'stopGradient') continue;
    assert.throws(
      () => f(tensor([1], { dtype: 'u8' })),
      (e) => e instanceof ShapeError && /u8/.test(e.message),
      name,
    );
  }
});
