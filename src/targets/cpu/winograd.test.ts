import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { compileGraph } from '../../compiler/compile.js';
import { printSteps } from '../../compiler/steps.js';
import { contractionShape, type Geometry, ROLE_OPERANDS, type Role } from '../../kernel/contraction.js';
import { contract } from '../../ops/convolution.js';
import { add, mul, relu } from '../../ops/elementwise.js';
import { type Backend, nativeProblem, wasmBackend, x64Backend } from '../../runtime/backend.js';
import { Random } from '../../tensor/random.js';
import { interpretSteps } from '../../testing/interpret-steps.js';
import { referenceRun, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

/** More, by hand, after changes of code generation. */
const RUNS = Number(process.env.GABOR_RUNS ?? 25);

const runner = new PlanRunner();
after(() => runner.close());

/** Stride 1, three taps along at least one axis; anything else that a convolution can have. */
const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    batch: fc.integer({ min: 1, max: 2 }),
    groups: fc.constantFrom(1, 1, 2),
    channelsIn: fc.integer({ min: 1, max: 9 }),
    channelsOut: fc.integer({ min: 4, max: 21 }),
    axes: fc.array(
      fc.record({
        input: fc.integer({ min: 1, max: 9 }),
        kernel: fc.constantFrom(3, 3, 3, 1),
        dilation: fc.constantFrom(1, 1, 2, 3),
        padLow: fc.integer({ min: 0, max: 3 }),
        padHigh: fc.integer({ min: 0, max: 3 }),
      }),
      { minLength: 1, maxLength: 3 },
    ),
  })
  .map((g) => ({
    ...g,
    axes: g.axes.map(({ padHigh, ...axis }) => ({
      ...axis,
      stride: 1,
      output: axis.input + axis.padLow + padHigh - axis.dilation * (axis.kernel - 1),
    })),
  }))
  .filter((g) => g.axes.every((a) => a.output > 0) && g.axes.some((a) => a.kernel === 3))
  // Groups of few channels have a schedule of their own.
  .filter((g) => g.groups === 1 || Math.min(g.channelsIn, g.channelsOut) >= 4);

const roles = fc.constantFrom<Role>('output', 'input', 'filter');

function backends(m: 2 | 3 | 4): fc.Arbitrary<Backend> {
  const native = (['avx512', 'avx2'] as const).filter((features) => nativeProblem(features) === undefined);
  return fc.constantFrom(
    wasmBackend({ winograd: m }),
    ...native.map((features) => x64Backend({ features, winograd: m })),
  );
}

function random(seed: number): (size: number) => Float32Array {
  const generator = new Random(seed);
  return (size) => Float32Array.from({ length: size }, () => generator.normal());
}

/**
 * The error of F(m, 3) is below c · n · 2⁻²⁴ · Σ |a| |b| for sums of n products (Barabasz et al., "Error Analysis and Improving the
 * Accuracy of Winograd Convolution for Deep Neural Networks", TOMS 2020): c grows with the norms of the matrices along every axis.
 */
const GROWTH: Readonly<Record<number, number>> = { 2: 4, 3: 16, 4: 40 };

for (const m of [2, 3, 4] as const) {
  test(`F(${m}, 3) in every rank, dilated, grouped, padded: errors stay below their bound`, () => {
    fc.assert(
      fc.property(
        geometries,
        roles,
        backends(m),
        fc.constantFrom(1, 2),
        fc.integer(),
        (geometry, role, backend, threads, seed) => {
          // Groups of few channels have a schedule of their own.
          const few = Math.min(geometry.channelsIn, geometry.channelsOut) < backend.machine.lanes;
          fc.pre(geometry.groups === 1 || !few);
          const [p, q, r] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
          const channel = [1, r[1], ...r.slice(2).map(() => 1)];
          const { graph, inputs } = traceInputs([p, q, channel], random(seed), ([a, b, bias]) => [
            relu(add(contract(role, a, b, geometry), bias)),
          ]);
          const { plan, outputs } = runner.run(graph, inputs, { backend, threads });
          assert.ok(
            plan.program.steps.some(
              ({ kernel }) => (kernel.kind === 'tile' || kernel.kind === 'outer') && kernel.winograd !== undefined,
            ),
            printSteps(plan.program),
          );
          const [exact] = referenceRun(graph, inputs).outputs;
          const absolute = traceInputs([p, q, channel], random(seed), ([a, b, bias]) => [
            add(contract(role, mul(a, a), mul(b, b), geometry), mul(bias, bias)),
          ]);
          const magnitude = Math.sqrt(Math.max(...referenceRun(absolute.graph, absolute.inputs).outputs[0], 1));
          const axes = geometry.axes.filter((a) => a.kernel === 3).length;
          const bound = GROWTH[m] ** axes * 8 * 2 ** -24 * magnitude;
          exact.forEach((value, i) => {
            assert.ok(
              Math.abs(outputs[0][i] - value) <= bound,
              `element ${i} is ${outputs[0][i]}, not ${value} ± ${bound}`,
            );
          });
        },
      ),
      { numRuns: RUNS },
    );
  });

  test(`F(${m}, 3) means what it computes: kernels interpreted one by one`, () => {
    fc.assert(
      fc.property(geometries, roles, fc.integer(), (geometry, role, seed) => {
        const shapes = ROLE_OPERANDS[role].slice(0, 2).map((which) => contractionShape(geometry, which));
        fc.pre(contractionShape(geometry, ROLE_OPERANDS[role][2]).reduce((a, b) => a * b, 1) < 300);
        const { graph, inputs } = traceInputs(shapes, random(seed), ([a, b]) => [contract(role, a, b, geometry)]);
        const { program } = compileGraph(graph, wasmBackend({ winograd: m }).machine);
        const [got] = interpretSteps(program, inputs).outputs;
        const [exact] = referenceRun(graph, inputs).outputs;
        exact.forEach((value, i) => {
          assert.ok(
            Math.abs(got[i] - value) <= 1e-4 * (1 + Math.abs(value)),
            `element ${i} is ${got[i]}, not ${value}`,
          );
        });
      }),
      { numRuns: 3 },
    );
  });
}
