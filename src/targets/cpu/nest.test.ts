import { after, test } from 'node:test';
import fc from 'fast-check';
import { printSteps } from '../../compiler/steps.js';
import { sum } from '../../ops/broadcast.js';
import { concat } from '../../ops/concat.js';
import { add, mul, sub } from '../../ops/elementwise.js';
import { max, min } from '../../ops/reduce.js';
import { pad } from '../../ops/slice.js';
import { transpose } from '../../ops/transpose.js';
import { backends } from '../../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

const RUNS = Number(process.env.GABOR_RUNS ?? 40);

const runner = new PlanRunner();
after(() => runner.close());

const threads = fc.constantFrom(1, 1, 2);
/** Rows long enough to be cut into parts, or short. */
const length = fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 4000, max: 9000 }));

test('guards along the vector loop: pads and concatenations, in pieces and parts', () => {
  const cases = fc.record({
    lengths: fc.array(length, { minLength: 1, maxLength: 4 }),
    low: fc.integer({ min: -3, max: 20 }),
    high: fc.integer({ min: -3, max: 20 }),
    backend: backends,
    threads,
  });
  fc.assert(
    fc.property(cases, ({ lengths, low, high, backend, threads }) => {
      fc.pre(lengths.reduce((a, b) => a + b, low + high) >= 0);
      const { graph, inputs } = traceInputs(
        lengths.map((n) => [n]),
        smallIntegers,
        (parts) => [pad(concat(parts, 0), [low], [high])],
      );
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => printSteps(got.plan.program));
    }),
    { numRuns: RUNS },
  );
});

test('borders of images whose columns and channels are one run', () => {
  const side = fc.integer({ min: 0, max: 4 });
  const cases = fc.record({
    shape: fc.tuple(
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 6 }),
      fc.integer({ min: 1, max: 60 }),
      fc.integer({ min: 1, max: 5 }),
    ),
    low: fc.tuple(fc.constantFrom(0, 0, 1), side, side, fc.constantFrom(0, 0, 1)),
    high: fc.tuple(fc.constantFrom(0, 0, 1), side, side, fc.constantFrom(0, 0, 1)),
    transposed: fc.boolean(),
    backend: backends,
    threads,
  });
  fc.assert(
    fc.property(cases, ({ shape, low, high, transposed, backend, threads }) => {
      const { graph, inputs } = traceInputs([shape], smallIntegers, ([x]) => [
        pad(transposed ? transpose(x, [0, 3, 1, 2]) : x, low, high),
      ]);
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => printSteps(got.plan.program));
    }),
    { numRuns: RUNS },
  );
});

test('few channels put beside each other, with borders and values of their own', () => {
  const side = fc.integer({ min: 0, max: 4 });
  const cases = fc.record({
    shape: fc.tuple(
      fc.integer({ min: 1, max: 2 }),
      fc.integer({ min: 2, max: 5 }),
      fc.integer({ min: 1, max: 5 }),
      fc.integer({ min: 1, max: 90 }),
    ),
    low: fc.tuple(fc.constant(0), side, side, fc.constantFrom(0, 0, 1)),
    high: fc.tuple(fc.constant(0), side, side, fc.constant(0)),
    scaled: fc.boolean(),
    backend: backends,
    threads,
  });
  fc.assert(
    fc.property(cases, ({ shape, low, high, scaled, backend, threads }) => {
      const [n, channels, height, width] = shape;
      const { graph, inputs } = traceInputs(
        [shape, [channels], [n, height, width, 1]],
        smallIntegers,
        ([x, scale, shift]) => {
          const last = transpose(x, [0, 2, 3, 1]);
          return [pad(scaled ? add(mul(last, scale), shift) : last, low, high)];
        },
      );
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => printSteps(got.plan.program));
    }),
    { numRuns: RUNS },
  );
});

test('reductions of many rows that share an operand, side by side', () => {
  const cases = fc.record({
    batch: fc.integer({ min: 1, max: 3 }),
    rows: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 500, max: 560 })),
    columns: fc.integer({ min: 1, max: 150 }),
    backend: backends,
    threads,
  });
  fc.assert(
    fc.property(cases, ({ batch, rows, columns, backend, threads }) => {
      const { graph, inputs } = traceInputs(
        [
          [batch, 1, columns],
          [rows, columns],
          [batch, rows],
        ],
        smallIntegers,
        ([x, w, bias]) => [
          add(sum(mul(w, x), [2]), bias),
          max(sub(w, x), [2]),
          min(sub(x, w), [2]),
          sum(sub(mul(w, 2), x), [2]),
        ],
      );
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => printSteps(got.plan.program));
    }),
    { numRuns: RUNS },
  );
});
