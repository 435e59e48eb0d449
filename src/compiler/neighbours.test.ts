import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { contractionShape, type Geometry, ROLE_OPERANDS, type Role } from '../kernel/contraction.js';
import { contract } from '../ops/convolution.js';
import { add, maximum, mul } from '../ops/elementwise.js';
import { transpose } from '../ops/transpose.js';
import { BACKENDS, describeBackend } from '../testing/backends.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import type { MachineDescription } from './machine.js';
import { positionsTogether } from './neighbours.js';
import { printSteps } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

const geometry = (
  channelsIn: number,
  channelsOut: number,
  kernel: number,
  output: number,
  { stride = 1, batch = 2, padLow = 0 } = {},
): Geometry => {
  const input = stride * (output - 1) + kernel - 2 * padLow;
  const axis = { input, kernel, output, stride, dilation: 1, padLow };
  return { batch, groups: 1, channelsIn, channelsOut, axes: [{ ...axis, input: input + 1 }, axis] };
};
const WIDE: MachineDescription = {
  lanes: 16,
  tile: { rows: 14, vectors: 2 },
  caches: { l1: 49152, l2: 1 << 20 },
};

test('positions share registers where lanes would be empty, longer filters included', () => {
  const together = (g: Geometry, role: Role = 'output', machine = WIDE): number =>
    positionsTogether({ kind: 'contraction', role, geometry: g }, machine);
  assert.equal(together(geometry(1, 6, 5, 24)), 2);
  assert.equal(together(geometry(1, 6, 5, 24), 'filter'), 2);
  // 5 · 3 channels of 9 + 4 taps.
  assert.equal(together(geometry(32, 3, 9, 40)), 5);
  // Of the gradient with respect to the input the other channels count.
  assert.equal(together(geometry(6, 16, 5, 8, { batch: 1 }), 'input'), 2);
  assert.equal(together(geometry(6, 16, 5, 8, { batch: 1 })), 1);
  // No divisor, no neighbour; one tap has nothing to share; full registers gain nothing.
  assert.equal(together(geometry(1, 6, 5, 23)), 1);
  assert.equal(together(geometry(1, 6, 1, 24)), 1);
  assert.equal(together(geometry(1, 16, 5, 24)), 1);
  assert.equal(together(geometry(1, 6, 5, 24), 'output', { ...WIDE, lanes: 4 }), 1);
  // Winograd's algorithm is better where it is possible.
  assert.equal(together(geometry(4, 4, 3, 24)), 1);
  assert.ok(together(geometry(4, 4, 3, 24), 'output', { ...WIDE, winograd: false }) > 1);
});

test('epilogues of shared registers: by channel, by position, by row, all at once, in any order of memory', () => {
  for (const backend of BACKENDS) {
    for (const g of [geometry(3, 1, 5, 12), geometry(2, 3, 4, 8, { stride: 2, padLow: 1 }), geometry(1, 6, 5, 10)]) {
      const result = contractionShape(g, 'Z');
      const [n, c, h, w] = result;
      const shapes = [
        contractionShape(g, 'X'),
        contractionShape(g, 'W'),
        [1, c, 1, 1],
        [1, 1, 1, w],
        [n, 1, h, 1],
        [1, c, 1, w],
        [n, c, h, w],
        [n, h, w, c],
      ];
      const { graph, inputs } = traceInputs(shapes, smallIntegers, ([x, f, ...more]) => {
        const last = more.pop();
        const sum = more.reduce(
          (y, other, i) => (i % 2 === 0 ? add(y, other) : mul(y, other)),
          contract('output', x, f, g),
        );
        return [maximum(add(sum, transpose(last!, [0, 3, 1, 2])), -9)];
      });
      for (const threads of [1, 2]) {
        const got = runner.run(graph, inputs, { backend, threads });
        assertSame(
          got.outputs,
          referenceRun(graph, inputs).outputs,
          () => `${describeBackend(backend)}\n${printSteps(got.plan.program)}`,
        );
      }
    }
  }
});

test('filter gradients of shared registers, strided and padded', () => {
  for (const backend of BACKENDS) {
    for (const g of [
      geometry(3, 1, 5, 12),
      geometry(2, 3, 4, 8, { stride: 2, padLow: 1, batch: 4 }),
      geometry(1, 6, 5, 10),
    ]) {
      for (const role of ['filter', 'input'] as const) {
        const [p, q] = ROLE_OPERANDS[role].map((which) => contractionShape(g, which));
        const { graph, inputs } = traceInputs([p, q], smallIntegers, ([a, b]) => [contract(role, a, b, g)]);
        assertSame(
          runner.run(graph, inputs, { backend }).outputs,
          referenceRun(graph, inputs).outputs,
          () => `${describeBackend(backend)} ${role}`,
        );
      }
    }
  }
});
