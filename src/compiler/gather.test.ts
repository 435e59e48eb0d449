import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { sum } from '../ops/broadcast.js';
import { cast, exp, mul, neg, relu } from '../ops/elementwise.js';
import { embedding, gather, indexAdd } from '../ops/gather.js';
import { pad } from '../ops/slice.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import type { Step } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

/** The steps of a program that was run and agrees with the reference; argument 1 holds indices from 0 to 6. */
function stepsOf(shapes: readonly Shape[], body: (x: Tensor, ids: Tensor, more: Tensor) => Tensor[]): readonly Step[] {
  const contents = (size: number, i: number): Float32Array =>
    smallIntegers(size, i).map((value) => (i === 1 ? value + 3 : value));
  const { graph, inputs } = traceInputs(shapes, contents, ([x, ids, more]) => body(x, cast(ids, 'i32'), more));
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => 'outputs');
  return plan.program.steps;
}

test('what is read by index is computed only where it is read', () => {
  const steps = stepsOf([[50, 6], [4]], (x, ids) => [neg(gather(mul(x, x), ids))]);
  assert.equal(steps.length, 1);
  // Where it is read more often than there are elements, it is computed once.
  const often = stepsOf([[7, 2], [90]], (x, ids) => [gather(exp(mul(x, 0)), ids)]);
  assert.equal(often.length, 2);
});

test('a guard on the axis that is read by index stays with its own kernel', () => {
  const steps = stepsOf([[5, 6], [4]], (x, ids) => [gather(pad(x, [1, 1], [1, 1]), ids)]);
  assert.deepEqual(
    steps.map((step) => step.name),
    ['pad', 'gather'],
  );
});

test('the gradient of an embedding is one walk, padding left out of it; what follows is a kernel of its own', () => {
  const shapes = [[7, 6], [9], [9, 6]];
  const steps = stepsOf(shapes, (w, ids, cotangent) => {
    const y = embedding(w, ids, { paddingIdx: 2 });
    return gradients(sum(mul(y, cotangent)), [w]);
  });
  assert.equal(steps.length, 1);
  const [{ kernel }] = steps;
  assert.ok(kernel.kind === 'nest' && kernel.scatter !== undefined);
  const after = stepsOf(shapes, (w, ids, source) => [relu(indexAdd(w, ids, source))]);
  assert.equal(after.length, 2);
});
