import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { visitExpression } from '../kernel/expression.js';
import { sum } from '../ops/broadcast.js';
import { concat } from '../ops/concat.js';
import { conv2d } from '../ops/conv.js';
import { matmul } from '../ops/convolution.js';
import { add, exp, maximum, mul, neg, relu, sub, tanh } from '../ops/elementwise.js';
import { maxPoolWithTaps, unpool } from '../ops/maxpool.js';
import { product } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { pad } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import type { TypedArray } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { compileGraph, type Plan } from './compile.js';
import { type MachineDescription, USUAL_CACHES } from './machine.js';
import { printSteps } from './steps.js';

const MACHINE: MachineDescription = { lanes: 4, tile: { rows: 4, vectors: 2 }, caches: USUAL_CACHES, winograd: false };
const runner = new PlanRunner();
after(() => runner.close());

type Body = (inputs: Tensor[]) => Tensor[];

function compiled(shapes: readonly Shape[], body: Body): Plan {
  return compileGraph(traceInputs(shapes, (size) => new Float32Array(size), body).graph, MACHINE);
}

/** Kernels by kind, without copies of inputs and outputs into other layouts. */
function kernels(shapes: readonly Shape[], body: Body): string[] {
  const { steps } = compiled(shapes, body).program;
  return steps.filter(({ name }) => !['relayout', 'copy', 'pad', 'pack'].includes(name)).map((s) => s.kernel.kind);
}

/** Runs on the CPU and checks against the reference. */
function check(shapes: readonly Shape[], body: Body, contents?: (size: number, i: number) => TypedArray): Plan {
  const { graph, inputs } = traceInputs(shapes, contents ?? smallIntegers, body);
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => printSteps(plan.program));
  return plan;
}

test('chains of maps are one kernel, in front of a reduction and behind it too', () => {
  const shape = [5, 7];
  assert.deepEqual(
    kernels([shape], ([x]) => [exp(neg(tanh(x)))]),
    ['nest'],
  );
  assert.deepEqual(
    kernels([shape], ([x]) => [mul(tanh(sum(exp(x), [1])), 2)]),
    ['nest'],
  );
  assert.deepEqual(
    kernels([shape, [7, 5]], ([x, y]) => [exp(add(transpose(exp(x)), y))]),
    ['nest'],
  );
});

test('what follows a contraction becomes its epilogue', () => {
  const shapes = [
    [2, 4, 6, 6],
    [8, 4, 3, 3],
    [8, 1, 1],
    [2, 8, 4, 4],
  ];
  const block: Body = ([x, w, b, r]) => [relu(add(maximum(add(conv2d(x, w), b), -3), r))];
  assert.deepEqual(kernels(shapes, block), ['tile']);
  check(shapes, block);
  // Two convolutions in a row: the first one's epilogue goes with it.
  const two: Body = ([x, w, b, , v]) => [relu(conv2d(relu(add(conv2d(x, w), b)), v))];
  assert.deepEqual(kernels([...shapes, [4, 8, 1, 1]], two), ['tile', 'tile']);
  check([...shapes, [4, 8, 1, 1]], two);
});

test('a sum that is used twice is stored', () => {
  const shapes = [
    [6, 5],
    [5, 6],
  ];
  const twice: Body = ([x, w]) => {
    const y = matmul(x, w);
    return [add(y, 1), mul(y, 2)];
  };
  // What reads it is one kernel with two results.
  assert.deepEqual(kernels(shapes, twice), ['tile', 'nest']);
  check(shapes, twice);
  const returned: Body = ([x, w]) => {
    const y = matmul(x, w);
    return [y, relu(y)];
  };
  assert.deepEqual(kernels(shapes, returned), ['tile', 'nest']);
  check(shapes, returned);
});

test('expensive maps with several readers are computed once', () => {
  const plan = check([[9, 7]], ([x]) => {
    const y = relu(mul(mul(add(mul(mul(add(x, 1), x), x), 3), x), x));
    return [sum(y, [0]), sum(y, [1])];
  });
  assert.equal(plan.program.steps.length, 3, printSteps(plan.program));
});

test('a reduction is no map, also over no axes', () => {
  const plan = check([[3]], ([x]) => {
    const y = product(x, []);
    return [add(y, x), y];
  });
  const reduced = plan.program.steps.filter(({ kernel }) => kernel.kind === 'nest' && kernel.reducers.length > 0);
  assert.equal(reduced.length, 1);
});

test('epilogues are evaluated lane by lane: nothing that branches on the channel gets in', () => {
  const shapes = [
    [1, 4, 2, 2],
    [8, 4, 1, 1],
    [5, 1, 1],
  ];
  // The padded bias has a single reader only after both additions are part of the convolution.
  const padded: Body = ([x, w, b]) => {
    const p = pad(b, [2, 0, 0], [1, 0, 0]);
    return [add(add(conv2d(x, w), p), p)];
  };
  const { program } = check(shapes, padded);
  const tiles = program.steps.flatMap(({ kernel }) => (kernel.kind === 'tile' ? [kernel.epilogue] : []));
  assert.equal(tiles.length, 1);
  visitExpression(tiles[0], (e) => assert.notEqual(e.kind, 'guard'));
});

test('windows over maps: recomputed where trivial, stored where not', () => {
  const axes = [{ input: 8, kernel: 3, output: 6, stride: 1, dilation: 1, padLow: 0 }];
  const pool = (x: Tensor): Tensor => maxPoolWithTaps(x, axes).values;
  assert.deepEqual(
    kernels([[2, 4, 8]], ([x]) => [pool(neg(x))]),
    ['nest'],
  );
  assert.deepEqual(
    kernels([[2, 4, 8]], ([x]) => [pool(tanh(x))]),
    ['nest', 'nest'],
  );
  check([[2, 4, 8]], ([x]) => [pool(mul(x, x))]);
});

test('what follows the gradient of pooling by windows side by side is part of it, in the order of what it reads', () => {
  const axes = [8, 6].map((input) => ({ input, kernel: 2, output: input / 2, stride: 2, dilation: 1, padLow: 0 }));
  const shapes = [
    [20, 3, 10, 8],
    [40, 3, 3, 3],
    [20, 40, 4, 3],
  ];
  const plan = check([...shapes, [5, 40, 1, 1]], ([x, w, g, v]) => {
    const y = conv2d(x, w);
    const { taps } = maxPoolWithTaps(y, axes);
    const z = mul(add(unpool(mul(g, 2), taps, axes), y), 3);
    return [conv2d(z, v), sum(z, [2, 3])];
  });
  const steps = plan.program.steps.filter(({ name }) => name.includes('unpool'));
  assert.equal(steps.length, 1, printSteps(plan.program));
  assert.ok(steps[0].name.includes('+'), steps[0].name);
  const [result] = steps[0].results;
  assert.deepEqual(result.order, [0, 2, 3, 1]);
  for (const { type, order } of steps[0].operands) assert.deepEqual(order.slice(0, type.shape.length), [0, 2, 3, 1]);
});

test('values that are used several times do not double the work at every step', () => {
  const ones = (size: number): TypedArray => new Float32Array(size).fill(1);
  check(
    [[3]],
    ([x]) => {
      let y = x;
      for (let i = 0; i < 40; i++) y = mul(y, y);
      return [y];
    },
    ones,
  );
  check(
    [[3]],
    ([x]) => {
      let y = x;
      for (let i = 0; i < 40; i++) y = sub(mul(y, 3), add(y, 1));
      return [y];
    },
    ones,
  );
  // log₂ n steps, each of which reads two elements of the one before.
  const { graph } = traceInputs([[16384]], ones, ([x]) => gradients(product(x), [x]));
  const { steps } = compileGraph(graph, MACHINE).program;
  let nodes = 0;
  for (const { kernel } of steps) {
    if (kernel.kind !== 'nest') continue;
    for (const e of [...kernel.reducers.map((r) => r.body), ...kernel.outputs]) visitExpression(e, () => nodes++);
  }
  assert.ok(nodes < 40 * steps.length, `${nodes} nodes in ${steps.length} steps`);
});

test('long chains compile in reasonable time, with any number of operands', () => {
  const plan = check([[5], ...new Array<Shape>(500).fill([5])], ([x, ...more]) => {
    let y = x;
    for (const z of more) y = relu(sub(z, y));
    return [y, concat(more.slice(0, 300))];
  });
  assert.ok(plan.program.steps.length > 1);
  check([[5]], ([x]) => {
    let y = x;
    for (let i = 0; i < 1000; i++) y = relu(sub(1, y));
    return [reshape(y, [5, 1])];
  });
});
