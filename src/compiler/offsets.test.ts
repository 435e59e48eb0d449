import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { concat } from '../ops/concat.js';
import { linear } from '../ops/conv.js';
import { add, mul } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { pad, slice } from '../ops/slice.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { printSteps, type Step } from './steps.js';
import { Structures } from './structure.js';

const runner = new PlanRunner();
after(() => runner.close());

/** Runs on one thread and on three, compares with the reference, and returns the steps. */
function check(shapes: readonly Shape[], body: (inputs: Tensor[]) => Tensor[]): readonly Step[] {
  const { graph, inputs } = traceInputs(shapes, smallIntegers, body);
  const expected = referenceRun(graph, inputs).outputs;
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, expected, () => printSteps(plan.program));
  assertSame(runner.run(graph, inputs, { threads: 3 }).outputs, expected, () => printSteps(plan.program));
  return plan.program.steps;
}

test('kernels that differ in where they begin to read are the same', () => {
  // The epilogue of a product, and maps, each of another row.
  const shapes = [
    [6, 8],
    [1, 4],
    [8, 4],
  ];
  const steps = check(shapes, ([x, h, w]) => {
    let state = h;
    for (let t = 0; t < 6; t++) {
      const row = slice(x, [t, 0], [1, 8]);
      const sums = add(linear(state, w), row);
      state = mul(slice(sums, [0, 0], [1, 4]), slice(sums, [0, 4], [1, 4]));
      // Small numbers stay exact.
      state = add(mul(state, 0), slice(row, [0, 2], [1, 4]));
    }
    return [state];
  });
  const structures = new Structures();
  const kernels = new Set(steps.map(({ kernel }) => structures.numberOf([kernel])));
  assert.ok(kernels.size <= 4, printSteps({ inputs: [], outputs: [], updates: [], steps: [...steps] }));
});

test('reads from the middle, through guards, along several axes, and of parts of parts', () => {
  check([[4, 6, 5]], ([x]) => [
    add(slice(x, [1, 2, 1], [2, 3, 2]), 1),
    mul(slice(x, [3, 0, 0], [1, 2, 5], [1, 3, 1]), 2),
    pad(slice(x, [2, 1, 3]), [0, 1, 0], [1, 0, 0]),
    add(pad(slice(x, [2, 1, 3]), [0, 1, 0], [1, 0, 0]), slice(x, [1, 0, 0], [3, 6, 2])),
  ]);
  check(
    [
      [4, 6],
      [4, 2],
    ],
    ([x, y]) => {
      const joined = concat([mul(x, 2), y], 1);
      const late = slice(joined, [1, 5], [3, 3]);
      return [add(late, slice(joined, [0, 1], [3, 3])), reshape(slice(mul(joined, 3), [2, 0], [2, 8]), [16])];
    },
  );
});

test('a part of a concatenation is read from its middle before the others are written', () => {
  // As reflected borders are: the pieces in front and behind come from the middle.
  check([[4, 6]], ([x]) => {
    const middle = linear(x, x);
    const front = slice(middle, [0, 1], [4, 2]);
    const wide = concat([mul(front, 2), middle, mul(slice(middle, [0, 2], [4, 1]), 3)], 1);
    return [concat([mul(slice(wide, [1, 0], [1, 7]), 2), wide, mul(slice(wide, [2, 0], [1, 7]), 3)], 0)];
  });
});
