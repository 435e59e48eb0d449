import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setDevice } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { assign, trace } from '../graph/trace.js';
import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { add, exp, mul, sub } from '../ops/elementwise.js';
import { transpose } from '../ops/transpose.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import type { TypedArray } from '../tensor/dtype.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import type { Plan } from './compile.js';
import { printSteps } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

/** A program of inputs and of parameters, which it may change. */
function traced(
  shapes: readonly Shape[],
  parameterShapes: readonly Shape[],
  body: (inputs: Tensor[], parameters: Tensor[]) => Tensor[],
): { graph: Graph; inputs: TypedArray[] } {
  setDevice(new ReferenceDevice({ precision: 'f64' }));
  const parameters = parameterShapes.map((shape, i) => tensor(smallIntegers(sizeOf(shape), 9 + i), { shape }));
  const { graph, captured } = trace((into) =>
    body(
      shapes.map((shape) => Tensor.fromTraced(into.addInput({ dtype: 'f32', shape }))),
      parameters,
    ),
  );
  const inputs = shapes.map((shape, i) => smallIntegers(sizeOf(shape), i));
  return { graph, inputs: [...inputs, ...[...captured.keys()].map((t) => t.data())] };
}

/** Runs on the CPU with two threads and checks results and parameters against the reference. */
function check(...of: Parameters<typeof traced>): Plan {
  const { graph, inputs } = traced(...of);
  const got = runner.run(graph, inputs, { threads: 2 });
  const expected = referenceRun(graph, inputs);
  const text = (): string => printSteps(got.plan.program);
  assertSame(got.outputs, expected.outputs, text);
  assertSame(got.inputs, expected.inputs, text);
  return got.plan;
}

const resultsOf = ({ program }: Plan): number[] => program.steps.map(({ results }) => results.length);

test('an update of several states is one kernel, which writes all of them in place', () => {
  const shape = [40, 70];
  const plan = check([[70, 40]], [shape, shape, shape], ([x], [p, m, v]) => {
    const g = transpose(x, [1, 0]);
    assign(m, add(mul(m, 2), g));
    assign(v, add(v, mul(g, g)));
    assign(p, sub(p, mul(m, v)));
    return [];
  });
  assert.deepEqual(resultsOf(plan), [3]);
  assert.equal(plan.memory.arenaBytes, 0);
});

test('sums over one operand are one pass, whose results may go on into running ones', () => {
  const plan = check(
    [
      [50, 30],
      [50, 30],
    ],
    [[30]],
    ([x, y], [running]) => {
      const mean = sum(x, [0]);
      const product = sum(mul(x, y), [0]);
      assign(running, add(mul(running, 3), mean));
      return [mean, product];
    },
  );
  assert.deepEqual(resultsOf(plan), [3]);
});

test('parts of reductions are combined as well', () => {
  const plan = check(
    [
      [512, 30],
      [512, 30],
    ],
    [],
    ([x, y]) => [sum(x, [0]), sum(mul(x, y), [0])],
  );
  assert.equal(resultsOf(plan)[0], 2);
});

test('what reads an input stays ahead of what overwrites it', () => {
  const shape = [33];
  const plan = check([shape, shape], [shape, shape], ([x, y], [p, q]) => {
    const first = exp(mul(x, 0));
    const old = sum(mul(p, add(y, first)));
    assign(p, add(x, q));
    const between = mul(q, old);
    assign(q, sub(x, y));
    return [first, between, add(p, q)];
  });
  assert.ok(plan.program.steps.length > 1);
});

test('nests that share nothing large, or a result at another place, stay apart', () => {
  const shape = [20, 20];
  const apart = check([shape, shape], [], ([x, y]) => [mul(x, 2), mul(y, 3)]);
  assert.deepEqual(resultsOf(apart), [1, 1]);
  const turned = check([shape], [], ([x]) => {
    const square = mul(x, x);
    return [square, add(transpose(square, [1, 0]), 1)];
  });
  assert.deepEqual(resultsOf(turned), [1, 1]);
});
