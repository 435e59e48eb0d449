import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { sum } from '../ops/broadcast.js';
import { mul } from '../ops/elementwise.js';
import type { Tensor } from '../tensor/tensor.js';
import { TEST_DEVICES } from '../testing/devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import type { LayerConfig } from './config.js';
import { moduleFromConfig } from './registry.js';

interface LayerCase {
  readonly name: string;
  readonly layer: LayerConfig;
  readonly train: boolean;
  readonly state: Record<string, FixtureArray>;
  readonly input: FixtureArray;
  readonly output: FixtureArray;
  readonly cotangent: FixtureArray;
  readonly gradients: Record<string, FixtureArray>;
  readonly buffersAfter?: Record<string, FixtureArray>;
}

const cases = readFixtures<LayerCase>('layers');

for (const device of TEST_DEVICES) {
  test(`layers agree with PyTorch [${device.name}]`, async (t) => {
    setDevice(device.make());
    for (const c of cases) {
      await t.test(c.name, async () => {
        const module = moduleFromConfig(c.layer).train(c.train);
        assert.deepEqual(Object.keys(module.stateDict()), Object.keys(c.state), 'state_dict keys');
        module.loadStateDict(c.state);
        const names = module.namedParameters().map(([name]) => name);
        const differentiate = compile((x: Tensor, cotangent: Tensor) => {
          const y = module.forward(x);
          return [y, ...gradients(sum(mul(y, cotangent)), [x, ...module.parameters()])];
        });
        const x = fixtureTensor(c.input);
        const [y, ...grads] = await differentiate(x, fixtureTensor(c.cotangent));
        // A mean of 500 leaves float32 three digits fewer of the spread.
        const tolerance = device.tolerance * (c.name.includes('large mean') && device.tolerance > 1e-6 ? 50 : 1);
        assertClose(y, c.output, tolerance, 'output');
        ['input', ...names].forEach((name, i) => {
          assertClose(grads[i], c.gradients[name], tolerance, `gradient of ${name}`);
        });
        const buffers = module.namedBuffers();
        for (const [name, buffer] of buffers) {
          assertClose(buffer, (c.buffersAfter ?? c.state)[name], device.tolerance, `${name} afterwards`);
        }
        module.loadStateDict(c.state);
        assertClose(module.forward(x), c.output, tolerance, 'output outside of compile');
      });
    }
  });
}
