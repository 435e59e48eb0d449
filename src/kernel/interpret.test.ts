import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DType } from '../tensor/dtype.js';
import { InternalError } from '../tensor/errors.js';
import { type Contraction, contractionShape, type Geometry, ROLE_OPERANDS, type Role } from './contraction.js';
import {
  apply,
  axisIndex,
  axisValue,
  cast,
  constant,
  constantIndex,
  type Expression,
  guard,
  load,
  makeIndex,
  reduced,
} from './expression.js';
import { interpretKernel, type KernelArray } from './interpret.js';
import { type Kernel, mapNest, type Nest, printNest, type ReducerKind } from './kernel.js';

const array = (shape: number[], values: number[] = [], dtype: DType = 'f32'): KernelArray => {
  const size = shape.reduce((a, b) => a * b, 1);
  const data = dtype === 'f32' ? new Float64Array(size) : dtype === 'i32' ? new Int32Array(size) : new Uint8Array(size);
  data.set(values);
  return { type: { dtype, shape }, data };
};

function run(kernel: Kernel, inputs: KernelArray[], shape: number[], dtype: DType = 'f32'): number[] {
  const output = array(shape, [], dtype);
  interpretKernel(kernel, inputs, [output]);
  return [...output.data];
}

const x = (...index: number[]): Expression =>
  load(
    0,
    'f32',
    index.map((axis) => axisIndex(axis)),
  );

test('maps: loads, constants, axes, casts', () => {
  const a = array([2, 3], [1, 2, 3, 4, 5, 6]);
  const position = cast(
    'f32',
    axisValue(
      makeIndex(
        [
          { axis: 0, factor: 10 },
          { axis: 1, factor: 1 },
        ],
        100,
      ),
    ),
  );
  const e = apply('add', apply('mul', x(0, 1), constant(0.5, 'f32')), position);
  assert.deepEqual(run(mapNest([2, 3], e), [a], [2, 3]), [100.5, 102, 103.5, 112, 113.5, 115]);
  assert.deepEqual(run(mapNest([], constant(3, 'f32')), [], []), [3]);
  assert.deepEqual(run(mapNest([0], x(0)), [array([0])], [0]), []);
});

test('guards: range and divisibility; what is not chosen is not evaluated', () => {
  const a = array([2], [5, 7]);
  const index = makeIndex([{ axis: 0, factor: 1 }], -1, 2);
  const e = guard([{ index, extent: 2 }], load(0, 'f32', [index]), constant(-1, 'f32'));
  assert.deepEqual(run(mapNest([6], e), [a], [6]), [-1, 5, -1, 7, -1, -1]);
});

test('reducers: sum, product, max, min, argmax; NaN and ties', () => {
  const nan = Number.NaN;
  const rows = array([3, 3], [1, 3, 3, 2, nan, nan, -4, -5, -6]);
  const reduce = (kind: ReducerKind, part: 'value' | 'index' = 'value'): number[] => {
    const dtype = part === 'index' ? 'i32' : 'f32';
    const nest: Nest = {
      kind: 'nest',
      parallel: [3],
      reduce: [3],
      reducers: [{ kind, body: x(0, 1) }],
      outputs: [reduced(0, dtype, part)],
    };
    return run(nest, [rows], [3], dtype);
  };
  assert.deepEqual(reduce('sum'), [7, nan, -15]);
  assert.deepEqual(reduce('product'), [9, nan, -120]);
  assert.deepEqual(reduce('max'), [3, nan, -4]);
  assert.deepEqual(reduce('min'), [1, nan, -6]);
  assert.deepEqual(reduce('argmax'), [3, nan, -4]);
  assert.deepEqual(reduce('argmax', 'index'), [1, 1, 0]);
});

test('positions of argmax are row-major over the reduction axes', () => {
  const nest: Nest = {
    kind: 'nest',
    parallel: [],
    reduce: [2, 3],
    reducers: [{ kind: 'argmax', body: x(0, 1) }],
    outputs: [reduced(0, 'i32', 'index')],
  };
  assert.deepEqual(run(nest, [array([2, 3], [1, 2, 3, 4, 9, 6])], [], 'i32'), [4]);
});

test('several reducers and outputs; outputs may load at the parallel axes', () => {
  const nest: Nest = {
    kind: 'nest',
    parallel: [2],
    reduce: [2],
    reducers: [
      { kind: 'sum', body: x(0, 1) },
      { kind: 'max', body: apply('neg', x(0, 1)) },
    ],
    outputs: [apply('add', reduced(0, 'f32'), load(1, 'f32', [axisIndex(0)])), reduced(1, 'f32')],
  };
  const outputs = [array([2]), array([2])];
  interpretKernel(nest, [array([2, 2], [1, 2, 3, 4]), array([2], [10, 20])], outputs);
  assert.deepEqual(
    outputs.map((o) => [...o.data]),
    [
      [13, 27],
      [-1, -3],
    ],
  );
  assert.equal(
    printNest(nest),
    'for a0<2 reduce a1<2; r0 = sum $0[a0, a1]; r1 = max neg($0[a0, a1]); out0 = add(r0, $1[a0]); out1 = r1',
  );
});

test('empty reductions give the identity', () => {
  const nest: Nest = {
    kind: 'nest',
    parallel: [2],
    reduce: [0],
    reducers: [{ kind: 'product', body: x(0, 1) }],
    outputs: [reduced(0, 'f32')],
  };
  assert.deepEqual(run(nest, [array([2, 0])], [2]), [1, 1]);
});

test('shared expressions are evaluated once: chains of doublings are cheap', () => {
  let e = x(0);
  for (let i = 0; i < 60; i++) e = apply('add', e, e);
  assert.deepEqual(run(mapNest([2], e), [array([2], [1, 3])], [2]), [2 ** 60, 3 * 2 ** 60]);
});

test('outputIndex scatters, reshape copies', () => {
  const nest: Nest = {
    ...mapNest([2, 2], x(0, 1)),
    outputIndex: [
      makeIndex(
        [
          { axis: 0, factor: 1 },
          { axis: 1, factor: 2 },
        ],
        0,
      ),
    ],
  };
  assert.deepEqual(run(nest, [array([2, 2], [1, 2, 3, 4])], [4]), [1, 3, 2, 4]);
  assert.deepEqual(run({ kind: 'reshape' }, [array([2, 2], [1, 2, 3, 4])], [4]), [1, 2, 3, 4]);
});

test('kernels that break the contract are caught', () => {
  const a = array([2], [1, 2]);
  const caught = (pattern: RegExp, kernel: Kernel, shape: number[] = [2]): void => {
    assert.throws(
      () => run(kernel, [a], shape),
      (e) => e instanceof InternalError && pattern.test(e.message),
    );
  };
  caught(/index 2 is outside of axis 0 of \[2\]/, mapNest([3], x(0)), [3]);
  caught(/index 0.5 is outside/, mapNest([2], load(0, 'f32', [makeIndex([{ axis: 0, factor: 1 }], 0, 2)])));
  caught(/2 indices for \[2\]/, mapNest([2], x(0, 0)));
  caught(/there is no axis 1/, mapNest([2], x(1)));
  caught(/operand 1 of 1/, mapNest([2], load(1, 'f32', [axisIndex(0)])));
  caught(/as i32 from f32/, mapNest([2], cast('f32', load(0, 'i32', [axisIndex(0)]))));
  caught(/do not match the output/, mapNest([2], x(0)), [3]);
  caught(/is f32, its expression i32/, mapNest([2], axisValue(axisIndex(0))));
  caught(/written twice/, { ...mapNest([2], x(0)), outputIndex: [constantIndex(0)] });
  caught(/never written/, { ...mapNest([2], x(0)), outputIndex: [axisIndex(0)] }, [3]);
  caught(/a remainder/, mapNest([2], cast('f32', axisValue(makeIndex([{ axis: 0, factor: 1 }], 0, 2)))));
  // Both branches of a select are evaluated: it is no guard.
  const wild = load(0, 'f32', [axisIndex(0, 1, 1)]);
  caught(/outside/, mapNest([2], apply('select', apply('lt', x(0), constant(2, 'f32')), wild, x(0))));
});

test('contraction with an epilogue over the axes of its output', () => {
  const axis = { input: 3, kernel: 2, output: 2, stride: 1, dilation: 1, padLow: 0 };
  const geometry: Geometry = { batch: 2, groups: 2, channelsIn: 1, channelsOut: 2, axes: [axis] };
  for (const role of ['output', 'input', 'filter'] as Role[]) {
    const [first, second, result] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
    const fill = (shape: readonly number[], step: number): KernelArray =>
      array(
        [...shape],
        Array.from({ length: shape.reduce((p, q) => p * q, 1) }, (_, i) => ((i * step) % 7) - 3),
      );
    const bias = fill([result[1]], 5);
    const residual = fill(result, 3);
    const plain: Contraction = { kind: 'contraction', role, geometry };
    const inputs = [fill(first, 2), fill(second, 4)];
    const sums = run(plain, inputs, [...result]);
    const sum = apply('add', reduced(0, 'f32'), load(2, 'f32', [axisIndex(1)]));
    const epilogue = apply(
      'max',
      apply(
        'add',
        sum,
        load(
          3,
          'f32',
          [0, 1, 2].map((a) => axisIndex(a)),
        ),
      ),
      constant(0, 'f32'),
    );
    const fused = run({ ...plain, epilogue }, [...inputs, bias, residual], [...result]);
    const expected = sums.map((value, i) => {
      const channel = Math.floor(i / result[2]) % result[1];
      return Math.max(value + bias.data[channel] + residual.data[i], 0);
    });
    assert.deepEqual(fused, expected);
    assert.ok(fused.some((value) => value > 0));
  }
});
