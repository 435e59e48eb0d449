import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compileGraph } from '../../../compiler/compile.js';
import { type MachineDescription, USUAL_CACHES } from '../../../compiler/machine.js';
import { printSteps, type Step } from '../../../compiler/steps.js';
import {
  contractionShape,
  type Geometry,
  ROLE_OPERANDS,
  type Role,
  type SpatialAxis,
} from '../../../kernel/contraction.js';
import { contract } from '../../../ops/convolution.js';
import { add, relu } from '../../../ops/elementwise.js';
import { nativeProblem } from '../../../runtime/backend.js';
import { sizeOf } from '../../../tensor/shape.js';
import { type Edge, runGuarded } from '../../../testing/native.js';
import {
  assertSame,
  graphSpecs,
  referenceRun,
  smallIntegers,
  traceInputs,
  traceSpec,
} from '../../../testing/random-graphs.js';

// All kernels by machine code against the reference, between pages that nobody may touch: whatever reads or writes outside of its
// tensors ends the process. Values are small integers, so sums are exact in any order.

const RUNS = Number(process.env.GABOR_RUNS ?? 40);
/** Their programs are large. */
const WINOGRAD_RUNS = Math.ceil(RUNS / 3);
const LANES = { avx512: 16, avx2: 8 } as const;

const axis: fc.Arbitrary<SpatialAxis> = fc
  .record({
    input: fc.integer({ min: 1, max: 9 }),
    kernel: fc.integer({ min: 1, max: 3 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 2 }),
    padLow: fc.integer({ min: -1, max: 2 }),
    padHigh: fc.integer({ min: -1, max: 2 }),
  })
  .map(({ padHigh, ...rest }) => {
    const { input, kernel, stride, dilation, padLow } = rest;
    return {
      ...rest,
      output: Math.max(0, Math.floor((input + padLow + padHigh - dilation * (kernel - 1) - 1) / stride) + 1),
    };
  });

const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    batch: fc.integer({ min: 1, max: 4 }),
    channels: fc.oneof(
      fc.record({
        groups: fc.constant(1),
        channelsIn: fc.integer({ min: 1, max: 20 }),
        channelsOut: fc.integer({ min: 1, max: 70 }),
      }),
      fc.record({
        groups: fc.integer({ min: 2, max: 20 }),
        channelsIn: fc.integer({ min: 1, max: 3 }),
        channelsOut: fc.integer({ min: 1, max: 3 }),
      }),
    ),
    axes: fc.array(axis, { minLength: 0, maxLength: 2 }),
  })
  .map(({ batch, channels, axes }) => {
    const g: Geometry = { batch, ...channels, axes };
    const large = (['X', 'W', 'Z'] as const).some((which) => sizeOf(contractionShape(g, which)) > 8000);
    return large ? { ...g, batch: 1, axes: axes.slice(1) } : g;
  });

const machineOf = (
  features: keyof typeof LANES,
  rows: number,
  vectors: number,
  winograd: MachineDescription['winograd'] = false, // rounds differently
): MachineDescription => ({
  lanes: LANES[features],
  tile: { rows, vectors },
  caches: USUAL_CACHES,
  winograd,
});

const edges = fc.constantFrom<Edge>('start', 'end');
const rows = fc.integer({ min: 1, max: 14 });
const vectors = fc.integer({ min: 1, max: 4 });

for (const features of ['avx512', 'avx2'] as const) {
  const problem = nativeProblem(features);
  const only = (name: string, body: () => void): void => {
    test(`x64 ${features}: ${name}`, (t) => (problem === undefined ? body() : t.skip(problem)));
  };

  only('contractions in all roles, any geometry, any register tile', () => {
    const roles = fc.constantFrom<Role>('output', 'input', 'filter');
    fc.assert(
      fc.property(geometries, roles, rows, vectors, edges, fc.nat(), (geometry, role, r, v, edge, seed) => {
        const [p, q, out] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
        const channel = [1, out[1], ...out.slice(2).map(() => 1)];
        const { graph, inputs } = traceInputs(
          [p, q, channel],
          (size, i) => smallIntegers(size, seed + i),
          ([a, b, bias]) => [relu(add(contract(role, a, b, geometry), bias))],
        );
        const plan = compileGraph(graph, machineOf(features, r, v));
        const got = runGuarded(plan, graph, inputs, features, edge);
        assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => `${printSteps(plan.program)}\n`);
      }),
      { numRuns: RUNS },
    );
  });

  only('Winograd convolutions', () => {
    const side = fc.integer({ min: 1, max: 19 });
    const cases = fc.record({
      batch: fc.constantFrom(1, 2),
      channelsIn: fc.integer({ min: 1, max: 24 }),
      channelsOut: fc.integer({ min: 1, max: 70 }),
      sides: fc.tuple(side, side),
      padLow: fc.integer({ min: 0, max: 2 }),
      dilation: fc.constantFrom(1, 1, 2, 3),
      role: fc.constantFrom<Role>('output', 'input', 'filter'),
      m: fc.constantFrom(2 as const, 4 as const),
      r: rows,
      v: vectors,
      edge: edges,
      seed: fc.nat(),
    });
    let found = 0;
    fc.assert(
      fc.property(cases, ({ batch, channelsIn, channelsOut, sides, padLow, dilation, role, m, r, v, edge, seed }) => {
        const axes = sides.map((output) => ({
          input: output + 2 * dilation - padLow,
          kernel: 3,
          output,
          stride: 1,
          dilation,
          padLow,
        }));
        const geometry: Geometry = { batch, groups: 1, channelsIn, channelsOut, axes };
        if (axes.some(({ input }) => input < 1)) return;
        const { graph, inputs } = traceInputs(
          ROLE_OPERANDS[role].slice(0, 2).map((which) => contractionShape(geometry, which)),
          (size, i) => smallIntegers(size, seed + i),
          ([a, b]) => [contract(role, a, b, geometry)],
        );
        const plan = compileGraph(graph, machineOf(features, r, v, m));
        const isWinograd = ({ kernel }: Step): boolean =>
          (kernel.kind === 'tile' || kernel.kind === 'outer') && kernel.winograd !== undefined;
        found += +plan.program.steps.some(isWinograd);
        const [got] = runGuarded(plan, graph, inputs, features, edge).outputs;
        const [reference] = referenceRun(graph, inputs).outputs;
        const expected = Array.from(reference);
        const terms = { output: 9 * channelsIn, input: 9 * channelsOut, filter: batch * sides[0] * sides[1] };
        const largest = Math.max(terms[role], ...expected.map(Math.abs));
        const worst = Math.max(0, ...expected.map((x, i) => Math.abs(x - got[i])));
        assert.ok(worst <= 1e-5 * largest, `error ${worst}, largest ${largest}: ${JSON.stringify(geometry)}`);
      }),
      { numRuns: WINOGRAD_RUNS },
    );
    assert.ok(found > WINOGRAD_RUNS / 10, `${found} of ${WINOGRAD_RUNS} convolutions were Winograd's`);
  });

  only('random programs', () => {
    fc.assert(
      fc.property(graphSpecs, rows, vectors, edges, (spec, r, v, edge) => {
        const { graph, inputs } = traceSpec(spec);
        const plan = compileGraph(graph, machineOf(features, r, v));
        const got = runGuarded(plan, graph, inputs, features, edge);
        const expected = referenceRun(graph, inputs);
        assertSame(got.outputs, expected.outputs, () => `${printSteps(plan.program)}\n`);
        assertSame(got.inputs, expected.inputs, () => `${printSteps(plan.program)}\n`);
      }),
      { numRuns: RUNS },
    );
  });
}
