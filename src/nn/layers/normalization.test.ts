import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { checkGradients } from '../../autodiff/check.js';
import { setDevice } from '../../graph/device.js';
import { randomNormal } from '../../ops/create.js';
import { add, div, mul, round } from '../../ops/elementwise.js';
import { groupNorm, instanceNorm, layerNorm, localResponseNorm } from '../../ops/normalization.js';
import { OptionError, ShapeError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { EXACT, testOnDevices } from '../../testing/devices.js';
import { assertClose } from '../../testing/fixtures.js';
import { testLayerFixtures } from '../../testing/layer-fixtures.js';
import { moduleFromConfig } from '../registry.js';
import { BatchNorm1d, BatchNorm3d, GroupNorm, InstanceNorm1d, LayerNorm, LocalResponseNorm } from './normalization.js';

beforeEach(() => setDevice(EXACT.make()));

testLayerFixtures('normalization');

test('first and second derivatives agree with finite differences', () => {
  const [x, weight, bias] = [randomNormal([2, 4, 3, 2], 1), randomNormal([4], 2), randomNormal([4], 3)];
  checkGradients((t, w, b) => groupNorm(t, 2, { weight: w, bias: b }), [x, weight, bias], { order: 2 });
  checkGradients((t, w, b) => instanceNorm(t, { weight: w, bias: b }).y, [x, weight, bias], { order: 2 });
  checkGradients((t) => mul(instanceNorm(t).variance, instanceNorm(t).mean), [x], { order: 2 });
  const [w, b] = [randomNormal([3, 2], 4), randomNormal([3, 2], 5)];
  checkGradients((t, u, v) => layerNorm(t, [3, 2], { weight: u, bias: v }), [x, w, b], { order: 2 });
  checkGradients((t) => localResponseNorm(t, 3, { alpha: 2, k: 1.2 }), [x], { order: 2 });
});

test('group normalisation joins layer and instance normalisation', () => {
  const x = randomNormal([2, 6, 5], 1, 3, 2);
  const close = (a: ArrayLike<number>, b: ArrayLike<number>): void =>
    Array.from(a).forEach((value, i) => {
      assert.ok(Math.abs(value - b[i]) < 1e-12);
    });
  close(groupNorm(x, 1).data(), layerNorm(x, [6, 5]).data());
  close(groupNorm(x, 6).data(), instanceNorm(x).y.data());
});

testOnDevices('a mean of 500 leaves single precision the digits that the input has', ({ tolerance }) => {
  const spread = randomNormal([2, 4, 6], 1);
  // Exact in single precision: sixteenths.
  const x = div(round(mul(spread, 16)), 16);
  const far = add(x, 500);
  const norms = [(t: Tensor) => groupNorm(t, 2), (t: Tensor) => instanceNorm(t).y, (t: Tensor) => layerNorm(t, 6)];
  for (const norm of norms) {
    const near = norm(x);
    const expected = { shape: near.shape, data: Array.from(near.data()) };
    // The rounding of the mean itself: 500 · 2⁻²⁴.
    assertClose(norm(far), expected, 3 * Math.max(tolerance, 3e-5), 'normalised');
  }
});

test('layer normalisation without a shift, and null momentum', () => {
  const layer = new LayerNorm([3, 2], { bias: false });
  assert.deepEqual(Object.keys(layer.stateDict()), ['weight']);
  const config = { type: 'LayerNorm', normalizedShape: [3, 2], eps: 1e-5, elementwiseAffine: true, bias: false };
  assert.deepEqual(moduleFromConfig(layer.config()).config(), config);
  const still = new InstanceNorm1d(2, { momentum: null, trackRunningStats: true });
  still.forward(randomNormal([3, 2, 4], 1));
  assert.deepEqual([...(still.runningMean?.data() ?? [])], [0, 0]);
});

test('errors show the arithmetic', () => {
  const x = randomNormal([2, 6, 4], 1);
  const cases: [() => unknown, typeof OptionError | typeof ShapeError, RegExp][] = [
    [() => new GroupNorm(4, 6), OptionError, /GroupNorm: numChannels 6 does not split into 4 groups: 6 = 1·4 \+ 2/],
    [() => groupNorm(x, 4), ShapeError, /groupNorm: 6 channels .* does not split into 4 groups: 6 = 1·4 \+ 2/],
    [() => new GroupNorm(2, 4).forward(x), ShapeError, /GroupNorm: expected \[batch, 4, …\], got \[2, 6, 4\]/],
    [() => new BatchNorm1d(3).forward(x), ShapeError, /BatchNorm1d: expected 3 channels \(axis 1\), got 6/],
    [
      () => new BatchNorm1d(6).forward(randomNormal([1, 6], 1)),
      ShapeError,
      /BatchNorm1d: training needs more than one/,
    ],
    [() => new BatchNorm3d(6).forward(x), ShapeError, /BatchNorm3d: expected \[batch, 6, depth, height, width\]/],
    [
      () => new InstanceNorm1d(6).forward(randomNormal([2, 6, 1], 1)),
      ShapeError,
      /InstanceNorm1d: needs more than one position per channel, got 1 in \[2, 6, 1\]/,
    ],
    [() => new InstanceNorm1d(6, { track: true } as object), OptionError, /InstanceNorm1d: unknown option "track"/],
    [() => new LayerNorm([4, 6]).forward(x), ShapeError, /LayerNorm: expected \[…, 4, 6\], got \[2, 6, 4\]/],
    [() => new LayerNorm([]), OptionError, /LayerNorm: normalizedShape must be/],
    [
      () => layerNorm(x, 4, { weight: randomNormal([6], 1) }),
      ShapeError,
      /layerNorm: the weight must be \[4\], got \[6\]/,
    ],
    [() => new LocalResponseNorm(0), OptionError, /LocalResponseNorm: size must be an integer ≥ 1, got 0/],
    [
      () => new LocalResponseNorm(3).forward(randomNormal([2, 3], 1)),
      ShapeError,
      /LocalResponseNorm: expected \[batch, channels, …spatial\]/,
    ],
  ];
  for (const [body, kind, message] of cases) {
    assert.throws(body, (error) => error instanceof kind && message.test(error.message), String(message));
  }
});
