import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { randomNormal } from '../ops/create.js';
import { tanh } from '../ops/elementwise.js';
import { interpolate, type ResizeOptions } from '../ops/resize.js';
import { pixelShuffle, pixelUnshuffle } from '../ops/shuffle.js';
import type { Shape } from '../tensor/shape.js';
import { EXACT } from '../testing/devices.js';
import { testLayerFixtures } from '../testing/layer-fixtures.js';
import { Upsample } from './layers/upsample.js';
import { moduleFromConfig } from './registry.js';

testLayerFixtures('resizing');

test('first and second derivatives of resizing agree with finite differences', () => {
  setDevice(EXACT.make());
  const check = (shape: Shape, options: ResizeOptions): void => {
    checkGradients((x) => tanh(interpolate(x, options)), [randomNormal(shape, 1)], { order: 2 });
  };
  check([2, 2, 4], { size: 7, mode: 'linear' });
  check([1, 2, 3, 4], { scaleFactor: [2, 0.8], mode: 'bicubic', alignCorners: true });
  check([1, 2, 3, 2, 2], { scaleFactor: 1.6, mode: 'trilinear' });
  check([1, 2, 2, 3], { scaleFactor: 2 });
  check([1, 2, 2, 3], { size: [3, 5], mode: 'nearest-exact' });
  checkGradients((x) => tanh(pixelShuffle(x, 2)), [randomNormal([1, 4, 2, 3], 1)], { order: 2 });
});

test('unshuffling undoes shuffling', () => {
  setDevice(EXACT.make());
  const x = randomNormal([2, 18, 2, 4], 1);
  assert.deepEqual(pixelUnshuffle(pixelShuffle(x, 3), 3).data(), x.data());
});

test('resizing refuses what does not fit', () => {
  setDevice(EXACT.make());
  const x = randomNormal([1, 2, 4, 4], 1);
  assert.throws(() => interpolate(x, {}), /needs either size or scaleFactor, got none/);
  assert.throws(() => interpolate(x, { size: 2, scaleFactor: 2 }), /got both/);
  assert.throws(() => interpolate(x, { size: 2, mode: 'linear' }), /mode "linear" needs \[batch, channels, length\]/);
  assert.throws(() => interpolate(x, { size: 2, alignCorners: true }), /alignCorners means nothing for mode "nearest"/);
  assert.throws(() => interpolate(x, { scaleFactor: 0.1 }), /⌊4 · 0.1⌋ = 0/);
  assert.throws(() => interpolate(x, { scaleFactor: [1, 2, 3] }), /scaleFactor must be a number > 0 or 2 of them/);
  assert.throws(() => interpolate(x, { scaleFactor: -1 }), /scaleFactor must be a number > 0/);
  assert.throws(() => interpolate(x, { size: [3] }), /size must be an integer ≥ 1 or 2 of them/);
  assert.throws(() => interpolate(x, { size: 3, recomputeScaleFactor: true }), /needs a scaleFactor/);
  assert.throws(() => new Upsample({ size: 3, mode: 'cubic' as 'bicubic' }), /mode must be one of "nearest"/);
  assert.throws(() => new Upsample({ size: 3, antialias: true } as ResizeOptions), /unknown option "antialias"/);
  assert.throws(() => pixelShuffle(x, 2), /2 channels of \[1, 2, 4, 4\] do not split into groups of 2² = 4/);
  assert.throws(() => pixelUnshuffle(x, 3), /do not split into blocks of 3×3/);
  assert.throws(() => moduleFromConfig({ type: 'PixelShuffle', upscaleFactor: 0 }), /must be an integer ≥ 1/);
});
