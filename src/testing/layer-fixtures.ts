import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { LayerConfig } from '../nn/config.js';
import { moduleFromConfig } from '../nn/registry.js';
import { sum } from '../ops/broadcast.js';
import { mul } from '../ops/elementwise.js';
import type { Tensor } from '../tensor/tensor.js';
import { TEST_DEVICES } from './devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from './fixtures.js';

/** A layer, its state, and what PyTorch computes: what `layer_case` in `scripts/fixtures.py` writes. */
export interface LayerCase {
  readonly name: string;
  readonly layer: LayerConfig;
  readonly train: boolean;
  readonly state: Record<string, FixtureArray>;
  /** `integer` inputs have no gradient. */
  readonly input: FixtureArray & { readonly integer?: boolean };
  readonly output: FixtureArray;
  readonly cotangent: FixtureArray;
  readonly gradients: Record<string, FixtureArray>;
  /** default: as before */
  readonly buffersAfter?: Record<string, FixtureArray>;
}

/**
 * Tests layers against `tests/fixtures/NAME.jsonl` on every device: keys of the state, output inside and
 * outside of a program, all gradients, buffers afterwards, and that the configuration makes the same layer again.
 */
export function testLayerFixtures(name: string): void {
  const cases = readFixtures<LayerCase>(name);
  for (const device of TEST_DEVICES) {
    test(`${name} agree with PyTorch [${device.name}]`, async (t) => {
      setDevice(device.make());
      for (const c of cases) {
        await t.test(c.name, async () => {
          const module = moduleFromConfig(moduleFromConfig(c.layer).config()).train(c.train);
          assert.deepEqual(Object.keys(module.stateDict()), Object.keys(c.state), 'state_dict keys');
          module.loadStateDict(c.state);
          const names = module.namedParameters().map(([parameter]) => parameter);
          const inputs = c.input.integer ? [] : ['input'];
          const differentiate = compile((x: Tensor, cotangent: Tensor) => {
            const y = module.forward(x);
            const sources = [...(c.input.integer ? [] : [x]), ...module.parameters()];
            return [y, ...gradients(sum(mul(y, cotangent)), sources)];
          });
          const x = fixtureTensor(c.input, c.input.integer ? 'i32' : 'f32');
          const [y, ...grads] = await differentiate(x, fixtureTensor(c.cotangent));
          assertClose(y, c.output, device.tolerance, 'output');
          [...inputs, ...names].forEach((source, i) => {
            assertClose(grads[i], c.gradients[source], device.tolerance, `gradient of ${source}`);
          });
          for (const [buffer, value] of module.namedBuffers()) {
            assertClose(value, (c.buffersAfter ?? c.state)[buffer], device.tolerance, `${buffer} afterwards`);
          }
          module.loadStateDict(c.state);
          assertClose(module.forward(x), c.output, device.tolerance, 'output outside of compile');
        });
      }
    });
  }
}
