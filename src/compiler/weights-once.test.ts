import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { linear } from '../ops/conv.js';
import { matmul } from '../ops/convolution.js';
import { mul, relu } from '../ops/elementwise.js';
import type { Backend } from '../runtime/backend.js';
import { BACKENDS, backends } from '../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { candidates } from './choices.js';
import { compileGraph } from './compile.js';
import { bytesOf } from './memory.js';
import { printSteps } from './steps.js';

const RUNS = Number(process.env.GABOR_RUNS ?? 40);

const runner = new PlanRunner();
after(() => runner.close());

/** With caches that hold no weights. */
function withoutCaches(backend: Backend): Backend {
  return { ...backend, machine: { ...backend.machine, caches: { l1: 0, l2: 0 } } };
}

/** Two linear layers, as at the end of a network for pictures. */
function layers(batch: number, features: number, hidden: number, classes: number): ReturnType<typeof traceInputs> {
  const shapes = [[batch, features], [hidden, features], [hidden], [classes, hidden]];
  return traceInputs(shapes, smallIntegers, ([x, w, bias, v]) => [linear(relu(linear(x, w, bias)), v)]);
}

const width = fc.oneof(fc.integer({ min: 1, max: 70 }), fc.integer({ min: 480, max: 700 }));
const cases = fc.record({
  features: width,
  hidden: width,
  classes: width,
  backend: backends.map(withoutCaches),
  threads: fc.constantFrom(1, 2),
});

test('linear layers of one example read weights as they lie, and are right', () => {
  fc.assert(
    fc.property(cases, ({ features, hidden, classes, backend, threads }) => {
      const { graph, inputs } = layers(1, features, hidden, classes);
      const got = runner.run(graph, inputs, { backend, threads });
      const { steps } = got.plan.program;
      assertSame(got.outputs, referenceRun(graph, inputs).outputs, () => printSteps(got.plan.program));
      const large = steps.flatMap(({ results }) => results).filter((result) => bytesOf(result) > 4 * 700 * 4);
      assert.deepEqual(large, [], printSteps(got.plan.program));
      assert.ok(steps.every(({ name }) => name !== 'pack'));
    }),
    { numRuns: RUNS },
  );
});

test('bits of dot products do not depend on the number of threads', () => {
  for (const backend of BACKENDS.map(withoutCaches)) {
    const { graph, inputs } = layers(1, 531, 523, 77);
    const fractions = inputs.map((data) => data.map((value) => value * 0.37));
    const [one, two, three] = [1, 2, 3].map((threads) => runner.run(graph, fractions, { backend, threads }).outputs);
    assert.deepEqual(two, one, backend.name);
    assert.deepEqual(three, one, backend.name);
  }
});

test('several examples, small weights and computed weights are packed, and right', () => {
  for (const backend of BACKENDS) {
    const packs = (traced: ReturnType<typeof traceInputs>, on: Backend): number => {
      const got = runner.run(traced.graph, traced.inputs, { backend: on });
      assertSame(got.outputs, referenceRun(traced.graph, traced.inputs).outputs, () => printSteps(got.plan.program));
      return got.plan.program.steps.filter(({ kernel }) => kernel.kind === 'tile').length;
    };
    assert.equal(packs(layers(1, 40, 530, 33), backend), 2);
    assert.equal(packs(layers(1, 40, 530, 33), withoutCaches(backend)), 0);
    assert.equal(packs(layers(2, 40, 530, 33), withoutCaches(backend)), 2);
    const shapes = [
      [1, 40],
      [40, 530],
    ];
    const across = traceInputs(shapes, smallIntegers, ([x, w]) => [matmul(x, w)]);
    assert.equal(packs(across, withoutCaches(backend)), 1);
    const doubled = traceInputs([shapes[0], [530, 40]], smallIntegers, ([x, w]) => [linear(x, mul(w, 2))]);
    assert.equal(packs(doubled, withoutCaches(backend)), 1);
  }
});

test("VGG-16's first linear layer is not packed, and has one schedule", () => {
  const [{ machine }] = BACKENDS;
  const usual = { ...machine, caches: { l1: 2 ** 15, l2: 2 ** 20 } };
  const { graph } = traceInputs(
    [
      [1, 25088],
      [4096, 25088],
    ],
    () => new Float32Array(0),
    ([x, w]) => [linear(x, w)],
  );
  const { memory } = compileGraph(graph, usual);
  assert.ok(memory.arenaBytes < 2 ** 16);
  const geometry = { batch: 1, groups: 1, channelsIn: 25088, channelsOut: 4096, axes: [] };
  assert.equal(candidates({ kind: 'contraction', role: 'output', geometry }, usual).size, 0);
  assert.notEqual(
    candidates({ kind: 'contraction', role: 'output', geometry: { ...geometry, batch: 2 } }, usual).size,
    0,
  );
});
