import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { interpretSteps } from '../testing/interpret-steps.js';
import { assertSame, graphSpecs, referenceRun, traceSpec } from '../testing/random-graphs.js';
import { compileGraph, PASSES } from './compile.js';
import { lowerGraph } from './lower.js';
import { type MachineDescription, USUAL_CACHES } from './machine.js';
import { bytesOf, type MemoryPlan, planMemory } from './memory.js';
import { mergeCommon } from './rewrite-graph.js';
import { type Buffer, printSteps, rootBuffer, type Steps } from './steps.js';

/** More, by hand, after changes of a pass. */
const RUNS = Number(process.env.GABOR_RUNS ?? 75);

const machines: fc.Arbitrary<MachineDescription> = fc.record({
  lanes: fc.constantFrom(4, 8, 16),
  tile: fc.record({ rows: fc.integer({ min: 1, max: 8 }), vectors: fc.integer({ min: 1, max: 3 }) }),
  caches: fc.constant(USUAL_CACHES),
  // Sums of integers stay exact.
  winograd: fc.constant(false),
});

/** Wide loads may touch so many bytes behind a buffer. */
const SLACK = 64;

/** Temporaries that are needed at the same time lie apart, inside the arena, and so far from its end that loads stay inside. */
function assertDisjoint(program: Steps, memory: MemoryPlan): void {
  const places: { buffer: Buffer; offset: number; from: number; to: number }[] = [];
  const all = new Set(program.steps.flatMap((step) => [...step.operands, ...step.results]).map(rootBuffer));
  for (const buffer of all) {
    const location = memory.location(buffer);
    if (location.kind !== 'arena') continue;
    const uses = program.steps.flatMap((step, i) =>
      [...step.operands, ...step.results].some((other) => rootBuffer(other) === buffer) ? [i] : [],
    );
    assert.equal(location.offset % 64, 0);
    assert.ok(location.offset + bytesOf(buffer) + SLACK <= memory.arenaBytes, 'a buffer ends outside of the arena');
    places.push({ buffer, offset: location.offset, from: uses[0], to: uses[uses.length - 1] });
  }
  for (const a of places) {
    for (const b of places) {
      if (a === b || a.to < b.from || b.to < a.from) continue;
      const apart = a.offset + bytesOf(a.buffer) <= b.offset || b.offset + bytesOf(b.buffer) <= a.offset;
      assert.ok(apart || bytesOf(a.buffer) === 0 || bytesOf(b.buffer) === 0, 'two live buffers overlap');
    }
  }
}

test('every pass keeps the meaning of random programs, and no two live buffers overlap', () => {
  fc.assert(
    fc.property(graphSpecs, machines, (spec, machine) => {
      const { graph, inputs } = traceSpec(spec);
      const expected = referenceRun(graph, inputs);
      const check = (after: string, program: Steps): void => {
        const text = printSteps(program);
        const got = interpretSteps(program, inputs);
        const what = (): string => `after ${after}:\n${text}\n`;
        assertSame(got.outputs, expected.outputs, what);
        assertSame(got.inputs, expected.inputs, () => `${what()}inputs`);
      };
      let program = lowerGraph(mergeCommon(graph));
      check('lowering', program);
      for (const [name, run] of PASSES) {
        program = run(program, machine);
        check(name, program);
      }
      assertDisjoint(program, planMemory(program));
    }),
    { numRuns: RUNS },
  );
});

test('compiling twice gives the same program and the same memory plan', () => {
  const machine: MachineDescription = { lanes: 4, tile: { rows: 4, vectors: 2 }, caches: USUAL_CACHES };
  fc.assert(
    fc.property(graphSpecs, (spec) => {
      const { graph } = traceSpec(spec);
      const [first, second] = [0, 1].map(() => {
        const { program, memory } = compileGraph(graph, machine);
        const places = program.steps.map((step) => [...step.operands, ...step.results].map((b) => memory.location(b)));
        return { text: printSteps(program), places, arena: memory.arenaBytes };
      });
      assert.deepEqual(first, second);
    }),
    { numRuns: Math.ceil(RUNS / 4) },
  );
});
