import type { OuterAxis, OuterKernel } from '../../kernel/tile.js';
import { Arithmetic } from './arithmetic.js';
import { groupedOuterCode } from './grouped-outer.js';
import type { KernelCode } from './kernel-code.js';
import type { View } from './loops.js';
import type { Register, VectorMachine } from './machine.js';
import { winogradFilterCode } from './winograd-filter.js';

/** Rows of both operands that are worked on together should stay in the second-level cache. */
const BLOCK_BYTES = 160 * 1024;
const ITEMS = 32;

/**
 * Generates code for the filter gradient. A register tile holds `rows` neighbouring (tap, input channel) pairs × output
 * channels; it runs over a block of output positions while the block is in the cache, and adds to its partial sums in memory.
 */
export function outerCode(k: OuterKernel, lanes: number, operands: readonly View[], result: View): KernelCode {
  if (k.grouping !== undefined) return groupedOuterCode(k, k.grouping, lanes, operands, result);
  if (k.winograd !== undefined) return winogradFilterCode(k, k.winograd, lanes, operands, result);
  const plan = planOuter(k, operands);
  return {
    items: plan.items,
    emit(m, begin, end, pointers) {
      const emitter = new OuterEmitter(k, plan, lanes, operands, result, m);
      m.loop({ from: begin, to: end }, (item) => emitter.item(item, pointers));
    },
  };
}

interface OuterPlan {
  /** Taps of the last axis and input channels are one contiguous run of the input. */
  readonly joined: boolean;
  /** Taps that are loops of their own. */
  readonly tapAxes: readonly OuterAxis[];
  /** Neighbouring filter rows in memory: the run of the input that a tile's rows come from. */
  readonly run: number;
  readonly rowTiles: number;
  readonly rowTilesPerItem: number;
  readonly blocks: number;
  /** Output rows worked on together. */
  readonly lines: number;
  readonly linesPerBlock: number;
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
  const taps = tapAxes.reduce((n, axis) => n * axis.taps, 1);
  const wanted = Math.ceil(ITEMS / (k.chunks * k.groups * taps));
  const rowTilesPerItem = Math.ceil(rowTiles / Math.min(rowTiles, wanted));
  const outer = k.axes.slice(0, -1);
  const lines = outer.reduce((n, axis) => n * axis.count, 1);
  const lineBytes =
    outer.length > 0
      ? 4 * (outer[outer.length - 1].stride * input.strides[outer.length + 1] + output.strides[outer.length + 1])
      : 1;
  const linesPerBlock = Math.max(1, Math.min(lines, Math.floor(BLOCK_BYTES / lineBytes)));
  const itemExtents = [k.chunks, k.groups, ...tapAxes.map((axis) => axis.taps), Math.ceil(rowTiles / rowTilesPerItem)];
  return {
    joined,
    tapAxes,
    run,
    rowTiles,
    rowTilesPerItem,
    blocks: Math.ceil(k.channelsOut / k.width),
    lines,
    linesPerBlock,
    itemExtents,
    items: itemExtents.reduce((a, b) => a * b, 1),
  };
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
    plan.tapAxes.forEach((axis, s) => {
      result = this.#a.plus(result, this.#a.times(tapsAndRun[s], strides[2 + s] * 4));
      a = this.#a.plus(a, this.#a.times(tapsAndRun[s], axis.dilation * this.#input.strides[2 + s] * 4));
    });
    const firstTile = this.#a.times(runItem, plan.rowTilesPerItem);
    const endTile = this.#a.atMost(this.#a.plus(firstTile, plan.rowTilesPerItem), plan.rowTiles);
    this.#clear(result, firstTile, endTile);
    const perChunk = k.batch / k.chunks;
    const firstElement = this.#a.times(chunk, perChunk);
    if (k.axes.length === 0) {
      // No spatial axes: positions are the batch.
      const at = (base: Register, view: View): Register =>
        this.#a.plus(base, this.#a.times(firstElement, view.strides[0] * 4));
      this.#tiles(result, firstTile, endTile, (body) =>
        this.#positions(
          body,
          at(a, this.#input),
          at(z, this.#output),
          perChunk,
          this.#input.strides[0],
          this.#output.strides[0],
        ),
      );
      return;
    }
    m.loop({ to: perChunk }, (i) => {
      const n = this.#a.plus(firstElement, i);
      const image = this.#a.plus(a, this.#a.times(n, this.#input.strides[0] * 4));
      const gradient = this.#a.plus(z, this.#a.times(n, this.#output.strides[0] * 4));
      m.loop({ to: plan.lines, step: plan.linesPerBlock }, (line) => {
        const end = this.#a.atMost(this.#a.plus(line, plan.linesPerBlock), plan.lines);
        this.#tiles(result, firstTile, endTile, (body) => this.#lines(body, image, gradient, line, end));
      });
    });
  }

  /** Zeroes the partial sums of the item. */
  #clear(result: Register, firstTile: Register, endTile: Register): void {
    const m = this.#m;
    const { rows, channelsOut } = this.#k;
    const from = this.#a.times(firstTile, rows * channelsOut);
    const to = m.binary(
      'min',
      this.#a.times(endTile, rows * channelsOut),
      m.constant('i32', this.#plan.run * channelsOut),
    );
    m.loop({ from, to }, (i) => {
      m.store(m.constant('f32', 0), this.#a.plus(result, this.#a.times(i, 4)));
    });
  }

  /** Every register tile of the item over one block of positions, which `positions` loops over. */
  #tiles(result: Register, firstTile: Register, endTile: Register, positions: (body: TileBody) => void): void {
    const m = this.#m;
    const k = this.#k;
    const plan = this.#plan;
    const block = (rowTile: Register, rows: number): void => {
      const runOffset = this.#a.times(rowTile, k.rows);
      const rowResult = this.#a.plus(result, this.#a.times(runOffset, k.channelsOut * 4));
      const aOffset = this.#a.times(runOffset, 4);
      const panel = (index: Register, channels: number): void => {
        const target = this.#a.plus(rowResult, this.#a.times(index, k.width * 4));
        const zOffset = this.#a.times(index, k.width * 4);
        this.#tile(target, rows, channels, aOffset, zOffset, positions);
      };
      const lastChannels = k.channelsOut - (plan.blocks - 1) * k.width;
      const whole = lastChannels === k.width ? plan.blocks : plan.blocks - 1;
      if (whole > 0) m.loop({ to: whole }, (index) => panel(index, k.width));
      if (whole < plan.blocks) panel(m.constant('i32', whole), lastChannels);
    };
    const lastRows = plan.run - (plan.rowTiles - 1) * k.rows;
    const whole = lastRows === k.rows ? plan.rowTiles : plan.rowTiles - 1;
    if (whole > 0) {
      const to = this.#a.atMost(endTile, whole);
      m.loop({ from: firstTile, to }, (rowTile) => block(rowTile, k.rows));
    }
    if (whole < plan.rowTiles) {
      m.when(m.compare('gt', endTile, m.constant('i32', whole)), () => block(m.constant('i32', whole), lastRows));
    }
  }

  #tile(
    target: Register,
    rows: number,
    channels: number,
    aOffset: Register,
    zOffset: Register,
    positions: (body: TileBody) => void,
  ): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    const vectors = Math.ceil(channels / lanes);
    const at = (r: number, v: number): number => (r * k.channelsOut + v * lanes) * 4;
    const count = (v: number): number => Math.min(lanes, channels - v * lanes);
    const sums = Array.from({ length: rows }, (_, r) =>
      Array.from({ length: vectors }, (_, v) => m.copy(m.load('f32', true, target, at(r, v), count(v)))),
    );
    positions({
      aOffset,
      zOffset,
      step: (a, z) => {
        const panel = Array.from({ length: vectors }, (_, v) => m.load('f32', true, z, v * lanes * 4, count(v)));
        for (let r = 0; r < rows; r++) {
          const value = m.loadSplat('f32', a, r * 4);
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

  /** Output rows from ≤ line < to of one batch element, and all positions of each. */
  #lines(body: TileBody, image: Register, gradient: Register, from: Register, to: Register): void {
    const m = this.#m;
    const { axes } = this.#k;
    const outer = axes.slice(0, -1);
    const last = axes[axes.length - 1];
    const run = (a: Register, z: Register): void =>
      this.#positions(
        body,
        a,
        z,
        last.count,
        last.stride * this.#input.strides[1 + axes.length],
        this.#output.strides[1 + axes.length],
      );
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

  #positions(body: TileBody, a: Register, z: Register, count: number, aStep: number, zStep: number): void {
    const m = this.#m;
    const aPointer = m.copy(this.#a.plus(a, body.aOffset));
    const zPointer = m.copy(this.#a.plus(z, body.zOffset));
    m.loop({ to: count }, () => {
      body.step(aPointer, zPointer);
      m.bump(aPointer, aStep * 4);
      m.bump(zPointer, zStep * 4);
    });
  }
}

interface TileBody {
  readonly aOffset: Register;
  readonly zOffset: Register;
  /** One position: every row of the tile times every vector of channels. */
  step(a: Register, z: Register): void;
}
