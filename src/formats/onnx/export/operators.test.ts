import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../../autodiff/gradients.js';
import { compile } from '../../../graph/compile.js';
import { setDevice } from '../../../graph/device.js';
import { Identity } from '../../../nn/index.js';
import { adaptiveMaxPoolWithIndices } from '../../../ops/adaptive-pooling.js';
import { broadcastTo, sum } from '../../../ops/broadcast.js';
import { concat } from '../../../ops/concat.js';
import { conv } from '../../../ops/conv.js';
import { convTranspose } from '../../../ops/conv-transpose.js';
import { contract, matmul } from '../../../ops/convolution.js';
import { randomNormal, randomUniform, tensor } from '../../../ops/create.js';
import * as e from '../../../ops/elementwise.js';
import { flip } from '../../../ops/flip.js';
import { gather, indexAdd, scatterAdd, takeAlongAxis } from '../../../ops/gather.js';
import { maxPoolWithTaps, pickTaps, unpool } from '../../../ops/maxpool.js';
import { maxPoolWithIndices, maxUnpool } from '../../../ops/maxunpool.js';
import { argmax, max, min, product } from '../../../ops/reduce.js';
import { reshape } from '../../../ops/reshape.js';
import { pad, slice } from '../../../ops/slice.js';
import { logSoftmax, softmax } from '../../../ops/softmax.js';
import { transpose } from '../../../ops/transpose.js';
import { ReferenceDevice } from '../../../targets/reference/device.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { assertSame, NO_ONNX_RUNTIME, onnxRuntime } from '../../../testing/onnxruntime.js';
import { EXPORTED_OPERATORS, exportOnnx } from './export.js';

setDevice(new ReferenceDevice());

const SKIP = onnxRuntime() === undefined && NO_ONNX_RUNTIME;

interface Case {
  readonly forward: (...inputs: Tensor[]) => Tensor[];
  readonly inputs: readonly Tensor[];
  /** The first opset that has it. */
  readonly since?: number;
}

const a = randomNormal([3, 4], 1);
const b = randomNormal([3, 4], 2);
const positive = randomUniform([3, 4], 3, 0.1, 3);
const tiny = tensor([1e-6, -1e-6, 3e-7, 0]);
const whole = tensor(Int32Array.of(3, -1, 4, 1, -5, 9), { shape: [2, 3] });
const other = tensor(Int32Array.of(2, -7, 1, 1, 8, -2), { shape: [2, 3] });
const bytes = tensor(Uint8Array.of(0, 255, 3, 7), { shape: [2, 2] });
const images = randomNormal([2, 3, 7, 6], 4);
const places = tensor(Int32Array.of(2, 0, 1, 1), { shape: [2, 2] });
const window = (input: number, kernel: number, output: number, stride: number, padLow: number, dilation = 1) => ({
  input,
  kernel,
  output,
  stride,
  padLow,
  dilation,
});

const CASES: Readonly<Record<string, Case>> = {
  'functions of one number': {
    inputs: [a, positive],
    forward: (x, p) => [
      ...[e.neg, e.abs, e.exp, e.expm1, e.tanh, e.sigmoid, e.erf, e.sin, e.cos, e.floor, e.ceil, e.trunc, e.relu].map(
        (f) => f(x),
      ),
      ...[e.sqrt, e.log, e.log1p].map((f) => f(p)),
      e.round(e.mul(x, 3)),
      e.leakyRelu(x, -0.3),
      e.stopGradient(x),
    ],
  },
  'near 0': { inputs: [tiny], forward: (x) => [e.mul(e.expm1(x), 1e6), e.mul(e.log1p(x), 1e6)] },
  arithmetic: {
    inputs: [a, b, positive],
    forward: (x, y, p) => [
      e.add(x, y),
      e.sub(x, y),
      e.mul(x, y),
      e.div(x, p),
      e.pow(p, y),
      e.minimum(x, y),
      e.maximum(x, y),
    ],
  },
  comparisons: {
    inputs: [a, b, whole, other],
    forward: (x, y, i, j) => {
      const all = [e.equal, e.notEqual, e.less, e.lessEqual, e.greater, e.greaterEqual];
      const [p, q] = [e.less(x, y), e.greater(x, 0)];
      return [
        ...all.map((f) => f(x, y)),
        ...all.map((f) => f(i, j)),
        e.logicalAnd(p, q),
        e.logicalOr(p, q),
        e.logicalNot(p),
        e.equal(p, q),
        e.where(p, x, y),
        e.where(p, q, e.logicalNot(q)),
      ];
    },
  },
  'whole numbers': {
    inputs: [whole, other],
    forward: (i, j) => [
      e.add(i, j),
      e.sub(i, 2),
      e.mul(i, j),
      e.neg(i),
      e.abs(i),
      e.minimum(i, j),
      e.maximum(i, 0),
      sum(i, 1),
      max(i, 0),
      min(i),
      product(i, 1),
      argmax(i, 1),
      e.where(e.less(i, j), i, j),
      pad(i, [1, 0], [0, 2], 7),
    ],
  },
  'element types': {
    inputs: [e.mul(a, 100), whole, bytes],
    forward: (x, i, u) => [
      e.cast(x, 'i32'),
      e.cast(i, 'f32'),
      e.cast(i, 'bool'),
      e.cast(u, 'f32'),
      e.cast(e.less(x, 0), 'f32'),
      e.equal(u, flip(u, 0)),
      transpose(u),
      concat([u, u], 1),
    ],
  },
  shapes: {
    inputs: [images],
    forward: (x) => [
      reshape(x, [6, 42]),
      transpose(x, [0, 2, 3, 1]),
      transpose(transpose(x, [1, 2, 3, 0]), [3, 0, 1, 2]),
      broadcastTo(slice(x, [0, 0, 0, 0], [2, 3, 1, 6]), [2, 3, 5, 6]),
      concat([x, x], 2),
      slice(x, [0, 1, 2, 0], [2, 2, 3, 3], [1, 1, 2, 2]),
      pad(x, [0, 0, 2, -1], [0, 1, -3, 4], 0.5),
      flip(x, [1, 3]),
    ],
  },
  reductions: {
    inputs: [images],
    forward: (x) => [
      sum(x),
      sum(x, [0, 2]),
      max(x, [1, 3]),
      min(x, 1),
      product(x, 3),
      argmax(x, [1, 3]),
      argmax(x, 2),
      argmax(x),
    ],
  },
  'softmax along every axis': {
    inputs: [images],
    forward: (x) => [0, 1, 2, 3].flatMap((axis) => [softmax(x, axis), logSoftmax(x, axis)]),
  },
  'reading by index': {
    inputs: [images, places],
    forward: (x, i) => [
      gather(x, i, { axis: 2 }),
      takeAlongAxis(reshape(x, [6, 42]), concat([i, i, i], 0), { axis: 1 }),
    ],
  },
  'adding up by index': {
    inputs: [images, places],
    since: 16,
    forward: (x, i) => [
      indexAdd(slice(x, [0, 0, 0, 0], [2, 3, 3, 6]), reshape(i, [4]), slice(x, [0, 0, 0, 0], [2, 3, 4, 6]), {
        axis: 2,
      }),
      indexAdd(reshape(x, [36, 7]), i, reshape(slice(x, [0, 0, 0, 0], [2, 2, 7, 1]), [2, 2, 7]), { axis: 0 }),
      scatterAdd(reshape(x, [2, 126]), i, slice(reshape(x, [2, 126]), [0, 0], [2, 2]), { axis: 1 }),
    ],
  },
  'max pooling with positions, and back': {
    inputs: [images],
    forward: (x) => {
      const { values, indices } = maxPoolWithIndices(x, 3, { stride: 2, padding: 1 });
      const dilated = maxPoolWithIndices(x, 2, { stride: 1, dilation: 3 });
      const adaptive = adaptiveMaxPoolWithIndices(x, [3, 4]);
      return [
        values,
        indices,
        dilated.values,
        dilated.indices,
        adaptive.values,
        adaptive.indices,
        maxUnpool(values, indices, 3, { stride: 2, padding: 1, outputSize: [7, 6] }),
      ];
    },
  },
  'windows that reach out on one side': {
    inputs: [images],
    forward: (x) => {
      const axes = [window(7, 2, 3, 2, -1), window(6, 3, 4, 2, 1)];
      const { values, taps } = maxPoolWithTaps(x, axes);
      return [values, taps, pickTaps(x, taps, axes), unpool(values, taps, axes)];
    },
  },
  'max pooling of whole numbers': {
    inputs: [
      tensor(
        Int32Array.from({ length: 32 }, (_, i) => (i * 2654435761) | 0),
        { shape: [1, 2, 4, 4] },
      ),
    ],
    forward: (x) => [maxPoolWithTaps(x, [window(4, 2, 2, 2, 0), window(4, 2, 2, 2, 0)]).values],
  },
  'convolution, its gradients, and theirs': {
    inputs: [images, randomNormal([4, 3, 3, 2], 5)],
    forward: (x, w) => {
      const y = conv(x, w, {
        stride: [2, 1],
        padding: [
          [1, 2],
          [0, 3],
        ],
        dilation: [1, 2],
      });
      const [dx, dw] = gradients(sum(e.mul(y, y)), [x, w]);
      const [ddx, ddw] = gradients(e.add(sum(e.mul(dx, dx)), sum(e.mul(dw, dw))), [x, w]);
      return [y, dx, dw, ddx, ddw];
    },
  },
  'transposed convolution and its gradients': {
    inputs: [images, randomNormal([3, 2, 3, 3], 6)],
    forward: (x, w) => {
      const y = convTranspose(x, w, { stride: 3, padding: 1, outputPadding: 2, dilation: 2 });
      return [y, ...gradients(sum(e.mul(y, y)), [x, w])];
    },
  },
  'contractions of every role, cropped and grouped': {
    inputs: [randomNormal([2, 4, 9], 7), randomNormal([6, 2, 3], 8), randomNormal([2, 6, 3], 9)],
    forward: (x, w, z) => {
      const geometry = (padLow: number, stride: number) => ({
        batch: 2,
        groups: 2,
        channelsIn: 2,
        channelsOut: 3,
        axes: [window(9, 3, 3, stride, padLow)],
      });
      return [
        [-2, 2],
        [0, 3],
        [4, 3],
        [1, 1],
      ].flatMap(([padLow, stride]) => {
        const g = geometry(padLow, stride);
        return [contract('output', x, w, g), contract('input', w, z, g), contract('filter', x, z, g)];
      });
    },
  },
  'matrix products, grouped too': {
    inputs: [a, transpose(b), randomNormal([3, 4], 10)],
    forward: (x, y, z) => {
      const g = { batch: 3, groups: 2, channelsIn: 2, channelsOut: 2, axes: [] };
      const w = reshape(slice(x, [0, 0], [2, 4]), [4, 2]);
      return [matmul(x, y), contract('output', x, w, g), contract('input', w, z, g), contract('filter', x, z, g)];
    },
  },
  'gradients of slices, reductions and pools': {
    inputs: [images],
    forward: (x) => {
      const parts = slice(x, [0, 0, 1, 0], [2, 3, 3, 2], [1, 1, 2, 3]);
      const pooled = maxPoolWithIndices(x, 2).values;
      const loss = e.add(sum(e.mul(parts, parts)), e.add(sum(e.mul(max(x, 1), 2)), sum(e.mul(pooled, pooled))));
      return gradients(loss, [x]);
    },
  },
};

const seen = new Set<string>();

for (const [name, { forward, inputs, since = 11 }] of Object.entries(CASES)) {
  test(`${name}: ONNX Runtime computes the same`, { skip: SKIP }, async () => {
    const program = compile(forward as (...xs: Tensor[]) => Tensor[]);
    for (const node of program.graph(...inputs).nodes) seen.add(node.operator.name);
    const expected = await program(...inputs);
    for (const opset of [11, 12, 13, 16, 17, 18, 20, 21].filter((version) => version >= since)) {
      const described = inputs.map(({ shape, dtype }) => ({ shape, dtype }));
      await assertSame(exportOnnx(new Identity(), { inputs: described, opset, forward }), inputs, expected);
    }
  });
}

test('the comparison sees a difference of 1e-3', { skip: SKIP }, async () => {
  const bytesOf = exportOnnx(new Identity(), { inputs: [a.shape], forward: (x) => e.mul(x, 1.001) });
  await assert.rejects(assertSame(bytesOf, [a], [a]), /expected/);
});

test('every operator that is exported was among them', { skip: SKIP }, () => {
  // Loops over time: recurrent.test.ts.
  const made = ['identity', 'full', 'iota', 'recurrence'];
  assert.deepEqual(
    EXPORTED_OPERATORS.filter((name) => !seen.has(name) && !made.includes(name)),
    [],
  );
});
