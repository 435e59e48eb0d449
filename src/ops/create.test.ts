import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { shapes } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { full, iota, ones, randomNormal, randomUniform, tensor, zeros } from './create.js';
import { mul } from './elementwise.js';
import { uniform } from './random.js';

setDevice(new CheckingDevice());

const bad = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);

test('tensor takes the shape from nested arrays and the dtype from typed arrays', () => {
  const x = tensor([
    [1, 2, 3],
    [4, 5, 6],
  ]);
  assert.deepEqual([x.dtype, x.shape, [...x.data()]], ['f32', [2, 3], [1, 2, 3, 4, 5, 6]]);
  assert.deepEqual(tensor(5).shape, []);
  assert.deepEqual(tensor([]).shape, [0]);
  assert.deepEqual(tensor([[], []]).shape, [2, 0]);
  assert.deepEqual(tensor([new Float32Array(3), new Float32Array(3)]).shape, [2, 3]);
  assert.equal(tensor(new Int32Array(2)).dtype, 'i32');
  assert.equal(tensor(new Uint8Array(2)).dtype, 'u8');
  assert.equal(tensor(new Float64Array(2)).dtype, 'f32');
  assert.deepEqual(tensor(new Float32Array(6), { shape: [3, 2] }).shape, [3, 2]);
});

test('tensor takes contents with their shape and dtype, as files hold them', () => {
  const x = tensor({ dtype: 'i32', shape: [2, 1], data: Int32Array.of(7, -8) });
  assert.deepEqual([x.dtype, x.shape, [...x.data()]], ['i32', [2, 1], [7, -8]]);
  assert.equal(tensor({ dtype: 'bool', shape: [1], data: Uint8Array.of(1) }).dtype, 'bool');
  const other = tensor({ dtype: 'i32', shape: [2, 1], data: Int32Array.of(7, -8) }, { shape: [2], dtype: 'f32' });
  assert.deepEqual([other.dtype, other.shape, [...other.data()]], ['f32', [2], [7, -8]]);
  assert.throws(
    () => tensor({ dtype: 'f32', shape: [3], data: new Float32Array(2) }),
    bad(/2 elements do not fill \[3\]/),
  );
  assert.throws(() => tensor({ dtype: 'f16' as 'f32', shape: [1], data: new Float32Array(1) }), OptionError);
});

test('tensor converts to other dtypes as cast does', () => {
  const values = [1.9, -1, 300, Number.NaN];
  assert.deepEqual([...tensor(values, { dtype: 'u8' }).data()], [1, 0, 255, 0]);
  assert.deepEqual([...tensor(values, { dtype: 'i32' }).data()], [1, -1, 300, 0]);
  assert.deepEqual([...tensor([0.5, 2, 0], { dtype: 'bool' }).data()], [1, 1, 0]);
});

test('tensor: errors', () => {
  assert.throws(() => tensor([[1, 2], [3]]), bad(/\[2\] and \[1\]/));
  assert.throws(() => tensor([1, [2]]), bad(/\[\] and \[1\]/));
  assert.throws(() => tensor([1, 2], { shape: [3] }), bad(/2 elements.*\[3\] = 3/));
  assert.throws(() => tensor([1], { shape: [-1] }), bad(/\[-1\]/));
  assert.throws(() => tensor([1], { dType: 'i32' } as object), OptionError);
  assert.throws(() => tensor(['1'] as unknown as number[]), OptionError);
  assert.throws(() => tensor([1], { dtype: 'f16' as 'f32' }), OptionError);
});

test('zeros, ones, full, iota', () => {
  fc.assert(
    fc.property(shapes(0, 4, { minExtent: 0 }), (shape) => {
      assert.ok(
        zeros(shape)
          .data()
          .every((x) => x === 0),
      );
      assert.ok(
        ones(shape, 'i32')
          .data()
          .every((x) => x === 1),
      );
      assert.deepEqual(full(shape, -2.5).data(), new Float64Array(sizeOf(shape)).fill(-2.5));
      shape.forEach((extent, axis) => {
        const expected = Array.from(
          { length: sizeOf(shape) },
          (_, i) => Math.floor(i / stridesOf(shape)[axis]) % extent,
        );
        assert.deepEqual([...iota(shape, axis).data()], expected);
      });
    }),
    { numRuns: 20 },
  );
  assert.deepEqual([...iota([2, 3], -1).data()], [0, 1, 2, 0, 1, 2]);
  for (const make of [zeros, ones, (s: number[]) => full(s, 1), iota, (s: number[]) => randomNormal(s, 1)]) {
    assert.throws(() => make([2, -1]), bad(/\[2, -1\] is not a shape/));
    assert.throws(() => make([1.5]), bad(/\[1.5\] is not a shape/));
  }
  assert.throws(() => iota([2, 3], 2), bad(/axis 2.*2 axes/));
  assert.throws(() => full([1], 0.5, 'i32'), OptionError);
  assert.throws(() => full([1], -1, 'u8'), OptionError);
  assert.throws(() => full([1], 2, 'bool'), OptionError);
  assert.equal(full([1], Number.NaN).item(), Number.NaN);
  assert.ok(Object.is(mul(full([], -0), 1).item(), -0));
});

test('the same operator with another constant is another program', () => {
  const values = [0, -0, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1, -1];
  for (let i = 0; i < 2; i++) {
    for (const value of values) assert.ok(Object.is(full([], value).item(), value), `${value}`);
  }
});

test('random tensors depend on the generator only', () => {
  assert.deepEqual(randomNormal([3, 2], 7).data(), randomNormal([3, 2], new Random(7)).data());
  assert.notDeepEqual(randomNormal([3], 7).data(), randomNormal([3], 8).data());
  const u = randomUniform([1000], 3, -1, 4).data();
  assert.ok(u.every((x) => x >= -1 && x < 4));
});

test('uniform draws from the generator of tensor/random.ts', () => {
  const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(word, word, shapes(0, 3, { minExtent: 0 }), (a, b, shape) => {
      const source = new Random([a, b]);
      const expected = Array.from({ length: sizeOf(shape) }, () => source.uniform());
      assert.deepEqual([...uniform(tensor(new Int32Array([a, b])), shape).data()], expected);
    }),
    { numRuns: 20 },
  );
  assert.throws(() => uniform(tensor([1, 2]), [3]), bad(/i32\[2\], got f32\[2\]/));
  assert.throws(() => uniform(tensor(new Int32Array(3)), [3]), bad(/i32\[2\], got i32\[3\]/));
  assert.throws(() => uniform(tensor(new Int32Array(2)), [-3]), bad(/\[-3\] is not a shape/));
});

test('tensors made inside a traced function are constants of its program', () => {
  let traced = 0;
  const f = compile((x: Tensor) => {
    traced++;
    return mul(x, tensor([2, 3]));
  });
  assert.deepEqual([...f.sync(tensor([1, 1])).data()], [2, 3]);
  assert.deepEqual([...f.sync(tensor([2, 2])).data()], [4, 6]);
  assert.equal(traced, 1);
});
