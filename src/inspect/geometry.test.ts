import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import '../runtime/default-device.js';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { ReLU } from '../nn/layers/activation.js';
import { Residual, Sequential } from '../nn/layers/container.js';
import { Conv2d, type ConvLayerOptions } from '../nn/layers/conv.js';
import { SeparableConv2d } from '../nn/layers/conv-separable.js';
import { ConvTranspose3d } from '../nn/layers/conv-transpose.js';
import { Flatten } from '../nn/layers/flatten.js';
import { Linear } from '../nn/layers/linear.js';
import { MaxPool2d } from '../nn/layers/pooling.js';
import { sum } from '../ops/broadcast.js';
import { concat } from '../ops/concat.js';
import { conv } from '../ops/conv.js';
import { contract } from '../ops/convolution.js';
import { full, ones } from '../ops/create.js';
import { add, mul } from '../ops/elementwise.js';
import { avgPool, maxPool } from '../ops/pooling.js';
import { mean } from '../ops/reduce.js';
import { flatten, reshape } from '../ops/reshape.js';
import { slice } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import { windowOutputs } from '../ops/window.js';
import { GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import {
  effectiveKernelSize,
  inputRegion,
  multiplyAdds,
  outputShape,
  parameterCount,
  receptiveField,
  transposedOutputSize,
} from './geometry.js';
import { summary } from './summary.js';

const stack = (count: number, channels: number, options: ConvLayerOptions = {}): Sequential =>
  new Sequential(...Array.from({ length: count }, () => new Conv2d(channels, channels, 3, { padding: 1, ...options })));
const sizes = (network: Parameters<typeof receptiveField>[0], shape: Shape): number[] =>
  receptiveField(network, shape).map(({ size }) => size);

test('32×32×3 and ten 5×5 filters, "same": 32×32×10', () => {
  const layer = new Conv2d(3, 10, 5, { padding: 'same' });
  assert.deepEqual(outputShape(layer, [3, 32, 32]), [10, 32, 32]);
  assert.equal(parameterCount(layer), (5 * 5 * 3 + 1) * 10);
  assert.equal(multiplyAdds(layer, [3, 32, 32]), 32 * 32 * 10 * 5 * 5 * 3);
});

test('32×32, 3×3, padding 1: 32×32', () => {
  assert.deepEqual(outputShape(new Conv2d(1, 1, 3, { padding: 1 }), [1, 32, 32]), [1, 32, 32]);
});

test('73,856 parameters against more than 8 million', () => {
  const layer = new Conv2d(64, 128, 3, { padding: 1 });
  assert.equal(parameterCount(layer), (3 * 3 * 64 + 1) * 128);
  assert.equal(parameterCount(layer), 73_856);
  const connected = parameterCount(new Linear(32 * 32 * 64, 128));
  assert.equal(connected, (32 * 32 * 64 + 1) * 128);
  assert.ok(connected > 8_000_000);
});

test('dilation 2 covers 5×5 and dilation 4 covers 9×9 with nine weights', () => {
  for (const [dilation, covered] of [
    [1, 3],
    [2, 5],
    [4, 9],
  ]) {
    const layer = new Conv2d(1, 1, 3, { dilation, bias: false });
    assert.equal(parameterCount(layer), 9);
    assert.deepEqual(effectiveKernelSize(layer.kernelSize, layer.dilation), [covered, covered]);
    assert.deepEqual(sizes(layer, [1, 32, 32]), [covered, covered]);
    assert.equal(effectiveKernelSize(3, dilation), covered);
  }
  assert.deepEqual(effectiveKernelSize([1, 7], [3, 2]), [1, 13]);
  assert.throws(() => effectiveKernelSize(0), OptionError);
  assert.throws(() => effectiveKernelSize([3, 3], [1, 1, 1]), OptionError);
});

test('two 3×3 see 5×5; three see 7×7 with 27 weights per pair of channels instead of 49', () => {
  assert.deepEqual(sizes(stack(2, 1), [1, 32, 32]), [5, 5]);
  assert.deepEqual(sizes(stack(3, 1), [1, 32, 32]), [7, 7]);
  const channels = 8;
  const single = new Conv2d(channels, channels, 7, { padding: 3, bias: false });
  assert.deepEqual(sizes(single, [channels, 32, 32]), [7, 7]);
  assert.equal(parameterCount(stack(3, channels, { bias: false })), 27 * channels ** 2);
  assert.equal(parameterCount(single), 49 * channels ** 2);
});

test('depthwise separable costs 1 / C_out + 1 / K² of a standard convolution', () => {
  for (const [inputs, outputs, kernel] of [
    [32, 64, 3],
    [16, 8, 5],
  ]) {
    const standard = new Conv2d(inputs, outputs, kernel, { padding: 'same', bias: false });
    const separable = new Sequential(
      new Conv2d(inputs, inputs, kernel, { padding: 'same', groups: inputs, bias: false }),
      new Conv2d(inputs, outputs, 1, { bias: false }),
    );
    const shape = [inputs, 14, 14];
    assert.deepEqual(outputShape(separable, shape), outputShape(standard, shape));
    const layer = new SeparableConv2d(inputs, outputs, kernel, { padding: 'same', bias: false });
    assert.equal(multiplyAdds(layer, shape), multiplyAdds(separable, shape));
    assert.equal(parameterCount(layer), parameterCount(separable));
    const share = 1 / outputs + 1 / kernel ** 2;
    for (const ratio of [
      multiplyAdds(separable, shape) / multiplyAdds(standard, shape),
      parameterCount(separable) / parameterCount(standard),
    ]) {
      assert.ok(Math.abs(ratio - share) < 1e-12, `${ratio} is not ${share}`);
    }
  }
});

test('groups divide the weights and the work', () => {
  const layer = (groups: number) => new Conv2d(24, 48, 3, { padding: 1, groups, bias: false });
  for (const groups of [2, 3, 24]) {
    assert.equal(parameterCount(layer(groups)), parameterCount(layer(1)) / groups);
    assert.equal(multiplyAdds(layer(groups), [24, 9, 9]), multiplyAdds(layer(1), [24, 9, 9]) / groups);
  }
});

test('transposed: (W − 1) · S − 2 P + K + output padding', () => {
  assert.deepEqual(transposedOutputSize([7], { kernelSize: 4, stride: 2, padding: 1 }), [14]);
  assert.deepEqual(transposedOutputSize([7], { kernelSize: 3, stride: 2, padding: 1, outputPadding: 1 }), [14]);
  assert.deepEqual(transposedOutputSize([5, 6], { kernelSize: [3, 2], stride: [2, 3], dilation: [2, 1] }), [13, 17]);
  assert.deepEqual(transposedOutputSize([5, 6], { kernelSize: 3, stride: [2, 3], padding: 'same' }), [10, 18]);
  const layer = new ConvTranspose3d(2, 4, [3, 2, 1], { stride: 2, padding: [1, 0, 0], outputPadding: 1 });
  assert.deepEqual(outputShape(layer, [2, 3, 4, 5]), [4, 6, 9, 10]);
  assert.deepEqual(inputRegion(layer, [2, 3, 4, 5], [3, 3, 4, 9]), undefined); // between the taps
  assert.deepEqual(inputRegion(layer, [2, 3, 4, 5], [3, 3, 4, 8]), { start: [0, 1, 2, 4], end: [2, 3, 3, 5] });
  const axis = fc.record({
    size: fc.integer({ min: 1, max: 20 }),
    kernel: fc.integer({ min: 1, max: 6 }),
    stride: fc.integer({ min: 1, max: 4 }),
    low: fc.integer({ min: 0, max: 4 }),
    high: fc.integer({ min: 0, max: 4 }),
    extra: fc.integer({ min: 0, max: 3 }),
    dilation: fc.integer({ min: 1, max: 3 }),
  });
  fc.assert(
    fc.property(axis, ({ size, kernel, stride, low, high, extra, dilation }) => {
      const outputPadding = Math.min(extra, stride - 1);
      const padding: [number, number][] = [[low, high]];
      const output = (size - 1) * stride - low - high + dilation * (kernel - 1) + 1 + outputPadding;
      const options = { kernelSize: kernel, stride, padding, outputPadding, dilation };
      if (output < 1) {
        assert.throws(() => transposedOutputSize([size], options), ShapeError);
        return;
      }
      assert.deepEqual(transposedOutputSize([size], options), [output]);
      // A convolution with the same options leads back.
      const back = { kernel: [kernel], stride: [stride], dilation: [dilation], padding };
      assert.deepEqual(windowOutputs('', [output], back), [size]);
    }),
  );
  assert.throws(
    () => transposedOutputSize([7], { kernelSize: 3, stride: 2, outputPadding: 2 }),
    /outputPadding must be smaller than the stride or the dilation, got 2 with stride 2 and dilation 1/,
  );
  assert.throws(() => transposedOutputSize([2], { kernelSize: 3, padding: 2 }), /\(2 − 1\) · 1 − 2 − 2 \+ 3 \+ 0 = 0/);
  assert.throws(() => transposedOutputSize([2], { kernelSize: 3, strides: 2 } as never), OptionError);
});

test('receptive fields through strides, dilation, branches and residuals in one, two and three dimensions', () => {
  for (const rank of [1, 2, 3]) {
    const filter = (kernel: number, channelsOut = 2): Tensor =>
      ones([channelsOut, 2, ...new Array<number>(rank).fill(kernel)]);
    const shape = [2, ...new Array<number>(rank).fill(33)];
    const field = (network: (x: Tensor) => Tensor) => {
      const axes = receptiveField(network, shape);
      assert.equal(axes.length, rank);
      axes.forEach((axis, s) => {
        assert.deepEqual({ ...axis, dimension: 2 }, { ...axes[0], dimension: 2 });
        assert.equal(axis.dimension, 2 + s);
      });
      return [axes[0].size, axes[0].stride, axes[0].start];
    };
    const strided = (x: Tensor) => conv(x, filter(3), { stride: 2, padding: 1 });
    assert.deepEqual(field(strided), [3, 2, -1]);
    assert.deepEqual(
      field((x) => conv(strided(x), filter(3), { dilation: 4 })),
      [3 + 2 * 8, 2, -1],
    );
    assert.deepEqual(
      field((x) => add(x, conv(conv(x, filter(3), { padding: 1 }), filter(5), { padding: 2 }))),
      [7, 1, -3],
    );
    // Inception: parallel kernels along the channels see as far as the largest.
    const branches = (x: Tensor) => concat([conv(x, filter(1)), conv(x, filter(7), { padding: 3 }), x], 1);
    assert.deepEqual(field(branches), [7, 1, -3]);
    assert.deepEqual(
      field((x) => maxPool(branches(x), 2, {})),
      [8, 2, -3],
    );
  }
  assert.throws(() => receptiveField(() => ones([1, 2]), [1, 4, 4]), GaborError);
  const last = (x: Tensor) =>
    transpose(conv(transpose(x, [0, 3, 1, 2]), ones([2, 3, 3, 5]), { stride: 2 }), [0, 2, 3, 1]);
  assert.deepEqual(receptiveField(last, [9, 9, 3], { dataFormat: 'channels-last' }), [
    { dimension: 1, size: 3, stride: 2, start: 0 },
    { dimension: 2, size: 5, stride: 2, start: 0 },
  ]);
  assert.throws(() => receptiveField(last, [9, 9, 3], { dataFormat: 'nhwc' as never }), OptionError);
});

test('the region of a neuron: at the border, through strides, residuals and flattening', () => {
  const three = stack(3, 1);
  assert.deepEqual(inputRegion(three, [1, 32, 32], [0, 16, 16]), { start: [0, 13, 13], end: [1, 20, 20] });
  assert.deepEqual(inputRegion(three, [1, 32, 32], [0, 0, 31]), { start: [0, 0, 28], end: [1, 4, 32] });
  const pooled = new Sequential(new Conv2d(3, 4, 3), new ReLU(), new MaxPool2d(2));
  assert.deepEqual(inputRegion(pooled, [3, 10, 10], [1, 2, 3]), { start: [0, 4, 6], end: [3, 8, 10] });
  const residual = new Residual(stack(2, 1));
  assert.deepEqual(inputRegion(residual, [1, 9, 9], [0, 4, 4]), { start: [0, 2, 2], end: [1, 7, 7] });
  // A flattened neuron is still one position; a fully connected one sees what all of them see.
  const flat = new Sequential(new Conv2d(1, 2, 3), new Flatten());
  assert.deepEqual(inputRegion(flat, [1, 6, 6], [16 + 4 * 2 + 3]), { start: [0, 2, 3], end: [1, 5, 6] });
  const dense = new Sequential(new Conv2d(1, 2, 3), new Flatten(), new Linear(32, 5));
  assert.deepEqual(inputRegion(dense, [1, 6, 6], [4]), { start: [0, 0, 0], end: [1, 6, 6] });
  // Channels of a group.
  const grouped = new Conv2d(6, 4, 1, { groups: 2 });
  assert.deepEqual(inputRegion(grouped, [6, 2, 2], [3, 0, 1]), { start: [3, 0, 1], end: [6, 1, 2] });
  // The corner sees padding only.
  assert.equal(inputRegion(new Conv2d(1, 1, 1, { padding: 1 }), [1, 4, 4], [0, 0, 0]), undefined);
  assert.throws(() => inputRegion(three, [1, 32, 32], [0, 32, 0]), /one of the output \[1, 32, 32\]/);
  assert.throws(() => inputRegion(three, [1, 32, 32], [0, 0]), OptionError);
});

/** Layers of random geometry that are linear with positive weights: where the gradient is not zero, the neuron sees. */
const layers: Record<string, (x: Tensor, a: number, b: number, c: number) => Tensor> = {
  conv: (x, a, b, c) => {
    const kernel = [1 + (a % 3), 1 + (b % 3)];
    return conv(x, ones([2, x.shape[1], ...kernel]), { stride: 1 + (c % 2), dilation: 1 + (a % 2), padding: 2 });
  },
  grouped: (x, a, b) => {
    const groups = x.shape[1] % 2 === 0 ? 2 : 1;
    return conv(x, ones([4, x.shape[1] / groups, 3, 1 + (a % 2)]), { groups, stride: 1 + (b % 3), padding: 1 });
  },
  transposed: (x, a, b, c) => {
    const axes = x.shape.slice(2).map((output, s) => {
      const [kernel, stride, dilation, padLow] = [1 + ((a + s) % 4), 1 + (b % 3), 1 + (c % 3), a % 2];
      const [input] = transposedOutputSize([output], { kernelSize: kernel, stride, dilation, padding: 0 });
      return { input: input - (input > padLow ? padLow : 0), kernel, output, stride, dilation, padLow };
    });
    const kernel = axes.map((axis) => axis.kernel);
    const geometry = { batch: 1, groups: 1, channelsIn: 2, channelsOut: x.shape[1], axes };
    return contract('input', ones([x.shape[1], 2, ...kernel]), x, geometry);
  },
  pool: (x, a) => avgPool(x, 2, { stride: 1 + (a % 2), padding: 1 }),
  slice: (x, a) => slice(x, [0, 0, a % 2, 0], undefined, [1, 1, 1 + (a % 2), 1]),
  residual: (x, a) =>
    add(x, conv(x, ones([x.shape[1], x.shape[1], 3, 3]), { padding: 1 + (a % 2), dilation: 1 + (a % 2) })),
  gate: (x) => add(x, mean(x, [2, 3], { keepDims: true })),
  branches: (x) => concat([x, conv(x, full([2, x.shape[1], 1, 3], 0.5), { padding: [0, 1] })], 1),
  swap: (x) => transpose(x, [0, 1, 3, 2]),
};

test('a region is where the gradient of the neuron is not zero', () => {
  setDevice(EXACT.make());
  const step = fc.tuple(fc.constantFrom(...Object.keys(layers)), fc.nat(11), fc.nat(11), fc.nat(11));
  const networks = fc.record({
    height: fc.integer({ min: 3, max: 6 }),
    width: fc.integer({ min: 3, max: 6 }),
    steps: fc.array(step, { minLength: 1, maxLength: 3 }),
    tail: fc.constantFrom('none', 'flatten', 'rows'),
    where: fc.array(fc.nat(1000), { minLength: 3, maxLength: 3 }),
  });
  let compared = 0;
  fc.assert(
    fc.property(networks, ({ height, width, steps, tail, where }) => {
      const network = (x: Tensor): Tensor => {
        const y = steps.reduce((z, [name, a, b, c]) => layers[name](z, a, b, c), x);
        if (tail === 'flatten') return flatten(y);
        return tail === 'rows' ? reshape(y, [1, y.shape[1] * y.shape[2], y.shape[3]]) : y;
      };
      const shape = [2, height, width];
      let outputs: Shape;
      try {
        outputs = outputShape(network, shape);
      } catch (error) {
        assert.ok(error instanceof ShapeError); // the kernel does not fit
        return;
      }
      if (outputs.includes(0)) return; // all sliced away
      const position = outputs.map((extent, d) => where[d] % extent);
      const differentiate = compile((x: Tensor) => {
        const y = network(x);
        const chosen = slice(
          y,
          [0, ...position],
          y.shape.map(() => 1),
        );
        return [gradients(sum(mul(chosen, 1)), [x])[0]];
      });
      const [gradient] = differentiate.sync(ones([1, ...shape]));
      const data = gradient.data();
      const seen: number[][] = [];
      data.forEach((value: number, i: number) => {
        if (value !== 0) seen.push([Math.floor(i / (height * width)), Math.floor(i / width) % height, i % width]);
      });
      differentiate.dispose();
      const expected =
        seen.length === 0
          ? undefined
          : {
              start: shape.map((_, d) => Math.min(...seen.map((at) => at[d]))),
              end: shape.map((_, d) => Math.max(...seen.map((at) => at[d])) + 1),
            };
      assert.deepEqual(inputRegion(network, shape, position), expected);
      compared++;
    }),
    { numRuns: Number(process.env.GABOR_RUNS ?? 150) },
  );
  assert.ok(compared > 75, `only ${compared} networks were valid`);
});

test('the functions agree with the summary of a model, whose mode they leave alone', () => {
  const model = new Sequential(
    stack(2, 3),
    new ReLU(),
    new MaxPool2d(2),
    new Flatten(),
    new Linear(3 * 16, 10),
  ).train();
  const { totals, outputShape: shape } = summary(model, [3, 8, 8]);
  assert.deepEqual(outputShape(model, [3, 8, 8]), shape);
  assert.equal(parameterCount(model), totals.parameters);
  assert.equal(multiplyAdds(model, [3, 8, 8]), totals.multiplyAdds);
  assert.ok(model.training);
  const shared = new Conv2d(3, 3, 1);
  assert.equal(parameterCount(new Sequential(shared, shared)), parameterCount(shared));
  assert.throws(() => outputShape(model, [3, 2, 0]), /outputShape: the input shape must be positive whole numbers/);
  assert.throws(() => outputShape(new Conv2d(3, 4, 5), [3, 4, 4]), /Conv2d.*kernel 5 does not fit/);
});
