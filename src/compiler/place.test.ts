import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { concat } from '../ops/concat.js';
import { conv2d } from '../ops/conv.js';
import { add, mul, relu } from '../ops/elementwise.js';
import { maxPool2d } from '../ops/pooling.js';
import { reshape } from '../ops/reshape.js';
import { pad } from '../ops/slice.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { printSteps, type Step } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

type Body = (inputs: Tensor[]) => Tensor[];

/** Runs on one thread and on three, compares with the reference, and returns the steps that run every time. */
function check(shapes: readonly Shape[], body: Body): Step[] {
  const { graph, inputs } = traceInputs(shapes, smallIntegers, body);
  const expected = referenceRun(graph, inputs).outputs;
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, expected, () => printSteps(plan.program));
  assertSame(runner.run(graph, inputs, { threads: 3 }).outputs, expected, () => printSteps(plan.program));
  return plan.program.steps.filter(({ preparation }) => preparation === undefined);
}

const names = (steps: readonly Step[]): string[] => steps.map(({ name }) => name.replace(/\+.*/, ''));
const count = (steps: readonly Step[], name: string): number => names(steps).filter((other) => other === name).length;

const X = [1, 4, 6, 6];
const W1 = [8, 4, 1, 1];
const W3 = [4, 8, 3, 3];

test('what a padded convolution reads is written into its padded copy', () => {
  const steps = check([X, W1, W3], ([x, w, v]) => [conv2d(relu(conv2d(x, w)), v, { padding: 1 })]);
  assert.equal(count(steps, 'pad'), 0);
  assert.equal(count(steps, 'border'), 2);
  assert.ok(steps.some(({ results }) => results[0].within !== undefined && results[0].type.shape[2] === 6));
  // Padding that differs at both ends: rows and columns that cannot be written together.
  const uneven = check([X, W1, W3], ([x, w, v]) => [conv2d(pad(relu(conv2d(x, w)), [0, 0, 1, 0], [0, 0, 2, 3]), v)]);
  assert.equal(count(uneven, 'pad'), 0);
});

test('others read the box: residuals, convolutions without padding, poolings', () => {
  const steps = check([X, W1, W3, [8, 4, 1, 1]], ([x, w, v, u]) => {
    const y = relu(conv2d(x, w));
    const z = conv2d(y, v, { padding: 1 });
    return [add(conv2d(relu(z), u), y), maxPool2d(y, 2)];
  });
  assert.equal(count(steps, 'pad'), 0);
});

test('a pooling writes into the padded copy', () => {
  const steps = check([X, W1, W3], ([x, w, v]) => [conv2d(maxPool2d(conv2d(x, w), 2), v, { padding: 1 })]);
  assert.equal(count(steps, 'pad'), 0);
});

test('parts of a concatenation are written into it, and into what it is padded to', () => {
  const fire: Body = ([x, w, a, b]) => {
    const squeezed = relu(conv2d(x, w));
    return [concat([relu(conv2d(squeezed, a)), relu(conv2d(squeezed, b, { padding: 1 }))], 1)];
  };
  const shapes = [X, W1, [4, 8, 1, 1], W3];
  const twice: Body = (inputs) => {
    const [y] = fire(inputs);
    return [conv2d(y, inputs[1], { padding: 0 }), maxPool2d(conv2d(y, inputs[4], { padding: 1 }), 2)];
  };
  const steps = check([X, [8, 4, 1, 1], [1, 8, 1, 1], [3, 8, 3, 3], [4, 4, 3, 3]], (inputs) => twice(inputs));
  assert.deepEqual([count(steps, 'pad'), count(steps, 'concat')], [0, 0]);
  check(shapes, fire);
});

test('channels that would not lie behind each other in the whole are copied', () => {
  // One position for each channel: padded, the channels of row-major results are apart.
  const steps = check(
    [
      [1, 1, 2, 2],
      [5, 1, 2, 2],
    ],
    ([x, w]) => [pad(relu(conv2d(x, w)), [0, 0, 0, 0], [0, 0, 0, 1])],
  );
  assert.ok(steps.every(({ kernel, results }) => kernel.kind !== 'tile' || results[0].within === undefined));
});

test('inputs, outputs, what is reshaped and what lies in two places are copied box by box', () => {
  const steps = check([X, X], ([a, b]) => [concat([a, b], 1)]);
  assert.deepEqual(names(steps), ['concat', 'concat']);
  check([X, W1], ([x, w]) => {
    const y = relu(conv2d(x, w));
    return [y, reshape(y, [8, 36]), concat([y, y], 1), concat([reshape(reshape(y, [288]), [1, 8, 6, 6]), y], 2)];
  });
  // Arithmetic that only some of the parts have.
  check([X, X], ([a, b]) => [concat([mul(a, 3), b], 3), concat([a, pad(b, [0, 0, 1, 0], [0, 1, 0, 2])].slice(1), 1)]);
});
