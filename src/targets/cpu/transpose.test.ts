import { after, test } from 'node:test';
import fc from 'fast-check';
import { printSteps } from '../../compiler/steps.js';
import { sum } from '../../ops/broadcast.js';
import { add, cast, greater, mul, sub } from '../../ops/elementwise.js';
import { flip } from '../../ops/flip.js';
import { gather } from '../../ops/gather.js';
import { transpose } from '../../ops/transpose.js';
import { Random } from '../../tensor/random.js';
import { sizeOf } from '../../tensor/shape.js';
import { backends } from '../../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

/** More, by hand, after changes of code generation. */
const RUNS = Number(process.env.GABOR_RUNS ?? 60);

const runner = new PlanRunner();
after(() => runner.close());

test('kernels whose operands run in different directions compute what the reference computes, and write nowhere else', () => {
  // Around the numbers of lanes; one axis long enough to be cut into parts.
  const extent = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 15, max: 35 }));
  const shapes = fc
    .tuple(fc.array(extent, { minLength: 1, maxLength: 3 }), fc.constantFrom(1, 2, 17, 40, 300, 5000))
    .map(([few, more]) => [...few, more])
    .filter((shape) => sizeOf(shape) <= 30_000);
  fc.assert(
    fc.property(shapes, backends, fc.constantFrom(1, 2, 3), fc.nat(), (shape, backend, threads, seed) => {
      const random = new Random(seed);
      const order = [...random.permutation(shape.length)];
      const turned = order.map((axis) => shape[axis]);
      const [axis, other] = [random.integer(shape.length), random.integer(shape.length)];
      const { graph, inputs } = traceInputs(
        [shape, turned, turned, [20]],
        (size, i) => smallIntegers(size, seed + i),
        ([x, y, z, ids]) => {
          const across = transpose(x, order);
          return [
            across,
            sub(add(mul(y, 3), mul(across, across)), z),
            add(transpose(cast(x, 'i32'), order), cast(z, 'i32')),
            add(cast(transpose(greater(x, 0), order), 'f32'), across),
            add(y, flip(across, [axis])),
            sum(across, [axis]),
            sum(mul(across, y), [...new Set([axis, other])]),
            add(gather(across, cast(ids, 'i32'), { axis }), gather(y, cast(ids, 'i32'), { axis })),
          ];
        },
      );
      const expected = referenceRun(graph, inputs);
      const got = runner.run(graph, inputs, { backend, threads });
      const what = (): string => `[${shape}] → [${order}], ${axis}, ${other}\n${printSteps(got.plan.program)}\n`;
      assertSame(got.outputs, expected.outputs, what);
      assertSame(got.inputs, expected.inputs, what);
    }),
    { numRuns: RUNS },
  );
});
