import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { randomNormal } from '../ops/create.js';
import { EXACT } from '../testing/devices.js';
import { testLayerFixtures } from '../testing/layer-fixtures.js';
import { ConstantPad1d, ReflectionPad2d, ZeroPad2d } from './layers/padding-layers.js';
import { moduleFromConfig } from './registry.js';

testLayerFixtures('padding-layers');

test('padding layers refuse what does not fit', () => {
  setDevice(EXACT.make());
  const x = randomNormal([1, 2, 3, 4], 1);
  assert.throws(() => new ZeroPad2d([1, 2]), /padding must be an integer or \[left, right, top, bottom\], got \[1,2\]/);
  assert.throws(() => new ConstantPad1d(1, undefined as unknown as number), /value must be a number/);
  assert.throws(() => moduleFromConfig({ type: 'ZeroPad2d', padding: 1, value: 3 }), /unknown option "value"/);
  assert.throws(() => new ConstantPad1d(1, 0).forward(x), /expected \[batch, channels, length\], got \[1, 2, 3, 4\]/);
  assert.throws(() => new ReflectionPad2d(3).forward(x), /reflect padding 3 must be less than the extent/);
  assert.deepEqual([...new ZeroPad2d([-1, 0, 0, -2]).forward(x).shape], [1, 2, 1, 3]);
});
