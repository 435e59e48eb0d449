import { axisIndex } from '../../kernel/expression.js';
import type { TileAxis, TileKernel, TilePhase } from '../../kernel/tile.js';
import { DTYPES } from '../../tensor/dtype.js';
import { Arithmetic } from './arithmetic.js';
import { type Environment, emitExpression, Scope } from './expression.js';
import { addIndex, type Form, FormValues, makeForm } from './form.js';
import { groupedTileCode } from './grouped-tile.js';
import type { KernelCode } from './kernel-code.js';
import { type Analysis, analyseExpressions, type LoadNode, loopEnvironment, storeAs, type View } from './loops.js';
import type { Register, VectorMachine } from './machine.js';
import { winogradCode } from './winograd.js';

/** Input rows, and filter panels, that an item touches should stay in the second-level cache. */
const INPUT_BYTES = 160 * 1024;
const FILTER_BYTES = 256 * 1024;
/** An input that stays there beside a panel. */
const IMAGE_BYTES = 384 * 1024;
/** Filters larger than this have to come from behind the second-level cache. */
const LARGE_BYTES = 2 ** 19;
const ITEMS = 32;
/** So many sums do not keep the multiply-add units busy, which take four cycles or so, two at a time. */
const FEW_SUMS = 6;

/**
 * Generates code for a register-tiled contraction. An item is (batch element, group, range of rows, range of channel blocks, range of
 * positions within a row, phase); inside, every filter panel is used for all rows of the item.
 */
export function tileCode(k: TileKernel, lanes: number, operands: readonly View[], result: View): KernelCode {
  if (k.grouping !== undefined) return groupedTileCode(k, k.grouping, lanes, operands, result);
  if (k.winograd !== undefined) return winogradCode(k, k.winograd, lanes, operands, result);
  const plans = k.phases.map((phase) => planPhase(k, phase, operands[0], lanes));
  const analysis = analyseExpressions([k.epilogue], result.strides.length, operands);
  const output = makeForm(result.strides.length, DTYPES[result.dtype].bytes, operands.length);
  result.strides.forEach((stride, axis) => {
    addIndex(output, axisIndex(axis), stride);
  });
  const shared = analysis.share(output);
  const most = Math.max(0, ...plans.map((plan) => plan.items));
  return {
    items: plans.length * most,
    emit(m, begin, end, pointers) {
      const run = (plan: PhasePlan, item: Register): void =>
        new TileEmitter(k, plan, operands[0], result, analysis, shared, m, lanes).item(item, pointers);
      m.loop({ from: begin, to: end }, (item) => {
        if (plans.length === 1) {
          run(plans[0], item);
          return;
        }
        // Phases take turns: they have unequal numbers of taps, and every thread is to have its share of each.
        const phase = m.remainder(item, plans.length);
        const index = m.divide(item, plans.length);
        plans.forEach((plan, i) => {
          if (plan.items === 0) return;
          const own = m.compare('eq', phase, m.constant('i32', i));
          const exists = m.compare('lt', index, m.constant('i32', plan.items));
          m.when(plan.items === most ? own : m.binary('and', own, exists), () => run(plan, index));
        });
      });
    },
  };
}

interface PhasePlan {
  readonly phase: TilePhase;
  /** The axis whose neighbouring positions share a register tile; undefined: the batch. */
  readonly last: TileAxis | undefined;
  readonly outer: readonly TileAxis[];
  readonly rowCount: number;
  readonly rowsPerItem: number;
  /** Positions of a tile. */
  readonly rows: number;
  readonly across: Across;
  readonly blocks: number;
  readonly blocksPerItem: number;
  readonly positions: number;
  readonly positionsPerItem: number;
  readonly items: number;
  readonly itemExtents: readonly number[];
}

/**
 * Whether a register tile holds positions of several rows: never, so that each row ends with a smaller tile; whole rows; or the positions of all
 * rows of an item one after the other, so that a tile may begin in one row and end in the next.
 */
type Across = 'no' | 'rows' | 'run';

function planPhase(k: TileKernel, phase: TilePhase, input: View, lanes: number): PhasePlan {
  const last = phase.axes[phase.axes.length - 1];
  const outer = phase.axes.slice(0, -1);
  const positions = last?.count ?? k.batch;
  const batch = last === undefined ? 1 : k.batch;
  const rowCount = outer.reduce((n, axis) => n * axis.count, 1);
  const blocks = Math.ceil(k.channelsOut / k.width);
  const wanted = Math.ceil(ITEMS / (batch * k.groups));
  // What is read of the input: rows and positions between those of a large stride stay where they are.
  const touched = phase.axes.reduce((n, axis) => n * axis.count * Math.min(axis.stride, axis.taps), 4);
  const imageBytes = last === undefined ? 0 : touched * input.strides[1 + phase.axes.length];
  const panelBytes = phase.axes.reduce((n, axis) => n * axis.taps, 1) * k.channelsIn * k.width * 4;
  // A panel stays in the cache while a thread goes through an image; a large image is read as few times as panels allow. Where the filter is
  // the larger one, and has panels for all threads, each panel comes once, and is fetched ahead.
  const heavy = blocks * panelBytes >= Math.max(LARGE_BYTES, imageBytes) && blocks * batch * k.groups >= ITEMS / 2;
  const large = imageBytes > IMAGE_BYTES && !heavy;
  const together = Math.max(1, Math.floor(FILTER_BYTES / Math.max(1, panelBytes)));
  const [blocksPerItem, blockItems] = evenParts(blocks, large ? Math.ceil(blocks / together) : wanted);
  const rest = heavy ? 1 : Math.ceil(wanted / blockItems);
  const chunks = large ? Math.ceil(imageBytes / INPUT_BYTES) : 1;
  const [rowsPerItem, rowItems] = evenParts(rowCount, Math.max(rest, chunks));
  const even = evenRows(positions, k.rows);
  const tiles = Math.ceil(positions / even);
  const tileItems = outer.length > 0 ? Math.ceil(rest / rowItems) : Math.max(rest, chunks);
  const [tilesPerItem, positionItems] = evenParts(tiles, Math.min(tileItems, Math.ceil(tiles / 4)));
  const positionsPerItem = tilesPerItem * even;
  const itemExtents = [batch, k.groups, blockItems, rowItems, positionItems];
  const items = positions === 0 ? 0 : itemExtents.reduce((a, b) => a * b, 1);
  return {
    phase,
    last,
    outer,
    rowCount,
    rowsPerItem,
    ...planTiles(
      k.rows,
      Math.ceil(k.width / lanes),
      positions,
      outer.length === 1 && positionItems === 1 ? rowsPerItem : 1,
    ),
    blocks,
    blocksPerItem,
    positions,
    positionsPerItem,
    items,
    itemExtents,
  };
}

/** `count` things in parts of one size, about `parts` of them: how many in each (the last may have fewer), and how many parts. */
function evenParts(count: number, parts: number): [each: number, parts: number] {
  const least = Math.max(1, Math.min(count, parts));
  let best = { each: count, made: 1, missing: Number.POSITIVE_INFINITY };
  for (let wanted = least; wanted <= Math.min(count, 2 * least); wanted++) {
    const each = Math.ceil(count / wanted);
    const made = Math.ceil(count / each);
    const missing = each * made - count;
    if (missing < best.missing) best = { each, made, missing };
  }
  return [Math.max(1, best.each), best.made];
}

/** Sums that a register tile must have so that no multiply-add waits for the one before it: two a cycle, of four cycles each. */
const SUMS = 8;
/** Tiles at ends of rows that are code of their own, at most. */
const VARIANTS = 5;

/** So that tiles of a row are equal, or nearly: a small one at its end would wait for its own sums. */
function evenRows(positions: number, most: number): number {
  return Math.ceil(positions / Math.max(1, Math.ceil(positions / most)));
}

/** How the positions of `rowsPerItem` rows are divided into tiles of at most `most` positions and `vectors` registers. */
function planTiles(
  most: number,
  vectors: number,
  positions: number,
  rowsPerItem: number,
): Pick<PhasePlan, 'across' | 'rows'> {
  const time = (rows: number): number => Math.max(rows * vectors, SUMS);
  const rows = evenRows(positions, most);
  const rest = positions % rows;
  const alone = rowsPerItem * (Math.floor(positions / rows) * time(rows) + (rest > 0 ? time(rest) : 0));
  if (rowsPerItem > 1 && positions < most && most % positions === 0) return { across: 'rows', rows: most };
  const together = Math.ceil((rowsPerItem * positions) / most) * time(most);
  if (rowsPerItem > 1 && 1.05 * together <= alone && crossings(most, positions).length < VARIANTS) {
    return { across: 'run', rows: most };
  }
  return { across: 'no', rows };
}

/** Positions of a row at which tiles begin that end in another row, where tiles of `rows` positions follow each other through many rows. */
function crossings(rows: number, positions: number): number[] {
  const starts = new Set<number>();
  for (let at = 0; !starts.has(at); at = (at + rows) % positions) starts.add(at);
  return [...starts].filter((at) => at + rows > positions);
}

const LINE_BYTES = 64;
/** With more tiles for each panel, the first one's waiting takes no time to speak of; where there is one tile, the next panel is too far away. */
const MOST_TILES = 32;

/** Bytes of the next panel to fetch for every element of a sum, so that it is there when all tiles of this panel are done. */
function fetchedBytes(
  k: TileKernel,
  { phase, blocks, rowsPerItem, positionsPerItem, positions, rows, across }: PhasePlan,
): number {
  const length = phase.axes.reduce((n, { taps }) => n * taps, k.channelsIn);
  if (blocks * length * k.width * 4 < LARGE_BYTES) return 0;
  const tiles =
    across === 'no'
      ? rowsPerItem * Math.ceil(Math.min(positionsPerItem, positions) / rows)
      : Math.ceil((rowsPerItem * positions) / rows);
  return tiles > MOST_TILES || tiles < 2 ? 0 : Math.ceil((k.width * 4) / tiles);
}

class TileEmitter {
  readonly #k: TileKernel;
  readonly #plan: PhasePlan;
  readonly #input: View;
  readonly #result: View;
  readonly #analysis: Analysis;
  readonly #output: Form;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;
  readonly #lanes: number;
  /** How many bytes of the next panel are fetched for every element of a sum, and where they are. */
  readonly #fetched: number;
  #ahead: Register | undefined;
  /** Registers of what depends on channels alone. */
  readonly #channels = new Map<LoadNode, readonly Register[]>();

  constructor(
    k: TileKernel,
    plan: PhasePlan,
    input: View,
    result: View,
    analysis: Analysis,
    output: Form,
    m: VectorMachine,
    lanes: number,
  ) {
    this.#k = k;
    this.#plan = plan;
    this.#input = input;
    this.#result = result;
    this.#analysis = analysis;
    this.#output = output;
    this.#m = m;
    this.#a = new Arithmetic(m);
    this.#lanes = lanes;
    this.#fetched = m.prefetches ? fetchedBytes(k, plan) : 0;
  }

  /** outStart + outStep · q */
  #outPosition(axis: TileAxis, q: Register): Register {
    return this.#a.plus(axis.outStep === 1 ? q : this.#a.times(q, axis.outStep), axis.outStart);
  }

  item(item: Register, pointers: readonly Register[]): void {
    const m = this.#m;
    const k = this.#k;
    const plan = this.#plan;
    const { strides } = this.#input;
    const [n, group, blockItem, rowItem, positionItem] = this.#a.decode(item, plan.itemExtents);
    // A: batch element and group; the constant start of every axis.
    const start = plan.phase.axes.reduce((sum, axis, s) => sum + axis.inStart * strides[2 + s], 0);
    let a = this.#a.plus(pointers[0], start * 4);
    if (k.groups > 1) a = this.#a.plus(a, this.#a.times(group, k.channelsIn * strides[1] * 4));
    let values = FormValues.start(m, this.#analysis.forms, pointers);
    if (plan.last !== undefined) {
      a = this.#a.plus(a, this.#a.times(n, strides[0] * 4));
      values = values.enter(0, n);
    }
    const panel = plan.phase.axes.reduce((size, axis) => size * axis.taps, 1) * k.channelsIn * k.width * 4;
    const filter = this.#a.plus(pointers[plan.phase.filter], this.#a.times(group, plan.blocks * panel));
    this.#loadChannels(values);
    const firstBlock = this.#a.times(blockItem, plan.blocksPerItem);
    const endBlock = this.#a.atMost(this.#a.plus(firstBlock, plan.blocksPerItem), plan.blocks);
    const firstRow = this.#a.times(rowItem, plan.rowsPerItem);
    const endRow = this.#a.atMost(this.#a.plus(firstRow, plan.rowsPerItem), plan.rowCount);
    const firstPosition = this.#a.times(positionItem, plan.positionsPerItem);
    m.loop({ from: firstBlock, to: endBlock }, (block) => {
      const b = this.#a.plus(filter, this.#a.times(block, panel));
      if (this.#fetched > 0) this.#ahead = m.copy(this.#a.plus(b, panel));
      const channel = this.#a.plus(this.#a.times(group, k.channelsOut), this.#a.times(block, k.width));
      const inBlock = values.enter(1, channel);
      const row = (channels: number): void => {
        if (plan.across === 'run') this.#run(firstRow, endRow, a, b, inBlock, channels);
        else if (plan.across === 'rows') this.#wholeRows(firstRow, endRow, a, b, inBlock, channels);
        else
          this.#rows(firstRow, endRow, a, inBlock, (rowA, rowValues) =>
            this.#row(rowA, b, rowValues, firstPosition, channels),
          );
      };
      const lastChannels = k.channelsOut - (plan.blocks - 1) * k.width;
      if (lastChannels === k.width) {
        row(k.width);
      } else if (plan.blocks === 1) {
        row(lastChannels);
      } else {
        m.when(
          m.compare('eq', block, m.constant('i32', plan.blocks - 1)),
          () => row(lastChannels),
          () => row(k.width),
        );
      }
    });
  }

  /** Loops over output rows: all spatial axes but the last. */
  #rows(
    from: Register,
    to: Register,
    a: Register,
    values: FormValues,
    body: (a: Register, values: FormValues) => void,
  ): void {
    const m = this.#m;
    const { outer } = this.#plan;
    if (outer.length === 0) {
      body(a, values);
      return;
    }
    m.loop({ from, to }, (row) => {
      const positions = this.#a.decode(
        row,
        outer.map((axis) => axis.count),
      );
      let address = a;
      let inner = values;
      outer.forEach((axis, s) => {
        const q = positions[s];
        address = this.#a.plus(address, this.#a.times(q, axis.stride * this.#input.strides[2 + s] * 4));
        inner = inner.enter(2 + s, this.#outPosition(axis, q));
      });
      body(address, inner);
    });
  }

  /** The address and place of the first position of a row, where a row is one position of the only other axis. */
  #enterRow(row: Register, a: Register, values: FormValues): [Register, FormValues] {
    const [axis] = this.#plan.outer;
    return [this.#a.plus(a, this.#a.times(row, this.#rowStep() * 4)), values.enter(2, this.#outPosition(axis, row))];
  }

  /** Elements of A between neighbouring rows. */
  #rowStep(): number {
    return this.#plan.outer[0].stride * this.#input.strides[2];
  }

  /** Tiles of several whole rows, then of one row each. */
  #wholeRows(from: Register, to: Register, a: Register, b: Register, values: FormValues, channels: number): void {
    const m = this.#m;
    const { positions } = this.#plan;
    const rows = this.#plan.rows / positions;
    const tile = (row: Register, count: number): void => {
      const [address, place] = this.#enterRow(row, a, values);
      const spots = Array.from({ length: count * positions }, (_, p) => ({
        row: Math.floor(p / positions),
        position: p % positions,
      }));
      const first = place.enter(3, m.constant('i32', (this.#plan.last as TileAxis).outStart));
      this.#tile(address, b, first, spots, channels);
    };
    const end = m.binary('sub', to, m.remainder(m.binary('sub', to, from), rows));
    m.loop({ from, to: end, step: rows }, (row) => tile(row, rows));
    m.loop({ from: end, to }, (row) => tile(row, 1));
  }

  /** Tiles along the positions of all rows, one row after the other. */
  #run(from: Register, to: Register, a: Register, b: Register, values: FormValues, channels: number): void {
    const m = this.#m;
    const { positions, rows, rowCount, rowsPerItem } = this.#plan;
    const total = this.#a.times(m.binary('sub', to, from), positions);
    const rest = m.remainder(total, rows);
    const whole = m.binary('sub', total, rest);
    const tileAt = (
      first: Register,
      body: (at: Register, tile: (spots: readonly Distance[]) => void) => void,
    ): void => {
      const position = m.remainder(first, positions);
      const [rowA, rowValues] = this.#enterRow(m.binary('add', from, m.divide(first, positions)), a, values);
      const address = this.#a.plus(rowA, this.#a.times(position, this.#positionStep() * 4));
      const place = rowValues.enter(3, this.#outPosition(this.#plan.last as TileAxis, position));
      body(position, (spots) => this.#tile(address, b, place, spots, channels));
    };
    m.loop({ from: 0, to: whole, step: rows }, (first) =>
      tileAt(first, (at, tile) => {
        const crossing = crossings(rows, positions).map((start) => ({
          start,
          spots: acrossRows(start, rows, positions),
        }));
        const choose = ([{ start, spots }, ...more]: typeof crossing): void => {
          if (more.length === 0) tile(spots);
          else
            m.when(
              m.compare('eq', at, m.constant('i32', start)),
              () => tile(spots),
              () => choose(more),
            );
        };
        if (positions < rows) choose(crossing);
        else
          m.when(
            m.compare('le', at, m.constant('i32', positions - rows)),
            () => tile(neighbours(rows)),
            () => choose(crossing),
          );
      }),
    );
    // What is left ends with the last row, and may begin some rows before.
    const lastRows = rowCount - Math.floor((rowCount - 1) / rowsPerItem) * rowsPerItem;
    for (const left of new Set([rowsPerItem, lastRows].map((n) => (n * positions) % rows))) {
      if (left === 0) continue;
      const start = (positions - (left % positions)) % positions;
      const spots = acrossRows(start, left, positions);
      m.when(m.compare('eq', rest, m.constant('i32', left)), () => tileAt(whole, (_, tile) => tile(spots)));
    }
  }

  /** Tiles along the positions of one row. */
  #row(a: Register, b: Register, values: FormValues, from: Register, channels: number): void {
    const m = this.#m;
    const plan = this.#plan;
    const { rows } = plan;
    const whole = Math.floor(plan.positions / rows) * rows;
    const rest = plan.positions - whole;
    const oneItem = plan.positionsPerItem >= plan.positions;
    const step = this.#positionStep();
    const tile = (position: Register, count: number): void => {
      const address = this.#a.plus(a, this.#a.times(position, step * 4));
      const place =
        plan.last === undefined
          ? values.enter(0, position)
          : values.enter(1 + plan.phase.axes.length, this.#outPosition(plan.last, position));
      this.#tile(address, b, place, neighbours(count), channels);
    };
    if (whole > 0) {
      const to = oneItem ? whole : this.#a.atMost(this.#a.plus(from, plan.positionsPerItem), whole);
      m.loop({ from: oneItem ? 0 : from, to, step: rows }, (position) => tile(position, rows));
    }
    if (rest === 0) return;
    if (oneItem) {
      tile(m.constant('i32', whole), rest);
    } else {
      const isLast = m.compare('ge', this.#a.plus(from, plan.positionsPerItem), m.constant('i32', plan.positions));
      m.when(isLast, () => tile(m.constant('i32', whole), rest));
    }
  }

  /** Elements of A between neighbouring positions. */
  #positionStep(): number {
    const { last, phase } = this.#plan;
    return last === undefined ? this.#input.strides[0] : last.stride * this.#input.strides[1 + phase.axes.length];
  }

  /** One register tile: positions × `channels` output channels, over all taps and input channels. */
  #tile(a: Register, b: Register, values: FormValues, spots: readonly Distance[], channels: number): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    const vectors = Math.ceil(channels / lanes);
    const zeros = (): Register[][] =>
      spots.map(() => Array.from({ length: vectors }, () => m.copy(m.constant('f32', 0, true))));
    // Few sums wait for each other's additions: they are made in two halves, where there are registers for these.
    const count = spots.length * vectors;
    const registers = m.loadsFirst ? 2 * (count + vectors + spots.length) : 2 * count + vectors + 1;
    const halves = count <= FEW_SUMS && registers < m.vectorRegisters ? [zeros(), zeros()] : [zeros()];
    const [sums, others] = halves;
    const step = this.#positionStep();
    const offsets = spots.map(({ row, position }) => ((row === 0 ? 0 : row * this.#rowStep()) + position * step) * 4);
    const bPointer = m.copy(b);
    const strip = (address: Register, length: number): void => {
      const pointer = m.copy(address);
      const steps = (from: number, to: number, parts: readonly (readonly Register[][])[]): void =>
        m.loop({ from, to, step: parts.length }, () => {
          parts.forEach((part, i) => {
            const panel = Array.from({ length: vectors }, (_, v) =>
              m.load('f32', true, bPointer, (i * k.width + v * lanes) * 4),
            );
            offsets.forEach((offset, p) => {
              const value = m.loadSplat('f32', pointer, offset + i * 4);
              for (let v = 0; v < vectors; v++) m.multiplyAdd(part[p][v], value, panel[v]);
            });
          });
          if (this.#ahead !== undefined) {
            const bytes = parts.length * this.#fetched;
            for (let line = 0; line < bytes; line += LINE_BYTES) m.prefetch(this.#ahead, line);
            m.bump(this.#ahead, bytes);
          }
          m.bump(pointer, parts.length * 4);
          m.bump(bPointer, parts.length * k.width * 4);
        });
      const whole = Math.floor(length / halves.length) * halves.length;
      if (whole > 0) steps(0, whole, halves);
      if (length > whole) steps(whole, length, [sums]);
    };
    this.#taps(0, a, strip);
    if (others !== undefined) {
      sums.forEach((row, p) => {
        row.forEach((sum, v) => {
          m.set(sum, m.binary('add', sum, others[p][v]));
        });
      });
    }
    this.#store(sums, values, spots, channels);
  }

  /** Loops over taps; the innermost run over memory that is contiguous for neighbouring taps. */
  #taps(s: number, a: Register, strip: (address: Register, length: number) => void): void {
    const m = this.#m;
    const { channelsIn, groups } = this.#k;
    const { axes } = this.#plan.phase;
    if (s === axes.length) {
      strip(a, channelsIn);
      return;
    }
    const axis = axes[s];
    const step = axis.dilation * this.#input.strides[2 + s];
    if (s === axes.length - 1 && groups === 1 && step === channelsIn) {
      strip(a, axis.taps * channelsIn);
      return;
    }
    const pointer = m.copy(a);
    m.loop({ to: axis.taps }, () => {
      this.#taps(s + 1, pointer, strip);
      m.bump(pointer, step * 4);
    });
  }

  #positionAxis(): number {
    const { last, phase } = this.#plan;
    return last === undefined ? 0 : 1 + phase.axes.length;
  }

  /** From a form's value at channel 0 to that at what counts as channel `c`. */
  #channel(form: Form, c: number): number {
    const { neighbours } = this.#k;
    if (neighbours === undefined) return form.factors[1] * c;
    const { channels } = neighbours;
    return form.factors[1] * (c % channels) + form.factors[this.#positionAxis()] * Math.floor(c / channels);
  }

  /** The same from the first of `count` lanes to each; undefined where they are evenly apart. */
  #apart(form: Form, first: number, count: number): number[] | undefined {
    const from = this.#channel(form, first);
    const steps = Array.from(
      { length: this.#lanes },
      (_, lane) => this.#channel(form, first + Math.min(lane, count - 1)) - from,
    );
    return steps.slice(0, count).every((step, lane) => step === lane * form.factors[1]) ? undefined : steps;
  }

  /** Where neighbouring positions count as channels, what depends on channels alone is put together once: the same for all positions. */
  #loadChannels(values: FormValues): void {
    const { neighbours, channelsOut } = this.#k;
    if (neighbours === undefined) return;
    const alone = [...this.#analysis.loads].filter(
      ([, { form, quotients, indirections }]) =>
        quotients.length === 0 &&
        indirections.length === 0 &&
        form.factors.every((factor, axis) => (axis === 1) === (factor !== 0)),
    );
    for (const [node] of alone) {
      const vectors = Array.from({ length: Math.ceil(channelsOut / this.#lanes) }, (_, v) =>
        emitExpression(node, this.#environment(values, FIRST, v, channelsOut), new Scope()),
      );
      this.#channels.set(node, vectors);
    }
  }

  /** From a form's value at a tile's first position to that at another one. */
  #distance({ factors }: Form, { row, position }: Distance): number {
    const { last, outer } = this.#plan;
    const inRow = factors[this.#positionAxis()] * position * (last?.outStep ?? 1);
    return row === 0 ? inRow : inRow + factors[2] * row * outer[0].outStep;
  }

  /** For one position of a tile and its v-th vector of channels. */
  #environment(values: FormValues, spot: Distance, v: number, channels: number, sum?: Register): Environment {
    const first = v * this.#lanes;
    const count = Math.min(this.#lanes, channels - first);
    return loopEnvironment(this.#m, this.#analysis, {
      values,
      vectorAxis: 1,
      count,
      extra: (form) => this.#channel(form, first) + this.#distance(form, spot),
      apart: this.#k.neighbours && ((form) => this.#apart(form, first, count)),
      loaded: (node) => this.#channels.get(node)?.[v],
      sums: sum && [{ value: sum, index: undefined }],
    });
  }

  #store(
    sums: readonly (readonly Register[])[],
    values: FormValues,
    spots: readonly Distance[],
    channels: number,
  ): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    sums.forEach((row, p) => {
      row.forEach((sum, v) => {
        const count = Math.min(lanes, channels - v * lanes);
        const environment = this.#environment(values, spots[p], v, channels, sum);
        const value = emitExpression(k.epilogue, environment, new Scope());
        const place = this.#output.factors[1] * v * lanes + this.#distance(this.#output, spots[p]);
        const [address, offset] = values.address(this.#output, place);
        storeAs(m, value, this.#result.dtype, address, offset, count);
      });
    });
  }
}

/** From a tile's first position to another one: rows, and positions of a row. */
interface Distance {
  readonly row: number;
  readonly position: number;
}

const FIRST: Distance = { row: 0, position: 0 };

/** `count` positions one after the other through rows of `positions`, from position `start` of one on. */
function acrossRows(start: number, count: number, positions: number): Distance[] {
  return Array.from({ length: count }, (_, p) => ({
    row: Math.floor((start + p) / positions),
    position: ((start + p) % positions) - start,
  }));
}

/** Neighbouring positions of a row. */
function neighbours(count: number): Distance[] {
  return Array.from({ length: count }, (_, position) => ({ row: 0, position }));
}
