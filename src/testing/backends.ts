import fc from 'fast-check';
import { type Backend, wasmBackend } from '../runtime/backend.js';
import { TILE_SHAPES } from '../targets/cpu/wasm/tiles.js';

/** Every way to run programs on this machine, with every register tile; no Winograd, so that sums of integers are exact. */
export const BACKENDS: readonly Backend[] = [true, false].flatMap((relaxedSimd) =>
  TILE_SHAPES.map((tile) => wasmBackend({ relaxedSimd, tile, winograd: false })),
);

export const backends: fc.Arbitrary<Backend> = fc.constantFrom(...BACKENDS);

/** For messages. */
export function describeBackend({ name, machine }: Backend): string {
  return `${name}, ${machine.tile.rows} × ${machine.tile.vectors} vectors of ${machine.lanes}`;
}
