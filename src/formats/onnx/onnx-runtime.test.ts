import assert from 'node:assert/strict';
import { tensor } from '../../ops/create.js';
import type { Tensor } from '../../tensor/tensor.js';
import { TEST_DEVICES, testOnDevices } from '../../testing/devices.js';
import { readFixtures } from '../../testing/fixtures.js';
import { compare } from '../../testing/onnx-conformance.js';
import { rowOf } from './element-types.js';
import { loadOnnx } from './load.js';
import { parseTensor } from './tensor-proto.js';

interface Fixture {
  readonly name: string;
  /** base64, as all that follow */
  readonly model: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const fixtures = readFixtures<Fixture>('onnx');
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));

testOnDevices(
  'small models of every operator agree with ONNX Runtime',
  async ({ name: device }) => {
    const failures: string[] = [];
    // A part of them as machine code: the conformance tests tell the same way.
    const all = !device.startsWith('cpu avx') || process.env.GABOR_ONNX === 'all';
    for (const { name, model: file, inputs, outputs } of fixtures.filter((_, i) => all || i % 6 === 0)) {
      try {
        const model = await loadOnnx(bytes(file));
        const tensors = inputs.map((input) => {
          const { type, shape, data } = parseTensor(bytes(input), name);
          return tensor(data, { shape, dtype: rowOf(type).dtype });
        });
        const results: Readonly<Record<string, Tensor>> = await model.run(tensors);
        outputs.forEach((output) => {
          const expected = parseTensor(bytes(output), name);
          compare(results[expected.name], expected, expected.name);
        });
        for (const t of [...tensors, ...Object.values(results)]) t.dispose();
        model.dispose();
      } catch (error) {
        failures.push(`${name}: ${(error as Error).message}`);
      }
    }
    assert.deepEqual(failures, []);
  },
  TEST_DEVICES.slice(1),
);
