import type { Contraction, Geometry } from '../kernel/contraction.js';
import { axisIndex, constant, guard, type Index, load, makeIndex, reduced } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import type { Grouping, TileAxis, TileKernel, TilePhase } from '../kernel/tile.js';
import type { MachineDescription } from './machine.js';
import { channelsLast, type PaddedCopies } from './padded-copies.js';
import { type GatherAxis, gatherPhases, paddingOf, product } from './phases.js';
import { type Buffer, makeBuffer, type Step } from './steps.js';

/** Multiply-adds that the code of a row's borders may have: each border tile is code of its own. Above, a padded copy is read. */
const BORDER_CODE = 2048;
/** Multiply-adds of one tile along the last axis that are written out; above, taps are a loop. */
export const UNROLLED_TAPS = 512;

/**
 * How many groups of few channels share a vector register; 1 where a group (more than half) fills one. Lanes that a register
 * has too many, or that the side with fewer channels leaves free, are unused.
 */
export function groupsTogether({ groups, channelsIn, channelsOut }: Geometry, { lanes }: MachineDescription): number {
  return groups < 2 ? 1 : Math.max(1, Math.floor(lanes / Math.max(channelsIn, channelsOut)));
}

/** Convolution and its gradient with respect to the input where {@link groupsTogether} groups share a register. */
export function groupedGather(
  step: Step,
  contraction: Contraction,
  machine: MachineDescription,
  padded: PaddedCopies,
): Step[] {
  const { role, geometry: g } = contraction;
  const forward = role === 'output';
  const source = step.operands[forward ? 0 : 1];
  const weights = step.operands[forward ? 1 : 0];
  const channelsIn = forward ? g.channelsIn : g.channelsOut;
  const together = groupsTogether(g, machine);
  const perAxis = gatherPhases(contraction);
  const rows = groupedRows(perAxis.length > 0 ? perAxis[perAxis.length - 1][0].count : g.batch, machine);
  const { low, high } = groupedPadding(perAxis, source, channelsIn, rows);
  const copy = padded.get(source, low, high, step.scope);
  const steps: Step[] = [...copy.steps];
  const operands: Buffer[] = [copy.buffer];
  const phases: TilePhase[] = [];
  for (const combination of product(perAxis)) {
    if (combination.some((p) => p.count === 0)) continue;
    const packed = packGroups(g, forward, combination, together, weights, step.scope);
    steps.push(packed);
    operands.push(packed.results[0]);
    const axes = combination.map(
      (p, s): TileAxis => ({
        count: p.count,
        stride: p.stride,
        taps: p.taps,
        dilation: p.dilation,
        inStart: p.taps > 0 ? p.start + low[s] : 0,
        outStart: p.outStart,
        outStep: p.outStep,
      }),
    );
    phases.push({ axes, filter: operands.length - 1 });
  }
  const grouping: Grouping = { together, extents: copy.buffer.type.shape.slice(2) };
  const channelsOut = forward ? g.channelsOut : g.channelsIn;
  const kernel: TileKernel = {
    kind: 'tile',
    batch: g.batch,
    groups: g.groups,
    channelsIn,
    channelsOut,
    phases,
    width: together * channelsOut,
    rows,
    grouping,
    epilogue: reduced(0, 'f32'),
  };
  const order = g.axes.length > 0 ? channelsLast(g.axes.length + 2) : [0, 1];
  steps.push({ ...step, kernel, operands, operandOrders: [order], resultOrder: order });
  return steps;
}

/** Positions of a tile, so that tiles divide a row evenly: one vector of sums each. */
export function groupedRows(count: number, { tile }: MachineDescription): number {
  const most = Math.min(8, tile.rows * tile.vectors);
  return Math.max(1, Math.ceil(count / Math.max(1, Math.ceil(count / most))));
}

/**
 * The padding of the copy that is read instead of `source`, mostly none: borders across rows cost nothing, those along rows cost code,
 * and little of it as a rule.
 */
export function groupedPadding(
  perAxis: readonly (readonly GatherAxis[])[],
  source: Buffer,
  channelsIn: number,
  rows: number,
): { low: number[]; high: number[] } {
  const low = perAxis.map(() => 0);
  const high = perAxis.map(() => 0);
  const last = perAxis.length - 1;
  if (last < 0) return { low, high };
  const extent = source.type.shape[2 + last];
  const code = perAxis[last].map((axis) => borderTiles(axis, extent, rows) * rows * axis.taps * channelsIn);
  const large = perAxis[last].some((axis) => rows * axis.taps * channelsIn > UNROLLED_TAPS);
  if (large || Math.max(...code) > BORDER_CODE) {
    const padding = paddingOf(perAxis[last], extent);
    low[last] = padding.low;
    high[last] = padding.high;
  }
  return { low, high };
}

/** Tiles of `rows` positions with a tap outside of the source. */
function borderTiles(axis: GatherAxis, extent: number, rows: number): number {
  if (axis.taps === 0) return 0;
  const span = axis.dilation * (axis.taps - 1);
  const firstInside = Math.ceil(-axis.start / axis.stride);
  const endInside = Math.floor((extent - 1 - span - axis.start) / axis.stride) + 1;
  const below = Math.max(0, Math.min(axis.count, firstInside));
  const above = Math.max(0, axis.count - Math.max(below, endInside));
  return Math.ceil(below / rows) + Math.ceil(above / rows) + (above > 0 ? 1 : 0);
}

/** [blocks, …taps, reduced channels, together, output channels], zero where the last block runs out of groups. */
function packGroups(
  g: Geometry,
  forward: boolean,
  axes: readonly GatherAxis[],
  together: number,
  weights: Buffer,
  scope: string,
): Step {
  const out = forward ? g.channelsOut : g.channelsIn;
  const reduce = forward ? g.channelsIn : g.channelsOut;
  const shape = [Math.ceil(g.groups / together), ...axes.map((a) => a.taps), reduce, together, out];
  const last = shape.length - 1;
  /** group · factor + channel */
  const grouped = (factor: number, channels: { axis: number; factor: number }[]): Index =>
    makeIndex([{ axis: 0, factor: together * factor }, { axis: last - 1, factor }, ...channels], 0);
  const taps = axes.map((a, s) => axisIndex(1 + s, a.tapStep, a.tapStart));
  const [co, ci] = forward ? [last, last - 2] : [last - 2, last];
  const index = [grouped(g.channelsOut, [{ axis: co, factor: 1 }]), axisIndex(ci), ...taps];
  const checks = g.groups % together === 0 ? [] : [{ index: grouped(1, []), extent: g.groups }];
  const kernel = mapNest(shape, guard(checks, load(0, 'f32', index), constant(0, 'f32')));
  const result = makeBuffer({ dtype: 'f32', shape });
  return { name: 'pack', kernel, operands: [weights], results: [result], scope, resultOrder: shape.map((_, i) => i) };
}

/** Partial filters [chunk, group, …taps, ci, co] with neighbouring groups beside each other, as registers hold them. */
export function groupsBeside(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 3 }, (_, i) => i + 2), 1, rank - 1];
}
