import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { DType, TypedArray } from '../tensor/dtype.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** What tests use of ONNX Runtime. */
interface OnnxRuntime {
  readonly Tensor: new (type: string, data: TypedArray, shape: Shape) => object;
  readonly InferenceSession: {
    create(model: Uint8Array | string, options: object): Promise<Session>;
  };
}

interface Session {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: Record<string, object>): Promise<Record<string, { data: ArrayLike<number>; dims: Shape }>>;
  release(): Promise<void>;
}

let loaded: OnnxRuntime | undefined | null = null;

/**
 * ONNX Runtime, which is installed for measurements (`npm ci --prefix bench`) and not for the product; undefined where it is not there
 * or does not run on this machine.
 */
export function onnxRuntime(): OnnxRuntime | undefined {
  if (loaded === null) loaded = load();
  return loaded;
}

export const NO_ONNX_RUNTIME = 'onnxruntime-node is not installed; run npm ci --prefix bench';

function load(): OnnxRuntime | undefined {
  for (let folder = dirname(fileURLToPath(import.meta.url)); ; folder = dirname(folder)) {
    const path = join(folder, 'bench', 'package.json');
    if (existsSync(path)) {
      try {
        return createRequire(path)('onnxruntime-node') as OnnxRuntime;
      } catch {
        return undefined;
      }
    }
    if (dirname(folder) === folder) return undefined;
  }
}

const TYPES: Readonly<Record<DType, string>> = {
  f32: 'float32',
  f64: 'float64',
  i32: 'int32',
  u8: 'uint8',
  bool: 'bool',
};

export interface RuntimeArray {
  readonly dtype: DType;
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** Runs a model on inputs by their order; outputs in the model's order. */
export async function runOnnx(
  model: Uint8Array | string,
  inputs: readonly RuntimeArray[],
): Promise<{ shape: Shape; data: ArrayLike<number> }[]> {
  const ort = onnxRuntime();
  if (ort === undefined) throw new Error(NO_ONNX_RUNTIME);
  // 3: errors only; it warns about initializers that it folds away.
  const session = await ort.InferenceSession.create(model, { logSeverityLevel: 3, intraOpNumThreads: 1 });
  try {
    const feeds = inputs.map(({ dtype, data, shape }, i) => [
      session.inputNames[i],
      new ort.Tensor(TYPES[dtype], data, shape),
    ]);
    const results = await session.run(Object.fromEntries(feeds));
    return session.outputNames.map((name) => ({ shape: results[name].dims, data: results[name].data }));
  } finally {
    await session.release();
  }
}

/** Asserts that ONNX Runtime computes `expected`, to 1e-4 of its largest element. */
export async function assertSame(
  bytes: Uint8Array | string,
  inputs: readonly Tensor[],
  expected: readonly Tensor[],
): Promise<void> {
  const results = await runOnnx(
    bytes,
    inputs.map((x) => ({
      dtype: x.dtype,
      shape: x.shape,
      data: x.dtype === 'f32' ? Float32Array.from(x.data()) : x.data(),
    })),
  );
  assert.equal(results.length, expected.length);
  expected.forEach((y, i) => {
    assert.deepEqual([...results[i].shape], [...y.shape], 'shape');
    const data = Array.from(y.data());
    const scale = data.reduce((most, v) => Math.max(most, Math.abs(v)), 1e-3);
    for (let j = 0; j < data.length; j++) {
      const difference = Math.abs(Number(results[i].data[j]) - data[j]);
      if (Object.is(Number(results[i].data[j]), data[j])) continue;
      assert.ok(difference <= 1e-4 * scale, `element ${j} is ${results[i].data[j]}, expected ${data[j]}`);
    }
  });
}
