import type { MachineDescription } from '../../../compiler/machine.js';
import type { X64Options } from './emitter.js';

/**
 * The register tile of dense contractions. Measured on one core of a Zen 4 server in percent of a loop of multiply-adds on
 * registers alone (117 GFLOP/s with either width), a 3×3 convolution of 56×56 positions and 64 → 64 channels:
 *
 * | tile (rows × vectors) | AVX-512 | | tile | AVX2 |
 * |---|---|---|---|---|
 * | 14×2 | 98.7 | | 6×2 | 96.8 |
 * | 12×2 | 99.2 | | 4×3 | 97.3 |
 * | 8×3 | 99.4 | | 5×2 | 90.9 |
 * | 9×3 | 98.0 | | 12×1 | 81.7 |
 * | 7×4 | 99.6 | | 14×1 | 82.3 |
 * | 6×4 | 98.8 | | 3×4 (spills) | 43.8 |
 * | 28×1 | 97.6 | | | |
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
