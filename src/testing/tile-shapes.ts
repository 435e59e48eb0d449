import fc from 'fast-check';
import { TILE_SHAPES, type WasmTile } from '../targets/cpu/wasm/tiles.js';

/** Any register tile of the table. */
export const tileShapes: fc.Arbitrary<WasmTile> = fc.constantFrom(...TILE_SHAPES);
