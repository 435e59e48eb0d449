import assert from 'node:assert/strict';
import { compile } from '../graph/compile.js';
import { SegmentationModel, Trunk } from '../models/index.js';
import { init, type Module, moduleFromConfig } from '../nn/index.js';
import { tensor } from '../ops/create.js';
import type { Shape } from '../tensor/shape.js';
import { sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { readFixtures } from './fixtures.js';
import { fillWithHashes, hashedNumbers, stateDigest } from './model-weights.js';

/** A network and what PyTorch computes: what `scripts/fixtures_models.py` writes. */
export interface ModelCase {
  readonly name: string;
  readonly options?: Readonly<Record<string, number | boolean>>;
  readonly input: Shape;
  /** Inputs are whole numbers below this one. */
  readonly integers?: number;
  /** Of the keys and shapes of the network, and of the network in its full size. */
  readonly state: string;
  readonly full: string;
  /** By head; `data` are at most 16 elements, evenly spread. */
  readonly outputs: Readonly<
    Record<string, { readonly shape: Shape; readonly largest: number; readonly data: readonly number[] }>
  >;
}

export function modelCases(): ModelCase[] {
  return readFixtures<ModelCase>('models');
}

function inputOf({ input, integers }: ModelCase): Tensor {
  const numbers = hashedNumbers('input', sizeOf(input));
  if (integers === undefined) return tensor(numbers, { shape: input });
  const words = Int32Array.from(numbers, (u) => Math.floor(((u + 1) / 2) * integers));
  return tensor(words, { shape: input, dtype: 'i32' });
}

/**
 * Asserts that a network has the same state as PyTorch's, is made again by its configuration, and gives the same outputs.
 *
 * @returns the largest difference, relative to the largest magnitude of the output
 */
export async function checkModelCase(c: ModelCase, make: () => Module, tolerance: number): Promise<number> {
  const first = init.skipInit(make);
  assert.equal(stateDigest(first), c.state, `${c.name}: keys and shapes of the state`);
  const config = JSON.parse(JSON.stringify(first.config()));
  first.dispose();
  // Everything else is done with the copy: what its configuration says must be all.
  const model = init.skipInit(() => moduleFromConfig(config)).eval();
  assert.deepEqual(model.config(), config, `${c.name}: configuration`);
  assert.equal(stateDigest(model), c.state, `${c.name}: keys and shapes of the copy's state`);
  fillWithHashes(model);
  const several = Object.keys(c.outputs).length > 1 && (model instanceof Trunk || model instanceof SegmentationModel);
  const run = compile(
    (x: Tensor): Record<string, Tensor> => (several ? { ...model.outputs(x) } : { out: model.call(x) }),
  );
  const outputs = await run(inputOf(c));
  assert.deepEqual(Object.keys(outputs).sort(), Object.keys(c.outputs).sort(), `${c.name}: heads`);
  let worst = 0;
  for (const [head, expected] of Object.entries(c.outputs)) {
    assert.deepEqual([...outputs[head].shape], [...expected.shape], `${c.name} ${head}: shape`);
    const data = outputs[head].data();
    expected.data.forEach((value, i) => {
      const actual = data[Math.floor((i * data.length) / expected.data.length)];
      const difference = Math.abs(actual - value) / expected.largest;
      assert.ok(difference <= tolerance, `${c.name} ${head} ${i}: ${actual}, expected ${value}`);
      worst = Math.max(worst, difference);
    });
    outputs[head].dispose();
  }
  run.dispose();
  model.dispose();
  return worst;
}
