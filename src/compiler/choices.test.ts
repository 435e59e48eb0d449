import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type Contraction, contractionShape, type Geometry, ROLE_OPERANDS, type Role } from '../kernel/contraction.js';
import { contract } from '../ops/convolution.js';
import { type Backend, nativeProblem, wasmBackend, x64Backend } from '../runtime/backend.js';
import { Random } from '../tensor/random.js';
import { referenceRun, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { candidates, describeSchedules, problemKey } from './choices.js';
import { compileGraph } from './compile.js';
import type { Place } from './machine.js';

const runner = new PlanRunner();
after(() => runner.close());

const square = (kernel: number, stride: number, output: number): Geometry => ({
  batch: 2,
  groups: 1,
  channelsIn: 12,
  channelsOut: 24,
  axes: [0, 1].map(() => ({ input: 9, kernel, output, stride, dilation: 1, padLow: kernel >> 1 })),
});
const GEOMETRIES: readonly Geometry[] = [
  square(3, 1, 9),
  square(3, 2, 5),
  square(1, 1, 9),
  { ...square(1, 1, 9), axes: [] },
];
const ROLES: readonly Role[] = ['output', 'input', 'filter'];

const backends: readonly Backend[] = [
  wasmBackend(),
  ...(['avx512', 'avx2'] as const)
    .filter((features) => nativeProblem(features) === undefined)
    .map((features) => x64Backend({ features })),
];

function random(seed: number): (size: number) => Float32Array {
  const generator = new Random(seed);
  return (size) => Float32Array.from({ length: size }, () => generator.uniform(-0.5, 0.5));
}

function traced({ role, geometry }: Contraction): ReturnType<typeof traceInputs> {
  const shapes = ROLE_OPERANDS[role].slice(0, 2).map((which) => contractionShape(geometry, which));
  return traceInputs(shapes, random(1), ([a, b]) => [contract(role, a, b, geometry)]);
}

for (const backend of backends) {
  test(`every candidate is taken as it says, and right [${backend.name}]`, () => {
    for (const role of ROLES) {
      for (const geometry of GEOMETRIES) {
        const contraction: Contraction = { kind: 'contraction', role, geometry };
        const { graph, inputs } = traced(contraction);
        const [exact] = referenceRun(graph, inputs).outputs;
        const largest = Math.max(...Array.from(exact, Math.abs));
        const all = candidates(contraction, backend.machine);
        assert.ok(all.size >= 4);
        assert.equal(
          [...all.keys()].some((name) => name.startsWith('F(')),
          geometry === GEOMETRIES[0],
        );
        for (const [name, choice] of all) {
          const asked: string[] = [];
          const choices = (problem: Contraction): typeof choice => {
            asked.push(problemKey(problem));
            return choice;
          };
          const machine = { ...backend.machine, choices };
          const { plan, outputs } = runner.run(graph, inputs, { backend: { ...backend, machine } });
          assert.deepEqual(asked, [problemKey(contraction)]);
          const [schedule] = describeSchedules(plan.program, machine);
          const algorithm = (text: string): string => text.slice(0, text.indexOf(' by') + 1 || undefined);
          assert.equal(algorithm(schedule), algorithm(name));
          for (const [i, value] of exact.entries()) {
            assert.ok(Math.abs(outputs[0][i] - value) <= 1e-4 * largest, `${name}: ${outputs[0][i]}, not ${value}`);
          }
        }
      }
    }
  });
}

test('problems are equal if and only if nothing that a schedule depends on differs', () => {
  const keys = ROLES.flatMap((role) =>
    GEOMETRIES.flatMap((geometry) =>
      [
        geometry,
        { ...geometry, batch: 3 },
        { ...geometry, groups: 4 },
        { ...geometry, channelsIn: 24, channelsOut: 12 },
      ].map((g) => problemKey({ kind: 'contraction', role, geometry: g })),
    ),
  );
  const [axis, other] = GEOMETRIES[0].axes;
  for (const changed of [{ input: 8 }, { output: 8 }, { stride: 2 }, { dilation: 2 }, { padLow: 0 }, { kernel: 5 }]) {
    const axes = [{ ...axis, ...changed }, other];
    keys.push(problemKey({ kind: 'contraction', role: 'output', geometry: { ...GEOMETRIES[0], axes } }));
  }
  assert.equal(new Set(keys).size, keys.length);
});

test('what the machine does not allow is no candidate', () => {
  const [{ machine }] = backends;
  const contraction: Contraction = { kind: 'contraction', role: 'output', geometry: GEOMETRIES[0] };
  const kinds = (winograd: boolean | 2 | 3 | 4): string[] => {
    const names = [...candidates(contraction, { ...machine, winograd }).keys()];
    return [...new Set(names.map((name) => name.split(/[ ,]/)[0]))];
  };
  assert.deepEqual(kinds(true), ['direct', 'F(2', 'F(3', 'F(4']);
  assert.deepEqual(kinds(false), ['direct']);
  assert.deepEqual(kinds(4), ['F(4']);
  const depthwise = { ...GEOMETRIES[0], groups: 24, channelsIn: 1, channelsOut: 1 };
  assert.equal(candidates({ ...contraction, geometry: depthwise }, machine).size, 0);
  assert.equal(candidates({ ...contraction, geometry: { ...GEOMETRIES[0], channelsIn: 0 } }, machine).size, 0);
});

test('filters that a program changes are told from others', () => {
  const geometry = GEOMETRIES[2];
  const places: Place[] = [];
  const [{ machine }] = backends;
  const choices = (_: Contraction, place: Place): undefined => void places.push(place);
  const { graph } = traced({ kind: 'contraction', role: 'output', geometry });
  compileGraph(graph, { ...machine, choices });
  graph.updates.push({ input: graph.inputs[1], value: graph.inputs[1] });
  compileGraph(graph, { ...machine, choices });
  assert.deepEqual(
    places.map(({ learning }) => learning),
    [false, true],
  );
});
