import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { applyOperator, assign } from '../graph/trace.js';
import { loadBroadcast } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { sum } from '../ops/broadcast.js';
import { matmul } from '../ops/convolution.js';
import { tensor } from '../ops/create.js';
import { add, cast, exp, mul, relu, stopGradient, sub, tanh } from '../ops/elementwise.js';
import { argmax, mean } from '../ops/reduce.js';
import { GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor } from '../testing/arbitraries.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { gradients } from './gradients.js';
import { grad, valueAndGrad } from './transform.js';

setDevice(new CheckingDevice());

const list = (t: Tensor): number[] => [...t.data()];

test('valueAndGrad of the first argument, of another, of several', () => {
  const f = (a: Tensor, b: Tensor): Tensor => sum(mul(mul(a, a), b));
  const [a, b] = [tensor([1, 2]), tensor([3, 5])];
  const [y, da] = valueAndGrad(f)(a, b);
  assert.equal(y.item(), 23);
  assert.deepEqual(list(da), [6, 20]);
  assert.deepEqual(list(grad(f, { argnums: 1 })(a, b)), [1, 4]);
  assert.deepEqual(grad(f, { argnums: [1, 0] })(a, b).map(list), [
    [1, 4],
    [6, 20],
  ]);
});

test('a value used many times collects all its gradients', () => {
  const f = (x: Tensor): Tensor => {
    const y = mul(x, x);
    return sum(add(add(y, y), mul(y, x)));
  };
  assert.deepEqual(list(grad(f)(tensor([1, 2]))), [4 + 3, 8 + 12]);
});

test('gradients with respect to tensors from outside, and to values in between', () => {
  const w = tensor([[1], [2]]);
  const f = compile((x: Tensor) => {
    const h = matmul(x, w);
    const y = sum(mul(h, h));
    return gradients(y, [w, h, x]);
  });
  const [dw, dh, dx] = f.sync(tensor([[3, 4]]));
  assert.deepEqual(list(dh), [22]);
  assert.deepEqual(list(dw), [66, 88]);
  assert.deepEqual(list(dx), [22, 44]);
});

test('zeros where nothing depends, the function itself has gradient one', () => {
  const unused = tensor([7, 8]);
  const f = compile((x: Tensor) => {
    const y = sum(mul(x, 2));
    return gradients(y, [unused, y, x, x]);
  });
  assert.deepEqual(f.sync(tensor([1, 1])).map(list), [[0, 0], [1], [2, 2], [2, 2]]);
  assert.deepEqual(list(grad((x: Tensor) => x)(tensor(3))), [1]);
  assert.deepEqual(grad((x: Tensor) => x)(tensor([[3]])).shape, [1, 1]);
});

test('no gradient flows through stopGradient, integers and positions', () => {
  assert.deepEqual(list(grad((x) => sum(mul(stopGradient(x), x)))(tensor([2, 3]))), [2, 3]);
  assert.deepEqual(list(grad((x) => sum(cast(cast(x, 'i32'), 'f32')))(tensor([2, 3]))), [0, 0]);
  assert.deepEqual(list(grad((x) => add(sum(x), cast(argmax(x), 'f32')))(tensor([2, 3]))), [1, 1]);
});

test('gradients of gradients, inside and outside of traces', () => {
  const cube = (x: Tensor): Tensor => sum(mul(mul(x, x), x));
  const second = grad((x) => sum(grad(cube)(x)));
  const third = grad((x) => sum(second(x)));
  const fourth = grad((x) => sum(third(x)));
  const x = tensor([2, -1]);
  assert.deepEqual(
    [second, third, fourth].map((f) => list(f(x)).map((v) => v + 0)),
    [
      [12, -6],
      [6, 6],
      [0, 0],
    ],
  );
  // A parameter from outside, differentiated twice.
  const w = tensor(3);
  const penalty = compile(() => {
    const y = mul(mul(w, w), w);
    const [slope] = gradients(y, [w]);
    return gradients(mul(slope, slope), [w]);
  });
  assert.deepEqual(list(penalty.sync()[0]), [2 * 27 * 18]);
});

test('a training step in one program: loss, gradient, update in place', () => {
  const w = randomTensor([3, 1], 4);
  const [x, target] = [randomTensor([8, 3], 5), randomTensor([8, 1], 6)];
  let traced = 0;
  const loss = (): Tensor => {
    const error = sub(matmul(x, w), target);
    return mean(mul(error, error));
  };
  const step = compile(() => {
    traced++;
    const y = loss();
    const [g] = gradients(y, [w]);
    assign(w, sub(w, mul(g, 0.1)));
    return y;
  });
  const losses = Array.from({ length: 50 }, () => step.sync().item());
  assert.equal(traced, 1);
  for (let i = 1; i < losses.length; i++) assert.ok(losses[i] < losses[i - 1]);
  assert.ok(losses[49] < 0.9 * losses[0]);
});

test('several steps in one program are several steps, not a gradient through the updates', () => {
  const start = [1, -2];
  const loss = (w: Tensor): Tensor => sum(mul(exp(w), w));
  const update = (w: Tensor): void => {
    const [g] = gradients(loss(w), [w]);
    assign(w, sub(w, mul(g, 0.1)));
  };
  const [once, unrolled] = [tensor(start), tensor(start)];
  const single = compile(() => update(once));
  for (let i = 0; i < 3; i++) single.sync();
  compile(() => {
    for (let i = 0; i < 3; i++) update(unrolled);
  }).sync();
  assert.deepEqual(list(unrolled), list(once));
});

test('a loss from before an assignment is differentiated with respect to the old contents', () => {
  const w = tensor([3]);
  const f = compile(() => {
    const before = sum(mul(w, w));
    assign(w, mul(w, 10));
    const between = sum(mul(mul(w, w), w));
    assign(w, tensor([0]));
    return [gradients(before, [w])[0], gradients(between, [w])[0]];
  });
  assert.deepEqual(f.sync().map(list), [[6], [3 * 900]]);
});

test('only what is needed is differentiated', () => {
  const w = tensor([1, 2]);
  const f = compile((x: Tensor) => {
    const features = tanh(exp(x));
    return gradients(sum(mul(features, w)), [w]);
  });
  const names = f.graph(tensor([1, 2])).nodes.map((node) => node.operator.name);
  assert.equal(names.filter((name) => name === 'exp').length, 1);
  assert.equal(names.filter((name) => name === 'tanh').length, 1);
});

test('errors', () => {
  const x = tensor([1, 2]);
  const bad = (pattern: RegExp) => (e: unknown) => e instanceof ShapeError && pattern.test(e.message);
  assert.throws(() => gradients(sum(x), [x]), /inside a function given to compile/);
  assert.throws(() => compile(() => gradients(x, [x])).sync(), /inside a function given to compile/);
  assert.throws(() => compile((v: Tensor) => gradients(mul(v, 2), [v])).sync(x), bad(/f32\[2\]; take a mean/));
  assert.throws(() => compile((v: Tensor) => gradients(argmax(v), [v])).sync(x), bad(/i32\[\]/));
  const labels = tensor(new Int32Array([1]));
  assert.throws(() => compile((v: Tensor) => gradients(sum(v), [labels])).sync(x), bad(/with respect to i32\[1\]/));
  assert.throws(() => grad((v) => mul(v, 2))(x), bad(/one number, it returned \[2\]/));
  assert.throws(() => grad((v) => sum(v), { argnums: 1 })(x), bad(/no argument 1, got 1/));
  assert.throws(() => grad((v) => sum(v), { argnum: 1 } as object), OptionError);
  assert.equal(grad((v) => sum(relu(v)))(x).size, 2);
});

test('an operator whose gradient has the wrong shape is caught', () => {
  const broken = (v: Tensor): Tensor =>
    applyOperator(
      {
        name: 'broken',
        infer: ([t]) => [t],
        reference: ([t], [out]) => out.data.set(t.data),
        gradient: ({ gradients: [g] }) => [g && sum(g)],
        lower: ([t], [out]) => mapNest(out.shape, loadBroadcast(0, t.dtype, t.shape, out.shape.length)),
      },
      [v],
      {},
    )[0];
  assert.throws(
    () => grad((v) => sum(broken(v)))(tensor([1, 2])),
    (e) => e instanceof GaborError && /broken .* \[\], expected \[2\]/.test(e.message),
  );
});
