import { after, test } from 'node:test';
import fc from 'fast-check';
import { printSteps } from '../../compiler/steps.js';
import { assertSame, graphSpecs, referenceRun, traceSpec } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

/** More, by hand, after changes of code generation. */
const RUNS = Number(process.env.GABOR_RUNS ?? 150);

const runner = new PlanRunner();
after(() => runner.close());

const options = fc.record({
  threads: fc.constantFrom(1, 1, 1, 2, 3),
  tile: fc.record({ rows: fc.integer({ min: 1, max: 8 }), vectors: fc.integer({ min: 1, max: 3 }) }),
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
