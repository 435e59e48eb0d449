import { invariant } from '../../../tensor/errors.js';
import { type WasmFeatures, wasmFeatures } from './features.js';

/** A register tile: `rows · vectors` accumulators. */
export interface WasmTile {
  /** Broadcast elements, for example neighbouring pixels. */
  readonly rows: number;
  /** Vectors of four columns, for example output channels. */
  readonly vectors: number;
}

/**
 * Every register tile that code generation must get right. The tests check each row, `npm run bench -- tiles` times each row on
 * the engine at hand, and {@link ENGINES} chooses among them.
 */
export const TILE_SHAPES: readonly WasmTile[] = [1, 2, 3, 4, 5, 6, 7, 8, 14].flatMap((rows) =>
  [1, 2, 3, 4].map((vectors) => ({ rows, vectors })),
);

/** A row of the table. */
function tileShape(rows: number, vectors: number): WasmTile {
  const found = TILE_SHAPES.find((tile) => tile.rows === rows && tile.vectors === vectors);
  invariant(found, () => `there is no register tile ${rows} × ${vectors}`);
  return found;
}

/**
 * How an engine allocates registers for the inner loop of a tile with `rows × vectors` accumulators, which broadcasts one
 * element per row and multiplies it by `vectors` vectors. V8 keeps one of the 16 vector registers of x64 for itself.
 */
interface WasmEngine {
  readonly name: string;
  /** Applies from this version of V8 on. */
  readonly v8: readonly [major: number, minor: number];
  /**
   * Whether all loads of an iteration are scheduled before its arithmetic (TurboFan), so that all broadcasts of an
   * iteration are alive at once and the loop must not be unrolled, or stay where they are emitted (Turboshaft).
   */
  readonly loadsFirst: boolean;
  /** The best tile with and without fused multiply-add. */
  readonly fused: WasmTile;
  readonly plain: WasmTile;
  /**
   * Fused, where vectors come from the second-level cache, so that some are late: with more sums than there are multiply-adds under way
   * (two a cycle, of four cycles each) the others catch up.
   */
  readonly deep?: WasmTile;
}

/**
 * Measured on one core of a Zen 4 server in percent of a register-only loop of 58.9 GFLOP/s, vectors loaded first, then
 * each broadcast before its multiply-adds; accumulators live through two nested loops:
 *
 * | tile (rows × columns) | Node 20 | Node 22 | Node 23 | Node 24 | Node 26 |
 * |---|---|---|---|---|---|
 * | 4×8  | 93 | 93 | 93 | 93 | 93 |
 * | 3×12 | 93 | 94 | –  | 94 | 94 |
 * | 5×8  | 59 | 56 | 56 | 95 | 96 |
 * | 6×8  | 46 | 43 | 43 | 99 | 100 |
 * | 4×8 unrolled twice | 47 | 45 | 44 | 93 | 93 |
 * | 7×4 | 79 | 84 | – | 83 | 84 |
 * | 4×8, not fused | 73 | 73 | – | 78 | 78 |
 *
 * On a Zen 5 server, Node 20, 3×3 convolutions without the edges of tiles: 4×8 reaches 88 % where a panel stays in the first-level cache (64 and
 * 128 channels) and 82 where it does not (256, 512); 3×12 reaches 89 % there.
 */
const ENGINES: readonly WasmEngine[] = [
  {
    name: 'Turboshaft',
    v8: [13, 6],
    loadsFirst: false,
    fused: tileShape(6, 2),
    plain: tileShape(4, 2),
  },
  {
    name: 'TurboFan',
    v8: [0, 0],
    loadsFirst: true,
    fused: tileShape(4, 2),
    plain: tileShape(4, 2),
    deep: tileShape(3, 3),
  },
];

/** The version of V8, where it can be known; other engines get the most careful row. */
function v8Version(): readonly [number, number] {
  const text = (globalThis as { process?: { versions?: { v8?: string } } }).process?.versions?.v8 ?? '';
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(text) ?? ['', '0', '0'];
  return [Number(major), Number(minor)];
}

/** The row of the table for a version of V8. */
export function wasmEngine(version: readonly [number, number] = v8Version()): WasmEngine {
  return ENGINES.find(({ v8 }) => version[0] > v8[0] || (version[0] === v8[0] && version[1] >= v8[1]))!;
}

/** The fastest register tile of this engine. Emit the vectors first, then per row the broadcast and its multiply-adds; don't unroll. */
export function wasmTile(features: WasmFeatures = wasmFeatures(), engine: WasmEngine = wasmEngine()): WasmTile {
  return features.fused ? engine.fused : engine.plain;
}

/** See {@link WasmEngine.deep}. */
export function wasmDeepTile(
  features: WasmFeatures = wasmFeatures(),
  engine: WasmEngine = wasmEngine(),
): WasmTile | undefined {
  return features.fused ? engine.deep : undefined;
}

/** What a search may try instead. */
export function otherWasmTiles(): readonly WasmTile[] {
  return [tileShape(4, 2), tileShape(6, 2), tileShape(3, 3), tileShape(4, 4), tileShape(7, 1)];
}
