import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { gradients } from '../../autodiff/gradients.js';
import { printSteps } from '../../compiler/steps.js';
import {
  contractionShape,
  type Geometry,
  ROLE_OPERANDS,
  type Role,
  type SpatialAxis,
} from '../../kernel/contraction.js';
import { sum } from '../../ops/broadcast.js';
import { contract } from '../../ops/convolution.js';
import { add, maximum, mul, neg, relu, sub } from '../../ops/elementwise.js';
import { reshape } from '../../ops/reshape.js';
import { transpose } from '../../ops/transpose.js';
import { allocateArray, type TypedArray } from '../../tensor/dtype.js';
import { Random } from '../../tensor/random.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { BACKENDS, backends, describeBackend } from '../../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

const RUNS = Number(process.env.GABOR_RUNS ?? 75);
const LARGEST = 6000;

const runner = new PlanRunner();
after(() => runner.close());

const axis: fc.Arbitrary<SpatialAxis> = fc
  .record({
    input: fc.integer({ min: 1, max: 9 }),
    kernel: fc.integer({ min: 1, max: 4 }),
    stride: fc.integer({ min: 1, max: 3 }),
    dilation: fc.integer({ min: 1, max: 3 }),
    padLow: fc.integer({ min: -2, max: 3 }),
    padHigh: fc.integer({ min: -2, max: 3 }),
    // Any output extent has a meaning, also one that leaves out inputs or reaches beyond them.
    more: fc.constantFrom(0, 0, 0, 0, -1, 1, 2),
  })
  .map(({ padHigh, more, ...rest }) => {
    const { input, kernel, stride, dilation, padLow } = rest;
    const fits = Math.floor((input + padLow + padHigh - dilation * (kernel - 1) - 1) / stride) + 1;
    return { ...rest, output: Math.max(0, fits + more) };
  });

/** Dense, grouped, depthwise with and without multiplier; all extents small, but not multiples of anything. */
const geometries: fc.Arbitrary<Geometry> = fc
  .record({
    batch: fc.constantFrom(1, 2, 3, 4, 5, 7),
    channels: fc.oneof(
      fc.record({
        groups: fc.constant(1),
        channelsIn: fc.integer({ min: 1, max: 18 }),
        channelsOut: fc.integer({ min: 1, max: 18 }),
      }),
      fc.record({
        groups: fc.integer({ min: 2, max: 4 }),
        channelsIn: fc.integer({ min: 1, max: 6 }),
        channelsOut: fc.integer({ min: 1, max: 9 }),
      }),
      fc.record({
        groups: fc.integer({ min: 1, max: 19 }),
        channelsIn: fc.constant(1),
        channelsOut: fc.integer({ min: 1, max: 3 }),
      }),
    ),
    axes: fc.array(axis, { minLength: 0, maxLength: 3 }),
  })
  .map(({ batch, channels, axes }) => {
    const shrink = (g: Geometry): Geometry => {
      const large = (['X', 'W', 'Z'] as const).some((which) => sizeOf(contractionShape(g, which)) > LARGEST);
      return large ? shrink({ ...g, batch: 1, axes: g.axes.slice(0, -1) }) : g;
    };
    return shrink({ batch, ...channels, axes });
  });

const roles = fc.constantFrom<Role>('output', 'input', 'filter');
const seeds = fc.nat({ max: 1_000_000 });

/** What a program is given: a tensor as it is, or one from which it computes the tensor first. */
type Source = 'input' | 'computed' | 'last' | 'flat';
const sources = fc.constantFrom<Source>('input', 'input', 'computed', 'last', 'flat');

/** [n, c, …] from [n, …, c]: what the layout pass may read without a copy. */
const fromLast = (rank: number): number[] => [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];

function sourceShape(source: Source, shape: Shape): Shape {
  if (source === 'last') return [shape[0], ...shape.slice(2), shape[1]];
  return source === 'flat' ? [sizeOf(shape)] : shape;
}

function fromSource(source: Source, x: Tensor, shape: Shape): Tensor {
  if (source === 'computed') return neg(add(x, 1));
  if (source === 'last') return transpose(x, fromLast(x.rank));
  return source === 'flat' ? reshape(x, shape) : x;
}

type Epilogue = 'none' | 'bias' | 'relu' | 'residual' | 'affine' | 'block' | 'norm';
const epilogues = fc.constantFrom<Epilogue>('none', 'bias', 'relu', 'residual', 'affine', 'block', 'norm');

/** `more`: one number per channel, twice, and a tensor of the result's shape. */
function withEpilogue(kind: Epilogue, y: Tensor, [a, b, other]: readonly Tensor[]): Tensor {
  switch (kind) {
    case 'none':
      return y;
    case 'bias':
      return add(y, a);
    case 'relu':
      return relu(y);
    case 'residual':
      return relu(add(y, other));
    case 'affine':
      return maximum(add(mul(y, a), b), -5);
    case 'block':
      return relu(add(relu(add(mul(y, a), b)), relu(sub(other, 1))));
    case 'norm':
      // The sum is used twice: by the reduction, and by what follows it.
      return sub(mul(y, 2), sum(y, [0], { keepDims: true }));
  }
}

test('all roles, any geometry and epilogue: sums of integers are exact', () => {
  const cases = fc.record({
    geometry: geometries,
    role: roles,
    backend: backends,
    threads: fc.constantFrom(1, 1, 1, 2),
    first: sources,
    second: sources,
    residual: sources,
    epilogue: epilogues,
    seed: seeds,
  });
  fc.assert(
    fc.property(cases, ({ geometry, role, backend, threads, first, second, residual, epilogue, seed }) => {
      const [p, q, r] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const channel = [1, r[1], ...r.slice(2).map(() => 1)];
      const shapes = [sourceShape(first, p), sourceShape(second, q), channel, channel, sourceShape(residual, r)];
      const { graph, inputs } = traceInputs(
        shapes,
        (size, i) => smallIntegers(size, seed + i),
        ([a, b, scale, shift, other]) => [
          withEpilogue(epilogue, contract(role, fromSource(first, a, p), fromSource(second, b, q), geometry), [
            scale,
            shift,
            fromSource(residual, other, r),
          ]),
        ],
      );
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => `${printSteps(got.plan.program)}\n`);
    }),
    { numRuns: RUNS },
  );
});

test('floats: the error of a sum of n products is below n · 2⁻²⁴ · Σ |a| |b|', () => {
  fc.assert(
    fc.property(geometries, roles, backends, seeds, (geometry, role, backend, seed) => {
      const [p, q] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const random = new Random(seed);
      const { graph, inputs } = traceInputs(
        [p, q],
        (size) => Float32Array.from({ length: size }, () => random.normal()),
        ([a, b]) => [contract(role, a, b, geometry)],
      );
      const { channelsIn, channelsOut, batch, axes } = geometry;
      const taps = axes.reduce((n, a) => n * a.kernel, 1);
      const positions = axes.reduce((n, a) => n * a.output, batch);
      const terms = { output: channelsIn * taps, input: channelsOut * taps, filter: positions }[role];
      const [exact] = referenceRun(graph, inputs).outputs;
      const [magnitude] = referenceRun(
        graph,
        inputs.map((data) => data.map(Math.abs)),
      ).outputs;
      const [got] = runner.run(graph, inputs, { backend }).outputs;
      exact.forEach((value, i) => {
        const bound = (terms + 1) * 2 ** -24 * magnitude[i];
        assert.ok(Math.abs(got[i] - value) <= bound, `element ${i} is ${got[i]}, not ${value} ± ${bound}`);
      });
    }),
    { numRuns: RUNS },
  );
});

test('gradients of a convolution, and gradients of those', () => {
  fc.assert(
    fc.property(geometries, roles, backends, fc.constantFrom(1, 2), seeds, (geometry, role, backend, threads, seed) => {
      const [p, q, r] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const { graph, inputs } = traceInputs(
        [p, q, r, p],
        (size, i) => smallIntegers(size, seed + i).map((x) => Math.sign(x)),
        ([a, b, c, d]) => {
          const first = gradients(sum(mul(relu(contract(role, a, b, geometry)), c)), [a, b]);
          const second = gradients(sum(mul(first[0], d)), [b, c]);
          return [...first, ...second];
        },
      );
      const got = runner.run(graph, inputs, { backend, threads });
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => `${printSteps(got.plan.program)}\n`);
    }),
    { numRuns: Math.ceil(RUNS / 2) },
  );
});

test('convolutions of one image share its padded copy only where they pad alike', () => {
  const geometry = (kernel: number, padLow: number, output: number): Geometry => {
    const one = { input: 6, kernel, output, stride: 1, dilation: 1, padLow };
    return { batch: 2, groups: 1, channelsIn: 3, channelsOut: 4, axes: [one, one] };
  };
  const all = [geometry(3, 1, 6), geometry(4, 1, 6), geometry(3, 0, 6), geometry(3, 1, 6), geometry(2, 0, 5)];
  const shapes = [contractionShape(all[0], 'X'), ...all.map((g) => contractionShape(g, 'W'))];
  const { graph, inputs } = traceInputs(shapes, smallIntegers, ([x, ...filters]) =>
    filters.map((w, i) => contract('output', x, w, all[i])),
  );
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => printSteps(plan.program));
  // Steps that read the same may be one.
  const copies = plan.program.steps.filter(({ name }) => name.includes('pad')).flatMap(({ results }) => results);
  assert.equal(copies.length, 3, printSteps(plan.program));
});

test('extents of zero: no batch, no channels, no taps, nothing in or out', () => {
  const usual = { input: 4, kernel: 2, output: 3, stride: 1, dilation: 1, padLow: 0 };
  const base: Geometry = { batch: 2, groups: 1, channelsIn: 3, channelsOut: 5, axes: [usual, usual] };
  const empty: Geometry[] = [
    { ...base, batch: 0 },
    { ...base, channelsIn: 0 },
    { ...base, channelsOut: 0 },
    { ...base, groups: 2, channelsOut: 0 },
    { ...base, channelsIn: 0, channelsOut: 0, axes: [] },
    { ...base, axes: [usual, { ...usual, kernel: 0 }] },
    { ...base, axes: [{ ...usual, input: 0 }, usual] },
    { ...base, axes: [{ ...usual, output: 0 }, usual] },
  ];
  for (const geometry of empty) {
    for (const role of Object.keys(ROLE_OPERANDS) as Role[]) {
      const [p, q] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const { graph, inputs } = traceInputs(
        [p, q],
        (size) => allocateArray('f32', size).fill(2),
        ([a, b]) => [add(contract(role, a, b, geometry), 1)],
      );
      const expected: readonly TypedArray[] = referenceRun(graph, inputs).outputs;
      assertSame(runner.run(graph, inputs).outputs, expected, () => `${role} ${JSON.stringify(geometry)}`);
    }
  }
});

test('filter gradients of lines, and of batches, that are longer than what the cache holds', () => {
  const line = (input: number): SpatialAxis => ({ input, kernel: 3, output: input, stride: 1, dilation: 2, padLow: 2 });
  const cases: Geometry[] = [
    { batch: 2, groups: 1, channelsIn: 48, channelsOut: 40, axes: [line(700)] },
    { batch: 8, groups: 1, channelsIn: 13, channelsOut: 21, axes: [line(1300)] },
    { batch: 700, groups: 1, channelsIn: 48, channelsOut: 40, axes: [] },
  ];
  for (const geometry of cases) {
    const [p, q] = ROLE_OPERANDS.filter.map((which) => contractionShape(geometry, which));
    const { graph, inputs } = traceInputs([p, q], smallIntegers, ([a, b]) => [contract('filter', a, b, geometry)]);
    const expected = referenceRun(graph, inputs).outputs;
    for (const backend of BACKENDS.filter(({ machine }) => machine.tile.vectors === 2)) {
      assertSame(runner.run(graph, inputs, { backend, threads: 2 }).outputs, expected, () => describeBackend(backend));
    }
  }
});

test('tiles of several rows, and across the ends of rows: images of every width', () => {
  for (const width of [1, 2, 3, 4, 5, 6, 7, 9, 14]) {
    const side = (input: number): SpatialAxis => ({
      input,
      kernel: 3,
      output: input,
      stride: 1,
      dilation: 1,
      padLow: 1,
    });
    const geometry: Geometry = {
      batch: 2,
      groups: 1,
      channelsIn: 3,
      channelsOut: 33,
      axes: [side(7), side(width)],
    };
    const [p, q] = ROLE_OPERANDS.output.map((which) => contractionShape(geometry, which));
    const { graph, inputs } = traceInputs([p, q, [2, 33, 7, width]], smallIntegers, ([a, b, c]) => [
      relu(add(contract('output', a, b, geometry), c)),
    ]);
    const expected = referenceRun(graph, inputs).outputs;
    for (const backend of BACKENDS.filter(({ machine }) => machine.tile.vectors === 2)) {
      assertSame(
        runner.run(graph, inputs, { backend }).outputs,
        expected,
        () => `${describeBackend(backend)}, ${width}`,
      );
    }
  }
});

test('every register tile, in all roles: whole tiles, their edges and single elements', () => {
  const axes = [
    { input: 5, kernel: 3, output: 5, stride: 1, dilation: 1, padLow: 1 },
    { input: 17, kernel: 2, output: 8, stride: 2, dilation: 1, padLow: 0 },
  ];
  for (const backend of BACKENDS) {
    const { tile, lanes } = backend.machine;
    const full = lanes * tile.vectors;
    const wide: Geometry = { batch: 2, groups: 1, channelsIn: full + 3, channelsOut: full + 5, axes };
    const cases: Geometry[] = [
      wide,
      { ...wide, groups: 2, channelsIn: 5, channelsOut: full },
      { ...wide, batch: 2 * tile.rows + 1, axes: [] },
    ];
    for (const geometry of cases) {
      for (const role of Object.keys(ROLE_OPERANDS) as Role[]) {
        const [p, q] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
        const { graph, inputs } = traceInputs([p, q], smallIntegers, ([a, b]) => [contract(role, a, b, geometry)]);
        const what = (): string => `${describeBackend(backend)}, ${role}`;
        assertSame(runner.run(graph, inputs, { backend }).outputs, referenceRun(graph, inputs).outputs, what);
      }
    }
  }
});
