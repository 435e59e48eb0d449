import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, testOnDevices } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import { sum } from './broadcast.js';
import { full, randomNormal, tensor, zeros } from './create.js';
import { mul, tanh } from './elementwise.js';
import { embedding, gather, indexAdd, scatterAdd, takeAlongAxis } from './gather.js';

interface GatherCase {
  readonly name: string;
  readonly operation: 'embedding' | 'gather' | 'takeAlongAxis' | 'indexAdd' | 'scatterAdd';
  readonly options: { readonly axis?: number; readonly paddingIdx?: number };
  readonly inputs: readonly FixtureArray[];
  readonly indices: FixtureArray;
  readonly output: FixtureArray;
  readonly cotangent: FixtureArray;
  readonly gradients: readonly FixtureArray[];
}

function applyCase({ operation, options }: GatherCase, indices: Tensor, [x, source]: readonly Tensor[]): Tensor {
  switch (operation) {
    case 'embedding':
      return embedding(x, indices, options);
    case 'gather':
      return gather(x, indices, options);
    case 'takeAlongAxis':
      return takeAlongAxis(x, indices, options);
    case 'indexAdd':
      return indexAdd(x, indices, source, options);
    case 'scatterAdd':
      return scatterAdd(x, indices, source, options);
  }
}

const cases = readFixtures<GatherCase>('gather');

testOnDevices('reading and adding up by index agree with PyTorch', ({ tolerance }) => {
  for (const c of cases) {
    const inputs = c.inputs.map((input) => fixtureTensor(input));
    const indices = fixtureTensor(c.indices, 'i32');
    assertClose(applyCase(c, indices, inputs), c.output, tolerance, c.name);
    const differentiate = compile((ids: Tensor, cotangent: Tensor, ...xs: Tensor[]) => {
      const y = applyCase(c, ids, xs);
      return [y, ...gradients(sum(mul(y, cotangent)), xs)];
    });
    const [y, ...slopes] = differentiate.sync(indices, fixtureTensor(c.cotangent), ...inputs);
    assertClose(y, c.output, tolerance, `${c.name}, compiled`);
    slopes.forEach((g, i) => {
      assertClose(g, c.gradients[i], tolerance, `${c.name}, gradient ${i}`);
    });
  }
});

test('derivatives agree with finite differences, to the second order', () => {
  setDevice(EXACT.make());
  const order = { order: 2 } as const;
  const x = randomNormal([4, 3, 2], 1);
  const ids = tensor(Int32Array.of(2, 0, 2, -1, 1, 2), { shape: [2, 3] });
  for (const axis of [0, 1, -2]) {
    checkGradients((t) => tanh(gather(t, ids, { axis })), [x], order);
    const shape = [...x.shape.slice(0, (axis + 3) % 3), 2, 3, ...x.shape.slice(1 + ((axis + 3) % 3))];
    checkGradients((t, s) => tanh(indexAdd(t, ids, s, { axis })), [x, randomNormal(shape, 2)], order);
  }
  const along = tensor(
    Int32Array.from({ length: 40 }, (_, i) => ((i * 7) % 5) - 2),
    { shape: [4, 5, 2] },
  );
  checkGradients((t) => tanh(takeAlongAxis(t, along, { axis: 1 })), [x], order);
  checkGradients((t, s) => tanh(scatterAdd(t, along, s, { axis: 1 })), [x, randomNormal([4, 5, 2], 3)], order);
  const words = tensor(Int32Array.of(3, 0, 3, 1));
  checkGradients((w) => tanh(embedding(w, words)), [randomNormal([4, 3], 4)], order);
});

testOnDevices('a program reads NaN where an index is out of range, and adds nothing there', () => {
  const x = tensor([
    [1, 2],
    [3, 4],
    [5, 6],
  ]);
  const ids = tensor(Int32Array.of(3, -3, -4, 2, 2147483647, -2147483648));
  const [y, slope] = compile((t: Tensor, i: Tensor) => {
    const read = gather(t, i);
    return [read, gradients(sum(read), [t])[0]];
  }).sync(x, ids);
  const none = [Number.NaN, Number.NaN];
  assert.deepEqual([...y.data()], [...none, 1, 2, ...none, 5, 6, ...none, ...none]);
  assert.deepEqual([...slope.data()], [1, 1, 0, 0, 1, 1]);

  const from = (dtype: 'i32' | 'u8' | 'bool'): number[] => [
    ...compile((t: Tensor, i: Tensor) => gather(t, i))
      .sync(tensor([1, 0, 1], { dtype }), ids)
      .data(),
  ];
  const least = -2147483648;
  assert.deepEqual(from('i32'), [least, 1, least, 1, least, least]);
  assert.deepEqual(from('u8'), [255, 1, 255, 1, 255, 255]);
  assert.deepEqual(from('bool'), [1, 1, 1, 1, 1, 1]);

  const added = compile((t: Tensor, i: Tensor, s: Tensor) => indexAdd(t, i, s)).sync(x, ids, full([6, 2], 10));
  assert.deepEqual([...added.data()], [11, 12, 3, 4, 15, 16]);
  // Words are counted from the first only.
  const words = compile((w: Tensor, i: Tensor) => embedding(w, i)).sync(x, tensor(Int32Array.of(-1, 0, 3)));
  assert.deepEqual([...words.data()], [...none, 1, 2, ...none]);
});

test('outside of programs an index out of range is an error, as is what does not fit', () => {
  setDevice(EXACT.make());
  const x = zeros([3, 4]);
  const ids = (...values: number[]): Tensor => tensor(Int32Array.from(values));
  assert.throws(() => gather(x, ids(0, 3)), {
    name: OptionError.name,
    message: /gather: index 3 \(element 1 of the indices\) .* axis 0 of f32\[3, 4\].* between -3 and 2/,
  });
  assert.throws(() => gather(x, ids(-5), { axis: 1 }), /index -5 .* between -4 and 3/);
  assert.throws(() => embedding(x, ids(-1)), /embedding: index -1 .* between 0 and 2/);
  assert.throws(() => indexAdd(x, ids(3), zeros([1, 4])), /indexAdd: index 3/);
  assert.throws(() => gather(x, tensor([0, 1])), /needs indices of dtype i32, got f32\[2\]/);
  assert.throws(() => gather(x, ids(0), { axis: 2 }), ShapeError);
  assert.throws(() => gather(x, ids(0), { dim: 1 } as object), /unknown option "dim"/);
  assert.throws(() => gather(zeros([0, 2]), ids()), /nothing to choose from/);
  assert.throws(() => takeAlongAxis(x, ids(0)), /need the rank of f32\[3, 4\]/);
  assert.throws(() => takeAlongAxis(x, zeros([1, 5], 'i32')), /must not be longer/);
  assert.throws(() => indexAdd(x, ids(0), zeros([2, 4])), /needs \[1, 4\] to add, got \[2, 4\]/);
  assert.throws(() => scatterAdd(x, zeros([2, 3], 'i32'), zeros([2, 3])), /must have the shape of f32\[3, 4\]/);
  assert.throws(() => scatterAdd(x, zeros([2, 4], 'i32'), zeros([3, 4])), /must have the shape of what is added/);
  assert.throws(() => scatterAdd(x, zeros([2, 4], 'i32'), zeros([2, 4], 'i32')), /adds f32 to f32/);
  assert.throws(() => embedding(zeros([3]), ids(0)), /needs a table f32\[rows, columns\]/);
  assert.throws(() => embedding(x, x), /numbers of words as i32/);
  assert.throws(() => embedding(x, ids(0), { paddingIdx: 3 }), /one of the 3 rows/);
});
