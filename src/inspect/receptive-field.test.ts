import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Graph, Value } from '../graph/graph.js';
import { trace } from '../graph/trace.js';
import { contract } from '../ops/convolution.js';
import { add, relu } from '../ops/elementwise.js';
import { maxPoolWithTaps } from '../ops/maxpool.js';
import { mean } from '../ops/reduce.js';
import { flatten } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { Tensor } from '../tensor/tensor.js';
import { type AxisField, receptiveFields } from './receptive-field.js';

interface Window {
  kernel: number;
  stride?: number;
  dilation?: number;
  padding?: number;
}

/** The field along the height of what `body` computes from an input [1, 1, side, side]. */
function fieldOf(side: number, body: (x: Tensor, graph: Graph) => Tensor): AxisField {
  let input: Value | undefined;
  const { graph } = trace((g) => {
    input = g.addInput({ dtype: 'f32', shape: [1, 1, side, side] });
    return [body(Tensor.fromTraced(input), g)];
  });
  const field = receptiveFields(graph, input as Value, [2, 3]).get(graph.outputs[0]);
  assert.ok(field);
  assert.deepEqual(field[0].size, field[1].size);
  return field[0];
}

function axesOf(x: Tensor, { kernel, stride = 1, dilation = 1, padding = 0 }: Window) {
  return x.shape.slice(2).map((input) => {
    const output = Math.floor((input + 2 * padding - dilation * (kernel - 1) - 1) / stride) + 1;
    return { input, kernel, output, stride, dilation, padLow: padding };
  });
}

function conv(graph: Graph, x: Tensor, window: Window): Tensor {
  const weight = Tensor.fromTraced(
    graph.addInput({ dtype: 'f32', shape: [1, x.shape[1], window.kernel, window.kernel] }),
  );
  return contract('output', x, weight, {
    batch: 1,
    groups: 1,
    channelsIn: x.shape[1],
    channelsOut: 1,
    axes: axesOf(x, window),
  });
}

const pool = (x: Tensor, window: Window): Tensor => maxPoolWithTaps(x, axesOf(x, window)).values;

test('two 3×3 convolutions see 5×5, three see 7×7', () => {
  const stack = (n: number) => (x: Tensor, g: Graph) => {
    for (let i = 0; i < n; i++) x = relu(conv(g, x, { kernel: 3, padding: 1 }));
    return x;
  };
  assert.equal(fieldOf(32, stack(1)).size, 3);
  assert.equal(fieldOf(32, stack(2)).size, 5);
  assert.deepEqual(fieldOf(32, stack(3)), { dimension: 2, size: 7, stride: 1, start: -3 });
});

test('dilation 2 sees 5×5, dilation 4 sees 9×9', () => {
  assert.equal(fieldOf(32, (x, g) => conv(g, x, { kernel: 3, dilation: 2 })).size, 5);
  assert.equal(fieldOf(32, (x, g) => conv(g, x, { kernel: 3, dilation: 4 })).size, 9);
});

test('strides multiply, and later layers count in steps of them', () => {
  // r = 7, jump 2; pooling 3 at stride 2: 7 + 2·2 = 11, jump 4; 3×3: 11 + 2·4 = 19 (the stem of ResNet and one layer).
  const stem = (x: Tensor, g: Graph): Tensor =>
    pool(conv(g, x, { kernel: 7, stride: 2, padding: 3 }), { kernel: 3, stride: 2, padding: 1 });
  assert.deepEqual(fieldOf(64, stem), { dimension: 2, size: 11, stride: 4, start: -5 });
  assert.deepEqual(
    fieldOf(64, (x, g) => conv(g, stem(x, g), { kernel: 3, padding: 1 })),
    { dimension: 2, size: 19, stride: 4, start: -9 },
  );
});

test('a residual sum sees as far as its longer branch', () => {
  const block = (x: Tensor, g: Graph): Tensor =>
    relu(add(conv(g, conv(g, x, { kernel: 3, padding: 1 }), { kernel: 3, padding: 1 }), x));
  assert.deepEqual(fieldOf(16, block), { dimension: 2, size: 5, stride: 1, start: -2 });
  const down = (x: Tensor, g: Graph): Tensor =>
    add(
      conv(g, conv(g, x, { kernel: 3, stride: 2, padding: 1 }), { kernel: 3, padding: 1 }),
      conv(g, x, { kernel: 1, stride: 2 }),
    );
  assert.deepEqual(fieldOf(16, down), { dimension: 2, size: 7, stride: 2, start: -3 });
});

test('means over positions and flattening see all of them', () => {
  const features = (x: Tensor, g: Graph): Tensor => conv(g, x, { kernel: 3 });
  const expected = { dimension: undefined, size: 12, stride: 1, start: 0 };
  assert.deepEqual(
    fieldOf(12, (x, g) => mean(features(x, g), [2, 3])),
    expected,
  );
  assert.deepEqual(
    fieldOf(12, (x, g) => flatten(features(x, g))),
    expected,
  );
  // A gate computed from all positions widens every position.
  assert.deepEqual(
    fieldOf(12, (x, g) => add(features(x, g), mean(features(x, g), [2, 3], { keepDims: true }))),
    expected,
  );
});

test('slices shift, and their step is a stride', () => {
  const field = fieldOf(12, (x) => slice(x, [0, 0, 2, 2], [1, 1, 4, 4], [1, 1, 2, 2]));
  assert.deepEqual(field, { dimension: 2, size: 1, stride: 2, start: 2 });
});

test('a transposed convolution sees ⌈kernel / stride⌉ positions', () => {
  const up = (kernel: number, padding: number) => (x: Tensor, g: Graph) => {
    const output = (x.shape[2] - 1) * 2 + kernel - 2 * padding;
    const weight = Tensor.fromTraced(g.addInput({ dtype: 'f32', shape: [1, 1, kernel, kernel] }));
    const axis = { input: output, kernel, output: x.shape[2], stride: 2, dilation: 1, padLow: padding };
    return contract('input', weight, x, { batch: 1, groups: 1, channelsIn: 1, channelsOut: 1, axes: [axis, axis] });
  };
  assert.equal(fieldOf(8, up(2, 0)).size, 1);
  assert.equal(fieldOf(8, up(3, 1)).size, 2);
  assert.equal(fieldOf(8, up(4, 1)).size, 2);
  assert.equal(fieldOf(8, up(4, 1)).stride, 0.5);
});
