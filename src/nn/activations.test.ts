import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkGradients } from '../autodiff/check.js';
import { setDevice } from '../graph/device.js';
import { randomNormal, tensor } from '../ops/create.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT } from '../testing/devices.js';
import { assertClose } from '../testing/fixtures.js';
import { testLayerFixtures } from '../testing/layer-fixtures.js';
import type { LayerConfig } from './config.js';
import { CELU, Hardtanh, PReLU, Softplus } from './layers/activation.js';
import { moduleFromConfig } from './registry.js';

testLayerFixtures('activations');

const CONFIGS: readonly LayerConfig[] = [
  ...['ReLU6', 'SELU', 'SiLU', 'Mish', 'Hardswish', 'Hardsigmoid', 'Softsign', 'LogSigmoid'].map((type) => ({ type })),
  { type: 'ELU', alpha: 0.7 },
  { type: 'CELU', alpha: 2 },
  { type: 'Hardtanh', minVal: -0.3, maxVal: 2 },
  { type: 'GELU', approximate: 'none' },
  { type: 'GELU', approximate: 'tanh' },
  { type: 'Softplus', beta: 2, threshold: 3 },
  { type: 'PReLU', numParameters: 4, init: 0.3 },
  { type: 'Softmax', dim: 1 },
  { type: 'LogSoftmax', dim: 1 },
  { type: 'GLU', dim: 1 },
  { type: 'GatedTanh', dim: 1 },
];

test('first and second derivatives of activations agree with finite differences', async (t) => {
  setDevice(EXACT.make());
  for (const config of CONFIGS) {
    await t.test(JSON.stringify(config), () => {
      const module = moduleFromConfig(config);
      const x = randomNormal([3, 4, 2], new Random(3), 0, 2);
      checkGradients((v: Tensor) => module.forward(v), [x], { order: 2 });
      assert.deepEqual(moduleFromConfig(module.config()).config(), config);
    });
  }
});

test('activations at their corners, far out and for what is no number', () => {
  setDevice(EXACT.make());
  const apply = (type: string, ...x: number[]): Tensor => moduleFromConfig({ type }).forward(tensor(x));
  const check = (type: string, x: number[], y: number[]): void => {
    assertClose(apply(type, ...x), { shape: [x.length], data: y }, 1e-6, type);
  };
  check('ReLU6', [-1, 0, 6, 7, -1e30, 1e30], [0, 0, 6, 6, 0, 6]);
  check('Hardswish', [-1e30, -3, 0, 3, 100], [0, 0, 0, 3, 100]);
  check('Hardsigmoid', [-1e30, -3, 0, 3, 1e30], [0, 0, 0.5, 1, 1]);
  check('Softplus', [-1000, 0, 1000], [0, Math.LN2, 1000]);
  check('LogSigmoid', [-1000, 0, 1000], [-1000, -Math.LN2, 0]);
  check('ELU', [-1000, 0, 1000], [-1, 0, 1000]);
  for (const { type, ...rest } of CONFIGS) {
    if (['Softmax', 'LogSoftmax', 'GLU', 'GatedTanh', 'PReLU'].includes(type)) continue;
    const y = moduleFromConfig({ type, ...rest }).forward(tensor([Number.NaN]));
    assert.ok(Number.isNaN(y.item()), `${type} of NaN`);
  }
});

test('activations refuse what does not fit', () => {
  setDevice(EXACT.make());
  const build = (config: LayerConfig) => (): unknown => moduleFromConfig(config);
  assert.throws(build({ type: 'SiLU', inplace: true }), /unknown option "inplace"/);
  assert.throws(build({ type: 'ELU', alpha: 'large' }), /ELU: alpha must be a number/);
  assert.throws(build({ type: 'GELU', approximate: 'erf' }), /"none" or "tanh"/);
  assert.throws(build({ type: 'Softmax' }), /Softmax: dim must be the number of an axis/);
  assert.throws(build({ type: 'PReLU', numParameters: 0 }), /numParameters must be an integer ≥ 1/);
  assert.throws(() => new CELU(0), /must not be 0/);
  assert.throws(() => new Softplus(0), /must not be 0/);
  assert.throws(() => new Hardtanh(1, 1), /minVal 1 must lie below maxVal 1/);
  assert.throws(() => new PReLU(3).forward(randomNormal([2, 4], 1)), /one for each channel \(axis 1\) of \[2, 4\]/);
  assert.throws(() => moduleFromConfig({ type: 'GLU' }).forward(randomNormal([2, 3], 1)), /two equal halves/);
});
