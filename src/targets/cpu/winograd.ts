import { axisIndex } from '../../kernel/expression.js';
import type { TileAxis, TileKernel, TilePhase, WinogradTiling } from '../../kernel/tile.js';
import { type Winograd, winograd } from '../../kernel/winograd.js';
import { DTYPES } from '../../tensor/dtype.js';
import { Arithmetic } from './arithmetic.js';
import { emitExpression, Scope } from './expression.js';
import { addIndex, type Form, FormValues, makeForm } from './form.js';
import type { KernelCode } from './kernel-code.js';
import { applyMatrices, positions } from './linear.js';
import { type Analysis, analyseExpressions, loopEnvironment, storeAs, type View } from './loops.js';
import type { Int, Register, VectorMachine } from './machine.js';
import { inWindow, leaves, type WindowAxis } from './window.js';

/**
 * Generates code for a contraction by Winograd's algorithm (kernel/winograd.ts). An item is (phase, group, block of tiles,
 * filter panel); tiles are those of all batch elements. In the thread's own memory the block's inputs are transformed, once for all panels of a call;
 * then for each panel they are multiplied by the transformed filters, one matrix product for each point, and the products transformed back.
 * A block is chosen so that all of this stays in the second-level cache.
 */
export function winogradCode(
  k: TileKernel,
  tiling: WinogradTiling,
  lanes: number,
  operands: readonly View[],
  result: View,
): KernelCode {
  const plans = k.phases.map((phase) => planPhase(k, tiling, phase));
  const analysis = analyseExpressions([k.epilogue], result.strides.length, operands);
  const output = makeForm(result.strides.length, DTYPES[result.dtype].bytes, operands.length);
  result.strides.forEach((stride, axis) => {
    addIndex(output, axisIndex(axis), stride);
  });
  const shared = analysis.share(output);
  const memory = planMemory(k, tiling, lanes);
  return {
    items: plans.reduce((n, plan) => n + plan.items, 0),
    batch: Math.ceil(k.channelsOut / k.width),
    scratch: memory.bytes,
    emit(m, begin, end, pointers) {
      let first = 0;
      for (const plan of plans) {
        const from = m.binary('max', begin, m.constant('i32', first));
        const to = m.binary('min', end, m.constant('i32', first + plan.items));
        const emitter = new WinogradEmitter(k, tiling, plan, memory, operands[0], result, analysis, shared, m, lanes);
        const run = (): void => emitter.items(from, to, first, pointers);
        if (plans.length === 1) run();
        else m.when(m.compare('lt', from, to), run);
        first += plan.items;
      }
    },
  };
}

interface PhasePlan {
  readonly phase: TilePhase;
  readonly transforms: readonly Winograd[];
  /** Batch elements, then tiles along each axis; and all of them. */
  readonly tiles: readonly number[];
  readonly tileCount: number;
  readonly tilesPerItem: number;
  readonly blocks: number;
  readonly itemExtents: readonly number[];
  readonly items: number;
}

function planPhase(k: TileKernel, tiling: WinogradTiling, phase: TilePhase): PhasePlan {
  const transforms = phase.axes.map((axis, s) => winograd(tiling.outputs[s], axis.taps));
  const tiles = [k.batch, ...phase.axes.map((axis, s) => Math.ceil(axis.count / tiling.outputs[s]))];
  const tileCount = tiles.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(k.channelsOut / k.width);
  const itemExtents = [k.groups, Math.ceil(tileCount / tiling.tiles), blocks];
  const items = itemExtents.reduce((a, b) => a * b, 1);
  return {
    phase,
    transforms,
    tiles,
    tileCount,
    tilesPerItem: tiling.tiles,
    blocks,
    itemExtents,
    items,
  };
}

/**
 * Strides of a thread's own memory in elements: inputs [point][tile][channel], then products [point][tile][channel of a panel], then a
 * pixel of zeros.
 */
interface MemoryPlan {
  readonly inputRow: number;
  readonly inputPlane: number;
  readonly products: number;
  readonly productPlane: number;
  readonly zeros: number;
  readonly bytes: number;
}

const CACHE_LINE = 16;
const LINE_BYTES = 4 * CACHE_LINE;
/** Filters larger than this have to come from behind the second-level cache. */
const LARGE_BYTES = 2 ** 19;

function planMemory(k: TileKernel, tiling: WinogradTiling, lanes: number): MemoryPlan {
  const points = tiling.outputs.reduce((n, outputs, s) => n * (outputs + k.phases[0].axes[s].taps - 1), 1);
  const rowTiles = Math.ceil(tiling.tiles / k.rows) * k.rows;
  // Planes are an odd number of cache lines apart, so that one tile's points do not all meet in one set of the cache.
  const apart = (elements: number): number => (Math.ceil(elements / CACHE_LINE) | 1) * CACHE_LINE;
  const inputRow = Math.ceil(k.channelsIn / lanes) * lanes;
  const inputPlane = apart(rowTiles * inputRow);
  const productPlane = apart(rowTiles * k.width);
  const products = points * inputPlane;
  const zeros = products + points * productPlane;
  return { inputRow, inputPlane, products, productPlane, zeros, bytes: 4 * (zeros + inputRow) };
}

/** Channels of a block: `whole` of them in full vector registers, then perhaps `rest` from `from` on. */
interface BlockChannels {
  readonly whole: Int;
  readonly rest: number;
  readonly from: number;
  /** Whether the block has the rest; undefined: it has. */
  readonly hasRest: Register | undefined;
}

class WinogradEmitter {
  readonly #k: TileKernel;
  readonly #plan: PhasePlan;
  readonly #memory: MemoryPlan;
  readonly #input: View;
  readonly #result: View;
  readonly #analysis: Analysis;
  readonly #output: Form;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;
  readonly #lanes: number;
  readonly #window: readonly WindowAxis[];

  constructor(
    k: TileKernel,
    tiling: WinogradTiling,
    plan: PhasePlan,
    memory: MemoryPlan,
    input: View,
    result: View,
    analysis: Analysis,
    output: Form,
    m: VectorMachine,
    lanes: number,
  ) {
    this.#k = k;
    this.#plan = plan;
    this.#memory = memory;
    this.#input = input;
    this.#result = result;
    this.#analysis = analysis;
    this.#output = output;
    this.#m = m;
    this.#a = new Arithmetic(m);
    this.#lanes = lanes;
    this.#window = plan.phase.axes.map((axis, s) => {
      const { outputs, points } = plan.transforms[s];
      const firsts = Array.from({ length: plan.tiles[1 + s] }, (_, t) => axis.inStart + axis.stride * outputs * t);
      const extent = tiling.extents[s];
      return {
        points,
        step: axis.stride,
        extent,
        bytes: input.strides[2 + s] * 4,
        least: firsts[0],
        most: firsts[firsts.length - 1],
        sometimesInside: firsts.some((first) => first >= 0 && first + axis.stride * (points - 1) < extent),
      };
    });
  }

  /** Items from ≤ i < to of one batch, which is at least one. */
  items(from: Register, to: Register, first: number, pointers: readonly Register[]): void {
    const m = this.#m;
    const a = this.#a;
    const k = this.#k;
    const plan = this.#plan;
    const { strides } = this.#input;
    const own = pointers[pointers.length - 1];
    const [group, tileItem, firstBlock] = a.decode(a.plus(from, -first), plan.itemExtents);
    const endBlock = a.plus(firstBlock, m.binary('sub', to, from));
    const firstTile = a.times(tileItem, plan.tilesPerItem);
    const endTile = a.atMost(a.plus(firstTile, plan.tilesPerItem), plan.tileCount);
    let image = pointers[0];
    if (k.groups > 1) image = a.plus(image, a.times(group, k.channelsIn * strides[1] * 4));

    const zeros = leaves(this.#window) ? a.plus(own, this.#memory.zeros * 4) : undefined;
    if (zeros !== undefined) {
      m.loop({ to: this.#memory.inputRow, step: this.#lanes }, (channel) => {
        m.store(m.constant('f32', 0, true), a.plus(zeros, a.times(channel, 4)));
      });
    }
    const inputs = m.copy(own);
    m.loop({ from: firstTile, to: endTile }, (tile) => {
      this.#transformInput(image, tile, zeros, inputs);
      m.bump(inputs, this.#memory.inputRow * 4);
    });

    const values = FormValues.start(m, this.#analysis.forms, pointers);
    const panel = this.#points() * k.channelsIn * k.width * 4;
    const filter = a.plus(pointers[plan.phase.filter], a.times(group, plan.blocks * panel));
    const products = a.plus(own, this.#memory.products * 4);
    m.loop({ from: firstBlock, to: endBlock }, (block) => {
      this.#multiply(own, a.plus(filter, a.times(block, panel)), products, m.binary('sub', endTile, firstTile));
      const channel = a.plus(a.times(group, k.channelsOut), a.times(block, k.width));
      const inBlock = values.enter(1, channel);
      const channels = this.#channelsOf(block);
      const address = m.copy(products);
      m.loop({ from: firstTile, to: endTile }, (tile) => {
        this.#transformOutput(address, tile, inBlock, channels);
        m.bump(address, k.width * 4);
      });
    });
  }

  /** The output channels of a block: a vector register after the other, so that all blocks are done by the same code. */
  #channelsOf(block: Register): BlockChannels {
    const m = this.#m;
    const { channelsOut, width } = this.#k;
    const { blocks } = this.#plan;
    const last = channelsOut - (blocks - 1) * width;
    const rest = last % this.#lanes;
    if (last === width || blocks === 1) return { whole: last - rest, rest, from: last - rest, hasRest: undefined };
    const isLast = m.compare('eq', block, m.constant('i32', blocks - 1));
    const whole = m.select(isLast, m.constant('i32', last - rest), m.constant('i32', width));
    return { whole, rest, from: last - rest, hasRest: isLast };
  }

  #points(): number {
    return this.#plan.transforms.reduce((n, { points }) => n * points, 1);
  }

  /** Bᵀ x of one tile, all input channels, into plane after plane. */
  #transformInput(image: Register, tile: Register, zeros: Register | undefined, inputs: Register): void {
    const m = this.#m;
    const a = this.#a;
    const { phase, tiles, transforms } = this.#plan;
    const [n, ...position] = a.decode(tile, tiles);
    const base = a.plus(image, a.times(n, this.#input.strides[0] * 4));
    const first = position.map((t, s) => {
      const { inStart, stride } = phase.axes[s];
      return a.plus(a.times(t, stride * transforms[s].outputs), inStart);
    });
    const matrices = transforms.map(({ input }) => input);
    inWindow(m, this.#window, base, first, zeros, (load) => {
      const vector = (channel: Register, count: number): void => {
        const to = a.plus(inputs, channel);
        applyMatrices(m, matrices, load(channel, count)).forEach((value, point) => {
          m.store(value, to, point * this.#memory.inputPlane * 4);
        });
      };
      const rest = this.#k.channelsIn % this.#lanes;
      const whole = (this.#k.channelsIn - rest) * 4;
      m.loop({ to: whole, step: this.#lanes * 4 }, (channel) => vector(channel, this.#lanes));
      if (rest > 0) vector(m.constant('i32', whole), rest);
    });
  }

  /** How many bytes of the next point's filter are fetched for every input channel, so that large filters arrive while others are multiplied. */
  #fetched(): number {
    const { width, channelsIn, rows } = this.#k;
    const large = this.#points() * this.#plan.blocks * channelsIn * width * 4 >= LARGE_BYTES;
    return this.#m.prefetches && large ? Math.ceil((width * 4) / Math.ceil(this.#plan.tilesPerItem / rows)) : 0;
  }

  /** For each point: products [tile][channel of the panel] = Σ over input channels of inputs · filter. */
  #multiply(inputs: Register, filter: Register, products: Register, tiles: Register): void {
    const m = this.#m;
    const { rows, width, channelsIn } = this.#k;
    const lanes = this.#lanes;
    const vectors = width / lanes;
    const { inputRow, inputPlane, productPlane } = this.#memory;
    const panelBytes = channelsIn * width * 4;
    const fetched = this.#fetched();
    const plane = m.copy(inputs);
    const result = m.copy(products);
    const panel = m.copy(filter);
    m.loop({ to: this.#points() }, () => {
      const tileRow = m.copy(plane);
      const resultRow = m.copy(result);
      // Each row of tiles fetches its part of the next point's filter, which lies behind this one's.
      const ahead = fetched > 0 ? this.#a.plus(panel, panelBytes) : undefined;
      const next = ahead && m.copy(ahead);
      m.loop({ from: 0, to: tiles, step: rows }, () => {
        const sums = Array.from({ length: rows }, () =>
          Array.from({ length: vectors }, () => m.copy(m.constant('f32', 0, true))),
        );
        const value = m.copy(tileRow);
        const weights = m.copy(panel);
        m.loop({ to: channelsIn }, () => {
          const columns = Array.from({ length: vectors }, (_, v) => m.load('f32', true, weights, v * lanes * 4));
          for (let r = 0; r < rows; r++) {
            const x = m.loadSplat('f32', value, r * inputRow * 4);
            for (let v = 0; v < vectors; v++) m.multiplyAdd(sums[r][v], x, columns[v]);
          }
          if (next !== undefined) {
            for (let line = 0; line < fetched; line += LINE_BYTES) m.prefetch(next, line);
            m.bump(next, fetched);
          }
          m.bump(value, 4);
          m.bump(weights, width * 4);
        });
        sums.forEach((row, r) => {
          row.forEach((sum, v) => {
            m.store(sum, resultRow, (r * width + v * lanes) * 4);
          });
        });
        m.bump(tileRow, rows * inputRow * 4);
        m.bump(resultRow, rows * width * 4);
      });
      m.bump(plane, inputPlane * 4);
      m.bump(result, productPlane * 4);
      m.bump(panel, panelBytes);
    });
  }

  /** Aᵀ of one tile's products, and the epilogue. Outputs beyond the last position are not stored. */
  #transformOutput(address: Register, tile: Register, values: FormValues, channels: BlockChannels): void {
    const a = this.#a;
    const { phase, tiles, transforms } = this.#plan;
    const [n, ...position] = a.decode(tile, tiles);
    const corners = position.map((t, s) => a.times(t, transforms[s].outputs));
    let place = values.enter(0, n);
    corners.forEach((corner, s) => {
      place = place.enter(2 + s, this.#outPosition(phase.axes[s], corner));
    });
    const partial = phase.axes.flatMap((axis, s) => (axis.count % transforms[s].outputs === 0 ? [] : [s]));
    this.#storeTile(address, corners, place, channels, partial);
  }

  #outPosition(axis: TileAxis, q: Register): Register {
    return this.#a.plus(this.#a.times(q, axis.outStep), axis.outStart);
  }

  /** @param checked the axes along which some outputs of this tile do not exist. */
  #storeTile(
    address: Register,
    corners: readonly Register[],
    place: FormValues,
    channels: BlockChannels,
    checked: readonly number[],
  ): void {
    const m = this.#m;
    const a = this.#a;
    const lanes = this.#lanes;
    const { phase, transforms } = this.#plan;
    const points = this.#points();
    const outputs = positions(transforms.map((t) => t.outputs));
    const matrices = transforms.map(({ output }) => output);
    const vector = (channel: Register, count: number): void => {
      const from = a.plus(address, a.times(channel, 4));
      const products = Array.from({ length: points }, (_, point) =>
        m.load('f32', true, from, point * this.#memory.productPlane * 4),
      );
      const sums = applyMatrices(m, matrices, products);
      const values = place.enter(1, channel);
      outputs.forEach((position, i) => {
        const needed = checked.filter((s) => position[s] > 0);
        const store = (): void => this.#store(sums[i], values, position, count);
        if (needed.length === 0) {
          store();
          return;
        }
        const exists = needed
          .map((s) => m.compare('lt', corners[s], m.constant('i32', phase.axes[s].count - position[s])))
          .reduce((x, y) => m.binary('and', x, y));
        m.when(exists, store);
      });
    };
    const { whole, rest, from, hasRest } = channels;
    m.loop({ to: whole, step: lanes }, (channel) => vector(channel, lanes));
    if (rest === 0) return;
    const last = (): void => vector(m.constant('i32', from), rest);
    if (hasRest === undefined) last();
    else m.when(hasRest, last);
  }

  #store(sum: Register, values: FormValues, position: readonly number[], count: number): void {
    const m = this.#m;
    const { axes } = this.#plan.phase;
    const extra = (form: Form): number =>
      position.reduce((n, p, s) => n + p * axes[s].outStep * form.factors[2 + s], 0);
    const environment = loopEnvironment(m, this.#analysis, {
      values,
      vectorAxis: 1,
      count,
      extra,
      sums: [{ value: sum, index: undefined }],
    });
    const value = emitExpression(this.#k.epilogue, environment, new Scope());
    const [address, offset] = values.address(this.#output, extra(this.#output));
    storeAs(m, value, this.#result.dtype, address, offset, count);
  }
}
