import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Nest } from '../kernel/kernel.js';
import { maxPoolWithTaps } from '../ops/maxpool.js';
import { maxPool2d } from '../ops/pooling.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { printSteps } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

/** Compares with the reference, and returns the kinds of all reducers. */
function reducers(body: (inputs: Tensor[]) => Tensor[]): string[] {
  const values = [3, Number.NaN, -0, 0, Number.NEGATIVE_INFINITY, -2];
  const contents = (size: number): Float32Array =>
    Float32Array.from({ length: size }, (_, i) => values[(i * 5) % 7] ?? i);
  const { graph, inputs } = traceInputs([[1, 3, 8, 8]], contents, body);
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => printSteps(plan.program));
  return plan.program.steps.flatMap(({ kernel }) => (kernel as Nest).reducers.map(({ kind }) => kind));
}

test('where nobody reads which tap is the largest, only the value is computed', () => {
  assert.deepEqual(
    reducers(([x]) => [maxPool2d(x, 3, { stride: 2, padding: 1 })]),
    ['max'],
  );
  const axis = { input: 8, kernel: 2, output: 4, stride: 2, dilation: 1, padLow: 0 };
  const both = ([x]: Tensor[]): Tensor[] => {
    const { values, taps } = maxPoolWithTaps(x, [axis, axis]);
    return [values, taps];
  };
  assert.deepEqual(reducers(both), ['argmax']);
  assert.deepEqual(
    reducers((inputs) => both(inputs).slice(1)),
    ['argmax'],
  );
});
