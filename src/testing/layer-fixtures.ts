import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { LayerConfig } from '../nn/config.js';
import type { Module } from '../nn/module.js';
import { moduleFromConfig } from '../nn/registry.js';
import { sum } from '../ops/broadcast.js';
import { mul } from '../ops/elementwise.js';
import type { Tensor } from '../tensor/tensor.js';
import { EXACT, FIXTURE_DEVICES, TEST_DEVICES } from './devices.js';
import { assertClose, type FixtureArray, fixtureTensor, readFixtures } from './fixtures.js';
import { type Rounded, roundingBounds } from './rounding.js';
import { assertProven, layerSubject } from './support.js';

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
 * outside of a program, all gradients, buffers afterwards, and that the configuration makes the same layer again. Errors
 * are held against an error analysis, and noted for `docs/support.md`.
 *
 * @param slack factors of the tolerance, by case, for devices in single precision
 */
export function testLayerFixtures(name: string, slack: Readonly<Record<string, number>> = {}): void {
  const cases = readFixtures<LayerCase>(name);
  const bounds = new Map<LayerCase, readonly Rounded[]>();
  for (const device of FIXTURE_DEVICES) {
    test(`${name} agree with PyTorch [${device.name}]`, async (t) => {
      for (const c of cases) {
        await t.test(c.name, async () => {
          if (!bounds.has(c)) bounds.set(c, analyse(c));
          // Here, since hooks of the file run before every case.
          setDevice(device.make());
          const known = bounds.get(c) as readonly Rounded[];
          const tolerance = device.tolerance * (device === EXACT ? 1 : (slack[c.name] ?? 1));
          const subject = layerSubject(c.layer, c.input.shape, c.train);
          const proof = { subject, device: { ...device, tolerance } };
          const module = moduleFromConfig(moduleFromConfig(c.layer).config()).train(c.train);
          // Lazy layers have no parameters before they have seen an input.
          if (c.layer.type.startsWith('Lazy')) module.forward(inputOf(c));
          assert.deepEqual(Object.keys(module.stateDict()), Object.keys(c.state), 'state_dict keys');
          module.loadStateDict(c.state);
          const differentiate = compile((x: Tensor, cotangent: Tensor) => evaluate(c, module, x, cotangent));
          const x = inputOf(c);
          const [y, ...grads] = await differentiate(x, fixtureTensor(c.cotangent));
          assertProven(y, c.output, known[0], proof, 'forward', 'output');
          const sources = sourcesOf(c, module);
          sources.forEach((source, i) => {
            assertProven(grads[i], c.gradients[source], known[i + 1], proof, 'gradients', `gradient of ${source}`);
          });
          for (const [i, [buffer, value]] of module.namedBuffers().entries()) {
            const expected = (c.buffersAfter ?? c.state)[buffer];
            assertProven(value, expected, known[1 + sources.length + i], proof, 'forward', `${buffer} afterwards`);
          }
          if (TEST_DEVICES.includes(device)) {
            module.loadStateDict(c.state);
            assertClose(module.forward(x), c.output, tolerance, 'output outside of compile');
          }
          differentiate.dispose();
          module.dispose();
        });
      }
    });
  }
}

const inputOf = (c: LayerCase): Tensor => fixtureTensor(c.input, c.input.integer ? 'i32' : 'f32');

/** What has a gradient, by name. */
const sourcesOf = (c: LayerCase, module: Module): string[] => [
  ...(c.input.integer ? [] : ['input']),
  ...module.namedParameters().map(([name]) => name),
];

/** The output and the gradients of all sources. */
function evaluate(c: LayerCase, module: Module, x: Tensor, cotangent: Tensor): Tensor[] {
  const y = module.forward(x);
  return [y, ...gradients(sum(mul(y, cotangent)), [...(c.input.integer ? [] : [x]), ...module.parameters()])];
}

/** Error bounds of the output, the gradients and the buffers afterwards. */
function analyse(c: LayerCase): Rounded[] {
  setDevice(EXACT.make());
  const module = moduleFromConfig(c.layer).train(c.train);
  if (c.layer.type.startsWith('Lazy')) module.forward(inputOf(c));
  module.loadStateDict(c.state);
  const all = (x: Tensor, cotangent: Tensor): Tensor[] => {
    const results = evaluate(c, module, x, cotangent);
    return [...results, ...module.namedBuffers().map(([, buffer]) => buffer)];
  };
  return roundingBounds(all as (...args: Tensor[]) => Tensor[], [inputOf(c), fixtureTensor(c.cotangent)]);
}
