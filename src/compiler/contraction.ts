import { type Contraction, contractionNest, type Geometry } from '../kernel/contraction.js';
import { axisIndex, constant, guard, type Index, load, makeIndex, reduced } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import type { MixKernel, Neighbours, OuterKernel, TileAxis, TileKernel, TilePhase } from '../kernel/tile.js';
import { transposed, winograd } from '../kernel/winograd.js';
import { groupedGather, groupedPadding, groupedRows, groupsBeside, groupsTogether } from './grouped.js';
import { type MachineDescription, narrowed } from './machine.js';
import { positionsTogether } from './neighbours.js';
import { channelsLast, PaddedCopies } from './padded-copies.js';
import { type GatherAxis, gatherPhases, paddingOf, product } from './phases.js';
import { writtenInputs } from './prepare.js';
import { type Buffer, makeBuffer, type Step, type Steps } from './steps.js';
import { readsWeightsOnce } from './weights-once.js';
import { chooseWinograd, chooseWinogradFilter, type WinogradChoice } from './winograd.js';

/**
 * Chooses a schedule for every contraction: register tiles over prepared operands; where groups have few channels, several
 * groups share a vector register (grouped.ts).
 */
export function scheduleContractions(program: Steps, machine: MachineDescription): Steps {
  const padded = new PaddedCopies();
  const written = writtenInputs(program);
  return {
    ...program,
    steps: program.steps.flatMap((step) => {
      const { kernel } = step;
      if (kernel.kind !== 'contraction') return [step];
      const { channelsIn, channelsOut } = kernel.geometry;
      // Panels need channels; without any there is nothing to compute.
      if (channelsIn === 0 || channelsOut === 0) return [asNest(step, kernel)];
      const isParameter = step.operands[1].input !== undefined;
      if (isParameter && readsWeightsOnce(kernel, machine))
        return [{ ...asNest(step, kernel), operandOrders: [[0, 1]] }];
      if (groupsTogether(kernel.geometry, machine) > 1) {
        const schedule = kernel.role === 'filter' ? filterGradient : groupedGather;
        return schedule(step, kernel, machine, padded);
      }
      const choice = machine.choices?.(kernel, { scope: step.scope, learning: learns(kernel, step, written) });
      const together = choice ? 1 : positionsTogether(kernel, machine);
      const narrow = choice
        ? { ...machine, deepTile: undefined, ...choice }
        : together > 1
          ? machine
          : narrowed(machine, kernel.role === 'input' ? channelsIn : channelsOut);
      const steps = (kernel.role === 'filter' ? filterGradient : gather)(step, kernel, narrow, padded, together);
      return narrow.lanes === machine.lanes ? steps : steps.map((made) => withLanes(made, narrow.lanes));
    }),
  };
}

/** Whether the filter that a contraction reads changes from run to run: certain for inputs, likely for what is computed where anything is learnt. */
function learns({ role }: Contraction, { operands }: Step, written: ReadonlySet<Buffer>): boolean {
  if (role === 'filter') return false;
  const filter = operands[role === 'output' ? 1 : 0];
  return filter.input === undefined ? written.size > 0 : written.has(filter);
}

function withLanes(step: Step, lanes: number): Step {
  const { kernel } = step;
  return kernel.kind === 'tile' || kernel.kind === 'outer' ? { ...step, kernel: { ...kernel, lanes } } : step;
}

/** Filters [co, ci, …taps] with the output channels fastest. */
function filterOrder(rank: number): number[] {
  return [...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1, 0];
}

function asNest(step: Step, contraction: Contraction): Step {
  const rank = contraction.geometry.axes.length + 2;
  const image = channelsLast(rank);
  const filter = filterOrder(rank);
  const orders = { output: [image, filter], input: [filter, image], filter: [image, image] }[contraction.role];
  return {
    ...step,
    kernel: contractionNest(contraction),
    operandOrders: orders,
    resultOrder: contraction.role === 'filter' ? filter : image,
  };
}

/**
 * Convolution, and its gradient with respect to the input by residues of the stride.
 * @param together how many neighbouring positions count as channels.
 */
function gather(
  step: Step,
  { role, geometry: g }: Contraction,
  machine: MachineDescription,
  padded: PaddedCopies,
  together: number,
): Step[] {
  const forward = role === 'output';
  const reduceChannels = forward ? g.channelsIn : g.channelsOut;
  const outChannels = forward ? g.channelsOut : g.channelsIn;
  const neighbours = together > 1 ? { positions: together, channels: outChannels } : undefined;
  let width = tileWidth(together * outChannels, machine);
  const whole = gatherPhases({ kind: 'contraction', role, geometry: g });
  const tiling =
    neighbours === undefined && whole.every(([axis, ...more]) => more.length === 0 && axis.stride === 1)
      ? chooseWinograd(
          {
            batch: g.batch,
            groups: g.groups,
            channelsIn: reduceChannels,
            channelsOut: outChannels,
            width,
            axes: whole.map(([axis]) => axis),
          },
          machine,
        )
      : undefined;
  const { tile } = tiling || neighbours ? machine : deepened(machine, reduceChannels, outChannels, whole);
  if (tiling === undefined) width = tileWidth(together * outChannels, { ...machine, tile });
  const perAxis = tiling === undefined ? whole : whole.map(([axis], s) => residues(axis, tiling.outputs[s]));
  const extents = g.axes.map((a) => (forward ? a.input : a.output));
  // Winograd's algorithm reads borders by itself.
  const padding = perAxis.map((phases, s) => (tiling ? { low: 0, high: 0 } : paddingOf(phases, extents[s])));
  const low = padding.map((p) => p.low);
  const high = padding.map((p) => p.high);
  const source = step.operands[forward ? 0 : 1];
  const weights = step.operands[forward ? 1 : 0];
  const copy = padded.get(source, low, high, step.scope);
  const steps: Step[] = [...copy.steps];
  const operands: Buffer[] = [copy.buffer];
  const phases: TilePhase[] = [];
  for (const combination of product(perAxis)) {
    if (combination.some((p) => p.count === 0)) continue;
    // Residues of a dilation differ in their positions only and share one filter.
    if (tiling === undefined || operands.length === 1) {
      const packed =
        neighbours === undefined
          ? packFilter(g, forward, combination, width, weights, step.scope)
          : packForNeighbours(reduceChannels, neighbours, forward, combination, width, weights, step.scope);
      const last = tiling === undefined ? [packed] : [packed, transformFilter(packed, combination, tiling, step.scope)];
      steps.push(...last);
      operands.push(last[last.length - 1].results[0]);
    }
    const axes = combination.map((p, s): TileAxis => {
      const r = s === combination.length - 1 ? together : 1;
      return {
        count: p.count / r,
        stride: p.stride * r,
        taps: tapsOf(p, r),
        dilation: p.dilation,
        inStart: p.taps > 0 ? p.start + low[s] : 0,
        outStart: p.outStart,
        outStep: p.outStep * r,
      };
    });
    phases.push({ axes, filter: operands.length - 1 });
  }
  const kernel: TileKernel = {
    kind: 'tile',
    batch: g.batch,
    groups: g.groups,
    channelsIn: reduceChannels,
    channelsOut: together * outChannels,
    phases,
    width: neighbours === undefined ? width : pitchOf(neighbours, width),
    rows: tiling?.rows ?? tile.rows,
    winograd: tiling && { outputs: tiling.outputs, tiles: tiling.tiles, extents },
    neighbours,
    epilogue: reduced(0, 'f32'),
  };
  const order = g.axes.length > 0 ? channelsLast(g.axes.length + 2) : [0, 1];
  steps.push({ ...step, kernel, operands, operandOrders: [order], resultOrder: order });
  return steps;
}

/** An axis with dilation d, as d axes without: outputs of one residue see only inputs of one residue. */
function residues(axis: GatherAxis, outputs: number): GatherAxis[] {
  if (outputs === 1) return [axis];
  const { count, dilation } = axis;
  return Array.from({ length: Math.min(dilation, count) }, (_, r) => ({
    ...axis,
    count: Math.ceil((count - r) / dilation),
    start: axis.start + r,
    stride: dilation,
    outStart: axis.outStart + axis.outStep * r,
    outStep: axis.outStep * dilation,
  }));
}

/** G w along every axis, from packed panels to packed panels. */
function transformFilter(packed: Step, axes: readonly GatherAxis[], tiling: WinogradChoice, scope: string): Step {
  const [source] = packed.results;
  const transforms = axes.map((axis, s) => winograd(tiling.outputs[s], axis.taps));
  const [groups, blocks, ...rest] = source.type.shape;
  const [channels, width] = rest.slice(-2);
  const shape = [groups, blocks, ...transforms.map(({ points }) => points), channels, width];
  const kernel: MixKernel = {
    kind: 'mix',
    matrices: transforms.map(({ filter }) => filter),
    outer: groups * blocks,
    run: channels * width,
  };
  const order = shape.map((_, i) => i);
  return {
    name: 'transformFilter',
    kernel,
    operands: [source],
    results: [makeBuffer({ dtype: 'f32', shape })],
    scope,
    operandOrders: [order],
    resultOrder: order,
  };
}

/** Channels that may be computed for nothing, of each one that is not, for the sake of {@link MachineDescription.deepTile}. */
const UNUSED = 0.05;

/** The machine with the tile for panels as deep as these. */
function deepened(
  machine: MachineDescription,
  channelsIn: number,
  channelsOut: number,
  axes: readonly (readonly GatherAxis[])[],
): MachineDescription {
  const { deepTile, lanes, caches } = machine;
  if (deepTile === undefined || axes.length === 0) return machine;
  const taps = axes.reduce((n, phases) => n * Math.max(...phases.map((p) => p.taps)), 1);
  const fits = 4 * taps * channelsIn * tileWidth(channelsOut, machine) <= 1.5 * caches.l1;
  const width = deepTile.vectors * lanes;
  const unused = Math.ceil(channelsOut / width) * width - channelsOut;
  return fits || unused > UNUSED * channelsOut ? machine : { ...machine, tile: deepTile };
}

/** Panels narrower than the full tile where a group has few output channels. */
function tileWidth(channels: number, { lanes, tile }: MachineDescription): number {
  return Math.min(tile.vectors, Math.ceil(channels / lanes)) * lanes;
}

/** [groups, blocks, …taps, reduced channels, width], zero where the last block runs out of channels. */
function packFilter(
  g: Geometry,
  forward: boolean,
  axes: readonly GatherAxis[],
  width: number,
  weights: Buffer,
  scope: string,
): Step {
  const out = forward ? g.channelsOut : g.channelsIn;
  const reduce = forward ? g.channelsIn : g.channelsOut;
  const shape = [g.groups, Math.ceil(out / width), ...axes.map((a) => a.taps), reduce, width];
  const last = shape.length - 1;
  const outChannel = [
    { axis: 1, factor: width },
    { axis: last, factor: 1 },
  ];
  const taps = axes.map((a, s) => axisIndex(2 + s, a.tapStep, a.tapStart));
  const group = { axis: 0, factor: g.channelsOut };
  const index: Index[] = forward
    ? [makeIndex([group, ...outChannel], 0), axisIndex(last - 1), ...taps]
    : [makeIndex([group, { axis: last - 1, factor: 1 }], 0), makeIndex(outChannel, 0), ...taps];
  const checks = out % width === 0 ? [] : [{ index: makeIndex(outChannel, 0), extent: out }];
  const kernel = mapNest(shape, guard(checks, load(0, 'f32', index), constant(0, 'f32')));
  const result = makeBuffer({ dtype: 'f32', shape });
  return { name: 'pack', kernel, operands: [weights], results: [result], scope, resultOrder: shape.map((_, i) => i) };
}

/** Taps of `together` neighbouring positions. */
function tapsOf({ taps, stride }: Pick<GatherAxis, 'taps' | 'stride'>, together: number): number {
  return taps === 0 ? 0 : taps + (together - 1) * stride;
}

/** Elements between rows of a panel: whole pixels, and as many as registers read. */
function pitchOf({ channels }: Neighbours, width: number): number {
  return Math.ceil(width / channels) * channels;
}

/** As {@link packFilter}: [1, 1, …taps, reduced channels, positions and channels], zero where a tap is none of a position's. */
function packForNeighbours(
  reduce: number,
  neighbours: Neighbours,
  forward: boolean,
  axes: readonly GatherAxis[],
  width: number,
  weights: Buffer,
  scope: string,
): Step {
  const { positions, channels } = neighbours;
  const last = axes[axes.length - 1];
  const pitch = pitchOf(neighbours, width);
  const taps = axes.map((a, s) => (s === axes.length - 1 ? tapsOf(a, positions) : a.taps));
  const shape = [1, 1, ...taps, reduce, pitch];
  const [inner, position, channel] = [shape.length - 2, shape.length - 1, shape.length];
  const own = makeIndex(
    [
      { axis: inner - 1, factor: 1 },
      { axis: position, factor: -last.stride },
    ],
    0,
  );
  const tap = axes.map((a, s) =>
    s === axes.length - 1
      ? makeIndex(
          own.terms.map((term) => ({ ...term, factor: term.factor * a.tapStep })),
          a.tapStart,
        )
      : axisIndex(2 + s, a.tapStep, a.tapStart),
  );
  const pair = forward ? [axisIndex(channel), axisIndex(inner)] : [axisIndex(inner), axisIndex(channel)];
  const checks = [
    { index: own, extent: last.taps },
    { index: axisIndex(position), extent: positions },
  ];
  const value = guard(checks, load(0, 'f32', [...pair, ...tap]), constant(0, 'f32'));
  const outputIndex = [
    ...shape.slice(0, -1).map((_, axis) => axisIndex(axis)),
    makeIndex(
      [
        { axis: position, factor: channels },
        { axis: channel, factor: 1 },
      ],
      0,
    ),
  ];
  const kernel = { ...mapNest([...shape.slice(0, -1), pitch / channels, channels], value), outputIndex };
  const result = makeBuffer({ dtype: 'f32', shape });
  return { name: 'pack', kernel, operands: [weights], results: [result], scope, resultOrder: shape.map((_, i) => i) };
}

/** Fixed parts of the batch whose partial sums are added at the end: enough for every thread, whatever their number. */
function chunksOf(batch: number, filterSize: number): number {
  // The partial sums of one chunk are as large as the filter: keep all of them within a few megabytes.
  const limit = Math.max(1, Math.min(8, Math.floor(2 ** 20 / filterSize)));
  for (let chunks = limit; chunks > 1; chunks--) if (batch % chunks === 0) return chunks;
  return 1;
}

function filterGradient(
  step: Step,
  { geometry: g }: Contraction,
  machine: MachineDescription,
  padded: PaddedCopies,
  positions = 1,
): Step[] {
  const neighbours = positions > 1 ? { positions, channels: g.channelsOut } : undefined;
  const together = groupsTogether(g, machine);
  const sums =
    together === 1 && g.axes.every((a) => a.stride === 1 && a.output > 0)
      ? chooseWinogradFilter(
          {
            batch: g.batch,
            groups: g.groups,
            channelsIn: g.channelsIn,
            channelsOut: g.channelsOut,
            width: tileWidth(g.channelsOut, machine),
            axes: g.axes.map((a) => ({ count: a.output, taps: a.kernel, dilation: a.dilation })),
          },
          machine,
        )
      : undefined;
  const [x, z] = step.operands;
  const phases = gatherPhases({ kind: 'contraction', role: 'output', geometry: g });
  const width = tileWidth(positions * g.channelsOut, machine);
  /** Where panels are narrow there are registers for more rows; Winograd's points have sums of their own. */
  const directRows = sums
    ? machine.tile.rows
    : Math.floor((machine.tile.rows * machine.tile.vectors * machine.lanes) / width);
  const rows = together > 1 ? groupedRows(phases[phases.length - 1]?.[0].count ?? g.batch, machine) : directRows;
  const { low, high } = ((): { low: number[]; high: number[] } => {
    if (together > 1) return groupedPadding(phases, x, g.channelsIn, rows);
    // Winograd's algorithm reads borders by itself.
    if (sums !== undefined) return { low: g.axes.map(() => 0), high: g.axes.map(() => 0) };
    const padding = phases.map((axis, s) => paddingOf(axis, g.axes[s].input));
    return { low: padding.map((p) => p.low), high: padding.map((p) => p.high) };
  })();
  const copy = padded.get(x, low, high, step.scope);
  const taps = g.axes.map((a) => a.kernel);
  const filterSize = g.groups * g.channelsIn * g.channelsOut * taps.reduce((n, k) => n * k, 1);
  // A matrix product has tiles enough for every thread, and its positions are the batch.
  const chunks = sums?.chunks ?? (g.axes.length === 0 ? 1 : chunksOf(g.batch, filterSize));
  const kernel: OuterKernel = {
    kind: 'outer',
    batch: g.batch,
    groups: g.groups,
    channelsIn: g.channelsIn,
    channelsOut: positions * g.channelsOut,
    axes: g.axes.map((a, s) => {
      const r = s === g.axes.length - 1 ? positions : 1;
      return {
        count: a.output / r,
        stride: a.stride * r,
        taps: tapsOf({ taps: a.kernel, stride: a.stride }, r),
        dilation: a.dilation,
        start: low[s] - a.padLow,
      };
    }),
    chunks,
    width: together > 1 ? together * g.channelsOut : width,
    rows,
    neighbours,
    grouping: together > 1 ? { together, extents: copy.buffer.type.shape.slice(2) } : undefined,
    winograd: sums && { outputs: sums.outputs, tiles: sums.tiles, parts: sums.parts, extents: x.type.shape.slice(2) },
  };
  const transforms = g.axes.map((a, s) => winograd(sums?.outputs[s] ?? 1, sums === undefined ? 1 : a.kernel));
  const points = sums === undefined ? kernel.axes.map((a) => a.taps) : transforms.map((t) => t.points);
  const partial = makeBuffer({ dtype: 'f32', shape: [chunks, g.groups, ...points, g.channelsIn, kernel.channelsOut] });
  const order = g.axes.length > 0 ? channelsLast(g.axes.length + 2) : [0, 1];
  const outer: Step = {
    name: 'filterGradient',
    kernel,
    operands: [copy.buffer, z],
    results: [partial],
    scope: step.scope,
    operandOrders: [order, order],
    resultOrder: together > 1 ? groupsBeside(partial.type.shape.length) : partial.type.shape.map((_, i) => i),
  };
  if (sums === undefined) return [...copy.steps, outer, sumChunks(step, g, chunks, partial, positions)];
  const back: MixKernel = {
    kind: 'mix',
    matrices: transforms.map((t) => transposed(t.filter)),
    outer: chunks * g.groups,
    run: g.channelsIn * g.channelsOut,
  };
  const filters = makeBuffer({ dtype: 'f32', shape: [chunks, g.groups, ...taps, g.channelsIn, g.channelsOut] });
  const rowMajor = filters.type.shape.map((_, i) => i);
  const transform: Step = {
    name: 'transformFilterGradient',
    kernel: back,
    operands: [partial],
    results: [filters],
    scope: step.scope,
    operandOrders: [rowMajor],
    resultOrder: rowMajor,
  };
  return [...copy.steps, outer, transform, sumChunks(step, g, chunks, filters)];
}

/** W[g · channelsOut + co, ci, …k] = Σ over chunks, and over neighbouring positions that counted as channels. */
function sumChunks(step: Step, g: Geometry, chunks: number, partial: Buffer, positions = 1): Step {
  const taps = g.axes.map((a) => a.kernel);
  const split = g.groups > 1 ? [g.groups] : [];
  const parallel = [...split, g.channelsOut, g.channelsIn, ...taps];
  const [group, co, ci] = g.groups > 1 ? [axisIndex(0), 1, 2] : [makeIndex([], 0), 0, 1];
  const tap = taps.map((_, s) => axisIndex(ci + 1 + s));
  const reduce = [...(chunks > 1 ? [chunks] : []), ...(positions > 1 ? [positions] : [])];
  const chunk = chunks > 1 ? axisIndex(parallel.length) : makeIndex([], 0);
  /** An index of the first of the positions together, as one of all of them. */
  const ofPosition = (index: Index, factor: number): Index =>
    makeIndex(
      positions > 1 ? [...index.terms, { axis: parallel.length + reduce.length - 1, factor }] : index.terms,
      index.offset,
    );
  const taken = tap.map((index, s) => (s === tap.length - 1 ? ofPosition(index, g.axes[s].stride) : index));
  const value = load(0, 'f32', [chunk, group, ...taken, axisIndex(ci), ofPosition(axisIndex(co), g.channelsOut)]);
  const outputIndex =
    g.groups > 1
      ? [
          makeIndex(
            [
              { axis: 0, factor: g.channelsOut },
              { axis: co, factor: 1 },
            ],
            0,
          ),
          axisIndex(ci),
          ...tap,
        ]
      : undefined;
  return {
    ...step,
    operands: [partial],
    kernel:
      reduce.length > 0
        ? {
            kind: 'nest',
            parallel,
            reduce,
            reducers: [{ kind: 'sum', body: value }],
            outputs: [reduced(0, 'f32')],
            outputIndex,
          }
        : { ...mapNest(parallel, value), outputIndex },
  };
}
