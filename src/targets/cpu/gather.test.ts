import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { printSteps } from '../../compiler/steps.js';
import { compile } from '../../graph/compile.js';
import { type Device, setDevice } from '../../graph/device.js';
import { castValue } from '../../kernel/scalar.js';
import { sum } from '../../ops/broadcast.js';
import { tensor } from '../../ops/create.js';
import { cast, mul } from '../../ops/elementwise.js';
import { gather, indexAdd, scatterAdd, takeAlongAxis } from '../../ops/gather.js';
import { argmax } from '../../ops/reduce.js';
import { transpose } from '../../ops/transpose.js';
import { cpuDevice } from '../../runtime/cpu-device.js';
import type { DType, TypedArray } from '../../tensor/dtype.js';
import { Random } from '../../tensor/random.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { backends } from '../../testing/backends.js';
import { INSTRUCTIONS } from '../../testing/devices.js';
import { assertSame, referenceRun, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';
import { ReferenceDevice } from '../reference/device.js';

/** More, by hand, after changes of code generation. */
const RUNS = Number(process.env.GABOR_RUNS ?? 40);

const devices = INSTRUCTIONS.map((instructions) => cpuDevice({ threads: 2, instructions }));
const reference = new ReferenceDevice({ precision: 'f64' });
const runner = new PlanRunner();
after(async () => {
  await runner.close();
  for (const device of devices) await device.close();
});

const extent = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 2, arbitrary: fc.constantFrom(8, 17, 33, 100) },
);
const shapes = fc
  .array(extent, { minLength: 1, maxLength: 4 })
  .map((shape) => (sizeOf(shape) > 4000 ? shape.slice(0, 2) : shape));
const some = fc.array(extent, { minLength: 0, maxLength: 2 });

/** A shape like `shape` with `more` in place of one axis. */
function replaced(shape: Shape, axis: number, more: Shape): number[] {
  return [...shape.slice(0, axis), ...more, ...shape.slice(axis + 1)];
}

test('reading by index is the reference of every dtype and geometry, indices out of range included', () => {
  const dtypes = fc.constantFrom<DType>('f32', 'i32', 'u8', 'bool');
  fc.assert(
    fc.property(shapes, some, dtypes, fc.nat(), (shape, more, dtype, seed) => {
      const random = new Random(seed);
      const axis = random.integer(shape.length);
      const numbers = (of: Shape): number[] => {
        const reach = 2 * shape[axis] + 3;
        return Array.from({ length: sizeOf(of) }, () => random.integer(2 * reach) - reach);
      };
      const table = Array.from({ length: sizeOf(shape) }, () => castValue(dtype, random.integer(300) - 100));
      const along = replaced(shape, axis, [1 + random.integer(20)]);
      const order = [...random.permutation(shape.length)];
      const inputs = [table, numbers(more), numbers(along)];
      const on = (device: Device): TypedArray[] => {
        setDevice(device);
        const [x, ids, alongIds] = [
          tensor(inputs[0], { shape, dtype }),
          tensor(inputs[1], { shape: more, dtype: 'i32' }),
          tensor(inputs[2], { shape: along, dtype: 'i32' }),
        ];
        const run = compile((x: Tensor, ids: Tensor, alongIds: Tensor) => [
          gather(x, ids, { axis }),
          indexAdd(cast(x, 'i32'), ids, gather(cast(x, 'i32'), ids, { axis }), { axis }),
          takeAlongAxis(x, alongIds, { axis }),
          // Through other memory, and by what a kernel found.
          gather(transpose(x, order), ids, { axis: order.indexOf(axis) }),
          gather(x, argmax(cast(alongIds, 'f32'), axis), { axis }),
        ]);
        const results = run.sync(x, ids, alongIds).map((t) => t.data());
        run.dispose();
        return results;
      };
      const expected = on(reference);
      for (const device of devices) {
        const what = `${dtype}[${shape}] along ${axis} at [${more}], order ${order}, ${device.instructions}`;
        assertSame(on(device), expected, () => what);
      }
    }),
    { numRuns: RUNS },
  );
});

/** Both ways of adding up, with indices that repeat and may be out of range, of `x`, numbers for the indices, two sources. */
function additions(axis: number): (inputs: Tensor[]) => Tensor[] {
  return ([x, ids, source, alongIds, alongSource]) => [
    indexAdd(x, cast(ids, 'i32'), mul(source, 0.5), { axis }),
    scatterAdd(x, cast(alongIds, 'i32'), alongSource, { axis }),
  ];
}

test('adding up by index is the reference in every geometry, with the same bits on any number of threads', () => {
  fc.assert(
    fc.property(shapes, some, backends, fc.nat(), (shape, more, backend, seed) => {
      const random = new Random(seed);
      const axis = random.integer(shape.length);
      const source = replaced(shape, axis, more);
      if (sizeOf(source) > 20_000) return;
      const along = replaced(shape, axis, [1 + random.integer(40)]);
      const reach = shape[axis] + 1;
      const all = [shape, more, source, along, along];
      const { graph, inputs } = traceInputs(
        all,
        (size, i) =>
          Float32Array.from({ length: size }, () =>
            i === 1 || i === 3 ? random.integer(2 * reach) - reach : random.integer(9) - 4,
          ),
        additions(axis),
      );
      const expected = referenceRun(graph, inputs);
      const got = runner.run(graph, inputs, { backend, threads: 1 + random.integer(3) });
      assertSame(got.outputs, expected.outputs, () => printSteps(got.plan.program));
      // Sums of fractions depend on their order.
      const fractions = inputs.map((data, i) => (i === 1 || i === 3 ? data : data.map(() => random.normal())));
      const [one, two, four] = [1, 2, 4].map((threads) => runner.run(graph, fractions, { backend, threads }).outputs);
      assert.deepEqual(two, one);
      assert.deepEqual(four, one);
    }),
    { numRuns: RUNS },
  );
});

test('many values for few places are added up in chunks, and threads change no bit', () => {
  const random = new Random(3);
  const shapes = [[5, 7], [4096], [4096, 7]];
  const { graph, inputs } = traceInputs(
    shapes,
    (size, i) => Float32Array.from({ length: size }, () => (i === 1 ? random.integer(12) - 6 : random.normal())),
    ([x, ids, source]) => [indexAdd(x, cast(ids, 'i32'), source), sum(source, [1])],
  );
  const runs = [1, 2, 4].map((threads) => runner.run(graph, inputs, { threads }));
  assert.ok(runs[0].plan.program.steps.some((step) => step.name.includes('scatterAdd (partial)')));
  assert.deepEqual(runs[1].outputs, runs[0].outputs);
  assert.deepEqual(runs[2].outputs, runs[0].outputs);
  const { outputs } = referenceRun(graph, inputs);
  outputs[0].forEach((value, i) => {
    assert.ok(Math.abs(value - runs[0].outputs[0][i]) < 1e-3 * Math.max(1, Math.abs(value)), `element ${i}`);
  });
});
