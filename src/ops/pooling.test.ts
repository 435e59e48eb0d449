import fc from 'fast-check';
import { testOnDevices } from '../testing/devices.js';
import { assertClose } from '../testing/fixtures.js';
import { adaptiveAvgPool } from './adaptive-pooling.js';
import { randomNormal } from './create.js';
import { avgPool, maxPool } from './pooling.js';

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
  .filter(({ input, kernel, padding }) => padding <= kernel / 2 && kernel <= input + 2 * padding);

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

testOnDevices('adaptive average pooling agrees with plain loops', ({ tolerance }) => {
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
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns; c++) {
          const is = range(r, rows, height);
          const js = range(c, columns, width);
          const total = is.reduce((a, i) => a + js.reduce((b, j) => b + data[i * width + j], 0), 0);
          expected.push(total / (is.length * js.length));
        }
      }
      const y = adaptiveAvgPool(x, [rows, columns]);
      assertClose(y, { shape: [1, 1, rows, columns], data: expected }, tolerance, 'average');
    }),
    { numRuns: 100 },
  );
});
