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

/** Input rows that an item touches should stay in the second-level cache beside a filter panel. */
const INPUT_BYTES = 160 * 1024;
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
  const plans = k.phases.map((phase) => planPhase(k, phase, operands[0]));
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
  readonly blocks: number;
  readonly blocksPerItem: number;
  readonly positions: number;
  readonly positionsPerItem: number;
  readonly items: number;
  readonly itemExtents: readonly number[];
}

function planPhase(k: TileKernel, phase: TilePhase, input: View): PhasePlan {
  const last = phase.axes[phase.axes.length - 1];
  const outer = phase.axes.slice(0, -1);
  const positions = last?.count ?? k.batch;
  const batch = last === undefined ? 1 : k.batch;
  const rowCount = outer.reduce((n, axis) => n * axis.count, 1);
  const blocks = Math.ceil(k.channelsOut / k.width);
  const wanted = Math.ceil(ITEMS / (batch * k.groups));
  // Rows: as many as the cache holds, but enough items for the threads.
  const rowBytes = outer.length > 0 ? outer[outer.length - 1].stride * input.strides[outer.length + 1] * 4 : 1;
  const cached = Math.max(1, Math.floor(INPUT_BYTES / rowBytes));
  const rowsPerItem = Math.max(1, Math.min(rowCount, cached, Math.ceil(rowCount / wanted)));
  const rowItems = Math.ceil(rowCount / rowsPerItem);
  const blockItems = Math.min(blocks, Math.max(1, Math.ceil(wanted / rowItems)));
  const blocksPerItem = Math.ceil(blocks / blockItems);
  const blockCount = Math.ceil(blocks / blocksPerItem);
  const positionItems = Math.max(1, Math.ceil(wanted / (rowItems * blockCount)));
  const tiles = Math.ceil(positions / k.rows);
  const positionsPerItem = Math.max(4, Math.ceil(tiles / positionItems)) * k.rows;
  const positionCount = Math.ceil(positions / positionsPerItem);
  const itemExtents = [batch, k.groups, blockCount, rowItems, positionCount];
  const items = positions === 0 ? 0 : itemExtents.reduce((a, b) => a * b, 1);
  return {
    phase,
    last,
    outer,
    rowCount,
    rowsPerItem,
    blocks,
    blocksPerItem,
    positions,
    positionsPerItem,
    items,
    itemExtents,
  };
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
      const channel = this.#a.plus(this.#a.times(group, k.channelsOut), this.#a.times(block, k.width));
      const inBlock = values.enter(1, channel);
      const row = (channels: number): void =>
        this.#rows(firstRow, endRow, a, inBlock, (rowA, rowValues) =>
          this.#row(rowA, b, rowValues, firstPosition, channels),
        );
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

  /** Tiles along the positions of one row. */
  #row(a: Register, b: Register, values: FormValues, from: Register, channels: number): void {
    const m = this.#m;
    const plan = this.#plan;
    const { rows } = this.#k;
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
      this.#tile(address, b, place, count, channels);
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

  /** One register tile: `count` positions × `channels` output channels, over all taps and input channels. */
  #tile(a: Register, b: Register, values: FormValues, count: number, channels: number): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    const vectors = Math.ceil(channels / lanes);
    const zeros = (): Register[][] =>
      Array.from({ length: count }, () => Array.from({ length: vectors }, () => m.copy(m.constant('f32', 0, true))));
    // Few sums wait for each other's additions: they are made in two halves.
    const halves = count * vectors <= FEW_SUMS ? [zeros(), zeros()] : [zeros()];
    const [sums, others] = halves;
    const offset = this.#positionStep() * 4;
    const bPointer = m.copy(b);
    const strip = (address: Register, length: number): void => {
      const pointer = m.copy(address);
      const steps = (from: number, to: number, parts: readonly (readonly Register[][])[]): void =>
        m.loop({ from, to, step: parts.length }, () => {
          parts.forEach((part, i) => {
            const panel = Array.from({ length: vectors }, (_, v) =>
              m.load('f32', true, bPointer, (i * k.width + v * lanes) * 4),
            );
            for (let p = 0; p < count; p++) {
              const value = m.loadSplat('f32', pointer, p * offset + i * 4);
              for (let v = 0; v < vectors; v++) m.multiplyAdd(part[p][v], value, panel[v]);
            }
          });
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
    this.#store(sums, values, channels);
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
        emitExpression(node, this.#environment(values, 0, v, channelsOut), new Scope()),
      );
      this.#channels.set(node, vectors);
    }
  }

  /** For the p-th position of a tile and its v-th vector of channels. */
  #environment(values: FormValues, p: number, v: number, channels: number, sum?: Register): Environment {
    const step = this.#plan.last?.outStep ?? 1;
    const first = v * this.#lanes;
    const count = Math.min(this.#lanes, channels - first);
    return loopEnvironment(this.#m, this.#analysis, {
      values,
      vectorAxis: 1,
      count,
      extra: (form) => this.#channel(form, first) + form.factors[this.#positionAxis()] * p * step,
      apart: this.#k.neighbours && ((form) => this.#apart(form, first, count)),
      loaded: (node) => this.#channels.get(node)?.[v],
      sums: sum && [{ value: sum, index: undefined }],
    });
  }

  #store(sums: readonly (readonly Register[])[], values: FormValues, channels: number): void {
    const m = this.#m;
    const k = this.#k;
    const lanes = this.#lanes;
    const step = this.#plan.last?.outStep ?? 1;
    sums.forEach((row, p) => {
      row.forEach((sum, v) => {
        const count = Math.min(lanes, channels - v * lanes);
        const environment = this.#environment(values, p, v, channels, sum);
        const value = emitExpression(k.epilogue, environment, new Scope());
        const place = this.#output.factors[1] * v * lanes + this.#output.factors[this.#positionAxis()] * p * step;
        const [address, offset] = values.address(this.#output, place);
        storeAs(m, value, this.#result.dtype, address, offset, count);
      });
    });
  }
}
