import { Arithmetic } from './arithmetic.js';
import type { Register, VectorMachine } from './machine.js';

/** A run of taps of one axis: those that stay inside. */
export interface TapRange {
  readonly from: Register | number;
  readonly to: Register | number;
}

/** The taps t with 0 ≤ first + dilation · t < extent, for a position known when the code runs. */
export function tapsInside(
  m: VectorMachine,
  first: Register,
  { taps, dilation }: { readonly taps: number; readonly dilation: number },
  extent: number,
): TapRange {
  const a = new Arithmetic(m);
  const zero = m.constant('i32', 0);
  /** max(0, ⌈value / dilation⌉) */
  const steps = (value: Register): Register => {
    const positive = m.binary('max', value, zero);
    return dilation === 1 ? positive : m.divide(a.plus(positive, dilation - 1), dilation);
  };
  return {
    from: steps(m.binary('sub', zero, first)),
    to: a.atMost(steps(m.binary('sub', m.constant('i32', extent), first)), taps),
  };
}

/** Lane l of the result is the channel `channel` of the group that output lane l belongs to. */
export function spreadChannel(
  m: VectorMachine,
  source: Register,
  channel: number,
  k: { readonly channelsIn: number; readonly channelsOut: number },
  together: number,
): Register {
  if (k.channelsIn === 1 && k.channelsOut === 1) return source;
  const lanes = Array.from({ length: m.lanes }, (_, lane) => {
    const group = Math.floor(lane / k.channelsOut);
    return group < together ? group * k.channelsIn + channel : lane;
  });
  return m.permute(source, lanes);
}

/** Of the tiles of `rows` positions of a row, whole ones with all taps inside of A are from ≤ tile < to. */
export function innerTiles(
  axis: { readonly count: number; readonly stride: number; readonly taps: number; readonly dilation: number },
  start: number,
  extent: number,
  rows: number,
): { from: number; to: number } {
  const tiles = Math.ceil(axis.count / rows);
  const inside = (tile: number): boolean => {
    const first = start + axis.stride * tile * rows;
    const end = first + axis.stride * (rows - 1) + axis.dilation * (axis.taps - 1);
    return (tile + 1) * rows <= axis.count && (axis.taps === 0 || (first >= 0 && end < extent));
  };
  let from = 0;
  while (from < tiles && !inside(from)) from++;
  let to = from;
  while (to < tiles && inside(to)) to++;
  return { from, to };
}

/** An input of a row, and the positions and taps that meet there. */
export interface Column {
  readonly offset: number;
  readonly uses: readonly { readonly p: number; readonly t: number }[];
}

/** The inputs of `positions` neighbouring positions in the order of memory; `offset` is undefined outside. */
export function columnsOf(
  positions: number,
  taps: number,
  offset: (p: number, t: number) => number | undefined,
): Column[] {
  const columns = new Map<number, { p: number; t: number }[]>();
  for (let p = 0; p < positions; p++) {
    for (let t = 0; t < taps; t++) {
      const at = offset(p, t);
      if (at === undefined) continue;
      const uses = columns.get(at);
      if (uses === undefined) columns.set(at, [{ p, t }]);
      else uses.push({ p, t });
    }
  }
  return [...columns].sort(([a], [b]) => a - b).map(([at, uses]) => ({ offset: at, uses }));
}

/** `count` things in equal parts of at most `limit`: how many in a part, and how many parts. */
export function equalParts(count: number, limit: number): [each: number, parts: number] {
  const parts = Math.ceil(count / Math.max(1, Math.floor(limit)));
  const each = Math.max(1, Math.ceil(count / Math.max(1, parts)));
  return [each, Math.ceil(count / each)];
}
