import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, TEST_DEVICES, testOnDevices } from '../testing/devices.js';
import { assertClose } from '../testing/fixtures.js';
import { adaptiveAvgPool, adaptiveMaxPool, adaptiveMaxPoolWithIndices } from './adaptive-pooling.js';
import { sum } from './broadcast.js';
import { randomNormal, tensor } from './create.js';
import { add, mul } from './elementwise.js';
import { maxPoolWithIndices, maxUnpool } from './maxunpool.js';
import { avgPool, lpPool, maxPool } from './pooling.js';

// One axis against plain loops; two axes are compared with PyTorch beside the layers.

const window = fc
  .record({
    input: fc.integer({ min: 1, max: 12 }),
    kernel: fc.integer({ min: 1, max: 5 }),
    stride: fc.integer({ min: 1, max: 4 }),
    padding: fc.integer({ min: 0, max: 2 }),
    ceilMode: fc.boolean(),
    countIncludePad: fc.boolean(),
    seed: fc.integer({ min: 0, max: 1000 }),
  })
  .filter(({ input, kernel, stride, padding, ceilMode }) => {
    // In ceil mode less than a stride may be missing.
    const missing = kernel - (input + 2 * padding);
    return padding <= kernel / 2 && (ceilMode ? missing < stride : missing <= 0);
  });

/** Elements of every window, padding as zeros, and how many of them lie in the input. */
function windows(data: readonly number[], kernel: number, stride: number, padding: number, ceilMode: boolean) {
  const end = data.length + padding;
  const found: { inside: number[]; padded: number }[] = [];
  for (let start = -padding; ; start += stride) {
    const complete = start + kernel <= end;
    const allowed = complete || (ceilMode && start < data.length);
    // The rule in ceil mode: enough windows to cover the input, none that starts behind it.
    if (!allowed || (!complete && start - stride + kernel >= end)) return found;
    found.push({
      inside: data.filter((_, i) => i >= start && i < start + kernel),
      padded: Math.min(start + kernel, end) - start,
    });
  }
}

testOnDevices('average and max pooling agree with plain loops', ({ tolerance }) => {
  fc.assert(
    fc.property(window, ({ input, kernel, stride, padding, ceilMode, countIncludePad, seed }) => {
      const x = randomNormal([1, 1, input], seed);
      const expected = windows(Array.from(x.data()), kernel, stride, padding, ceilMode);
      const averages = expected.map(
        ({ inside, padded }) => inside.reduce((a, b) => a + b, 0) / (countIncludePad ? padded : inside.length),
      );
      const shape = [1, 1, expected.length];
      const average = avgPool(x, kernel, { stride, padding, ceilMode, countIncludePad });
      assertClose(average, { shape, data: averages }, tolerance, 'average');
      const largest = maxPool(x, kernel, { stride, padding, ceilMode });
      assertClose(largest, { shape, data: expected.map(({ inside }) => Math.max(...inside)) }, tolerance, 'largest');
    }),
    { numRuns: 100 },
  );
});

testOnDevices('adaptive pooling agrees with plain loops', ({ tolerance }) => {
  const extent = fc.integer({ min: 1, max: 9 });
  fc.assert(
    fc.property(extent, extent, extent, extent, (height, width, rows, columns) => {
      const x = randomNormal([1, 1, height, width], height);
      const data = x.data();
      const range = (o: number, size: number, input: number): number[] => {
        const from = Math.floor((o * input) / size);
        return Array.from({ length: Math.ceil(((o + 1) * input) / size) - from }, (_, i) => from + i);
      };
      const expected: number[] = [];
      const largest: number[] = [];
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const is = range(r, rows, height);
          const js = range(c, columns, width);
          const total = is.reduce((a, i) => a + js.reduce((b, j) => b + data[i * width + j], 0), 0);
          expected.push(total / (is.length * js.length));
          const positions = is.flatMap((i) => js.map((j) => i * width + j));
          largest.push(positions.reduce((best, at) => (data[at] > data[best] ? at : best)));
        }
      }
      const y = adaptiveAvgPool(x, [rows, columns]);
      assertClose(y, { shape: [1, 1, rows, columns], data: expected }, tolerance, 'average');
      const shape = [1, 1, rows, columns];
      const { values, indices } = adaptiveMaxPoolWithIndices(x, [rows, columns]);
      assertClose(indices, { shape, data: largest }, 0, 'indices');
      const most = { shape, data: largest.map((at) => data[at]) };
      assertClose(values, most, 0, 'largest');
      assertClose(adaptiveMaxPool(x, [rows, columns]), most, 0, 'largest, without indices');
    }),
    { numRuns: 40 },
  );
});

/** One axis of a window that fits: [input, kernel, stride, dilation, padding]. */
const fitting = (most: number): fc.Arbitrary<number[]> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: most }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 2 }),
      fc.integer({ min: 0, max: 2 }),
    )
    .filter(([input, kernel, , dilation, padding]) => {
      const fits = padding <= kernel / 2 && dilation * (kernel - 1) < input + 2 * padding;
      // Otherwise all taps may fall into the padding.
      return fits && (padding === 0 || dilation <= input);
    });

const geometry = fc.integer({ min: 1, max: 3 }).chain((rank) =>
  fc.record({
    outer: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.constantFrom(1, 3, 4, 5)),
    axes: fc.array(fitting([0, 12, 7, 5][rank]), { minLength: rank, maxLength: rank }),
    ceilMode: fc.boolean(),
    countIncludePad: fc.boolean(),
    seed: fc.integer({ min: 0, max: 1000 }),
  }),
);

test('every pooling and its gradient in one to three dimensions: cpu against the reference', () => {
  const devices = [EXACT, ...TEST_DEVICES.filter(({ name }) => name.startsWith('cpu'))];
  fc.assert(
    fc.property(geometry, ({ outer, axes, ceilMode, countIncludePad, seed }) => {
      const [inputs, kernel, stride, dilation, padding] = [0, 1, 2, 3, 4].map((part) => axes.map((a) => a[part]));
      const size = kernel.map((k) => k + 1);
      const whole = axes.every(([input, k]) => k <= input);
      const pools = (x: Tensor): Tensor[] => {
        const { values, indices } = maxPoolWithIndices(x, kernel, { stride, dilation, padding, ceilMode });
        const plain = maxPoolWithIndices(x, kernel, { stride: kernel, padding });
        return [
          values,
          ...(axes.every(([input, k, , , p]) => k <= input + 2 * p)
            ? [
                avgPool(x, kernel, { stride, padding, ceilMode, countIncludePad }),
                maxUnpool(plain.values, plain.indices, kernel, { padding, outputSize: inputs }),
              ]
            : []),
          ...(whole ? [lpPool(x, 2, kernel, { stride, ceilMode })] : []),
          adaptiveAvgPool(x, size),
          adaptiveMaxPool(x, size),
          indices,
        ];
      };
      const [exact, ...measured] = devices.map((device) => {
        setDevice(device.make());
        const program = compile((x: Tensor) => {
          const all = pools(x);
          const floats = all.slice(0, -1);
          return [...all, ...floats.flatMap((y, i) => gradients(sum(mul(y, add(y, i))), [x]))];
        });
        const results = program.sync(randomNormal([...outer, ...inputs], seed));
        return results.map((y) => ({ shape: y.shape, data: Array.from(y.data()), tensor: y }));
      });
      exact.forEach((y, i) => {
        measured.forEach((results, d) => {
          const { name, tolerance } = devices[d + 1];
          assertClose(results[i].tensor, y, tolerance, `result ${i} on ${name}`);
        });
      });
    }),
    { numRuns: 25 },
  );
});

/** [input, kernel, stride] of each axis. */
const sameGeometry = fc.record({
  outer: fc.tuple(fc.integer({ min: 1, max: 2 }), fc.integer({ min: 1, max: 2 })),
  axes: fc.array(
    fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 })),
    { minLength: 1, maxLength: 3 },
  ),
  ceilMode: fc.boolean(),
  countIncludePad: fc.boolean(),
  seed: fc.integer({ min: 0, max: 1000 }),
});

testOnDevices('padding "same" is what Keras and ONNX (SAME_UPPER) define', ({ tolerance }) => {
  fc.assert(
    fc.property(sameGeometry, ({ outer, axes, ceilMode, countIncludePad, seed }) => {
      const [inputs, kernel, stride] = [0, 1, 2].map((part) => axes.map((a) => a[part]));
      const outputs = axes.map(([input, , s]) => Math.ceil(input / s));
      const x = randomNormal([...outer, ...inputs], seed);
      const data = x.data();
      const lows = axes.map(([input, k, s], i) => Math.floor(Math.max(0, (outputs[i] - 1) * s + k - input) / 2));
      const product = (extents: readonly number[]): number => extents.reduce((a, b) => a * b, 1);
      const digits = (flat: number, extents: readonly number[]): number[] =>
        extents.map((extent, i) => Math.floor(flat / product(extents.slice(i + 1))) % extent);
      const [averages, largest, norms]: number[][] = [[], [], []];
      for (let image = 0; image < product(outer); image++) {
        for (let o = 0; o < product(outputs); o++) {
          const at = digits(o, outputs);
          const inside: number[] = [];
          for (let k = 0; k < product(kernel); k++) {
            const i = digits(k, kernel).map((tap, s) => at[s] * stride[s] + tap - lows[s]);
            if (i.some((p, s) => p < 0 || p >= inputs[s])) continue;
            inside.push(data[i.reduce((flat, p, s) => flat * inputs[s] + p, image)]);
          }
          averages.push(inside.reduce((a, b) => a + b, 0) / (countIncludePad ? product(kernel) : inside.length));
          largest.push(Math.max(...inside));
          norms.push(Math.sqrt(inside.reduce((a, b) => a + b * b, 0)));
        }
      }
      const shape = [...outer, ...outputs];
      const options = { stride, ceilMode, padding: 'same' } as const;
      assertClose(avgPool(x, kernel, { ...options, countIncludePad }), { shape, data: averages }, tolerance, 'average');
      assertClose(maxPool(x, kernel, options), { shape, data: largest }, tolerance, 'largest');
      assertClose(lpPool(x, 2, kernel, options), { shape, data: norms }, tolerance, 'norm');
      // The same padding written out, side by side.
      const pairs = axes.map(([input, k, s], i) => {
        const total = Math.max(0, (outputs[i] - 1) * s + k - input);
        return [lows[i], total - lows[i]] as const;
      });
      const written = maxPool(x, kernel, { stride, padding: pairs });
      assertClose(written, { shape, data: largest }, tolerance, 'largest, padding per side');
    }),
    { numRuns: 30 },
  );
});

test('padding by name, by hand', () => {
  setDevice(EXACT.make());
  const x = tensor([[[1, 2, 3, 4, 5]]]);
  const show = (y: Tensor): number[] => [...y.data()];
  // Two windows of 2 and one of 1, the padding behind: [1 2] [3 4] [5 ·].
  assert.deepEqual(show(maxPool(x, 2, { padding: 'same' })), [2, 4, 5]);
  assert.deepEqual(show(avgPool(x, 2, { padding: 'same' })), [1.5, 3.5, 2.5]);
  assert.deepEqual(show(avgPool(x, 2, { padding: 'same', countIncludePad: false })), [1.5, 3.5, 5]);
  assert.deepEqual(show(maxPool(x, 2, { padding: 'valid' })), [2, 4]);
  assert.deepEqual(show(maxPool(x, 2, { padding: 'valid', ceilMode: true })), [2, 4, 5]);
  // Less than a stride is missing: one window, larger than the input. With more than that there is none.
  assert.deepEqual(show(maxPool(x, 6, { stride: 2, ceilMode: true })), [5]);
  assert.deepEqual(show(avgPool(x, 6, { stride: 2, ceilMode: true })), [3]);
  assert.throws(() => maxPool(x, 7, { stride: 2, ceilMode: true }), /kernel 7 does not fit/);
  assert.deepEqual(show(maxPool(x, 3, { stride: 1, padding: [[1, 0]] })), [2, 3, 4, 5]);
  // Taps 2 apart around every position.
  assert.deepEqual(show(maxPool(x, 3, { stride: 2, dilation: 2, padding: 'same' })), [3, 5, 5]);
  assert.throws(
    () => maxPool(tensor([[[1]]]), 2, { stride: 1, dilation: 3, padding: 'same' }),
    /^ShapeError: maxPool: with padding "same" window 0 \(axis 2\) sees padding only: 2 taps from -1 in steps of 3 miss the input 0 … 0$/,
  );
  assert.throws(
    () => maxPool(x, 2, { padding: 'causal' as 'same' }),
    /maxPool: padding must be .* "same" or "valid", got "causal"/,
  );
});
