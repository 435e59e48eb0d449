import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../../autodiff/gradients.js';
import { compile } from '../../graph/compile.js';
import { setDevice } from '../../graph/device.js';
import { sum } from '../../ops/broadcast.js';
import { mul } from '../../ops/elementwise.js';
import type { Tensor } from '../../tensor/tensor.js';
import { TEST_DEVICES } from '../../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../../testing/fixtures.js';
import type { LayerConfig } from '../config.js';
import { moduleFromConfig } from '../registry.js';

interface LayerCase {
  readonly name: string;
  readonly layer: LayerConfig;
  readonly state: Record<string, FixtureArray>;
  readonly input: FixtureArray;
  readonly output: FixtureArray;
  readonly cotangent: FixtureArray;
  readonly gradients: Record<string, FixtureArray>;
}

const cases = readFixtures<LayerCase>('convolutions');

for (const device of TEST_DEVICES) {
  test(`convolution layers agree with PyTorch [${device.name}]`, async (t) => {
    setDevice(device.make());
    for (const c of cases) {
      await t.test(c.name, async () => {
        const module = moduleFromConfig(c.layer);
        assert.deepEqual(Object.keys(module.stateDict()), Object.keys(c.state), 'state_dict keys');
        module.loadStateDict(c.state);
        const differentiate = compile((x: Tensor, cotangent: Tensor) => {
          const y = module.forward(x);
          return [y, ...gradients(sum(mul(y, cotangent)), [x, ...module.parameters()])];
        });
        const [y, ...grads] = await differentiate(fixtureTensor(c.input), fixtureTensor(c.cotangent));
        assertClose(y, c.output, device.tolerance, 'output');
        ['input', ...module.namedParameters().map(([name]) => name)].forEach((name, i) => {
          assertClose(grads[i], c.gradients[name], device.tolerance, `gradient of ${name}`);
        });
        differentiate.dispose();
        module.dispose();
      });
    }
  });
}

test('the configuration of every case survives JSON', () => {
  for (const { name, layer } of cases) {
    const config = moduleFromConfig(layer).config();
    const again = moduleFromConfig(JSON.parse(JSON.stringify(config))).config();
    assert.deepEqual(again, config, name);
    for (const key of Object.keys(layer)) assert.ok(key in config, `${name}: ${key} is part of the configuration`);
  }
});
