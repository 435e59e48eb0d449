import { allocateArray } from '../tensor/dtype.js';
import { invariant } from '../tensor/errors.js';
import { sizeOf, stridesOf } from '../tensor/shape.js';
import { axisIndex, load, rewriteExpression } from './expression.js';
import { interpretKernel, type KernelArray } from './interpret.js';
import { mapNest } from './kernel.js';
import type { MixKernel, Neighbours, OuterKernel, TileKernel } from './tile.js';
import { winograd } from './winograd.js';

/**
 * What a tile kernel means, for tests: its sums taken literally, in double precision, then its epilogue as a map. Holds it
 * to reads inside of its operands and to exactly one sum for every element of the output.
 */
export function interpretTile(k: TileKernel, inputs: readonly KernelArray[], output: KernelArray): void {
  const { shape } = output.type;
  const sums = allocateArray('f64', sizeOf(shape));
  const written = new Uint8Array(sums.length);
  const blocks = Math.ceil(k.channelsOut / k.width);
  const inside = reader('A', inputs[0]);
  const extents = k.grouping?.extents ?? k.winograd?.extents;
  const image = extents ? withZeros(extents, inputs[0], inside) : inside;
  for (const { axes, filter } of k.phases) {
    const transforms = axes.map((axis, s) => (k.winograd ? winograd(k.winograd.outputs[s], axis.taps) : undefined));
    const taps = axes.map((axis, s) => transforms[s]?.points ?? axis.taps);
    const { shape: packed } = inputs[filter].type;
    const { grouping } = k;
    const panels = grouping
      ? [Math.ceil(k.groups / grouping.together), ...taps, k.channelsIn, grouping.together, k.channelsOut]
      : [k.groups, blocks, ...taps, k.channelsIn, k.width];
    invariant(`${packed}` === `${panels}`, `the packed filter is [${packed}]`);
    const weights = reader('the filter', inputs[filter]);
    const weight = (g: number, c: number, tap: readonly number[], ci: number): number =>
      grouping
        ? weights([Math.floor(g / grouping.together), ...tap, ci, g % grouping.together, c])
        : weights([g, Math.floor(c / k.width), ...tap, ci, c % k.width]);
    const strides = stridesOf(shape);
    forEach([k.batch, k.groups, k.channelsOut, ...axes.map((axis) => axis.count)], ([n, g, c, ...q]) => {
      let sum = 0;
      forEach([...taps, k.channelsIn], (position) => {
        const tap = position.slice(0, -1);
        const ci = position[tap.length];
        const channel = g * k.channelsIn + ci;
        let value = 0;
        if (k.winograd === undefined) {
          value = image([n, channel, ...axes.map((a, s) => a.inStart + a.stride * q[s] + a.dilation * tap[s])]);
        } else {
          // `tap` is a point: Aᵀ's column times Bᵀ's row times the tile's inputs.
          forEach(taps, (inside) => {
            const at = axes.map((a, s) => {
              const { outputs } = transforms[s]!;
              return a.inStart + a.stride * (q[s] - (q[s] % outputs)) + a.dilation * inside[s];
            });
            const factor = transforms.reduce(
              (f, t, s) => f * t!.output[q[s] % t!.outputs][tap[s]] * t!.input[tap[s]][inside[s]],
              1,
            );
            value += factor * image([n, channel, ...at]);
          });
        }
        sum += value * weight(g, c, tap, ci);
      });
      const position = [n, g * k.channelsOut + c, ...axes.map((a, s) => a.outStart + a.outStep * q[s])];
      toNeighbour(position, k.neighbours);
      invariant(
        position.every((p, axis) => p >= 0 && p < shape[axis]),
        `position [${position}] is outside of the output [${shape}]`,
      );
      const flat = position.reduce((sum, p, axis) => sum + p * strides[axis], 0);
      invariant(written[flat]++ === 0, `position [${position}] of the output is computed twice`);
      sums[flat] = sum;
    });
  }
  invariant(!written.includes(0), 'an element of the output is never computed');
  // The sums become one more operand, read at the output's own position.
  const own = load(
    inputs.length,
    'f32',
    shape.map((_, axis) => axisIndex(axis)),
  );
  const epilogue = rewriteExpression(k.epilogue, (e) => (e.kind === 'reduced' ? own : e));
  const operand: KernelArray = { type: { dtype: 'f32', shape }, data: sums };
  interpretKernel(mapNest(shape, epilogue), [...inputs, operand], [output]);
}

/** As {@link interpretTile}, for constant linear maps. */
export function interpretMix(k: MixKernel, input: KernelArray, output: KernelArray): void {
  const rows = k.matrices.map((matrix) => matrix.length);
  const columns = k.matrices.map((matrix) => matrix[0].length);
  const read = stridesOf([k.outer, ...columns, k.run]);
  let flat = 0;
  forEach([k.outer, ...rows, k.run], ([b, ...rest]) => {
    const r = rest[rows.length];
    let sum = 0;
    forEach(columns, (c) => {
      const factor = k.matrices.reduce((f, matrix, s) => f * matrix[rest[s]][c[s]], 1);
      sum += factor * input.data[b * read[0] + c.reduce((at, p, s) => at + p * read[1 + s], r)];
    });
    output.data[flat++] = sum;
  });
}

/** As {@link interpretTile}, for partial sums of the filter gradient. */
export function interpretOuter(k: OuterKernel, [a, z]: readonly KernelArray[], output: KernelArray): void {
  const transforms = k.axes.map((axis, s) => (k.winograd ? winograd(k.winograd.outputs[s], axis.taps) : undefined));
  const taps = k.axes.map((axis, s) => transforms[s]?.points ?? axis.taps);
  const shape = [k.chunks, k.groups, ...taps, k.channelsIn, k.channelsOut];
  invariant(`${output.type.shape}` === `${shape}`, `the output is [${output.type.shape}], not [${shape}]`);
  const inside = reader('A', a);
  const extents = k.grouping?.extents ?? k.winograd?.extents;
  const image = extents ? withZeros(extents, a, inside) : inside;
  const gradient = reader('Z', z);
  const perChunk = k.batch / k.chunks;
  invariant(Number.isInteger(perChunk), `${k.batch} batch elements in ${k.chunks} chunks`);
  let flat = 0;
  forEach(shape, ([chunk, g, ...rest]) => {
    const [ci, co] = rest.slice(-2);
    let sum = 0;
    forEach([perChunk, ...k.axes.map((axis) => axis.count)], ([i, ...o]) => {
      const n = chunk * perChunk + i;
      const place = [n, g * k.channelsOut + co, ...o];
      if (k.neighbours) place[place.length - 1] *= k.neighbours.positions;
      toNeighbour(place, k.neighbours);
      const z = gradient(place);
      if (k.winograd === undefined) {
        const at = k.axes.map((axis, s) => axis.start + axis.stride * o[s] + axis.dilation * rest[s]);
        sum += image([n, g * k.channelsIn + ci, ...at]) * z;
        return;
      }
      // `rest` is a point: A's row for this output times Bᵀ's row times the inputs of the output's tile.
      const places = k.axes.map(({ dilation }, s) => {
        const { outputs } = transforms[s]!;
        const step = outputs > 1 ? dilation : 1;
        const inTile = Math.floor(o[s] / step) % outputs;
        return { inTile, corner: o[s] - inTile * step };
      });
      forEach(taps, (inside) => {
        const at = k.axes.map((axis, s) => axis.start + places[s].corner + axis.dilation * inside[s]);
        const factor = transforms.reduce(
          (f, t, s) => f * t!.output[places[s].inTile][rest[s]] * t!.input[rest[s]][inside[s]],
          1,
        );
        if (factor !== 0) sum += factor * image([n, g * k.channelsIn + ci, ...at]) * z;
      });
    });
    output.data[flat++] = sum;
  });
}

/** From the channel that a position [n, channel, …] counts as to what it stands for. */
function toNeighbour(position: number[], neighbours: Neighbours | undefined): void {
  if (neighbours === undefined) return;
  position[position.length - 1] += Math.floor(position[1] / neighbours.channels);
  position[1] %= neighbours.channels;
}

/** Zeros outside of A's spatial extents. */
function withZeros(
  extents: readonly number[],
  { type: { shape } }: KernelArray,
  read: (position: readonly number[]) => number,
): (position: readonly number[]) => number {
  invariant(`${extents}` === `${shape.slice(2)}`, `A has extents [${shape.slice(2)}], not [${extents}]`);
  return (position) => (extents.every((n, s) => position[2 + s] >= 0 && position[2 + s] < n) ? read(position) : 0);
}

/** Reads elements; positions outside of the array are errors. */
function reader(name: string, { type, data }: KernelArray): (position: readonly number[]) => number {
  const { shape } = type;
  const strides = stridesOf(shape);
  return (position) => {
    invariant(
      position.length === shape.length && position.every((p, axis) => p >= 0 && p < shape[axis]),
      `position [${position}] is outside of ${name} [${shape}]`,
    );
    return data[position.reduce((sum, p, axis) => sum + p * strides[axis], 0)];
  };
}

function forEach(shape: readonly number[], visit: (position: number[]) => void): void {
  const size = sizeOf(shape);
  for (let flat = 0; flat < size; flat++) {
    const position = new Array<number>(shape.length);
    let rest = flat;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[axis] = rest % shape[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    visit(position);
  }
}
