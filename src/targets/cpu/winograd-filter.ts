import type { OuterKernel, WinogradSums } from '../../kernel/tile.js';
import { transposed, type Winograd, winograd } from '../../kernel/winograd.js';
import { Arithmetic } from './arithmetic.js';
import type { KernelCode } from './kernel-code.js';
import { applyMatrices, positions } from './linear.js';
import type { View } from './loops.js';
import type { Register, VectorMachine } from './machine.js';
import { inWindow, leaves, type WindowAxis } from './window.js';

/**
 * Generates code for the filter gradient by Winograd's algorithm (kernel/winograd.ts): for each point the sum over all tiles of transformed
 * inputs Bᵀ x times transformed output gradients A z. An item is (chunk of the batch, group, range of input channels, range of output
 * channels); it goes through the chunk's tiles block by block, with the transformed tiles in the thread's own memory, and adds to its sums.
 *
 * Outputs of one residue of a dilation see inputs of one residue: each has tiles of its own.
 */
export function winogradFilterCode(
  k: OuterKernel,
  sums: WinogradSums,
  lanes: number,
  operands: readonly View[],
  result: View,
): KernelCode {
  const plan = planFilter(k, sums, lanes, operands[0]);
  return {
    items: plan.itemExtents.reduce((a, b) => a * b, 1),
    scratch: plan.bytes,
    emit(m, begin, end, pointers) {
      const emitter = new FilterEmitter(k, plan, lanes, operands, result, m);
      m.loop({ from: begin, to: end }, (item) => emitter.item(item, pointers));
    },
  };
}

interface FilterPlan {
  readonly transforms: readonly Winograd[];
  readonly points: number;
  /** Residues of each axis, then its tiles of one residue. */
  readonly grid: readonly number[];
  /** Tiles of a chunk of the batch, and how many are worked on together. */
  readonly tiles: number;
  readonly block: number;
  readonly channelsIn: number;
  readonly channelsOut: number;
  readonly itemExtents: readonly number[];
  /** Strides of the thread's own memory in elements: transformed inputs, then output gradients, [point][tile][channel]. */
  readonly inputRow: number;
  readonly inputPlane: number;
  readonly outputs: number;
  readonly outputRow: number;
  readonly outputPlane: number;
  /** A pixel of zeros. */
  readonly zeros: number;
  readonly bytes: number;
  readonly window: readonly WindowAxis[];
}

const CACHE_LINE = 16;

function planFilter(k: OuterKernel, sums: WinogradSums, lanes: number, input: View): FilterPlan {
  const transforms = k.axes.map((axis, s) => winograd(sums.outputs[s], axis.taps));
  const residues = k.axes.map((axis, s) => (sums.outputs[s] > 1 ? Math.min(axis.dilation, axis.count) : 1));
  const perAxis = k.axes.map((axis, s) => Math.ceil(Math.ceil(axis.count / residues[s]) / sums.outputs[s]));
  const grid = [...residues, ...perAxis];
  const points = transforms.reduce((n, t) => n * t.points, 1);
  const tiles = grid.reduce((a, b) => a * b, k.batch / k.chunks);
  const block = Math.min(sums.tiles, tiles);
  const channelsIn = Math.ceil(k.channelsIn / sums.parts[0]);
  const channelsOut = Math.ceil(k.channelsOut / sums.parts[1]);
  // Planes are an odd number of cache lines apart, so that one tile's points do not all meet in one set of the cache.
  const apart = (elements: number): number => (Math.ceil(elements / CACHE_LINE) | 1) * CACHE_LINE;
  const inputRow = Math.ceil(channelsIn / lanes) * lanes;
  const outputRow = Math.ceil(channelsOut / lanes) * lanes;
  const inputPlane = apart(block * inputRow);
  const outputPlane = apart(block * outputRow);
  const outputs = points * inputPlane;
  const zeros = outputs + points * outputPlane;
  const window = k.axes.map((axis, s): WindowAxis => {
    const { dilation, start } = axis;
    const step = sums.outputs[s] > 1 ? dilation : 1;
    const firsts = Array.from({ length: residues[s] * perAxis[s] }, (_, i) => {
      const [tile, residue] = [Math.floor(i / residues[s]), i % residues[s]];
      return start + tile * sums.outputs[s] * step + residue;
    });
    const extent = sums.extents[s];
    const span = dilation * (transforms[s].points - 1);
    return {
      points: transforms[s].points,
      step: dilation,
      extent,
      bytes: input.strides[2 + s] * 4,
      least: Math.min(...firsts),
      most: Math.max(...firsts),
      sometimesInside: firsts.some((first) => first >= 0 && first + span < extent),
    };
  });
  return {
    transforms,
    points,
    grid,
    tiles,
    block,
    channelsIn,
    channelsOut,
    itemExtents: [k.chunks, k.groups, Math.ceil(k.channelsIn / channelsIn), Math.ceil(k.channelsOut / channelsOut)],
    inputRow,
    inputPlane,
    outputs,
    outputRow,
    outputPlane,
    zeros,
    bytes: 4 * (zeros + inputRow),
    window,
  };
}

/** A tile: its batch element, its corner in output positions, and the first input position that it reads. */
interface Tile {
  readonly image: Register;
  readonly corner: readonly Register[];
}

class FilterEmitter {
  readonly #k: OuterKernel;
  readonly #plan: FilterPlan;
  readonly #lanes: number;
  readonly #x: View;
  readonly #z: View;
  readonly #result: View;
  readonly #m: VectorMachine;
  readonly #a: Arithmetic;

  constructor(
    k: OuterKernel,
    plan: FilterPlan,
    lanes: number,
    [x, z]: readonly View[],
    result: View,
    m: VectorMachine,
  ) {
    this.#k = k;
    this.#plan = plan;
    this.#lanes = lanes;
    this.#x = x;
    this.#z = z;
    this.#result = result;
    this.#m = m;
    this.#a = new Arithmetic(m);
  }

  item(item: Register, [xPointer, zPointer, sums, own]: readonly Register[]): void {
    const m = this.#m;
    const a = this.#a;
    const k = this.#k;
    const plan = this.#plan;
    const { strides } = this.#result;
    const [chunk, group, inPart, outPart] = a.decode(item, plan.itemExtents);
    const firstIn = a.times(inPart, plan.channelsIn);
    const firstOut = a.times(outPart, plan.channelsOut);
    const images = k.batch / k.chunks;
    const origin = (pointer: Register, view: View, channel: Register, channels: number): Register =>
      a.plus(
        a.plus(pointer, a.times(chunk, images * view.strides[0] * 4)),
        a.times(a.plus(channel, a.times(group, channels)), view.strides[1] * 4),
      );
    const x = origin(xPointer, this.#x, firstIn, k.channelsIn);
    const z = origin(zPointer, this.#z, firstOut, k.channelsOut);
    const rank = k.axes.length;
    const target = [
      a.times(chunk, strides[0] * 4),
      a.times(group, strides[1] * 4),
      a.times(firstIn, strides[2 + rank] * 4),
      a.times(firstOut, strides[3 + rank] * 4),
    ].reduce((sum, part) => a.plus(sum, part), sums);
    const rows = a.atMost(m.binary('sub', m.constant('i32', k.channelsIn), firstIn), plan.channelsIn);
    const columns = a.atMost(m.binary('sub', m.constant('i32', k.channelsOut), firstOut), plan.channelsOut);

    this.#clear(target, rows, columns);
    const zeros = leaves(plan.window) ? a.plus(own, plan.zeros * 4) : undefined;
    if (zeros !== undefined) {
      m.loop({ to: plan.inputRow, step: this.#lanes }, (channel) => {
        m.store(m.constant('f32', 0, true), a.plus(zeros, a.times(channel, 4)));
      });
    }
    m.loop({ from: 0, to: plan.tiles, step: plan.block }, (first) => {
      const end = a.atMost(a.plus(first, plan.block), plan.tiles);
      const inputs = m.copy(own);
      const outputs = m.copy(a.plus(own, plan.outputs * 4));
      m.loop({ from: first, to: end }, (index) => {
        const tile = this.#locate(index);
        this.#transformInput(x, tile, rows, zeros, inputs);
        this.#transformOutput(z, tile, columns, outputs);
        m.bump(inputs, plan.inputRow * 4);
        m.bump(outputs, plan.outputRow * 4);
      });
      this.#multiply(own, a.plus(own, plan.outputs * 4), target, m.binary('sub', end, first), rows, columns);
    });
  }

  #locate(index: Register): Tile {
    const { grid, transforms } = this.#plan;
    const [image, ...position] = this.#a.decode(index, [1, ...grid]);
    const rank = transforms.length;
    const corner = transforms.map(({ outputs }, s) => {
      const step = outputs > 1 ? this.#k.axes[s].dilation : 1;
      return this.#a.plus(this.#a.times(position[rank + s], outputs * step), position[s]);
    });
    return { image, corner };
  }

  /** Distance of neighbouring outputs of a tile. */
  #step(s: number): number {
    return this.#plan.transforms[s].outputs > 1 ? this.#k.axes[s].dilation : 1;
  }

  /** Bᵀ x of one tile, into plane after plane. */
  #transformInput(
    x: Register,
    { image, corner }: Tile,
    channels: Register,
    zeros: Register | undefined,
    to: Register,
  ): void {
    const { transforms, inputPlane, channelsIn, window } = this.#plan;
    const m = this.#m;
    const a = this.#a;
    const base = a.plus(x, a.times(image, this.#x.strides[0] * 4));
    const first = corner.map((o, s) => a.plus(o, this.#k.axes[s].start));
    const matrices = transforms.map((t) => t.input);
    const counts = tails(this.#k.channelsIn, channelsIn, this.#lanes);
    inWindow(m, window, base, first, zeros, (load) => {
      this.#transform(to, channels, counts, inputPlane, (channel, count) =>
        applyMatrices(m, matrices, load(channel, count)),
      );
    });
  }

  /** A z of one tile, into plane after plane; outputs beyond the last position count as zero. */
  #transformOutput(z: Register, { image, corner }: Tile, channels: Register, to: Register): void {
    const m = this.#m;
    const a = this.#a;
    const { transforms, outputPlane, channelsOut } = this.#plan;
    const { strides } = this.#z;
    const counts = tails(this.#k.channelsOut, channelsOut, this.#lanes);
    const { axes } = this.#k;
    let address = a.plus(z, a.times(image, strides[0] * 4));
    corner.forEach((o, s) => {
      // Residues of a dilation may have a tile less than others: a corner beyond the end reads the last position, and drops it.
      address = a.plus(address, a.times(a.atMost(o, axes[s].count - 1), strides[2 + s] * 4));
    });
    const places = positions(transforms.map((t) => t.outputs));
    const matrices = transforms.map((t) => transposed(t.output));
    const inside = transforms.map(({ outputs }, s) =>
      m.compare('le', corner[s], m.constant('i32', axes[s].count - 1 - (outputs - 1) * this.#step(s))),
    );
    m.when(
      inside.reduce((p, q) => m.binary('and', p, q)),
      () =>
        this.#transform(to, channels, counts, outputPlane, (channel, count) => {
          const from = a.plus(address, channel);
          return applyMatrices(
            m,
            matrices,
            places.map((place) => {
              const offset = place.reduce((sum, p, s) => sum + p * this.#step(s) * strides[2 + s] * 4, 0);
              return m.load('f32', true, from, offset, count);
            }),
          );
        }),
      () => {
        // Positions beyond the end read the tile's corner instead, and what they read is dropped.
        const exists = places.map((place) =>
          place
            .map((p, s) => m.compare('lt', a.plus(corner[s], p * this.#step(s)), m.constant('i32', axes[s].count)))
            .reduce((p, q) => m.binary('and', p, q)),
        );
        const offsets = places.map((place, i) => {
          const offset = place.reduce((sum, p, s) => sum + p * this.#step(s) * strides[2 + s] * 4, 0);
          return m.binary('mul', m.maskToInt(exists[i]), m.constant('i32', offset));
        });
        const flags = exists.map((mask) => m.maskToInt(mask));
        this.#transform(to, channels, counts, outputPlane, (channel, count) => {
          const from = a.plus(address, channel);
          const zero = m.constant('f32', 0, true);
          const values = offsets.map((offset, i) => {
            const value = m.load('f32', true, m.binary('add', from, offset), 0, count);
            const mask = m.compare('ne', m.splat(flags[i]), m.constant('i32', 0, true));
            return m.select(mask, value, zero);
          });
          return applyMatrices(m, matrices, values);
        });
      },
    );
  }

  /** Stores what `values` makes of every vector of channels, by its distance in bytes; `counts` are what the last one may hold. */
  #transform(
    target: Register,
    channels: Register,
    counts: ReadonlySet<number>,
    plane: number,
    values: (channel: Register, count: number) => Register[],
  ): void {
    const m = this.#m;
    const a = this.#a;
    const lanes = this.#lanes;
    const vector = (channel: Register, count: number): void => {
      const to = a.plus(target, channel);
      values(channel, count).forEach((value, point) => {
        m.store(value, to, point * plane * 4);
      });
    };
    const whole = a.times(m.divide(channels, lanes), lanes);
    const bytes = a.times(whole, 4);
    m.loop({ from: 0, to: bytes, step: lanes * 4 }, (channel) => vector(channel, lanes));
    const rest = m.binary('sub', channels, whole);
    for (const count of counts) m.when(m.compare('eq', rest, m.constant('i32', count)), () => vector(bytes, count));
  }

  #clear(target: Register, rows: Register, columns: Register): void {
    const m = this.#m;
    const { strides } = this.#result;
    const rank = this.#k.axes.length;
    const point = m.copy(target);
    const zero = m.constant('f32', 0, true);
    m.loop({ to: this.#plan.points }, () => {
      const row = m.copy(point);
      m.loop({ from: 0, to: rows }, () => {
        this.#columns(columns, (column, count) => m.store(zero, this.#a.plus(row, this.#a.times(column, 4)), 0, count));
        m.bump(row, strides[2 + rank] * 4);
      });
      m.bump(point, this.#pointStride() * 4);
    });
  }

  /** Elements between the sums of two points. */
  #pointStride(): number {
    return this.#k.channelsIn * this.#k.channelsOut;
  }

  /** Calls `body` for every vector of output channels with how many of its lanes are channels. */
  #columns(columns: Register, body: (column: Register, count: number) => void, vectors = 1): void {
    const m = this.#m;
    const width = vectors * this.#lanes;
    const counts = tails(this.#k.channelsOut, this.#plan.channelsOut, width);
    const whole = this.#a.times(m.divide(columns, width), width);
    m.loop({ from: 0, to: whole, step: width }, (column) => body(column, width));
    const rest = m.binary('sub', columns, whole);
    for (const count of counts) {
      m.when(m.compare('eq', rest, m.constant('i32', count)), () => body(whole, count));
    }
  }

  /** Adds Σ over tiles of inputs · outputs to the sums of every point. */
  #multiply(
    inputs: Register,
    outputs: Register,
    target: Register,
    tiles: Register,
    rows: Register,
    columns: Register,
  ): void {
    const m = this.#m;
    const { inputPlane, outputPlane, points, channelsIn } = this.#plan;
    const vectors = this.#k.width / this.#lanes;
    const height = Math.ceil(channelsIn / Math.ceil(channelsIn / this.#k.rows));
    const rest = [channelsIn % height, (this.#k.channelsIn % channelsIn) % height].filter((n) => n > 0);
    const point = m.copy(target);
    const left = m.copy(inputs);
    const right = m.copy(outputs);
    m.loop({ to: points }, () => {
      const band = (row: Register, count: number): void =>
        this.#columns(
          columns,
          (column, width) => this.#tile(left, right, point, tiles, row, count, column, width),
          vectors,
        );
      const whole = this.#a.times(m.divide(rows, height), height);
      m.loop({ from: 0, to: whole, step: height }, (row) => band(row, height));
      for (const count of new Set(rest)) {
        m.when(m.compare('eq', m.binary('sub', rows, whole), m.constant('i32', count)), () => band(whole, count));
      }
      m.bump(point, this.#pointStride() * 4);
      m.bump(left, inputPlane * 4);
      m.bump(right, outputPlane * 4);
    });
  }

  /** One register tile: `height` input channels × `width` output channels. */
  #tile(
    left: Register,
    right: Register,
    point: Register,
    tiles: Register,
    row: Register,
    height: number,
    column: Register,
    width: number,
  ): void {
    const m = this.#m;
    const a = this.#a;
    const lanes = this.#lanes;
    const { inputRow, outputRow } = this.#plan;
    const rowStride = this.#result.strides[2 + this.#k.axes.length];
    const vectors = Math.ceil(width / lanes);
    const counts = Array.from({ length: vectors }, (_, v) => Math.min(lanes, width - v * lanes));
    const at = a.plus(a.plus(point, a.times(row, rowStride * 4)), a.times(column, 4));
    const sums = Array.from({ length: height }, (_, r) =>
      counts.map((count, v) => m.copy(m.load('f32', true, at, (r * rowStride + v * lanes) * 4, count))),
    );
    const x = m.copy(a.plus(left, a.times(row, 4)));
    const z = m.copy(a.plus(right, a.times(column, 4)));
    m.loop({ from: 0, to: tiles }, () => {
      const values = counts.map((_, v) => m.load('f32', true, z, v * lanes * 4));
      for (let r = 0; r < height; r++) {
        const value = m.loadSplat('f32', x, r * 4);
        values.forEach((other, v) => {
          m.multiplyAdd(sums[r][v], value, other);
        });
      }
      m.bump(x, inputRow * 4);
      m.bump(z, outputRow * 4);
    });
    sums.forEach((vector, r) => {
      vector.forEach((sum, v) => {
        m.store(sum, at, (r * rowStride + v * lanes) * 4, counts[v]);
      });
    });
  }
}

/** What is left of a range of `part` channels, or of the last one, behind whole pieces of `width`. */
function tails(channels: number, part: number, width: number): Set<number> {
  return new Set([part % width, (channels % part) % width].filter((rest) => rest > 0));
}
