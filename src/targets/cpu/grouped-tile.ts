import { UNROLLED_TAPS } from '../../compiler/grouped.js';
import { axisIndex } from '../../kernel/expression.js';
import type { Grouping, TileAxis, TileKernel, TilePhase } from '../../kernel/tile.js';
import { DTYPES } from '../../tensor/dtype.js';
import { invariant } from '../../tensor/errors.js';
import { Arithmetic } from './arithmetic.js';
import { emitExpression, Scope } from './expression.js';
import { addIndex, type Form, FormValues, makeForm } from './form.js';
import { columnsOf, equalParts, innerTiles, spreadChannel, type TapRange, tapsInside } from './grouped.js';
import type { KernelCode } from './kernel-code.js';
import { type Analysis, analyseExpressions, loopEnvironment, storeAs, type View } from './loops.js';
import type { Register, VectorMachine } from './machine.js';

/** The inputs of a few tiles of neighbouring rows, and the filters beside them, should stay in the first-level cache. */
const INPUT_BYTES = 24 * 1024;
const FILTER_BYTES = 8 * 1024;
const ITEMS = 32;
/** Multiply-adds of one tile that are written out for rows whose taps are all inside. */
const UNROLLED = 160;

/**
 * Generates code for a contraction of which several groups share a register. An item is (phase, batch element, range of rows, range
 * of tiles within a row, range of vectors of channels); inside, rows are outermost, so that taps find their rows in the
 * first-level cache. Rows are cut at the borders when the code runs; tiles at the ends of a row are code of their own.
 */
export function groupedTileCode(
  k: TileKernel,
  grouping: Grouping,
  lanes: number,
  operands: readonly View[],
  result: View,
): KernelCode {
  const plans = k.phases.map((phase) => planPhase(k, grouping, phase, lanes));
  const analysis = analyseExpressions([k.epilogue], result.strides.length, operands);
  const output = makeForm(result.strides.length, DTYPES[result.dtype].bytes, operands.length);
  result.strides.forEach((stride, axis) => {
    addIndex(output, axisIndex(axis), stride);
  });
  const shared = analysis.share(output);
  return {
    items: plans.reduce((n, plan) => n + plan.items, 0),
    emit(m, begin, end, pointers) {
      let first = 0;
      for (const plan of plans) {
        const from = m.binary('max', begin, m.constant('i32', first));
        const to = m.binary('min', end, m.constant('i32', first + plan.items));
        const emitter = new GroupedTileEmitter(k, grouping, plan, operands[0], result, analysis, shared, m);
        m.loop({ from, to }, (item) => emitter.item(item, first, pointers));
        first += plan.items;
      }
    },
  };
}

interface PlannedAxis extends TileAxis {
  /** Of A and of the output. */
  readonly dimension: number;
  /** Of A. */
  readonly extent: number;
}

interface PhasePlan {
  readonly filter: number;
  /** The axis whose neighbouring positions share a register tile: the batch where there is no other. */
  readonly last: PlannedAxis;
  readonly outer: readonly PlannedAxis[];
  readonly rowCount: number;
  readonly rowsPerItem: number;
  readonly tiles: number;
  readonly tilesPerItem: number;
  /** Whole tiles with all taps inside are from ≤ tile < to. */
  readonly inner: { readonly from: number; readonly to: number };
  readonly blocks: number;
  readonly blocksPerItem: number;
  readonly itemExtents: readonly number[];
  readonly items: number;
}

function planPhase(k: TileKernel, { together, extents }: Grouping, phase: TilePhase, lanes: number): PhasePlan {
  const axes = phase.axes.map((axis, s): PlannedAxis => ({ ...axis, dimension: 2 + s, extent: extents[s] }));
  const once = { stride: 1, taps: 1, dilation: 1, inStart: 0, outStart: 0, outStep: 1 };
  const last = axes.pop() ?? { ...once, count: k.batch, dimension: 0, extent: k.batch };
  const batch = last.dimension === 0 ? 1 : k.batch;
  const rowCount = axes.reduce((n, axis) => n * axis.count, 1);
  const tiles = Math.ceil(last.count / k.rows);
  const blocks = Math.ceil(k.groups / together);
  const outerTaps = axes.reduce((n, axis) => n * axis.taps, 1);
  const vector = lanes * 4;
  const tileBytes = outerTaps * (last.stride * (k.rows - 1) + last.dilation * (last.taps - 1) + 1) * vector;
  const panel = outerTaps * last.taps * k.channelsIn * vector;
  const blockLimit = Math.min(INPUT_BYTES / Math.max(1, tileBytes), FILTER_BYTES / Math.max(1, panel));
  const [blocksPerItem, blockItems] = equalParts(blocks, blockLimit);
  const moreBytes = outerTaps * last.stride * k.rows * blocksPerItem * vector;
  const [tilesPerItem, tileItems] = equalParts(
    tiles,
    1 + (INPUT_BYTES - tileBytes * blocksPerItem) / Math.max(1, moreBytes),
  );
  const wanted = Math.max(1, Math.ceil(ITEMS / (batch * blockItems * tileItems)));
  const [rowsPerItem, rowItems] = equalParts(rowCount, rowCount / wanted);
  const itemExtents = [batch, rowItems, tileItems, blockItems];
  return {
    filter: phase.filter,
    last,
    outer: axes,
    rowCount,
    rowsPerItem,
    tiles,
    tilesPerItem,
    inner: innerTiles(last, last.inStart, last.extent, k.rows),
    blocks,
    blocksPerItem,
    itemExtents,
    items: itemExtents.reduce((a, b) => a * b, 1),
  };
}

/** One row of the output: where A's rows begin, and which taps of the outer axes are inside. */
interface Row {
  /** At the position of the first tap along outer axes, even where it is outside, and at position 0 of the last one. */
  readonly input: Register;
  readonly ranges: readonly TapRange[];
  /** Whether the taps are a loop each, because some may be outside; otherwise all are written out. */
  readonly looped: boolean;
  readonly values: FormValues;
}

/** One register tile. */
interface Tile {
  /** In A, and what to add to reach tap t of position p; undefined outside. */
  readonly input: Register;
  offset(p: number, t: number): number | undefined;
  readonly filter: Register;
  readonly row: Row;
  readonly values: FormValues;
  readonly positions: number;
  readonly groups: number;
}

class GroupedTileEmitter {
  readonly #k: TileKernel;
  readonly #grouping: Grouping;
  readonly #plan: PhasePlan;
  readonly #input: View;
  readonly #result: View;
  readonly #analysis: Analysis;
  readonly #output: Form;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;
  /** Bytes of one tap's filters of a block. */
  readonly #tapBytes: number;

  constructor(
    k: TileKernel,
    grouping: Grouping,
    plan: PhasePlan,
    input: View,
    result: View,
    analysis: Analysis,
    output: Form,
    m: VectorMachine,
  ) {
    this.#k = k;
    this.#grouping = grouping;
    this.#plan = plan;
    this.#input = input;
    this.#result = result;
    this.#analysis = analysis;
    this.#output = output;
    this.#m = m;
    this.#a = new Arithmetic(m);
    this.#tapBytes = k.channelsIn * k.width * 4;
  }

  #bytes(axis: PlannedAxis): number {
    return this.#input.strides[axis.dimension] * 4;
  }

  item(item: Register, first: number, pointers: readonly Register[]): void {
    const a = this.#a;
    const plan = this.#plan;
    const [n, rowItem, tileItem, blockItem] = a.decode(a.plus(item, -first), plan.itemExtents);
    let input = pointers[0];
    let values = FormValues.start(this.#m, this.#analysis.forms, pointers);
    if (plan.last.dimension !== 0) {
      input = a.plus(input, a.times(n, this.#input.strides[0] * 4));
      values = values.enter(0, n);
    }
    const firstTile = a.times(tileItem, plan.tilesPerItem);
    const endTile = a.atMost(a.plus(firstTile, plan.tilesPerItem), plan.tiles);
    const firstBlock = a.times(blockItem, plan.blocksPerItem);
    const endBlock = a.atMost(a.plus(firstBlock, plan.blocksPerItem), plan.blocks);
    const filter = pointers[plan.filter];
    this.#rows(rowItem, input, values, (row) =>
      this.#tiles(row, firstTile, endTile, (position, length, inner) =>
        this.#blocks(firstBlock, endBlock, (block, groups) =>
          this.#tile(this.#place(row, filter, position, length, inner, block, groups)),
        ),
      ),
    );
  }

  /** Loops over the rows of an item. */
  #rows(rowItem: Register, input: Register, values: FormValues, body: (row: Row) => void): void {
    const m = this.#m;
    const a = this.#a;
    const { outer, rowsPerItem, rowCount, last } = this.#plan;
    const multiplyAdds = outer.reduce((n, axis) => n * axis.taps, last.taps) * this.#k.channelsIn * this.#k.rows;
    const unrolled = multiplyAdds <= UNROLLED;
    const all = outer.map((axis): TapRange => ({ from: 0, to: axis.taps }));
    if (outer.length === 0) {
      body({ input, ranges: all, looped: false, values });
      return;
    }
    const from = a.times(rowItem, rowsPerItem);
    m.loop({ from, to: a.atMost(a.plus(from, rowsPerItem), rowCount) }, (i) => {
      const positions = a.decode(
        i,
        outer.map((axis) => axis.count),
      );
      let address = input;
      let inner = values;
      let inside: Register | undefined;
      const ranges = outer.map((axis, s): TapRange => {
        const q = positions[s];
        const start = a.plus(a.times(q, axis.stride), axis.inStart);
        address = a.plus(address, a.times(start, this.#bytes(axis)));
        inner = inner.enter(axis.dimension, a.plus(a.times(q, axis.outStep), axis.outStart));
        const span = axis.dilation * (axis.taps - 1);
        const end = axis.inStart + axis.stride * (axis.count - 1) + span;
        if (axis.taps === 0 || (axis.inStart >= 0 && end < axis.extent)) return all[s];
        const both = m.binary(
          'and',
          m.compare('ge', start, m.constant('i32', 0)),
          m.compare('lt', start, m.constant('i32', axis.extent - span)),
        );
        inside = inside === undefined ? both : m.binary('and', inside, both);
        return tapsInside(m, start, axis, axis.extent);
      });
      const whole: Row = { input: address, ranges: all, looped: !unrolled, values: inner };
      if (inside === undefined) {
        body(whole);
      } else if (unrolled) {
        m.when(
          inside,
          () => body(whole),
          () => body({ ...whole, ranges, looped: true }),
        );
      } else {
        body({ ...whole, ranges });
      }
    });
  }

  /** The tiles of one row: those at its ends one by one. */
  #tiles(
    row: Row,
    first: Register,
    end: Register,
    tile: (position: Register | number, length: number, inner: boolean) => void,
  ): void {
    const m = this.#m;
    const { rows } = this.#k;
    const { tiles, tilesPerItem, inner, last } = this.#plan;
    const single = (t: number): void => {
      const body = (): void => tile(t * rows, Math.min(rows, last.count - t * rows), false);
      if (tilesPerItem >= tiles) {
        body();
      } else {
        const from = m.compare('le', first, m.constant('i32', t));
        m.when(m.binary('and', from, m.compare('gt', end, m.constant('i32', t))), body);
      }
    };
    for (let t = 0; t < inner.from; t++) single(t);
    if (inner.to > inner.from) {
      const from = m.binary('max', first, m.constant('i32', inner.from));
      m.loop({ from, to: this.#a.atMost(end, inner.to) }, (t) => tile(this.#a.times(t, rows), rows, true));
    }
    for (let t = inner.to; t < tiles; t++) single(t);
    invariant(row.ranges.length === this.#plan.outer.length, 'a row has a range of taps for every outer axis');
  }

  /** Vectors of channels; the last may have fewer groups. */
  #blocks(first: Register, end: Register, body: (block: Register, groups: number) => void): void {
    const m = this.#m;
    const { together } = this.#grouping;
    const { blocks } = this.#plan;
    const rest = this.#k.groups - (blocks - 1) * together;
    const whole = rest === together ? blocks : blocks - 1;
    if (whole > 0) m.loop({ from: first, to: this.#a.atMost(end, whole) }, (block) => body(block, together));
    if (whole === blocks) return;
    const last = m.constant('i32', whole);
    if (this.#plan.blocksPerItem >= blocks) body(last, rest);
    else m.when(m.compare('gt', end, last), () => body(last, rest));
  }

  #place(
    row: Row,
    filter: Register,
    position: Register | number,
    length: number,
    inner: boolean,
    block: Register,
    groups: number,
  ): Tile {
    const a = this.#a;
    const k = this.#k;
    const { last, outer } = this.#plan;
    const { together } = this.#grouping;
    const column = this.#bytes(last);
    const panel = outer.reduce((n, axis) => n * axis.taps, last.taps) * this.#tapBytes;
    let input = a.plus(row.input, a.times(block, together * k.channelsIn * this.#input.strides[1] * 4));
    let offset: Tile['offset'];
    if (typeof position === 'number') {
      offset = (p, t) => {
        const at = last.inStart + last.stride * (position + p) + last.dilation * t;
        return at >= 0 && at < last.extent ? at * column : undefined;
      };
    } else {
      invariant(inner, 'a tile at the end of a row has a known position');
      input = a.plus(a.plus(input, a.times(position, last.stride * column)), last.inStart * column);
      offset = (p, t) => (last.stride * p + last.dilation * t) * column;
    }
    const q = typeof position === 'number' ? this.#m.constant('i32', position) : position;
    return {
      input,
      offset,
      filter: a.plus(filter, a.times(block, panel)),
      row,
      values: row.values
        .enter(last.dimension, a.plus(a.times(q, last.outStep), last.outStart))
        .enter(1, a.times(block, together * k.channelsOut)),
      positions: length,
      groups,
    };
  }

  #tile(tile: Tile): void {
    const m = this.#m;
    const sums = Array.from({ length: tile.positions }, () => m.copy(m.constant('f32', 0, true)));
    this.#outerTaps(tile, 0, tile.input, 0, tile.filter, 0, sums);
    this.#store(tile, sums);
  }

  /** Taps of outer axes: loops, or written out. */
  #outerTaps(
    tile: Tile,
    s: number,
    input: Register,
    inputOffset: number,
    filter: Register,
    filterOffset: number,
    sums: readonly Register[],
  ): void {
    const m = this.#m;
    const a = this.#a;
    const { outer, last } = this.#plan;
    if (s === outer.length) {
      this.#lastTaps(tile, input, inputOffset, filter, filterOffset, sums);
      return;
    }
    const inputStep = outer[s].dilation * this.#bytes(outer[s]);
    const filterStep = outer.slice(s + 1).reduce((n, axis) => n * axis.taps, last.taps) * this.#tapBytes;
    if (!tile.row.looped) {
      for (let t = 0; t < outer[s].taps; t++) {
        const to = inputOffset + t * inputStep;
        this.#outerTaps(tile, s + 1, input, to, filter, filterOffset + t * filterStep, sums);
      }
      return;
    }
    const { from, to } = tile.row.ranges[s];
    const begin = typeof from === 'number' ? m.constant('i32', from) : from;
    const inputPointer = m.copy(a.plus(input, a.times(begin, inputStep)));
    const filterPointer = m.copy(a.plus(filter, a.times(begin, filterStep)));
    m.loop({ from, to }, () => {
      this.#outerTaps(tile, s + 1, inputPointer, inputOffset, filterPointer, filterOffset, sums);
      m.bump(inputPointer, inputStep);
      m.bump(filterPointer, filterStep);
    });
  }

  /** Taps of the last axis: neighbouring positions share the inputs that they have in common. */
  #lastTaps(
    tile: Tile,
    input: Register,
    inputOffset: number,
    filter: Register,
    filterOffset: number,
    sums: readonly Register[],
  ): void {
    const m = this.#m;
    const k = this.#k;
    const { last } = this.#plan;
    const { together } = this.#grouping;
    const lanes = (channels: number): number => Math.min(m.lanes, channels);
    const vector = (address: Register, offset: number, channel: number): Register => {
      const loaded = m.load('f32', true, address, offset, lanes(tile.groups * k.channelsIn));
      return spreadChannel(m, loaded, channel, k, together);
    };
    const weights = (address: Register, offset: number): Register =>
      m.load('f32', true, address, offset, lanes(k.width));
    if (k.rows * last.taps * k.channelsIn > UNROLLED_TAPS) {
      const inputPointer = m.copy(input);
      const filterPointer = m.copy(filter);
      m.loop({ to: last.taps }, () => {
        for (let channel = 0; channel < k.channelsIn; channel++) {
          const weight = weights(filterPointer, filterOffset + channel * k.width * 4);
          sums.forEach((sum, p) => {
            const offset = tile.offset(p, 0);
            invariant(offset !== undefined, 'where taps are a loop, all are inside');
            m.multiplyAdd(sum, vector(inputPointer, inputOffset + offset, channel), weight);
          });
        }
        m.bump(inputPointer, last.dilation * this.#bytes(last));
        m.bump(filterPointer, this.#tapBytes);
      });
      return;
    }
    const columns = columnsOf(sums.length, last.taps, tile.offset);
    for (let channel = 0; channel < k.channelsIn; channel++) {
      const filters = new Map<number, Register>();
      for (const { offset, uses } of columns) {
        const value = vector(input, inputOffset + offset, channel);
        for (const { p, t } of uses) {
          let weight = filters.get(t);
          if (weight === undefined) {
            weight = weights(filter, filterOffset + t * this.#tapBytes + channel * k.width * 4);
            filters.set(t, weight);
          }
          m.multiplyAdd(sums[p], value, weight);
        }
      }
    }
  }

  #store(tile: Tile, sums: readonly Register[]): void {
    const m = this.#m;
    const k = this.#k;
    const { last } = this.#plan;
    const count = tile.groups * k.channelsOut;
    sums.forEach((sum, p) => {
      const extra = (form: Form): number => form.factors[last.dimension] * p * last.outStep;
      const environment = loopEnvironment(m, this.#analysis, {
        values: tile.values,
        vectorAxis: 1,
        count,
        extra,
        sums: [{ value: sum, index: undefined }],
      });
      const value = emitExpression(k.epilogue, environment, new Scope());
      const [address, offset] = tile.values.address(this.#output, extra(this.#output));
      storeAs(m, value, this.#result.dtype, address, offset, count);
    });
  }
}
