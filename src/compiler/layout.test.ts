import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { conv2d } from '../ops/conv.js';
import { add, exp, mul, neg, relu } from '../ops/elementwise.js';
import { identity } from '../ops/identity.js';
import { maxPoolWithTaps } from '../ops/maxpool.js';
import { reshape } from '../ops/reshape.js';
import { transpose } from '../ops/transpose.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import type { Plan } from './compile.js';
import { sameOrder } from './layout.js';
import { printSteps, rootBuffer, type Step } from './steps.js';

const runner = new PlanRunner();
after(() => runner.close());

function check(shapes: readonly Shape[], body: (inputs: Tensor[]) => Tensor[]): Plan {
  const { graph, inputs } = traceInputs(shapes, smallIntegers, body);
  const { outputs, plan } = runner.run(graph, inputs);
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => printSteps(plan.program));
  return plan;
}

const copies = ({ program }: Plan): Step[] => program.steps.filter(({ name }) => name === 'relayout');

const IMAGE: Shape = [2, 3, 6, 6];
const FIRST: Shape = [8, 3, 3, 3];
const SECOND: Shape = [5, 8, 3, 3];

test('extents of one do not tell orders apart', () => {
  assert.ok(sameOrder([1, 8, 1, 1], [0, 1, 2, 3], [0, 2, 3, 1]));
  assert.ok(sameOrder([4, 1, 5, 6], [0, 1, 2, 3], [0, 2, 3, 1]));
  assert.ok(!sameOrder([4, 2, 5, 1], [0, 1, 2, 3], [0, 2, 3, 1]));
});

test('between convolutions everything is channels-last; only the program’s boundary is reordered', () => {
  const axes = [4, 4].map((input) => ({ input, kernel: 2, output: 2, stride: 2, dilation: 1, padLow: 0 }));
  const plan = check([IMAGE, FIRST, SECOND, [8, 1, 1]], ([x, w, v, b]) => {
    const y = relu(add(conv2d(x, w), b));
    const small = maxPoolWithTaps(exp(mul(neg(y), 0)), axes).values;
    return [conv2d(add(small, small), v, { padding: 1 })];
  });
  // The image in, the result out.
  assert.equal(copies(plan).length, 2, printSteps(plan.program));
  for (const { kernel, operands } of plan.program.steps) {
    if (kernel.kind === 'tile') assert.ok(sameOrder(operands[0].type.shape, operands[0].order, [0, 2, 3, 1]));
  }
});

test('outputs and inputs are row-major', () => {
  const { program } = check([IMAGE, FIRST], ([x, w]) => {
    const y = conv2d(x, w);
    return [y, relu(y), transpose(y, [0, 2, 3, 1])];
  });
  for (const buffer of [...program.outputs, ...program.inputs]) {
    assert.deepEqual(
      buffer.order,
      buffer.type.shape.map((_, axis) => axis),
    );
  }
});

test('a transposition to channels-last needs no copy before a convolution, nor one after it', () => {
  const plan = check([[2, 6, 6, 3], FIRST], ([x, w]) => [
    transpose(conv2d(transpose(x, [0, 3, 1, 2]), w), [0, 2, 3, 1]),
  ]);
  const nests = plan.program.steps.filter(({ kernel }) => kernel.kind === 'nest').map(({ name }) => name);
  assert.deepEqual(nests, ['pack'], printSteps(plan.program));
});

test('transpositions are another order of the same memory, unless the memory changes or is an output', () => {
  const count = (body: (inputs: Tensor[]) => Tensor[]): number =>
    check([[3, 4, 5]], body).program.steps.filter(({ kernel }) => kernel.kind === 'nest').length;
  // Axes of extent 1 may move anywhere.
  assert.equal(
    count(([x]) => [transpose(reshape(exp(mul(x, 0)), [1, 12, 1, 5]), [2, 1, 3, 0])]),
    1,
  );
  // An input, or a value that is an output as well, is copied.
  assert.equal(
    count(([x]) => {
      const y = exp(mul(x, 0));
      return [reshape(transpose(x, [0, 1, 2]), [60]), y, transpose(reshape(y, [1, 60]), [1, 0])];
    }),
    3,
  );
});

test('one copy serves all readers', () => {
  const plan = check([IMAGE, FIRST, FIRST], ([x, w, v]) => [conv2d(x, w), conv2d(x, v)]);
  const [image] = plan.program.inputs;
  assert.equal(copies(plan).filter(({ operands }) => operands[0] === image).length, 1);
});

test('reshapes are another view of the same memory', () => {
  const plan = check([[4, 6]], ([x]) => [exp(mul(reshape(mul(x, 0), [3, 8]), 2))]);
  const aliases = plan.program.steps.flatMap(({ operands }) => operands.filter((b) => rootBuffer(b) !== b));
  assert.equal(aliases.length, 1, printSteps(plan.program));
  // Of a convolution: row by row, hence through a copy.
  check([IMAGE, FIRST], ([x, w]) => [relu(reshape(conv2d(x, w), [16, 16]))]);
});

test('every output has memory of its own', () => {
  const { program } = check([[3, 4], IMAGE, FIRST], ([x, image, w]) => {
    const y = add(x, 1);
    const z = conv2d(image, w);
    return [x, identity(x), y, y, reshape(y, [12]), reshape(x, [2, 6]), z, reshape(z, [2, 8 * 16]), z];
  });
  assert.equal(new Set(program.outputs.map(rootBuffer)).size, 9);
  for (const output of program.outputs) assert.equal(rootBuffer(output).input, undefined);
});
