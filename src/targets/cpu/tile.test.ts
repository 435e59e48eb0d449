import { after, test } from 'node:test';
import { contract } from '../../ops/convolution.js';
import { type Backend, chooseBackend, nativeProblem, wasmBackend } from '../../runtime/backend.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../../testing/random-graphs.js';
import { PlanRunner } from '../../testing/run-plan.js';

const runner = new PlanRunner();
after(() => runner.close());

/** Odd tiles on WebAssembly, and what the processor has. */
const backends: readonly Backend[] = [
  ...[4, 5, 7, 14].map((rows) => wasmBackend({ tile: { rows, vectors: 1 }, winograd: false })),
  ...(['avx2', 'avx512'] as const)
    .filter((instructions) => nativeProblem(instructions) === undefined)
    .map((instructions) => chooseBackend({ instructions, winograd: false })),
];

test('images of every width and height, alone and with a border', () => {
  for (let width = 1; width <= 15; width++) {
    for (const [height, kernel] of [
      [1, 1],
      [width, 1],
      [width, 3],
      [12, 1],
    ]) {
      // Many images leave several rows to each item.
      const batch = width < 8 ? 32 : 1;
      const axis = (input: number) => ({
        input,
        kernel,
        output: input,
        stride: 1,
        dilation: 1,
        padLow: (kernel - 1) / 2,
      });
      const geometry = { batch, groups: 1, channelsIn: 2, channelsOut: 5, axes: [axis(height), axis(width)] };
      const shapes = [
        [batch, 2, height, width],
        [5, 2, kernel, kernel],
      ];
      const { graph, inputs } = traceInputs(shapes, smallIntegers, ([x, w]) => [contract('output', x, w, geometry)]);
      const expected = referenceRun(graph, inputs).outputs;
      for (const backend of backends) {
        const { outputs } = runner.run(graph, inputs, { backend });
        assertSame(outputs, expected, () => `${height}×${width}, ${kernel}×${kernel}, ${backend.name}`);
      }
    }
  }
});
