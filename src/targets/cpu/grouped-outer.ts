import { UNROLLED_TAPS } from '../../compiler/grouped.js';
import type { Grouping, OuterAxis, OuterKernel } from '../../kernel/tile.js';
import { Arithmetic } from './arithmetic.js';
import { columnsOf, equalParts, innerTiles, spreadChannel } from './grouped.js';
import type { KernelCode } from './kernel-code.js';
import type { View } from './loops.js';
import type { Register, VectorMachine } from './machine.js';

/** Rows of both operands that are worked on together should stay in the second-level cache. */
const BLOCK_BYTES = 160 * 1024;
const ITEMS = 8;
/** Share of the vector registers that hold sums. */
const SUMS = 5 / 8;

/**
 * Generates code for the filter gradient of which several groups share a register. An item is (part of the batch, range of vectors of
 * channels). It takes a few rows at a time; for each vector of channels and each tap of the outer axes, the sums of a row of taps are kept in
 * registers, several for each tap so that they do not wait for each other, and added to those in memory at the end.
 */
export function groupedOuterCode(
  k: OuterKernel,
  grouping: Grouping,
  lanes: number,
  operands: readonly View[],
  result: View,
): KernelCode {
  const plan = planOuter(k, grouping, lanes);
  return {
    items: plan.items,
    emit(m, begin, end, pointers) {
      const emitter = new GroupedOuterEmitter(k, grouping, plan, operands, result, m);
      m.loop({ from: begin, to: end }, (item) => emitter.item(item, pointers));
    },
  };
}

interface PlannedAxis extends OuterAxis {
  /** Of both operands. */
  readonly dimension: number;
  /** Of A. */
  readonly extent: number;
}

interface OuterPlan {
  /** The axis whose neighbouring positions are worked on together: the batch where there is no other. */
  readonly last: PlannedAxis;
  readonly outer: readonly PlannedAxis[];
  readonly tiles: number;
  /** Whole tiles with all taps inside are from ≤ tile < to. */
  readonly inner: { readonly from: number; readonly to: number };
  /** Rows of the output, and how many are worked on together. */
  readonly lines: number;
  readonly linesPerBlock: number;
  readonly blocks: number;
  readonly blocksPerItem: number;
  readonly itemExtents: readonly number[];
  readonly items: number;
}

function planOuter(k: OuterKernel, { together, extents }: Grouping, lanes: number): OuterPlan {
  const axes = k.axes.map((axis, s): PlannedAxis => ({ ...axis, dimension: 2 + s, extent: extents[s] }));
  const once = { stride: 1, taps: 1, dilation: 1, start: 0 };
  const last = axes.pop() ?? { ...once, count: k.batch, dimension: 0, extent: k.batch };
  const lines = axes.reduce((n, axis) => n * axis.count, 1);
  const blocks = Math.ceil(k.groups / together);
  const [blocksPerItem, blockItems] = equalParts(blocks, (blocks * k.chunks) / ITEMS);
  const lineBytes = (1 + last.stride) * last.count * blocksPerItem * lanes * 4;
  return {
    last,
    outer: axes,
    tiles: Math.ceil(last.count / k.rows),
    inner: innerTiles(last, last.start, last.extent, k.rows),
    lines,
    linesPerBlock: Math.max(1, Math.min(lines, Math.floor(BLOCK_BYTES / Math.max(1, lineBytes)))),
    blocks,
    blocksPerItem,
    itemExtents: [k.chunks, blockItems],
    items: k.chunks * blockItems,
  };
}

/** One of the sums that registers hold at a time: a tap of the last axis and an input channel of the group. */
interface Pair {
  readonly tap: number;
  readonly channel: number;
}

/** Where one vector of channels is. */
interface Block {
  readonly input: Register;
  readonly gradient: Register;
  /** Partial sums of the first taps. */
  readonly result: Register;
  readonly groups: number;
}

class GroupedOuterEmitter {
  readonly #k: OuterKernel;
  readonly #grouping: Grouping;
  readonly #plan: OuterPlan;
  readonly #input: View;
  readonly #gradient: View;
  readonly #result: View;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;

  constructor(
    k: OuterKernel,
    grouping: Grouping,
    plan: OuterPlan,
    operands: readonly View[],
    result: View,
    m: VectorMachine,
  ) {
    this.#k = k;
    this.#grouping = grouping;
    this.#plan = plan;
    this.#input = operands[0];
    this.#gradient = operands[1];
    this.#result = result;
    this.#m = m;
    this.#a = new Arithmetic(m);
  }

  item(item: Register, [input, gradient, result]: readonly Register[]): void {
    const m = this.#m;
    const a = this.#a;
    const { chunks, batch } = this.#k;
    const plan = this.#plan;
    const [chunk, blockItem] = a.decode(item, plan.itemExtents);
    const sums = a.plus(result, a.times(chunk, this.#result.strides[0] * 4));
    const from = a.times(blockItem, plan.blocksPerItem);
    const to = a.atMost(a.plus(from, plan.blocksPerItem), plan.blocks);
    this.#blocks(from, to, input, gradient, sums, (block) => this.#clear(block));
    const lines = (x: Register, z: Register): void =>
      m.loop({ to: plan.lines, step: plan.linesPerBlock }, (line) => {
        const end = a.atMost(a.plus(line, plan.linesPerBlock), plan.lines);
        this.#blocks(from, to, x, z, sums, (block) => this.#outerTaps(block, line, end, []));
      });
    if (plan.last.dimension === 0) {
      lines(input, gradient);
      return;
    }
    const perChunk = batch / chunks;
    m.loop({ to: perChunk }, (i) => {
      const n = a.plus(a.times(chunk, perChunk), i);
      const element = (base: Register, view: View): Register => a.plus(base, a.times(n, view.strides[0] * 4));
      lines(element(input, this.#input), element(gradient, this.#gradient));
    });
  }

  /** Vectors of channels; the last may have fewer groups. */
  #blocks(
    from: Register,
    to: Register,
    input: Register,
    gradient: Register,
    result: Register,
    body: (block: Block) => void,
  ): void {
    const m = this.#m;
    const a = this.#a;
    const { groups, channelsIn, channelsOut } = this.#k;
    const { together } = this.#grouping;
    const { blocks, blocksPerItem } = this.#plan;
    const rest = groups - (blocks - 1) * together;
    const whole = rest === together ? blocks : blocks - 1;
    const at = (block: Register, count: number): void =>
      body({
        input: a.plus(input, a.times(block, together * channelsIn * this.#input.strides[1] * 4)),
        gradient: a.plus(gradient, a.times(block, together * channelsOut * this.#gradient.strides[1] * 4)),
        result: a.plus(result, a.times(block, together * this.#result.strides[1] * 4)),
        groups: count,
      });
    if (whole > 0) m.loop({ from, to: a.atMost(to, whole) }, (block) => at(block, together));
    if (whole === blocks) return;
    const last = m.constant('i32', whole);
    if (blocksPerItem >= blocks) at(last, rest);
    else m.when(m.compare('gt', to, last), () => at(last, rest));
  }

  /** Zeroes the partial sums of all taps. */
  #clear({ result, groups }: Block): void {
    const m = this.#m;
    const { axes, channelsIn, channelsOut } = this.#k;
    const pointer = m.copy(result);
    m.loop({ to: axes.reduce((n, axis) => n * axis.taps, channelsIn) }, () => {
      m.store(m.constant('f32', 0, true), pointer, 0, groups * channelsOut);
      m.bump(pointer, this.#k.groups * channelsOut * 4);
    });
  }

  /** Loops over the taps of outer axes. */
  #outerTaps(block: Block, line: Register, end: Register, taps: readonly Register[]): void {
    const m = this.#m;
    const a = this.#a;
    const { outer } = this.#plan;
    const s = taps.length;
    if (s < outer.length) {
      m.loop({ to: outer[s].taps }, (tap) => {
        const result = a.plus(block.result, a.times(tap, this.#result.strides[2 + s] * 4));
        this.#outerTaps({ ...block, result }, line, end, [...taps, tap]);
      });
      return;
    }
    this.#lastTaps(block, (part, pairs) => this.#pass(part, line, end, taps, pairs));
  }

  /** Taps of the last axis with as many input channels as registers hold; a loop over parts where that would be much code. */
  #lastTaps(block: Block, pass: (part: Block, pairs: readonly Pair[]) => void): void {
    const m = this.#m;
    const a = this.#a;
    const { rows, channelsIn } = this.#k;
    const { last } = this.#plan;
    if (rows * last.taps * channelsIn <= UNROLLED_TAPS) {
      for (const pairs of this.#passes(last.taps)) pass(block, pairs);
      return;
    }
    // All inputs are inside: the scheduler has them padded.
    const each = Math.max(1, Math.floor(this.#registers() / channelsIn));
    const whole = Math.floor(last.taps / each) * each;
    const { strides } = this.#result;
    const from = (tap: Register, count: number): void => {
      const input = a.plus(block.input, a.times(tap, last.dilation * this.#input.strides[last.dimension] * 4));
      const result = a.plus(block.result, a.times(tap, strides[strides.length - 3] * 4));
      for (const pairs of this.#passes(count)) pass({ ...block, input, result }, pairs);
    };
    if (whole > 0) m.loop({ to: whole, step: each }, (tap) => from(tap, each));
    if (whole < last.taps) from(m.constant('i32', whole), last.taps - whole);
  }

  /** Pairs in parts of as many as registers hold. */
  #passes(taps: number): Pair[][] {
    const { channelsIn } = this.#k;
    const pairs: Pair[] = [];
    for (let channel = 0; channel < channelsIn; channel++) {
      for (let tap = 0; tap < taps; tap++) pairs.push({ tap, channel });
    }
    const [each, parts] = equalParts(pairs.length, this.#registers());
    return Array.from({ length: parts }, (_, i) => pairs.slice(i * each, (i + 1) * each));
  }

  #registers(): number {
    return Math.floor(this.#m.vectorRegisters * SUMS);
  }

  /** Adds the products of some rows to the partial sums of `pairs`. */
  #pass(block: Block, line: Register, end: Register, taps: readonly Register[], pairs: readonly Pair[]): void {
    const m = this.#m;
    const { channelsOut, rows } = this.#k;
    const copies = Math.max(1, Math.min(rows, Math.floor(this.#registers() / pairs.length)));
    const sums = pairs.map(() => Array.from({ length: copies }, () => m.copy(m.constant('f32', 0, true))));
    this.#lines(block, line, end, taps, (x, z) => this.#positions(x, z, block, pairs, sums));
    const { strides } = this.#result;
    pairs.forEach(({ tap, channel }, i) => {
      const offset = (tap * strides[strides.length - 3] + channel * strides[strides.length - 2]) * 4;
      const count = block.groups * channelsOut;
      const before = m.load('f32', true, block.result, offset, count);
      const sum = sums[i].reduce((total, copy) => m.binary('add', total, copy));
      m.store(m.binary('add', before, sum), block.result, offset, count);
    });
  }

  /** Output rows from ≤ line < end whose inputs at these taps of outer axes are inside. */
  #lines(
    block: Block,
    line: Register,
    end: Register,
    taps: readonly Register[],
    body: (x: Register, z: Register) => void,
  ): void {
    const m = this.#m;
    const a = this.#a;
    const { outer } = this.#plan;
    if (outer.length === 0) {
      body(block.input, block.gradient);
      return;
    }
    m.loop({ from: line, to: end }, (i) => {
      const positions = a.decode(
        i,
        outer.map((axis) => axis.count),
      );
      let x = block.input;
      let z = block.gradient;
      let inside: Register | undefined;
      outer.forEach((axis, s) => {
        const q = positions[s];
        const at = a.plus(a.plus(a.times(q, axis.stride), a.times(taps[s], axis.dilation)), axis.start);
        x = a.plus(x, a.times(at, this.#input.strides[axis.dimension] * 4));
        z = a.plus(z, a.times(q, this.#gradient.strides[axis.dimension] * 4));
        const greatest = axis.start + axis.stride * (axis.count - 1) + axis.dilation * (axis.taps - 1);
        const checks = [
          ...(axis.start < 0 ? [m.compare('ge', at, m.constant('i32', 0))] : []),
          ...(greatest >= axis.extent ? [m.compare('lt', at, m.constant('i32', axis.extent))] : []),
        ];
        for (const check of checks) inside = inside === undefined ? check : m.binary('and', inside, check);
      });
      if (inside === undefined) body(x, z);
      else m.when(inside, () => body(x, z));
    });
  }

  /** Tiles along the positions of a row: those at its ends one by one. */
  #positions(
    x: Register,
    z: Register,
    block: Block,
    pairs: readonly Pair[],
    sums: readonly (readonly Register[])[],
  ): void {
    const m = this.#m;
    const a = this.#a;
    const { rows } = this.#k;
    const { last, tiles, inner } = this.#plan;
    const xStep = this.#input.strides[last.dimension] * 4;
    const zStep = this.#gradient.strides[last.dimension] * 4;
    const single = (tile: number): void => {
      const first = tile * rows;
      const offset = (p: number, t: number): number | undefined => {
        const at = last.start + last.stride * (first + p) + last.dilation * t;
        return at >= 0 && at < last.extent ? at * xStep : undefined;
      };
      this.#tile(x, offset, a.plus(z, first * zStep), zStep, Math.min(rows, last.count - first), block, pairs, sums);
    };
    for (let tile = 0; tile < inner.from; tile++) single(tile);
    if (inner.to > inner.from) {
      const start = (last.start + last.stride * inner.from * rows) * xStep;
      const xPointer = m.copy(a.plus(x, start));
      const zPointer = m.copy(a.plus(z, inner.from * rows * zStep));
      m.loop({ to: inner.to - inner.from }, () => {
        const offset = (p: number, t: number): number => (last.stride * p + last.dilation * t) * xStep;
        this.#tile(xPointer, offset, zPointer, zStep, rows, block, pairs, sums);
        m.bump(xPointer, last.stride * rows * xStep);
        m.bump(zPointer, rows * zStep);
      });
    }
    for (let tile = inner.to; tile < tiles; tile++) single(tile);
  }

  /** Inputs are read once, and multiplied by the gradients of all positions that see them. */
  #tile(
    x: Register,
    offset: (p: number, t: number) => number | undefined,
    z: Register,
    zStep: number,
    positions: number,
    { groups }: Block,
    pairs: readonly Pair[],
    sums: readonly (readonly Register[])[],
  ): void {
    const m = this.#m;
    const k = this.#k;
    const gradients = new Map<number, Register>();
    const gradient = (p: number): Register => {
      const loaded = gradients.get(p) ?? m.load('f32', true, z, p * zStep, groups * k.channelsOut);
      gradients.set(p, loaded);
      return loaded;
    };
    const channels = [...new Set(pairs.map(({ channel }) => channel))];
    const taps = 1 + Math.max(...pairs.map(({ tap }) => tap));
    for (const { offset: at, uses } of columnsOf(positions, taps, offset)) {
      let input: Register | undefined;
      for (const channel of channels) {
        const needed = uses.flatMap(({ p, t }) => {
          const pair = pairs.findIndex((other) => other.tap === t && other.channel === channel);
          return pair >= 0 ? [{ p, copies: sums[pair] }] : [];
        });
        if (needed.length === 0) continue;
        input ??= m.load('f32', true, x, at, groups * k.channelsIn);
        const value = spreadChannel(m, input, channel, k, this.#grouping.together);
        for (const { p, copies } of needed) m.multiplyAdd(copies[p % copies.length], value, gradient(p));
      }
    }
  }
}
