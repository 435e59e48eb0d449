import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { randomNormal } from '../../ops/create.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { OptionError } from '../../tensor/errors.js';
import { floats, onnxBytes } from '../../testing/onnx-models.js';
import { loadOnnx } from './load.js';

setDevice(new ReferenceDevice());

/** Exported for pictures of 8×8, as converters do. */
const bytes = onnxBytes({
  inputs: { image: [1, 3, 8, 8] },
  outputs: ['y'],
  initialisers: [floats('w', [4, 3, 3, 3])],
  nodes: [
    { type: 'Conv', inputs: ['image', 'w'], outputs: ['c'] },
    { type: 'GlobalAveragePool', inputs: ['c'], outputs: ['y'] },
  ],
});

test('a network that was exported for one size takes others where its shapes are opened', async () => {
  const small = await loadOnnx(bytes);
  assert.throws(
    () => small.forward(randomNormal([1, 3, 12, 9], 1)),
    /float\[1, 3, 8, 8\] in the file, got \[1, 3, 12, 9\]/,
  );
  const open = await loadOnnx(bytes, { shapes: { image: [undefined, 3, 'rows', undefined] } });
  assert.deepEqual(open.inputs[0].shape, [undefined, 3, 'rows', undefined]);
  assert.equal(open.outputs[0].shape, undefined);
  assert.deepEqual(open.forward(randomNormal([2, 3, 12, 9], 1)).shape, [2, 4, 1, 1]);
  const x = randomNormal([1, 3, 8, 8], 2);
  assert.deepEqual(open.forward(x).data(), small.forward(x).data());
  assert.throws(() => open.forward(randomNormal([1, 1, 8, 8], 1)), /axis 1 must be 3/);
  // Parts have them, too; names can be bound.
  const bound = await loadOnnx(bytes, { shapes: { image: [1, 3, 'rows', 8] }, dims: { rows: 10 } });
  assert.throws(() => bound.features('c').forward(x), /rows.*10|10.*rows/);
  assert.deepEqual(bound.features('c').forward(randomNormal([1, 3, 10, 8], 1)).shape, [1, 4, 8, 6]);
});

test('shapes that cannot be are refused', async () => {
  const refused = (shapes: Record<string, (number | undefined)[]>, pattern: RegExp): Promise<void> =>
    assert.rejects(
      loadOnnx(bytes, { shapes }),
      (error: Error) => error instanceof OptionError && pattern.test(error.message),
    );
  await refused({ picture: [1] }, /no input "picture"; its inputs: image/);
  await refused({ image: [1, 3, 8] }, /"image" has 4 dimensions in the file, but 3 are given: \[1, 3, 8\]/);
  await refused({ image: [1, 3, 0, undefined] }, /extents of "image" must be integers ≥ 1, got 0/);
});
