import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WasmFeatures } from './features.js';
import { wasmEngine, wasmTile, wasmTileRows } from './tiles.js';

const features = (fused: boolean, paired = false): WasmFeatures => ({
  simd: true,
  relaxedSimd: fused,
  fused,
  threads: true,
  paired,
});

test('the engine follows the version of V8', () => {
  assert.equal(wasmEngine([11, 3]).name, 'TurboFan');
  assert.equal(wasmEngine([12, 9]).name, 'TurboFan');
  assert.equal(wasmEngine([13, 6]).name, 'Turboshaft');
  assert.equal(wasmEngine([14, 0]).name, 'Turboshaft');
  assert.equal(wasmEngine([0, 0]).name, 'TurboFan');
});

test('the best tiles, and the largest that do not spill', () => {
  const [old, recent] = [wasmEngine([11, 3]), wasmEngine([14, 6])];
  assert.deepEqual(wasmTile(features(true), old), { rows: 4, vectors: 2 });
  assert.deepEqual(wasmTile(features(true), recent), { rows: 6, vectors: 2 });
  assert.deepEqual(wasmTile(features(true, true), recent), { rows: 6, vectors: 4 });
  assert.deepEqual(
    [1, 2, 3, 4].map((vectors) => wasmTileRows(vectors, features(true), old)),
    [7, 4, 3, 2],
  );
  assert.deepEqual(
    [1, 2, 3, 4].map((vectors) => wasmTileRows(vectors, features(true), recent)),
    [13, 6, 3, 2],
  );
  assert.deepEqual(
    [2, 4].map((vectors) => wasmTileRows(vectors, features(true, true), recent)),
    [13, 6],
  );
  for (const engine of [old, recent]) {
    for (const [fused, paired] of [
      [true, false],
      [false, false],
      [true, true],
    ]) {
      const { rows, vectors } = wasmTile(features(fused, paired && engine === recent), engine);
      assert.ok(rows <= wasmTileRows(vectors, features(fused, paired && engine === recent), engine));
    }
  }
  assert.equal(wasmTileRows(100, features(true), old), 1);
});
