import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sum } from '../ops/broadcast.js';
import { add, exp, maximum, mul } from '../ops/elementwise.js';
import { argmax, max, min } from '../ops/reduce.js';
import { slice } from '../ops/slice.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import type { Plan } from './compile.js';
import { printSteps } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

function check(shape: Shape, body: (x: Tensor, b: Tensor) => Tensor[]): Plan {
  const { graph, inputs } = traceInputs([shape, shape.slice(1, 2)], smallIntegers, ([x, b]) => body(x, b));
  const expected = referenceRun(graph, inputs).outputs;
  const results = [1, 2, 3].map((threads) => runner.run(graph, inputs, { threads }));
  for (const { outputs, plan } of results) assertSame(outputs, expected, () => printSteps(plan.program));
  return results[0].plan;
}

const names = ({ program }: Plan): string[] => program.steps.map(({ name }) => name);
const partial = (plan: Plan): boolean => names(plan).some((name) => name.includes('partial'));

test('large reductions to few results are split into chunks, small or wide ones are not', () => {
  assert.ok(partial(check([32768], (x) => [sum(x)])));
  assert.ok(partial(check([32, 8, 40], (x) => [sum(x, [0, 2])])));
  assert.ok(partial(check([32, 8, 40], (x) => [max(x, [0, 2]), min(x, [0, 2])])));
  assert.ok(!partial(check([64], (x) => [sum(x)])));
  assert.ok(!partial(check([8, 4000], (x) => [sum(x, [0])])));
  // No divisor makes equal chunks; positions do not join.
  assert.ok(!partial(check([32771], (x) => [sum(x)])));
  assert.ok(!partial(check([32768], (x) => [argmax(x)])));
});

test('what was fused behind and in front of the sum stays with it', () => {
  const plan = check([64, 6, 32], (x, b) => [maximum(add(mul(sum(add(slice(x, [0, 0, 0]), 1), [0, 2]), 2), b), -100)]);
  assert.equal(names(plan).length, 2, printSteps(plan.program));
  assert.ok(partial(plan));
  const [first, second] = plan.program.steps;
  assert.ok(first.kernel.kind === 'nest' && sizeOf(first.kernel.parallel) === 16 * 6);
  assert.ok(second.kernel.kind === 'nest' && second.kernel.reduce[0] === 16);
  check([64, 6, 32], (x, b) => [mul(sum(mul(exp(mul(x, 0)), x), [0, 2]), b)]);
});
