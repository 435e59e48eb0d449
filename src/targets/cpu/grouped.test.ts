import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { printSteps } from '../../compiler/steps.js';
import {
  contractionShape,
  type Geometry,
  ROLE_OPERANDS,
  type Role,
  type SpatialAxis,
} from '../../kernel/contraction.js';
import { contract } from '../../ops/convolution.js';
import { add, mul, relu } from '../../ops/elementwise.js';
import { BACKENDS, describeBackend } from '../../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

const runner = new PlanRunner();
after(() => runner.close());

/** Registers of 4, 8 and 16 lanes, each with the tile of eight sums or more that comes first. */
const LARGE = BACKENDS.filter(({ machine: { tile } }) => tile.rows * tile.vectors >= 8);
const KINDS = LARGE.filter(({ name }, i) => LARGE.findIndex((other) => other.name === name) === i);

const axis = (input: number, kernel: number, more: Partial<SpatialAxis> = {}): SpatialAxis => {
  const { stride = 1, dilation = 1, padLow = 0 } = more;
  const fits = Math.floor((input + 2 * padLow - dilation * (kernel - 1) - 1) / stride) + 1;
  return { input, kernel, stride, dilation, padLow, output: Math.max(0, fits), ...more };
};

const depthwise = (groups: number, axes: readonly SpatialAxis[], batch = 1): Geometry => ({
  batch,
  groups,
  channelsIn: 1,
  channelsOut: 1,
  axes,
});

/** What the code distinguishes: rows and tiles at the borders or not, taps written out or looped, the last vector full or not. */
const CASES: Readonly<Record<string, Geometry>> = {
  'whole vectors, tiles in the middle and at both ends': depthwise(32, [
    axis(5, 3, { padLow: 1 }),
    axis(33, 3, { padLow: 1 }),
  ]),
  'a last vector of few channels': depthwise(35, [axis(4, 3, { padLow: 1 }), axis(18, 3, { padLow: 1 })]),
  'strides that leave positions out': depthwise(18, [
    axis(9, 3, { stride: 2, padLow: 1 }),
    axis(30, 3, { stride: 3, padLow: 1 }),
  ]),
  'dilations that share factors with strides': depthwise(17, [
    axis(11, 3, { stride: 2, dilation: 2, padLow: 2 }),
    axis(23, 3, { stride: 2, dilation: 3, padLow: 3 }),
  ]),
  'padding wider than the filter': depthwise(16, [axis(3, 2, { padLow: 4 }), axis(5, 3, { padLow: 6 })]),
  'cropping: a start inside, an end that leaves inputs out': depthwise(16, [
    axis(9, 3, { padLow: -2, output: 4 }),
    axis(20, 3, { padLow: -1, output: 15 }),
  ]),
  'many taps in rows': depthwise(8, [axis(9, 7, { padLow: 3 }), axis(20, 7, { padLow: 3 })]),
  'more taps along a row than are written out': depthwise(5, [axis(90, 83, { padLow: 20 })]),
  'so many border tiles that a padded copy is read': depthwise(6, [axis(3, 2), axis(60, 41, { padLow: 20 })]),
  'one spatial axis, causal': depthwise(24, [axis(40, 4, { dilation: 4, padLow: 12, output: 40 })], 2),
  'three spatial axes': depthwise(9, [
    axis(4, 3, { padLow: 1 }),
    axis(5, 3, { stride: 2, padLow: 1 }),
    axis(11, 2, { padLow: 1 }),
  ]),
  'no spatial axis': depthwise(19, [], 13),
  'one position': depthwise(20, [axis(3, 3), axis(3, 3)], 3),
  'two channels out of each': {
    ...depthwise(21, [axis(4, 3, { padLow: 1 }), axis(12, 3, { padLow: 1 })]),
    channelsOut: 2,
  },
  'groups of two': { ...depthwise(11, [axis(6, 3, { padLow: 1 })], 2), channelsIn: 2, channelsOut: 2 },
  'groups of four': {
    ...depthwise(9, [axis(5, 3, { padLow: 1 }), axis(19, 3, { stride: 2, padLow: 1 })]),
    channelsIn: 4,
    channelsOut: 4,
  },
  'groups of three in, five out': {
    ...depthwise(4, [axis(3, 2), axis(10, 3, { padLow: 1 })], 2),
    channelsIn: 3,
    channelsOut: 5,
  },
  'groups of eight': { ...depthwise(5, [axis(17, 3, { dilation: 2, padLow: 2 })]), channelsIn: 8, channelsOut: 8 },
};

for (const [name, geometry] of Object.entries(CASES)) {
  test(`grouped contractions: ${name}`, () => {
    for (const role of Object.keys(ROLE_OPERANDS) as Role[]) {
      const [p, q, r] = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const channel = [1, r[1], ...r.slice(2).map(() => 1)];
      const { graph, inputs } = traceInputs(
        [p, q, channel, channel, r],
        smallIntegers,
        ([a, b, scale, shift, other]) => [add(relu(add(mul(contract(role, a, b, geometry), scale), shift)), other)],
      );
      const expected = referenceRun(graph, inputs).outputs;
      for (const backend of KINDS) {
        for (const threads of backend === KINDS[0] ? [1, 2] : [1]) {
          const { outputs, plan } = runner.run(graph, inputs, { backend, threads });
          assertSame(outputs, expected, () => `${describeBackend(backend)}, ${role}\n${printSteps(plan.program)}\n`);
        }
      }
    }
  });
}

test('depthwise convolutions read their input as it is, unless its borders would be much code', () => {
  for (const backend of KINDS) {
    const steps = (geometry: Geometry): string[] => {
      const shapes = [contractionShape(geometry, 'X'), contractionShape(geometry, 'W')];
      const { graph, inputs } = traceInputs(shapes, smallIntegers, ([x, w]) => [
        relu(contract('output', x, w, geometry)),
      ]);
      return runner.run(graph, inputs, { backend }).plan.program.steps.map((step) => step.name);
    };
    const usual = steps(CASES['a last vector of few channels']);
    assert.deepEqual(
      usual.filter((name) => name === 'pad'),
      [],
      `${describeBackend(backend)}: ${usual}`,
    );
    const wide = steps(CASES['so many border tiles that a padded copy is read']);
    assert.deepEqual(
      wide.filter((name) => name === 'pad'),
      ['pad'],
      `${describeBackend(backend)}: ${wide}`,
    );
  }
});
