import type { OuterAxis, OuterKernel } from '../../kernel/tile.js';
import { Arithmetic } from './arithmetic.js';
import { groupedOuterCode } from './grouped-outer.js';
import type { KernelCode } from './kernel-code.js';
import type { View } from './loops.js';
import type { Int, Register, VectorMachine } from './machine.js';
import { winogradFilterCode } from './winograd-filter.js';

/** Rows of both operands that are worked on together should stay in the second-level cache. */
const BLOCK_BYTES = 160 * 1024;
const ITEMS = 32;
/** Chunks that are items enough: each goes through its operands once, with all taps and tiles for one block after the other. */
const CHUNKS = 8;

/**
 * Generates code for the filter gradient. A register tile holds `rows` neighbouring (tap, input channel) pairs × output
 * channels; it runs over a block of output positions while the block is in the cache, and adds to its partial sums in memory.
 */
export function outerCode(k: OuterKernel, lanes: number, operands: readonly View[], result: View): KernelCode {
  if (k.grouping !== undefined) return groupedOuterCode(k, k.grouping, lanes, operands, result);
  if (k.winograd !== undefined) return winogradFilterCode(k, k.winograd, lanes, operands, result);
  const views = k.neighbours ? [operands[0], everyNth(operands[1], k.neighbours.positions)] : operands;
  const plan = planOuter(k, views);
  return {
    items: plan.items,
    emit(m, begin, end, pointers) {
      const emitter = new OuterEmitter(k, plan, lanes, views, result, m);
      m.loop({ from: begin, to: end }, (item) => emitter.item(item, pointers));
    },
  };
}

/** Every n-th position along the last axis. */
function everyNth(view: View, n: number): View {
  return { ...view, strides: view.strides.map((stride, d) => (d === view.strides.length - 1 ? n * stride : stride)) };
}

interface OuterPlan {
  /** Taps of the last axis and input channels are one contiguous run of the input. */
  readonly joined: boolean;
  /** Taps that are loops of their own. */
  readonly tapAxes: readonly OuterAxis[];
  /** Neighbouring filter rows in memory: the run of the input that a tile's rows come from. */
  readonly run: number;
  /** Rows of a tile in a run. */
  readonly rows: number;
  /** Taps of the last of `tapAxes` whose runs, which are short, share a tile. */
  readonly tapsTogether: number;
  readonly rowTiles: number;
  readonly rowTilesPerItem: number;
  readonly blocks: number;
  /** Output rows worked on together. */
  readonly lines: number;
  readonly linesPerBlock: number;
  /** Positions of a line, or of the batch where there are no lines, worked on together. */
  readonly positionsPerBlock: number;
  /** Runs of taps that every block is worked on with; undefined where they are items of their own. */
  readonly tapsInside: readonly number[] | undefined;
  readonly itemExtents: readonly number[];
  readonly items: number;
}

function planOuter(k: OuterKernel, [input, output]: readonly View[]): OuterPlan {
  const last = k.axes[k.axes.length - 1];
  const lastStride = input.strides[input.strides.length - 1];
  const joined = last !== undefined && k.groups === 1 && last.dilation * lastStride === k.channelsIn;
  const tapAxes = joined ? k.axes.slice(0, -1) : k.axes;
  const run = joined ? last.taps * k.channelsIn : k.channelsIn;
  const rowTiles = Math.ceil(run / k.rows);
  const rows = Math.ceil(run / rowTiles);
  const taps = tapAxes.reduce((n, axis) => n * axis.taps, 1);
  const lastTaps = tapAxes[tapAxes.length - 1]?.taps ?? 1;
  const results = k.axes.reduce((n, axis) => n * axis.taps, k.groups * k.channelsIn * k.channelsOut);
  /** Items of so many runs to a tile. */
  const itemsOf = (runs: number): number => ((k.chunks * k.groups * taps) / lastTaps) * Math.ceil(lastTaps / runs);
  let tapsTogether = Math.max(1, Math.min(lastTaps, Math.floor(k.rows / run)));
  while (tapsTogether > 1 && itemsOf(tapsTogether) < ITEMS / 2) tapsTogether--;
  tapsTogether = Math.ceil(lastTaps / Math.ceil(lastTaps / tapsTogether));
  const wanted = Math.ceil(ITEMS / itemsOf(tapsTogether));
  const rowTilesPerItem = Math.ceil(rowTiles / Math.min(rowTiles, wanted));
  const outer = k.axes.slice(0, -1);
  const lines = outer.reduce((n, axis) => n * axis.count, 1);
  const lineBytes =
    outer.length > 0
      ? 4 * (outer[outer.length - 1].stride * input.strides[outer.length + 1] + output.strides[outer.length + 1])
      : 1;
  const positions = last?.count ?? k.batch / k.chunks;
  const [aStep, zStep] = positionSteps(k, input, output);
  const most = Math.max(1, Math.floor(BLOCK_BYTES / (4 * (aStep + zStep))));
  const linesPerBlock = Math.max(1, Math.min(lines, Math.floor(BLOCK_BYTES / lineBytes)));
  const tapItems = tapAxes.map((axis, s) =>
    s === tapAxes.length - 1 ? Math.ceil(lastTaps / tapsTogether) : axis.taps,
  );
  const inside = k.chunks * k.groups >= CHUNKS && lastTaps % tapsTogether === 0;
  const rowItems = inside ? 1 : Math.ceil(rowTiles / rowTilesPerItem);
  const itemExtents = [k.chunks, k.groups, ...(inside ? tapItems.map(() => 1) : tapItems), rowItems];
  return {
    joined,
    tapAxes,
    run,
    rows,
    tapsTogether,
    rowTiles,
    rowTilesPerItem: inside ? rowTiles : rowTilesPerItem,
    tapsInside: inside ? tapItems : undefined,
    blocks: Math.ceil(k.channelsOut / k.width),
    lines,
    linesPerBlock,
    positionsPerBlock: Math.ceil(positions / Math.max(1, Math.ceil(positions / most))),
    itemExtents,
    items: results === 0 ? 0 : itemExtents.reduce((a, b) => a * b, 1),
  };
}

/** Elements between neighbouring positions of a line, or of the batch where there are no lines. */
function positionSteps({ axes }: OuterKernel, input: View, output: View): [a: number, z: number] {
  const axis = axes.length === 0 ? 0 : 1 + axes.length;
  return [(axes[axes.length - 1]?.stride ?? 1) * input.strides[axis], output.strides[axis]];
}

class OuterEmitter {
  readonly #k: OuterKernel;
  readonly #plan: OuterPlan;
  readonly #lanes: number;
  readonly #input: View;
  readonly #output: View;
  readonly #result: View;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;

  constructor(
    k: OuterKernel,
    plan: OuterPlan,
    lanes: number,
    operands: readonly View[],
    result: View,
    m: VectorMachine,
  ) {
    this.#k = k;
    this.#plan = plan;
    this.#lanes = lanes;
    this.#input = operands[0];
    this.#output = operands[1];
    this.#result = result;
    this.#m = m;
    this.#a = new Arithmetic(m);
  }

  item(item: Register, [aPointer, zPointer, resultPointer]: readonly Register[]): void {
    const m = this.#m;
    const k = this.#k;
    const plan = this.#plan;
    const [chunk, group, ...tapsAndRun] = this.#a.decode(item, plan.itemExtents);
    const runItem = tapsAndRun[tapsAndRun.length - 1];
    const { strides } = this.#result;
    // result: [chunk, group, …taps, ci, co]
    let result = this.#a.plus(resultPointer, this.#a.times(chunk, strides[0] * 4));
    result = this.#a.plus(result, this.#a.times(group, strides[1] * 4));
    const start = k.axes.reduce((sum, axis, s) => sum + axis.start * this.#input.strides[2 + s], 0);
    let a = this.#a.plus(aPointer, start * 4);
    a = this.#a.plus(a, this.#a.times(group, k.channelsIn * this.#input.strides[1] * 4));
    const z = this.#a.plus(zPointer, this.#a.times(group, k.channelsOut * this.#output.strides[1] * 4));
    const lastTap = plan.tapAxes.length - 1;
    plan.tapAxes.forEach((axis, s) => {
      const tap = s === lastTap ? this.#a.times(tapsAndRun[s], plan.tapsTogether) : tapsAndRun[s];
      result = this.#a.plus(result, this.#a.times(tap, strides[2 + s] * 4));
      a = this.#a.plus(a, this.#a.times(tap, axis.dilation * this.#input.strides[2 + s] * 4));
    });
    const firstTile = this.#a.times(runItem, plan.rowTilesPerItem);
    const endTile = this.#a.atMost(this.#a.plus(firstTile, plan.rowTilesPerItem), plan.rowTiles);
    const run = (taps: number): void => this.#item(chunk, result, a, z, firstTile, endTile, taps);
    const restTaps = lastTap < 0 ? 0 : plan.tapAxes[lastTap].taps % plan.tapsTogether;
    if (restTaps === 0) {
      run(plan.tapsTogether);
      return;
    }
    const isLast = m.compare('eq', tapsAndRun[lastTap], m.constant('i32', plan.itemExtents[2 + lastTap] - 1));
    m.when(
      isLast,
      () => run(restTaps),
      () => run(plan.tapsTogether),
    );
  }

  /** @param taps how many runs are in a tile */
  #item(
    chunk: Register,
    result: Register,
    a: Register,
    z: Register,
    firstTile: Register,
    endTile: Register,
    taps: number,
  ): void {
    const m = this.#m;
    const k = this.#k;
    const plan = this.#plan;
    const alone = this.#oneBlock();
    if (!alone) {
      this.#eachTap(result, (ofTap) => {
        for (let tap = 0; tap < taps; tap++)
          this.#clear(this.#a.plus(ofTap, this.#tapOffsets(tap).target), firstTile, endTile);
      });
    }
    const tiles = (positions: (body: TileBody) => void): void =>
      this.#eachTap(result, (ofTap, distance) =>
        this.#tiles(ofTap, firstTile, endTile, taps, alone, (body) =>
          positions(distance === undefined ? body : { ...body, aOffset: m.binary('add', body.aOffset, distance) }),
        ),
      );
    const perChunk = k.batch / k.chunks;
    const firstElement = this.#a.times(chunk, perChunk);
    if (k.axes.length === 0) {
      // No spatial axes: positions are the batch.
      const at = (base: Register, view: View): Register =>
        this.#a.plus(base, this.#a.times(firstElement, view.strides[0] * 4));
      this.#parts(perChunk, (part) =>
        tiles((body) => this.#positions(body, at(a, this.#input), at(z, this.#output), part)),
      );
      return;
    }
    m.loop({ to: perChunk }, (i) => {
      const n = this.#a.plus(firstElement, i);
      const image = this.#a.plus(a, this.#a.times(n, this.#input.strides[0] * 4));
      const gradient = this.#a.plus(z, this.#a.times(n, this.#output.strides[0] * 4));
      m.loop({ to: plan.lines, step: plan.linesPerBlock }, (line) => {
        const end = this.#a.atMost(this.#a.plus(line, plan.linesPerBlock), plan.lines);
        this.#parts(k.axes[k.axes.length - 1].count, (part) =>
          tiles((body) => this.#lines(body, image, gradient, line, end, part)),
        );
      });
    });
  }

  /** Whether an item is done with every tile at once, so that there are no sums to add to. */
  #oneBlock(): boolean {
    const { batch, chunks, axes } = this.#k;
    const { lines, linesPerBlock, positionsPerBlock } = this.#plan;
    const perChunk = batch / chunks;
    if (axes.length === 0) return perChunk <= positionsPerBlock;
    return perChunk === 1 && lines === linesPerBlock && axes[axes.length - 1].count <= positionsPerBlock;
  }

  /** Every run of taps of the item: where its results are, and how far its inputs are from those of the first, in bytes. */
  #eachTap(result: Register, body: (result: Register, distance: Register | undefined) => void): void {
    const { tapsInside, tapAxes, tapsTogether } = this.#plan;
    if (tapsInside === undefined || tapsInside.every((count) => count === 1)) {
      body(result, undefined);
      return;
    }
    const a = this.#a;
    this.#m.loop({ to: tapsInside.reduce((n, count) => n * count, 1) }, (index) => {
      let target = result;
      let distance: Register | undefined;
      a.decode(index, tapsInside).forEach((position, s) => {
        const tap = s === tapAxes.length - 1 ? a.times(position, tapsTogether) : position;
        const step = a.times(tap, tapAxes[s].dilation * this.#input.strides[2 + s] * 4);
        target = a.plus(target, a.times(tap, this.#result.strides[2 + s] * 4));
        distance = distance === undefined ? step : a.plus(distance, step);
      });
      body(target, distance);
    });
  }

  /** Parts of `count` positions whose operands stay in the cache. */
  #parts(count: number, body: (part: Part) => void): void {
    const m = this.#m;
    const { positionsPerBlock } = this.#plan;
    if (positionsPerBlock >= count) {
      body({ from: undefined, length: count });
      return;
    }
    m.loop({ to: count, step: positionsPerBlock }, (from) => {
      const left = m.binary('sub', m.constant('i32', count), from);
      body({
        from,
        length: count % positionsPerBlock === 0 ? positionsPerBlock : this.#a.atMost(left, positionsPerBlock),
      });
    });
  }

  /** From a run to that of the `tap`-th next tap, in bytes. */
  #tapOffsets(tap: number): { readonly input: number; readonly target: number } {
    if (tap === 0) return { input: 0, target: 0 };
    const { tapAxes } = this.#plan;
    const s = tapAxes.length - 1;
    return {
      input: tap * tapAxes[s].dilation * this.#input.strides[2 + s] * 4,
      target: tap * this.#result.strides[2 + s] * 4,
    };
  }

  /** Zeroes the partial sums of the item, in one run. */
  #clear(result: Register, firstTile: Register, endTile: Register): void {
    const m = this.#m;
    const { channelsOut } = this.#k;
    const { rows } = this.#plan;
    const from = this.#a.times(firstTile, rows * channelsOut);
    const to = m.binary(
      'min',
      this.#a.times(endTile, rows * channelsOut),
      m.constant('i32', this.#plan.run * channelsOut),
    );
    const rest = m.binary('sub', to, m.remainder(m.binary('sub', to, from), m.lanes));
    m.loop({ from, to: rest, step: m.lanes }, (i) => {
      m.store(m.constant('f32', 0, true), this.#a.plus(result, this.#a.times(i, 4)));
    });
    m.loop({ from: rest, to }, (i) => {
      m.store(m.constant('f32', 0), this.#a.plus(result, this.#a.times(i, 4)));
    });
  }

  /**
   * Every register tile of the item over one block of positions, which `positions` loops over.
   * @param alone whether there is no other block, whose sums would have to be added.
   */
  #tiles(
    result: Register,
    firstTile: Register,
    endTile: Register,
    taps: number,
    alone: boolean,
    positions: (body: TileBody) => void,
  ): void {
    const m = this.#m;
    const k = this.#k;
    const plan = this.#plan;
    const block = (rowTile: Register, rows: number): void => {
      const runOffset = this.#a.times(rowTile, plan.rows);
      const rowResult = this.#a.plus(result, this.#a.times(runOffset, k.channelsOut * 4));
      const aOffset = this.#a.times(runOffset, 4);
      const panel = (index: Register, channels: number): void => {
        const target = this.#a.plus(rowResult, this.#a.times(index, k.width * 4));
        const zOffset = this.#a.times(index, k.width * 4);
        this.#tile(target, taps, rows, channels, aOffset, zOffset, alone, positions);
      };
      const lastChannels = k.channelsOut - (plan.blocks - 1) * k.width;
      const whole = lastChannels === k.width ? plan.blocks : plan.blocks - 1;
      if (whole > 0) m.loop({ to: whole }, (index) => panel(index, k.width));
      if (whole < plan.blocks) panel(m.constant('i32', whole), lastChannels);
    };
    const lastRows = plan.run - (plan.rowTiles - 1) * plan.rows;
    const whole = lastRows === plan.rows ? plan.rowTiles : plan.rowTiles - 1;
    if (whole > 0) {
      const to = this.#a.atMost(endTile, whole);
      m.loop({ from: firstTile, to }, (rowTile) => block(rowTile, plan.rows));
    }
    if (whole < plan.rowTiles) {
      m.when(m.compare('gt', endTile, m.constant('i32', whole)), () => block(m.constant('i32', whole), lastRows));
    }
  }

  #tile(
    target: Register,
    taps: number,
    rows: number,
    channels: number,
    aOffset: Register,
    zOffset: Register,
    alone: boolean,
    positions: (body: TileBody) => void,
  ): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    const vectors = Math.ceil(channels / lanes);
    const from = (r: number): number => this.#tapOffsets(Math.floor(r / rows)).input + (r % rows) * 4;
    const at = (r: number, v: number): number =>
      this.#tapOffsets(Math.floor(r / rows)).target + ((r % rows) * k.channelsOut + v * lanes) * 4;
    const count = (v: number): number => Math.min(lanes, channels - v * lanes);
    const sums = Array.from({ length: taps * rows }, (_, r) =>
      Array.from({ length: vectors }, (_, v) =>
        m.copy(alone ? m.constant('f32', 0, true) : m.load('f32', true, target, at(r, v), count(v))),
      ),
    );
    positions({
      aOffset,
      zOffset,
      step: (a, z) => {
        const panel = Array.from({ length: vectors }, (_, v) => m.load('f32', true, z, v * lanes * 4, count(v)));
        for (let r = 0; r < taps * rows; r++) {
          const value = m.loadSplat('f32', a, from(r));
          for (let v = 0; v < vectors; v++) m.multiplyAdd(sums[r][v], value, panel[v]);
        }
      },
    });
    sums.forEach((row, r) => {
      row.forEach((sum, v) => {
        m.store(sum, target, at(r, v), count(v));
      });
    });
  }

  /** Output rows from ≤ line < to of one batch element, and one part of the positions of each. */
  #lines(body: TileBody, image: Register, gradient: Register, from: Register, to: Register, part: Part): void {
    const m = this.#m;
    const { axes } = this.#k;
    const outer = axes.slice(0, -1);
    const run = (a: Register, z: Register): void => this.#positions(body, a, z, part);
    if (outer.length === 0) {
      run(image, gradient);
      return;
    }
    m.loop({ from, to }, (line) => {
      const positions = this.#a.decode(
        line,
        outer.map((axis) => axis.count),
      );
      let a = image;
      let z = gradient;
      outer.forEach((axis, s) => {
        a = this.#a.plus(a, this.#a.times(positions[s], axis.stride * this.#input.strides[2 + s] * 4));
        z = this.#a.plus(z, this.#a.times(positions[s], this.#output.strides[2 + s] * 4));
      });
      run(a, z);
    });
  }

  #positions(body: TileBody, a: Register, z: Register, { from, length }: Part): void {
    const m = this.#m;
    const [aStep, zStep] = positionSteps(this.#k, this.#input, this.#output);
    const start = (base: Register, step: number): Register =>
      from === undefined ? base : this.#a.plus(base, this.#a.times(from, step * 4));
    const aPointer = m.copy(this.#a.plus(start(a, aStep), body.aOffset));
    const zPointer = m.copy(this.#a.plus(start(z, zStep), body.zOffset));
    m.loop({ to: length }, () => {
      body.step(aPointer, zPointer);
      m.bump(aPointer, aStep * 4);
      m.bump(zPointer, zStep * 4);
    });
  }
}

/** Positions of a line that are worked on together: all, or `length` of them. */
interface Part {
  readonly from: Register | undefined;
  readonly length: Int;
}

interface TileBody {
  readonly aOffset: Register;
  readonly zOffset: Register;
  /** One position: every row of the tile times every vector of channels. */
  step(a: Register, z: Register): void;
}
