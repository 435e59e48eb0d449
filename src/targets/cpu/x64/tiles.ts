import type { MachineDescription } from '../../../compiler/machine.js';
import type { X64Options } from './emitter.js';

/**
 * The register tile of dense contractions. Measured on one core of a Zen 4 server in percent of a loop of multiply-adds on
 * registers alone (117 GFLOP/s with either width), a 3×3 convolution of 56×56 positions and 64 → 64 channels:
 *
 * | tile (rows × vectors) | AVX-512 | | tile | AVX2 |
 * |---|---|---|---|---|
 * | 14×2 | 99.7 | | 6×2 | 97 |
 * | 12×2 | 99.7 | | 4×3 | 98 |
 * | 8×3 | 100 | | 5×2 | 91 |
 * | 9×3 | 98.5 | | 12×1 | 84 |
 * | 7×4 | 99.8 | | 14×1 | 85 |
 * | 6×4 | 99.5 | | 3×4 (spills) | 44 |
 * | 28×1 | 99.6 | | | |
 *
 * The loop over input channels unrolled twice or four times is no faster (99.7, 97).
 *
 * Among the tiles that reach the ceiling those two vectors wide leave the least of a tile unused at the edges: channels are mostly multiples of
 * 32, positions of 7.
 */
const TILES: Readonly<Record<X64Options['features'], MachineDescription['tile']>> = {
  avx512: { rows: 14, vectors: 2 },
  avx2: { rows: 6, vectors: 2 },
};

export function x64Tile(features: X64Options['features']): MachineDescription['tile'] {
  return TILES[features];
}

/** What a search may try besides: tiles of the table that reach the ceiling, for other numbers of channels and positions. */
const OTHERS: Readonly<Record<X64Options['features'], readonly MachineDescription['tile'][]>> = {
  avx512: [
    { rows: 12, vectors: 2 },
    { rows: 8, vectors: 3 },
    { rows: 6, vectors: 4 },
    { rows: 7, vectors: 4 },
    { rows: 28, vectors: 1 },
  ],
  avx2: [
    { rows: 4, vectors: 3 },
    { rows: 5, vectors: 2 },
    { rows: 12, vectors: 1 },
    { rows: 7, vectors: 1 },
  ],
};

export function otherX64Tiles(features: X64Options['features']): readonly MachineDescription['tile'][] {
  return OTHERS[features];
}
