import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkGradients } from '../autodiff/check.js';
import { printSteps } from '../compiler/steps.js';
import { setDevice } from '../graph/device.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { randomTensor, seeds } from '../testing/arbitraries.js';
import {
  allowed,
  convFilter,
  convGeometries,
  convImages,
  convOptions,
  PADDING_MODES,
} from '../testing/conv-geometries.js';
import { assertSame, referenceRun, smallIntegers, traceInputs } from '../testing/random-graphs.js';
import { PlanRunner } from '../testing/run-plan.js';
import { sum } from './broadcast.js';
import { conv, conv1d, conv2d, conv3d } from './conv.js';
import { convTranspose, convTranspose1d, convTranspose2d, convTranspose3d } from './conv-transpose.js';
import { ones } from './create.js';
import { mul } from './elementwise.js';
import { transpose } from './transpose.js';

const exact = new ReferenceDevice({ precision: 'f64' });
setDevice(exact);

test('the adjoint identity: ⟨conv(x), y⟩ = ⟨x, convTranspose(y)⟩', () => {
  fc.assert(
    fc.property(convGeometries([12, 6, 4]), seeds, (c, seed) => {
      const [x, w] = [convImages(c, seed), convFilter(c, seed + 1)];
      const z = conv(x, w, convOptions(c));
      const y = randomTensor(z.shape, seed + 2);
      const back = convTranspose(y, w, { ...convOptions(c), outputSize: c.axes.map((a) => a.input) });
      assert.deepEqual(back.shape, x.shape);
      const [left, right] = [sum(mul(z, y)).item(), sum(mul(x, back)).item()];
      assert.ok(Math.abs(left - right) < 1e-9 * Math.max(1, Math.abs(left)), `${left} and ${right}`);
    }),
    { numRuns: 80 },
  );
});

test('padding "same" gives ⌈input / stride⌉ outputs, its transpose input · stride, and they are adjoint', () => {
  fc.assert(
    fc.property(convGeometries([12, 6, 4]), seeds, (c, seed) => {
      const options = { ...convOptions(c), padding: 'same' as const };
      const [x, w] = [convImages(c, seed), convFilter(c, seed + 1)];
      const z = conv(x, w, options);
      assert.deepEqual(
        z.shape.slice(2),
        c.axes.map((a) => Math.ceil(a.input / a.stride)),
      );
      const y = randomTensor(z.shape, seed + 2);
      const back = convTranspose(y, w, options);
      assert.deepEqual(
        back.shape.slice(2),
        z.shape.slice(2).map((n, s) => n * c.axes[s].stride),
      );
      const whole = randomTensor(back.shape, seed + 3);
      const [left, right] = [sum(mul(conv(whole, w, options), y)).item(), sum(mul(whole, back)).item()];
      assert.ok(Math.abs(left - right) < 1e-9 * Math.max(1, Math.abs(left)), `${left} and ${right}`);
    }),
    { numRuns: 40 },
  );
});

test('gradients of first and second order, in every padding mode and data format', () => {
  fc.assert(
    fc.property(convGeometries([7, 4, 3], 2), fc.constantFrom(...PADDING_MODES), seeds, (c, paddingMode, seed) => {
      const m = { ...allowed({ ...c, batch: 1 }, paddingMode), groups: Math.min(c.groups, 2) };
      const dataFormat = seed % 2 === 0 ? 'channels-first' : 'channels-last';
      const first = convImages(m, seed);
      const x = dataFormat === 'channels-first' ? first : transpose(first, [0, ...lastOrder(first.rank)]);
      const options = {
        ...convOptions(m),
        paddingMode,
        dataFormat,
        ...(paddingMode === 'constant' && { paddingValue: 2 }),
      } as const;
      const bias = randomTensor([m.groups * m.channelsOut], seed + 2);
      checkGradients((a, b, d) => conv(a, b, { ...options, bias: d }), [x, convFilter(m, seed + 1), bias], {
        order: m.axes.length === 1 ? 2 : 1,
        seed,
      });
    }),
    { numRuns: 12 },
  );
  fc.assert(
    fc.property(convGeometries([4, 2], 2), seeds, (c, seed) => {
      const y = conv(convImages(c, seed), convFilter(c, seed), convOptions(c));
      const outputSize = c.axes.map((a) => a.input);
      checkGradients(
        (a, b, d) => convTranspose(a, b, { ...convOptions(c), outputSize, bias: d }),
        [randomTensor(y.shape, seed), convFilter(c, seed + 1), randomTensor([c.groups * c.channelsIn], seed + 2)],
        { order: 2, seed },
      );
    }),
    { numRuns: 12 },
  );
});

/** The axes [2, …, rank − 1, 1]. */
function lastOrder(rank: number): number[] {
  return [...Array.from({ length: rank - 2 }, (_, s) => 2 + s), 1];
}

test('channels-last is channels-first with the channels moved', () => {
  fc.assert(
    fc.property(convGeometries([8, 5, 3]), seeds, (c, seed) => {
      const [x, w] = [convImages(c, seed), convFilter(c, seed + 1)];
      const last = (t: Tensor): Tensor => transpose(t, [0, ...lastOrder(t.rank)]);
      const y = conv(x, w, convOptions(c));
      const dataFormat = 'channels-last';
      assert.deepEqual(conv(last(x), w, { ...convOptions(c), dataFormat }).data(), last(y).data());
      const outputSize = c.axes.map((a) => a.input);
      const options = { ...convOptions(c), outputSize };
      assert.deepEqual(
        convTranspose(last(y), w, { ...options, dataFormat }).data(),
        last(convTranspose(y, w, options)).data(),
      );
    }),
    { numRuns: 20 },
  );
});

test('known answers', () => {
  const x = ones([1, 1, 5]);
  const w = ones([1, 1, 3]);
  assert.deepEqual([...conv1d(x, w, { padding: 'causal' }).data()], [1, 2, 3, 3, 3]);
  assert.deepEqual([...conv1d(x, w, { padding: 'same', stride: 2 }).data()], [2, 3, 2]);
  assert.deepEqual([...conv1d(x, w, { padding: 1, paddingMode: 'constant', paddingValue: 5 }).data()], [7, 3, 3, 3, 7]);
  assert.deepEqual([...convTranspose1d(x, w, { stride: 2, padding: 1, outputSize: 10 }).data()].slice(-3), [2, 1, 1]);
  assert.deepEqual(conv2d(ones([1, 3, 32, 32]), ones([10, 3, 5, 5]), { padding: 'same' }).shape, [1, 10, 32, 32]);
  assert.deepEqual(conv3d(ones([1, 1, 5, 5, 5]), ones([2, 1, 3, 3, 3])).shape, [1, 2, 3, 3, 3]);
  const up = { stride: 2, padding: 1, outputPadding: 1 };
  assert.deepEqual(convTranspose2d(ones([1, 4, 8, 8]), ones([4, 3, 3, 3]), up).shape, [1, 3, 16, 16]);
  assert.deepEqual(convTranspose3d(ones([1, 2, 2, 3, 4]), ones([2, 1, 2, 2, 2]), { stride: 2 }).shape, [1, 1, 4, 6, 8]);
});

test('impossible geometry is an error with the arithmetic', () => {
  const cases: [() => unknown, typeof ShapeError | typeof OptionError, RegExp][] = [
    [() => conv2d(ones([1, 1, 2, 9]), ones([1, 1, 5, 1]), { padding: [1, 0] }), ShapeError, /2 \+ 2·1 = 4 high/],
    [() => conv1d(ones([1, 1, 4]), ones([1, 1, 3]), { dilation: 2 }), ShapeError, /3 with dilation 2 spans 5.* 4 long/],
    [() => conv1d(ones([1, 4, 4]), ones([3, 2, 1]), { groups: 2 }), ShapeError, /2 groups: 3 = 1·2 \+ 1/],
    [() => conv1d(ones([1, 3, 4]), ones([2, 2, 1])), ShapeError, /expected 2 channels \(axis 1\), got 3/],
    [
      () => conv2d(ones([1, 4, 4, 3]), ones([2, 2, 1, 1]), { dataFormat: 'channels-last' }),
      ShapeError,
      /expected 2 channels \(axis 3\), got 3/,
    ],
    [() => conv1d(ones([1, 1, 4]), ones([1, 1, 1, 1])), ShapeError, /conv1d: the filter must be/],
    [
      () => conv1d(ones([1, 1, 3]), ones([1, 1, 3]), { padding: 3, paddingMode: 'reflect' }),
      ShapeError,
      /conv1d: reflect padding 3 must be less than the extent, but 3 ≥ 3/,
    ],
    [
      () => conv1d(ones([1, 1, 3]), ones([1, 1, 3]), { paddingMode: 'reflect', paddingValue: 1 }),
      OptionError,
      /conv1d: a padding value belongs to paddingMode "constant"/,
    ],
    [() => conv1d(ones([1, 1, 3]), ones([1, 1, 3]), { groups: 0 }), OptionError, /groups must be an integer ≥ 1/],
    [
      () => conv1d(ones([1, 1, 3]), ones([1, 1, 3]), { dataFormat: 'NHWC' as 'channels-last' }),
      OptionError,
      /got "NHWC"/,
    ],
    [() => conv1d(ones([1, 1, 3]), ones([1, 1, 3]), { outputPadding: 1 } as object), OptionError, /unknown option/],
    [() => conv2d(ones([1, 1, 3, 3]), ones([1, 1, 3, 3]), { padding: 'causal' }), OptionError, /for one spatial axis/],
    [
      () => convTranspose1d(ones([1, 1, 4]), ones([1, 1, 3]), { stride: 2, outputPadding: 2 }),
      OptionError,
      /outputPadding must be smaller .*2 ≥ max\(2, 1\)/,
    ],
    [
      () => convTranspose1d(ones([1, 1, 2]), ones([1, 1, 3]), { padding: 2 }),
      ShapeError,
      /\(2 − 1\) · 1 − 2 − 2 \+ 3 \+ 0 = 0 long/,
    ],
    [
      () => convTranspose1d(ones([1, 1, 4]), ones([1, 1, 3]), { stride: 2, outputSize: 11 }),
      ShapeError,
      /outputSize 11 .* from 4 positions: \(4 − 1\) · 2 − 0 − 0 \+ 3 = 9 to 10 can/,
    ],
    [() => convTranspose1d(ones([1, 3, 4]), ones([3, 1, 3]), { groups: 2 }), ShapeError, /3 = 1·2 \+ 1/],
    [
      () => convTranspose1d(ones([1, 1, 4]), ones([1, 1, 3]), { stride: 2, padding: 'same', outputPadding: 1 }),
      OptionError,
      /leave out outputPadding/,
    ],
    [
      () => convTranspose1d(ones([1, 1, 4]), ones([1, 1, 3]), { padding: 'causal' as 'same' }),
      OptionError,
      /no padding "causal"/,
    ],
  ];
  for (const [make, kind, pattern] of cases) {
    assert.throws(make, (e: Error) => {
      assert.ok(e instanceof kind, `${e.name}: ${e.message}`);
      assert.match(e.message, pattern);
      return true;
    });
  }
});

test('between channels-last convolutions the transposes cancel', () => {
  const runner = new PlanRunner();
  const shapes = [
    [1, 8, 8, 3],
    [8, 3, 3, 3],
    [8, 8, 3, 3],
    [5, 8, 3, 3],
  ];
  const { graph, inputs } = traceInputs(shapes, smallIntegers, ([x, ...filters]) => [
    filters.reduce((y, w) => conv(y, w, { dataFormat: 'channels-last', padding: 1, paddingMode: 'reflect' }), x),
  ]);
  assert.equal(graph.nodes.filter(({ operator }) => operator.name === 'transpose').length, 6);
  const { outputs, plan } = runner.run(graph, inputs);
  runner.close();
  assertSame(outputs, referenceRun(graph, inputs).outputs, () => printSteps(plan.program));
  const moving = plan.program.steps.filter(({ name }) => name === 'transpose' || name === 'relayout');
  assert.ok(moving.length <= 2, printSteps(plan.program));
});
