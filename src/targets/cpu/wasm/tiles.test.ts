import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WasmFeatures } from './features.js';
import { wasmDeepTile, wasmEngine, wasmTile } from './tiles.js';

const features = (fused: boolean): WasmFeatures => ({
  simd: true,
  relaxedSimd: fused,
  fused,
  threads: true,
});

test('the engine follows the version of V8', () => {
  assert.equal(wasmEngine([11, 3]).name, 'TurboFan');
  assert.equal(wasmEngine([12, 9]).name, 'TurboFan');
  assert.equal(wasmEngine([13, 6]).name, 'Turboshaft');
  assert.equal(wasmEngine([14, 0]).name, 'Turboshaft');
  assert.equal(wasmEngine([0, 0]).name, 'TurboFan');
});

test('the best tiles', () => {
  const [old, recent] = [wasmEngine([11, 3]), wasmEngine([14, 6])];
  assert.deepEqual(wasmTile(features(true), old), { rows: 4, vectors: 2 });
  assert.deepEqual(wasmTile(features(true), recent), { rows: 6, vectors: 2 });
  assert.deepEqual(wasmTile(features(false), recent), { rows: 4, vectors: 2 });
  assert.deepEqual(wasmDeepTile(features(true), old), { rows: 3, vectors: 3 });
  assert.equal(wasmDeepTile(features(false), old), undefined);
  assert.equal(wasmDeepTile(features(true), recent), undefined);
});
