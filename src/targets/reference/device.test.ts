import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { assign } from '../../graph/trace.js';
import { iota, tensor } from '../../ops/create.js';
import { add, exp, mul } from '../../ops/elementwise.js';
import { OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { ReferenceDevice } from './device.js';

test('f32 rounds after every operator, f64 never', () => {
  const f = compile((x: Tensor) => add(mul(x, 1 / 3), exp(x)));
  const x = [0.1, -2.7];
  setDevice(new ReferenceDevice());
  const { fround } = Math;
  const single = x.map((v) => fround(fround(fround(v) * fround(1 / 3)) + fround(Math.exp(fround(v)))));
  const got = f.sync(tensor(x)).data();
  assert.ok(got instanceof Float32Array);
  assert.deepEqual([...got], single);
  setDevice(new ReferenceDevice({ precision: 'f64' }));
  const precise = f.sync(tensor(x)).data();
  assert.ok(precise instanceof Float64Array);
  assert.deepEqual(
    [...precise],
    x.map((v) => v * (1 / 3) + Math.exp(v)),
  );
  assert.ok(iota([2]).data() instanceof Int32Array);
});

test('results and reads are copies', () => {
  setDevice(new ReferenceDevice());
  const w = tensor([1, 2]);
  w.data()[0] = 99;
  assert.deepEqual([...w.data()], [1, 2]);
  const f = compile(() => {
    const old = w;
    const result = [old, add(w, 1)];
    assign(w, tensor([5, 5]));
    return result;
  });
  const [same, more] = f.sync();
  // The tree holds the tensor itself, whose contents at the end are the new ones.
  assert.deepEqual(
    [same, more, w].map((t) => [...t.data()]),
    [
      [5, 5],
      [2, 3],
      [5, 5],
    ],
  );
  w.write([7, 7]);
  assert.deepEqual([...same.data()], [5, 5]);
});

test('options', () => {
  assert.throws(() => new ReferenceDevice({ precison: 'f64' } as object), OptionError);
  assert.throws(() => new ReferenceDevice({ precision: 'f16' as 'f32' }), OptionError);
});
