import type { WinogradSums, WinogradTiling } from '../kernel/tile.js';
import { winograd } from '../kernel/winograd.js';
import type { MachineDescription } from './machine.js';

/** A stride-1 contraction as far as the choice of algorithm depends on it; channels are those of one group. */
export interface DenseProblem {
  readonly batch: number;
  readonly groups: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  /** Channels of one panel of the filter. */
  readonly width: number;
  readonly axes: readonly { readonly count: number; readonly taps: number; readonly dilation: number }[];
}

export interface WinogradChoice extends Pick<WinogradTiling, 'outputs' | 'tiles'> {
  /** Rows of the register tile: tiles are a multiple of it, or nearly. */
  readonly rows: number;
}

/** Bytes per vector multiply-add that filters can be streamed at, from the second-level cache and from behind it. */
const NEAR_BYTES = 24;
const FAR_BYTES = 8;
/** Items enough for a few threads. */
const ITEMS = 8;
/** Blocks of at most so many rows of register tiles. */
const BLOCK_ROWS = 4;
/** Sums that a register tile must have so that no multiply-add waits for the one before it: two a cycle, of four cycles each. */
const CHAINS = 8;
/** Numbers of threads that work is to be good for. */
const THREADS = [1, 2, 4];
/** How many times as long bytes from behind the second-level cache take where so many threads share them, in each thread's part of the arithmetic. */
const CONTENTION: Readonly<Record<number, number>> = { 1: 1, 2: 1.6, 4: 2.9 };
/** Shares of the second-level cache: for what is streamed, and for the transformed inputs of a block, which come back for every panel. */
const SHARE = 0.5;
const BLOCK_SHARE = 0.62;

/**
 * Whether and how Winograd's algorithm is faster than direct sums, by counting vector operations and the bytes of filters that have to
 * come from the caches. Undefined: direct.
 */
export function chooseWinograd(problem: DenseProblem, machine: MachineDescription): WinogradChoice | undefined {
  if (!possible(problem, machine)) return undefined;
  let best: { cost: number; choice: WinogradChoice } | undefined;
  for (const m of candidates(problem, machine)) {
    for (const choice of tilings(problem, machine, m)) {
      const cost = winogradCost(problem, machine, choice);
      if (best === undefined || cost < best.cost) best = { cost, choice };
    }
  }
  const always = typeof machine.winograd === 'number';
  return best !== undefined && (always || best.cost < directCost(problem, machine)) ? best.choice : undefined;
}

export interface WinogradFilterChoice extends Omit<WinogradSums, 'extents'> {
  /** Equal parts of the batch with sums of their own. */
  readonly chunks: number;
}

/** Elements that the sums of all chunks together may have. */
const SUMS = 2 ** 20;

/** As {@link chooseWinograd}, for the filter gradient. */
export function chooseWinogradFilter(
  problem: DenseProblem,
  machine: MachineDescription,
): WinogradFilterChoice | undefined {
  if (!possible(problem, machine)) return undefined;
  let best: { cost: number; choice: WinogradFilterChoice } | undefined;
  for (const m of candidates(problem, machine)) {
    // Blocks whose tiles stay in the second-level cache, or larger ones that add to large sums less often.
    for (const share of [SHARE, 4 * SHARE, 16 * SHARE]) {
      const choice = filterTiling(problem, machine, m, share);
      const cost = filterCost(problem, machine, choice);
      if (best === undefined || cost < best.cost) best = { cost, choice };
    }
  }
  const always = typeof machine.winograd === 'number';
  return best !== undefined && (always || best.cost < directCost(problem, machine)) ? best.choice : undefined;
}

/** Outputs of a tile along each axis. With F(4, 3) three axes have 216 points: transforms and error outweigh what they save. */
function candidates({ axes }: DenseProblem, { winograd: wanted }: MachineDescription): number[] {
  if (axes.filter(({ taps }) => taps === 3).length > 2) return [2];
  return typeof wanted === 'number' ? [wanted] : [2, 3, 4];
}

function filterTiling(
  problem: DenseProblem,
  machine: MachineDescription,
  m: number,
  share: number,
): WinogradFilterChoice {
  const { batch, groups } = problem;
  const outputs = problem.axes.map(({ taps }) => (taps === 3 ? m : 1));
  const { tileCount, phases, points } = extents(problem, outputs);
  const sums = groups * points * problem.channelsIn * problem.channelsOut;
  let chunks = 1;
  for (let n = 1; n <= Math.min(ITEMS, SUMS / sums); n++) if (batch % n === 0) chunks = n;
  // Ranges of channels, where there are not chunks enough: the wider side first, since the other one's tiles are transformed again.
  const parts: [number, number] = [1, 1];
  const enough = (side: number, channels: number, unit: number): boolean => channels / (2 * side) >= 2 * unit;
  while (chunks * groups * parts[0] * parts[1] < ITEMS / 2) {
    const [columns, rows] = [
      enough(parts[1], problem.channelsOut, problem.width) ? problem.channelsOut / parts[1] : 0,
      enough(parts[0], problem.channelsIn, machine.tile.rows) ? problem.channelsIn / parts[0] : 0,
    ];
    if (columns === 0 && rows === 0) break;
    parts[columns >= rows ? 1 : 0] *= 2;
  }
  const channels = problem.channelsIn / parts[0] + problem.channelsOut / parts[1];
  const cached = Math.floor((share * machine.caches.l2) / (4 * points * channels));
  const all = Math.ceil((tileCount * phases) / chunks);
  const blocks = Math.ceil(all / (machine.winogradTiles ?? Math.max(16, Math.min(cached, 128))));
  return { outputs, tiles: Math.ceil(all / blocks), parts, chunks };
}

function filterCost(
  problem: DenseProblem,
  machine: MachineDescription,
  { outputs, tiles, parts, chunks }: WinogradFilterChoice,
): number {
  const { groups, channelsIn, channelsOut } = problem;
  const { lanes } = machine;
  const { tileCount, phases, points } = extents(problem, outputs);
  const all = groups * phases * tileCount;
  const vectorsIn = Math.ceil(channelsIn / lanes);
  const vectorsOut = Math.ceil(channelsOut / lanes);
  const tiledAxes = outputs.filter((n) => n > 1).length;
  const transform = points * (2.5 * tiledAxes + 2);
  const products = all * points * channelsIn * vectorsOut;
  // Sums are read and written for every block of tiles, and once more at the end by Gᵀ.
  const sums = 4 * points * channelsIn * channelsOut;
  const tileBytes = 4 * points * (channelsIn * parts[1] + channelsOut * parts[0]);
  const near = (tileBytes * tiles) / (parts[0] * parts[1]) <= SHARE * machine.caches.l2;
  const streamed =
    (2 * sums * (all / tiles + 2 * chunks * groups)) / FAR_BYTES + (all * tileBytes) / (near ? NEAR_BYTES : FAR_BYTES);
  return overlap(products, streamed) + all * transform * (parts[1] * vectorsIn + parts[0] * vectorsOut);
}

/**
 * Blocks of tiles: as many as fill some rows of register tiles, or all tiles in equal blocks of about that size. Small ones stay in the
 * caches, large ones read large filters less often. Axes with three taps compute `m` outputs together; an axis with dilation d falls apart into d. */
function tilings(problem: DenseProblem, machine: MachineDescription, m: number): WinogradChoice[] {
  const outputs = problem.axes.map(({ taps }) => (taps === 3 ? m : 1));
  const { tileCount } = extents(problem, outputs);
  const { rows: maxRows } = machine.tile;
  const wanted = machine.winogradTiles
    ? [machine.winogradTiles]
    : Array.from({ length: BLOCK_ROWS }, (_, i) => (i + 1) * maxRows);
  const sizes = wanted.flatMap((most) => {
    const even = Math.ceil(tileCount / Math.ceil(tileCount / most));
    return machine.winogradTiles ? [even] : [Math.min(most, tileCount), even];
  });
  return [...new Set(sizes)].map((tiles) => ({ outputs, tiles, rows: Math.ceil(tiles / Math.ceil(tiles / maxRows)) }));
}

/** One or three taps along each axis, three along at least one. */
function possible({ axes }: DenseProblem, machine: MachineDescription): boolean {
  if (machine.winograd === false) return false;
  return axes.every(({ taps }) => taps === 1 || taps === 3) && axes.some(({ taps }) => taps === 3);
}

/** Tiles of all batch elements in one phase; phases; points of a tile. */
function extents(
  { batch, axes }: DenseProblem,
  outputs: readonly number[],
): { tileCount: number; phases: number; points: number } {
  let tileCount = batch;
  let phases = 1;
  let points = 1;
  axes.forEach(({ count, taps, dilation }, s) => {
    const parts = outputs[s] > 1 ? Math.min(dilation, count) : 1;
    phases *= parts;
    tileCount *= Math.ceil(Math.ceil(count / Math.max(parts, 1)) / outputs[s]);
    points *= winograd(outputs[s], taps).points;
  });
  return { tileCount, phases, points };
}

function winogradCost(problem: DenseProblem, machine: MachineDescription, choice: WinogradChoice): number {
  const { groups, channelsIn, channelsOut, width } = problem;
  const { lanes } = machine;
  const { rows, tiles, outputs } = choice;
  const { tileCount, phases, points } = extents(problem, outputs);
  const blocks = Math.ceil(tileCount / tiles);
  const vectorsIn = Math.ceil(channelsIn / lanes);
  const vectorsOut = Math.ceil(channelsOut / lanes);
  const panels = Math.ceil(channelsOut / width);
  const tiledAxes = outputs.filter((m) => m > 1).length;
  // Register tiles are computed whole, and take as long as their sums wait for each other.
  const rowTiles = (count: number): number => Math.ceil(count / rows);
  const registers = (blocks - 1) * rowTiles(tiles) + rowTiles(tileCount - (blocks - 1) * tiles);
  const products = points * channelsIn * panels * registers * Math.max(rows * Math.ceil(width / lanes), CHAINS);
  const filterBytes = 4 * points * channelsIn * channelsOut;
  const blockBytes = 4 * points * tiles * channelsIn;
  // Filters for every block of tiles, in one long run; the block's inputs for every panel of filters, in many short ones.
  const isFar = filterBytes > SHARE * machine.caches.l2;
  const filters = (blocks * filterBytes) / (isFar ? FAR_BYTES : NEAR_BYTES);
  const blockRate = blockBytes > BLOCK_SHARE * machine.caches.l2 ? FAR_BYTES / 4 : NEAR_BYTES;
  const inputs = (blocks * panels * blockBytes) / blockRate;
  // Adds and multiplications of a transform, and its loads and stores.
  const transform = points * (2.5 * tiledAxes + 2);
  const transforms = tileCount * transform * (vectorsIn + vectorsOut);
  const slowest = unevenness(groups * phases, tileCount, tiles, panels);
  return overThreads((threads) => {
    const streamed = filters * (isFar ? CONTENTION[threads] : 1) + inputs;
    return slowest(threads) * groups * phases * (overlap(products, streamed) + transforms);
  });
}

function overThreads(cost: (threads: number) => number): number {
  return THREADS.reduce((sum, threads) => sum + cost(threads), 0) / THREADS.length;
}

/** How much longer than its equal share the slowest of so many threads needs: items are panels of blocks of tiles. */
function unevenness(units: number, tileCount: number, tiles: number, panels: number): (threads: number) => number {
  const blocks = Math.ceil(tileCount / tiles);
  /** Tiles times panels of the first so many items. */
  const work = (items: number): number => {
    const before = Math.floor(items / panels);
    const inUnit = before % blocks;
    const done = Math.floor(before / blocks) * tileCount + inUnit * tiles;
    return done * panels + (items % panels) * Math.min(tiles, tileCount - inUnit * tiles);
  };
  const items = units * blocks * panels;
  return (threads) => {
    const ends = Array.from({ length: threads + 1 }, (_, t) => work(Math.floor((t * items) / threads)));
    return (Math.max(...ends.slice(1).map((end, t) => end - ends[t])) * threads) / (units * tileCount * panels);
  };
}

function directCost(
  { batch, groups, channelsIn, channelsOut, axes }: DenseProblem,
  machine: MachineDescription,
): number {
  const vectorsOut = Math.ceil(channelsOut / machine.lanes);
  const taps = axes.reduce((n, axis) => n * axis.taps, 1);
  const positions = axes.reduce((n, axis) => n * axis.count, 1);
  const filterBytes = 4 * taps * channelsIn * channelsOut;
  const rows = axes.slice(0, -1).reduce((n, axis) => n * axis.count, 1);
  const isFar = filterBytes > machine.caches.l2 / 2;
  const streamed = (filterBytes / (isFar ? FAR_BYTES : NEAR_BYTES)) * Math.max(1, rows / 16);
  const sums = positions * taps * channelsIn * vectorsOut;
  return batch * groups * overThreads((threads) => overlap(sums, streamed * (isFar ? CONTENTION[threads] : 1)));
}

/** Loads that hardware fetches ahead hide behind arithmetic, but not wholly. */
function overlap(arithmetic: number, memory: number): number {
  return Math.max(arithmetic, memory) + 0.3 * Math.min(arithmetic, memory);
}
