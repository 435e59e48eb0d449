import fc from 'fast-check';
import type { MachineDescription } from '../compiler/machine.js';

type Tile = MachineDescription['tile'];

/** Register tiles that code generation must get right, rows × vectors; engines choose among them by speed. */
export const TILE_SHAPES: readonly Tile[] = [1, 2, 4, 5, 6, 8, 14].flatMap((rows) =>
  [1, 2, 3, 4].map((vectors) => ({ rows, vectors })),
);

/** Any of them. */
export const tileShapes: fc.Arbitrary<Tile> = fc.constantFrom(...TILE_SHAPES);
