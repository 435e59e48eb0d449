import fc from 'fast-check';
import { type Backend, nativeProblem, wasmBackend, x64Backend } from '../runtime/backend.js';
import { TILE_SHAPES, type WasmTile } from '../targets/cpu/wasm/tiles.js';

/** Whole tiles, and some that spill. */
const NATIVE_TILES: readonly WasmTile[] = [
  [1, 1],
  [3, 2],
  [6, 2],
  [4, 3],
  [14, 2],
  [7, 4],
].map(([rows, vectors]) => ({ rows, vectors }));

/** Every way to run programs on this machine, with every register tile; no Winograd, so that sums of integers are exact. */
export const BACKENDS: readonly Backend[] = [
  ...[true, false].flatMap((relaxedSimd) =>
    TILE_SHAPES.map((tile) => wasmBackend({ relaxedSimd, tile, winograd: false })),
  ),
  ...(['avx512', 'avx2'] as const)
    .filter((features) => nativeProblem(features) === undefined)
    .flatMap((features) => NATIVE_TILES.map((tile) => x64Backend({ features, tile, winograd: false }))),
];

export const backends: fc.Arbitrary<Backend> = fc.constantFrom(...BACKENDS);

/** For messages. */
export function describeBackend({ name, machine }: Backend): string {
  return `${name}, ${machine.tile.rows} × ${machine.tile.vectors} vectors of ${machine.lanes}`;
}
