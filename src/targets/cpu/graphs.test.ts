import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { printSteps } from '../../compiler/steps.js';
import type { TypedArray } from '../../tensor/dtype.js';
import { backends } from '../../testing/backends.js';
import { assertSame, graphSpecs, referenceRun, traceSpec } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

/** More, by hand, after changes of code generation. */
const RUNS = Number(process.env.GABOR_RUNS ?? 75);

const runner = new PlanRunner();
after(() => runner.close());

const options = fc.record({
  threads: fc.constantFrom(1, 1, 1, 2, 3),
  backend: backends,
});

test('random programs compute what the reference computes, and write nowhere else', () => {
  fc.assert(
    fc.property(graphSpecs, options, (spec, how) => {
      const { graph, inputs } = traceSpec(spec);
      const expected = referenceRun(graph, inputs);
      const got = runner.run(graph, inputs, how);
      const what = (): string => `${printSteps(got.plan.program)}\n`;
      assertSame(got.outputs, expected.outputs, what);
      assertSame(got.inputs, expected.inputs, () => `${what()}inputs`);
    }),
    { numRuns: RUNS },
  );
});

test('the number of threads changes no bit of any result, of integers or not', () => {
  fc.assert(
    fc.property(graphSpecs, backends, (spec, backend) => {
      const { graph, inputs } = traceSpec(spec);
      const fractions = inputs.map((data) => data.map((value) => value * 0.37));
      const [one, ...more] = [1, 2, 4].map((threads) => runner.run(graph, fractions, { backend, threads }));
      for (const other of more) {
        assert.deepEqual(other.outputs.map(bitsOf), one.outputs.map(bitsOf));
        assert.deepEqual(other.inputs.map(bitsOf), one.inputs.map(bitsOf));
      }
    }),
    { numRuns: Math.ceil(RUNS / 4) },
  );
});

function bitsOf({ buffer }: TypedArray): Uint8Array {
  return new Uint8Array(buffer);
}
