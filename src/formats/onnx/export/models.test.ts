import '../../../runtime/default-device.js';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { compile } from '../../../graph/compile.js';
import { MODELS } from '../../../models/index.js';
import { type Module, manualSeed } from '../../../nn/index.js';
import { randomNormal, tensor } from '../../../ops/create.js';
import { type Shape, sizeOf } from '../../../tensor/shape.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { NO_ONNX_RUNTIME, onnxRuntime, runOnnx } from '../../../testing/onnxruntime.js';
import { sharedPath } from '../../../testing/shared.js';
import { loadOnnx } from '../load.js';
import { exportOnnx } from './export.js';

const SKIP = onnxRuntime() === undefined && NO_ONNX_RUNTIME;

/** Small inputs on which the architecture is all there. */
const SHAPES: Readonly<Record<string, Shape>> = {
  lenet: [1, 28, 28],
  mobilenet_v3_small: [3, 32, 32],
  tcn: [1, 784],
  m5: [1, 4000],
};

/** As many as the suite has time for; `GABOR_ONNX=all` tries the whole zoo. */
const names =
  process.env.GABOR_ONNX === 'all' ? Object.keys(MODELS) : Object.keys(SHAPES).filter((name) => name in MODELS);

/** The model's own input, but no photo of more than 96 pixels. */
function inputShape(name: string): Shape {
  const own = (MODELS[name] as { readonly inputShape?: Shape }).inputShape ?? [1, 28, 28];
  return SHAPES[name] ?? own.map((extent, axis) => (axis > 0 && own[0] === 3 && extent === 224 ? 96 : extent));
}

function sample(model: Module, shape: Shape): Tensor {
  if (model.inputDType === 'f32') return randomNormal(shape, 3);
  return tensor(
    Int32Array.from({ length: sizeOf(shape) }, (_, i) => (i * 7) % 50),
    { shape },
  );
}

/** Asserts that ONNX Runtime computes the same as the model, to 1e-4 of the largest number. */
async function assertSame(model: Module, x: Tensor, dynamicBatch: boolean): Promise<void> {
  const program = compile((input: Tensor) => model.call(input));
  const y = await program(x);
  const bytes = exportOnnx(model, { inputs: [{ shape: x.shape, dtype: x.dtype }], dynamicBatch });
  const [result] = await runOnnx(bytes, [{ dtype: x.dtype, shape: x.shape, data: x.data() }]);
  const data = Array.from(y.data());
  const scale = data.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
  assert.ok(scale > 0);
  assert.deepEqual([...result.shape], [...y.shape]);
  const worst = data.reduce((most, v, i) => Math.max(most, Math.abs(v - result.data[i])), 0);
  assert.ok(worst <= 1e-4 * scale, `${worst} of ${scale}`);
  program.dispose();
}

for (const name of names) {
  test(`${name}: ONNX Runtime computes the same`, { skip: SKIP }, async () => {
    manualSeed(1);
    const model = MODELS[name].create({}).eval();
    await assertSame(model, sample(model, [1, ...inputShape(name)]), true);
    model.dispose();
  });
}

for (const [name, shape] of [
  ['resnet20-cifar10', [1, 3, 32, 32]],
  ['squeezenet1.1', [1, 3, 224, 224]],
  ['mlperf-tiny-vww-mobilenetv1-0.25', [1, 96, 96, 3]],
] as const) {
  test(`${name}: imported and exported again`, { skip: SKIP }, async (t) => {
    const path = sharedPath(`models/${name}/model.onnx`);
    if (path === undefined) return t.skip('no shared models here');
    const model = (await loadOnnx(new Uint8Array(readFileSync(path)))).eval();
    await assertSame(model, sample(model, shape), false);
    model.dispose();
  });
}
