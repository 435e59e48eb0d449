import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { trace } from '../graph/trace.js';
import type { Random } from '../tensor/random.js';
import { Tensor } from '../tensor/tensor.js';
import { convNet } from '../testing/conv-net.js';
import { fixturePath } from '../testing/fixtures.js';
import { fuzz, mutate } from '../testing/fuzz.js';
import { memorySource } from './byte-source.js';
import { parseNpy, serializeNpy } from './npy.js';
import { parseNpz } from './npz.js';
import { exportOnnx } from './onnx/export/export.js';
import { loadOnnx } from './onnx/load.js';
import { parsePytorch } from './pytorch/checkpoint.js';
import { parseSafetensors } from './safetensors.js';
import { openZip, zip } from './zip.js';

const file = (name: string): [string, Uint8Array] => [name, readFileSync(fixturePath(`formats/${name}`))];
const files = (...names: string[]): [string, Uint8Array][] => names.map(file);

/** Changes what is inside of an archive, so that its checksums are right. */
async function changeEntry(bytes: Uint8Array, random: Random): Promise<Uint8Array> {
  const entries: [string, Uint8Array][] = [];
  for (const [name, entry] of await openZip(memorySource(bytes, 'seed'))) entries.push([name, await entry.read()]);
  const pickle = entries.findIndex(([name]) => name.endsWith('.pkl'));
  const at = pickle >= 0 && random.integer(8) > 0 ? pickle : random.integer(entries.length);
  entries[at] = [entries[at][0], mutate(entries[at][1], random)];
  return zip(entries, false);
}

test('changed .npy files are read or refused', async () => {
  const seeds: [string, Uint8Array][] = [
    ...files('objects.npy', 'records.npy', 'complex.npy'),
    ['f32', serializeNpy({ dtype: 'f32', shape: [3, 5], data: new Float32Array(15).fill(1.5) })],
    ['i32', serializeNpy({ dtype: 'i32', shape: [], data: new Int32Array(1) })],
  ];
  assert.ok((await fuzz(seeds, (bytes) => parseNpy(bytes))) >= 50);
});

test('changed .npz files are read or refused', async () => {
  await fuzz(files('arrays.npz', 'deflated.npz', 'zip64.npz'), (bytes) => parseNpz(bytes));
  await fuzz(files('arrays.npz', 'deflated.npz'), (bytes) => parseNpz(bytes), changeEntry);
});

test('changed checkpoints are read or refused', async () => {
  const seeds = files('net.pt', 'training.pt', 'views.pt', 'evil.pt', 'module.pt', 'legacy.pt');
  await fuzz(seeds, (bytes) => parsePytorch(bytes));
  await fuzz(seeds.slice(0, 5), (bytes) => parsePytorch(bytes), changeEntry);
});

test('changed safetensors are read or refused', async () => {
  const seeds = files('net.safetensors', 'net-f16.safetensors', 'net-bf16.safetensors');
  await fuzz(seeds, (bytes) => parseSafetensors(bytes));
});

test('changed ONNX models are read or refused', async () => {
  const shape = [1, 3, 16, 16];
  const seeds: [string, Uint8Array][] = [
    ['net', exportOnnx(convNet(), { inputs: [shape] })],
    ['any batch', exportOnnx(convNet(), { inputs: [shape], dynamicBatch: true })],
  ];
  await fuzz(seeds, async (bytes) => {
    const model = await loadOnnx(bytes);
    try {
      // Shapes are worked out when the model is traced.
      trace((graph) => [model.call(Tensor.fromTraced(graph.addInput({ dtype: 'f32', shape })))]);
    } finally {
      model.dispose();
    }
  });
});
