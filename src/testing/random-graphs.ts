import assert from 'node:assert/strict';
import fc from 'fast-check';
import { setDevice } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { assign, trace } from '../graph/trace.js';
import type { Geometry } from '../kernel/contraction.js';
import { broadcastTo, sum } from '../ops/broadcast.js';
import { concat } from '../ops/concat.js';
import { contract, matmul } from '../ops/convolution.js';
import { full, iota, tensor } from '../ops/create.js';
import { abs, add, cast, greater, maximum, minimum, mul, neg, relu, sub, where } from '../ops/elementwise.js';
import { gather, indexAdd, scatterAdd, takeAlongAxis } from '../ops/gather.js';
import { identity } from '../ops/identity.js';
import { maxPoolWithTaps } from '../ops/maxpool.js';
import { argmax, max, min } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { pad, slice } from '../ops/slice.js';
import { transpose } from '../ops/transpose.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import type { TypedArray } from '../tensor/dtype.js';
import { Random } from '../tensor/random.js';
import { broadcastShapes, type Shape, sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

// Random programs for tests of the compiler. All values are small integers, so every order of evaluation gives the same
// result in single precision, and results are compared exactly.

/** One node; the numbers choose operands and attributes, modulo what there is. */
export interface NodeSpec {
  readonly op: number;
  readonly a: number;
  readonly b: number;
  readonly p: number;
  readonly q: number;
}

export interface GraphSpec {
  readonly seed: number;
  /** Shapes of the function's arguments. */
  readonly arguments: readonly Shape[];
  /** Shapes of tensors that the function captures and may assign to. */
  readonly parameters: readonly Shape[];
  readonly nodes: readonly NodeSpec[];
  /** Which values to return, counted from the last. */
  readonly outputs: readonly number[];
}

/** Numbers that parameters for filters are cut from. */
const BANK = 4096;
const LARGEST = 3000;

const extent = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 2, arbitrary: fc.constantFrom(7, 8, 9) },
  { weight: 1, arbitrary: fc.constantFrom(16, 17) },
);
const shape = fc
  .array(extent, { minLength: 0, maxLength: 4 })
  .map((extents) => (sizeOf(extents) > LARGEST ? extents.slice(0, 2) : extents));
const any = fc.nat({ max: 10_000 });

export const graphSpecs: fc.Arbitrary<GraphSpec> = fc.record({
  seed: fc.nat({ max: 1_000_000 }),
  arguments: fc.array(shape, { minLength: 1, maxLength: 3 }),
  parameters: fc
    .array(shape, { minLength: 1, maxLength: 2 })
    // Pairs of one shape are what can be exchanged.
    .chain((shapes) => fc.boolean().map((twice) => (twice ? [...shapes, ...shapes] : shapes))),
  nodes: fc.array(fc.record({ op: fc.nat({ max: 63 }), a: any, b: any, p: any, q: any }), {
    minLength: 1,
    maxLength: 14,
  }),
  outputs: fc.array(fc.nat({ max: 20 }), { minLength: 1, maxLength: 4 }),
});

/** Integers from −3 to 3. */
export function smallIntegers(size: number, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: size }, () => random.integer(7) - 3);
}

const one = (tensor: Tensor, bound: number): Known[] => [{ tensor, bound }];

interface Known {
  readonly tensor: Tensor;
  /** No element is larger. */
  readonly bound: number;
}

/** The function that `spec` describes: inside of a traced function, with tensors of its arguments and parameters. */
function buildFunction(
  spec: GraphSpec,
  inputs: readonly Tensor[],
  parameters: readonly Tensor[],
  bank: Tensor,
): Tensor[] {
  const builder = new Builder(inputs, parameters, bank);
  for (const node of spec.nodes) builder.node(node);
  const values = builder.values();
  return spec.outputs.map((n) => values[values.length - 1 - (n % values.length)]);
}

class Builder {
  readonly #known: Known[];
  readonly #parameters: readonly Tensor[];
  readonly #bounds: Map<Tensor, number>;
  readonly #bank: Tensor;
  #taken = 0;

  constructor(inputs: readonly Tensor[], parameters: readonly Tensor[], bank: Tensor) {
    this.#known = inputs.map((tensor) => ({ tensor, bound: 3 }));
    this.#parameters = parameters;
    this.#bounds = new Map(parameters.map((tensor) => [tensor, 3]));
    this.#bank = bank;
  }

  values(): Tensor[] {
    return [...this.#parameters, ...this.#known.map(({ tensor }) => tensor)];
  }

  #pick(n: number): Known {
    const at = n % (this.#known.length + this.#parameters.length);
    if (at < this.#parameters.length) {
      const tensor = this.#parameters[at];
      return { tensor, bound: this.#bounds.get(tensor) as number };
    }
    return this.#known[at - this.#parameters.length];
  }

  /** As f32. */
  #number(n: number): Known {
    const { tensor, bound } = this.#pick(n);
    return { tensor: cast(tensor, 'f32'), bound };
  }

  #push(tensor: Tensor, bound: number): void {
    if (tensor.size > LARGEST) return;
    this.#known.push(tensor.dtype === 'f32' ? this.#limited({ tensor, bound }, 2 ** 16) : { tensor, bound });
  }

  #limited({ tensor, bound }: Known, limit: number): Known {
    return bound > limit ? { tensor: maximum(minimum(tensor, 9), -9), bound: 9 } : { tensor, bound };
  }

  /** A filter of integers: cut from the bank, computed from positions, or constant. */
  #filter(target: Shape, kind: number): Known {
    const size = sizeOf(target);
    if ((kind % 4 === 0 || size >= BANK) && size > 0) {
      return { tensor: sub(minimum(cast(iota(target, kind % target.length), 'f32'), 4), 2), bound: 4 };
    }
    if (kind % 4 === 1) return { tensor: full(target, 2), bound: 2 };
    this.#taken = (this.#taken + size) % (BANK - size);
    return { tensor: reshape(slice(this.#bank, [this.#taken], [size]), target), bound: 3 };
  }

  node(spec: NodeSpec): void {
    for (const { tensor, bound } of this.#apply(spec)) this.#push(tensor, bound);
  }

  #apply({ op, a, b, p, q }: NodeSpec): Known[] {
    const x = this.#number(a);
    const { shape } = x.tensor;
    const rank = shape.length;
    switch (OPS[op % OPS.length]) {
      case 'binary': {
        const y = this.#fitting(x, this.#number(b));
        const kinds = [add, sub, mul, maximum, minimum];
        const bound = p % 5 === 2 ? x.bound * y.bound : x.bound + y.bound;
        return one(kinds[p % 5](x.tensor, y.tensor), bound);
      }
      case 'unary': {
        const kinds = [neg, abs, relu, (t: Tensor) => mul(t, 2), (t: Tensor) => add(t, 1), (t: Tensor) => mul(t, t)];
        return one(kinds[p % 6](x.tensor), p % 6 === 5 ? x.bound ** 2 : 2 * x.bound + 1);
      }
      case 'where': {
        const y = this.#fitting(x, this.#number(b));
        const condition = greater(x.tensor, y.tensor);
        if (p % 3 === 0) return one(condition, 1);
        return one(where(condition, x.tensor, y.tensor), x.bound + y.bound);
      }
      case 'reduce': {
        const axes = chosen(rank, p);
        const options = { keepDims: q % 2 === 0 };
        if (q % 5 < 2) return one(sum(x.tensor, axes, options), x.bound * x.tensor.size);
        if (q % 5 === 2) return one(max(x.tensor, axes, options), x.bound);
        if (q % 5 === 3) return one(min(x.tensor, axes, options), x.bound);
        return one(argmax(x.tensor, axes, options), x.tensor.size);
      }
      case 'transpose':
        return one(transpose(x.tensor, [...new Random(p).permutation(rank)]), x.bound);
      case 'reshape':
        return one(reshape(x.tensor, reshaped(shape, p)), x.bound);
      case 'slice': {
        const step = shape.map((_, axis) => 1 + (((q >> axis) & 1) === 1 ? 1 : 0));
        const start = shape.map((extent, axis) => (p >> (2 * axis)) % extent);
        const room = shape.map((extent, axis) => Math.ceil((extent - start[axis]) / step[axis]));
        return one(slice(x.tensor, start, room, step), x.bound);
      }
      case 'pad': {
        const low = shape.map((extent, axis) => Math.max(((p >> (2 * axis)) % 4) - 1, 1 - extent));
        const high = shape.map((extent, axis) => Math.max(((q >> (2 * axis)) % 4) - 1, 1 - extent - low[axis]));
        return one(pad(x.tensor, low, high, b % 2 === 0 ? 0 : 3), x.bound + 3);
      }
      case 'concat': {
        if (rank === 0) return [];
        const axis = p % rank;
        const y = this.#number(b);
        const fits = y.tensor.rank === rank && shape.every((extent, i) => i === axis || extent === y.tensor.shape[i]);
        return one(concat([x.tensor, fits ? y.tensor : neg(x.tensor), x.tensor], axis), x.bound + y.bound);
      }
      case 'broadcast':
        return one(broadcastTo(x.tensor, [1 + (p % 3), ...shape.map((e) => (e === 1 ? 1 + (q % 4) : e))]), x.bound);
      case 'iota':
        return one(add(x.tensor, rank === 0 ? 1 : cast(iota(shape, p % rank), 'f32')), x.bound + 32);
      case 'pool':
        return this.#pool(x, p, q);
      case 'convolution':
        return this.#convolution(x, p, q);
      case 'matmul': {
        const flat = this.#limited(x, 64);
        const columns = rank === 0 ? 1 : shape[rank - 1];
        const rows = reshape(flat.tensor, [x.tensor.size / columns, columns]);
        const w = this.#filter([columns, 1 + (p % 9)], q);
        return one(matmul(rows, w.tensor), flat.bound * w.bound * columns);
      }
      case 'gather':
        return this.#gather(x, b, p, q);
      case 'assign':
        this.#assign(a, b, p);
        return [];
      case 'old':
        // The value as it is now, whatever is assigned later.
        return one(identity(this.#parameters[p % this.#parameters.length]), 2 ** 16);
    }
  }

  /** `y`, or its sum where its shape does not fit that of `x`. */
  #fitting(x: Known, y: Known): Known {
    const joint = broadcastShapes(x.tensor.shape, y.tensor.shape);
    if (joint !== undefined && sizeOf(joint) <= LARGEST) return y;
    return this.#limited({ tensor: sum(y.tensor), bound: y.bound * y.tensor.size }, 2 ** 10);
  }

  #pool(x: Known, p: number, q: number): Known[] {
    const image = asImage(x.tensor);
    const [input] = image.shape.slice(2);
    const kernel = 1 + (p % 3);
    const stride = 1 + (q % 3);
    const dilation = 1 + ((q >> 2) % 2);
    const padLow = (p >> 2) % Math.max(1, Math.ceil(kernel / 2));
    const output = Math.floor((input + 2 * padLow - dilation * (kernel - 1) - 1) / stride) + 1;
    if (output < 1) return [];
    const { values, taps } = maxPoolWithTaps(image, [{ input, kernel, output, stride, dilation, padLow }]);
    // A window that lies in the padding alone is −∞.
    const largest = one(maximum(values, -9), Math.max(9, x.bound));
    return q % 2 === 0 ? [...largest, ...one(taps, kernel)] : largest;
  }

  /** Reading and adding up by index, of whole parts and of elements. What is read is in range, what is added may not be. */
  #gather(x: Known, b: number, p: number, q: number): Known[] {
    const { shape, rank } = x.tensor;
    if (rank === 0) return [];
    const axis = p % rank;
    const y = this.#pick(b).tensor;
    const inside = (t: Tensor): Tensor => maximum(minimum(t, shape[axis] - 1), -shape[axis]);
    if (q % 2 === 0) {
      const indices = cast(y, 'i32');
      if ((x.tensor.size / shape[axis]) * indices.size > LARGEST) return [];
      const read = gather(x.tensor, inside(indices), { axis });
      if (q % 4 === 0) return one(read, x.bound);
      return one(indexAdd(x.tensor, indices, mul(read, 2), { axis }), x.bound * (1 + 2 * indices.size));
    }
    const fits = y.rank === rank && shape.every((extent, d) => d === axis || y.shape[d] === extent);
    const indices = cast(fits ? y : x.tensor, 'i32');
    const read = takeAlongAxis(x.tensor, inside(indices), { axis });
    if (q % 4 === 1) return one(read, x.bound);
    return one(scatterAdd(x.tensor, indices, neg(read), { axis }), x.bound * (1 + indices.shape[axis]));
  }

  /** All three roles, one or no spatial axis more than needed. */
  #convolution(x: Known, p: number, q: number): Known[] {
    const limited = this.#limited(x, 64);
    const image = asImage(limited.tensor);
    const [batch, channels, input] = image.shape;
    const groups = channels % 2 === 0 && p % 3 === 0 ? 2 : p % 5 === 0 ? channels : 1;
    const channelsIn = channels / groups;
    const channelsOut = 1 + (q % 6);
    const kernel = 1 + ((p >> 2) % 3);
    const stride = 1 + ((p >> 4) % 3);
    const dilation = 1 + ((q >> 3) % 2);
    const padLow = ((q >> 5) % 4) - 1;
    const padHigh = (q >> 7) % 3;
    const output = Math.floor((input + padLow + padHigh - dilation * (kernel - 1) - 1) / stride) + 1;
    if (output < 1) return [];
    const axes = [{ input, kernel, output, stride, dilation, padLow }];
    const geometry: Geometry = { batch, groups, channelsIn, channelsOut, axes };
    const w = this.#filter([groups * channelsOut, channelsIn, kernel], p >> 6);
    const y = contract('output', image, w.tensor, geometry);
    const bound = limited.bound * w.bound * channelsIn * kernel;
    if (p % 4 !== 3) return one(q % 2 === 0 ? relu(add(y, 1)) : y, bound + 1);
    const small = this.#limited({ tensor: y, bound }, 16);
    if (q % 2 === 0) {
      return one(contract('input', w.tensor, small.tensor, geometry), small.bound * w.bound * channelsOut * kernel);
    }
    const terms = batch * output;
    return one(contract('filter', image, small.tensor, geometry), limited.bound * small.bound * terms);
  }

  #assign(a: number, b: number, p: number): void {
    const target = this.#parameters[p % this.#parameters.length];
    const other = this.#parameters.find((t) => t !== target && `${t.shape}` === `${target.shape}`);
    const set = (t: Tensor, value: Tensor, bound: number): void => {
      assign(t, value);
      this.#bounds.set(t, bound);
    };
    const bound = this.#bounds.get(target) as number;
    if (a % 4 === 0 && other !== undefined) {
      const old = identity(target);
      set(target, other, this.#bounds.get(other) as number);
      set(other, old, bound);
      return;
    }
    const known = this.#known.find(({ tensor }) => tensor.dtype === 'f32' && tensor.size === target.size);
    if (a % 4 <= 2 && known !== undefined) {
      const same = `${known.tensor.shape}` === `${target.shape}`;
      set(target, same ? known.tensor : reshape(known.tensor, target.shape), known.bound);
      if (b % 2 === 0 && other !== undefined) set(other, reshape(known.tensor, target.shape), known.bound);
      return;
    }
    // Momentum: in place, or from another position of itself.
    const y = this.#limited(this.#number(b), 2 ** 10);
    const scalar = sum(y.tensor);
    const step = this.#limited({ tensor: scalar, bound: y.bound * y.tensor.size }, 2 ** 10);
    const next = this.#limited({ tensor: add(mul(target, 2), step.tensor), bound: 2 * bound + step.bound }, 2 ** 16);
    set(target, p % 3 === 0 ? reshape(transpose(next.tensor), target.shape) : next.tensor, next.bound);
  }
}

const OPS = [
  ...[
    'binary',
    'binary',
    'binary',
    'unary',
    'unary',
    'where',
    'reduce',
    'reduce',
    'transpose',
    'reshape',
    'slice',
    'pad',
  ],
  ...[
    'concat',
    'broadcast',
    'iota',
    'pool',
    'convolution',
    'convolution',
    'matmul',
    'gather',
    'gather',
    'assign',
    'assign',
    'old',
  ],
] as const satisfies readonly string[];

/** [batch, channels, length]: extents of one in front, or the last axes joined. */
function asImage(x: Tensor): Tensor {
  const { shape } = x;
  if (shape.length === 3) return x;
  if (shape.length < 3) return reshape(x, [...new Array<number>(3 - shape.length).fill(1), ...shape]);
  return reshape(x, [shape[0], shape[1], sizeOf(shape.slice(2))]);
}

function chosen(rank: number, bits: number): number[] {
  return Array.from({ length: rank }, (_, axis) => axis).filter((axis) => ((bits >> axis) & 1) === 1);
}

function reshaped(shape: Shape, p: number): number[] {
  const rank = shape.length;
  if (p % 4 === 0 || rank === 0) return [...shape, 1];
  if (p % 4 === 1) return shape.filter((extent) => extent !== 1);
  if (p % 4 === 2 || rank < 2) return [sizeOf(shape)];
  const at = (p >> 2) % (rank - 1);
  return [...shape.slice(0, at), shape[at] * shape[at + 1], ...shape.slice(at + 2)];
}

const exact = new ReferenceDevice({ precision: 'f64' });

/** The graph of the function that `spec` describes, with contents for its inputs. */
export function traceSpec(spec: GraphSpec): { graph: Graph; inputs: TypedArray[] } {
  setDevice(exact);
  let { seed } = spec;
  const make = (shape: Shape): Tensor => tensor(smallIntegers(sizeOf(shape), seed++), { shape });
  const parameters = spec.parameters.map(make);
  const bank = make([BANK]);
  const { graph, captured } = trace((into) => {
    const inputs = spec.arguments.map((shape) => Tensor.fromTraced(into.addInput({ dtype: 'f32', shape })));
    return buildFunction(spec, inputs, parameters, bank);
  });
  const inputs = spec.arguments.map((shape) => make(shape).data());
  return { graph, inputs: [...inputs, ...[...captured.keys()].map((t) => t.data())] };
}

/** The graph of `body` applied to f32 tensors of the given shapes, and what `contents` puts into them. */
export function traceInputs(
  shapes: readonly Shape[],
  contents: (size: number, i: number) => TypedArray,
  body: (inputs: Tensor[]) => readonly Tensor[],
): { graph: Graph; inputs: TypedArray[] } {
  setDevice(exact);
  const { graph } = trace((into) =>
    body(shapes.map((shape) => Tensor.fromTraced(into.addInput({ dtype: 'f32', shape })))),
  );
  return { graph, inputs: shapes.map((shape, i) => contents(sizeOf(shape), i)) };
}

/** Runs a graph on the reference device in double precision; returns its outputs, and its inputs afterwards. */
export function referenceRun(
  graph: Graph,
  inputs: readonly TypedArray[],
): { outputs: TypedArray[]; inputs: TypedArray[] } {
  const storages = inputs.map((data, i) => {
    const storage = exact.allocate(graph.inputs[i].type);
    storage.write(data);
    return storage;
  });
  const outputs = exact.compile(graph).runSync(storages);
  return { outputs: outputs.map((s) => s.read()), inputs: storages.map((s) => s.read()) };
}

/** Asserts equal elements; zeros of either sign are equal. */
export function assertSame(got: readonly TypedArray[], expected: readonly TypedArray[], what: () => string): void {
  assert.equal(got.length, expected.length);
  expected.forEach((data, i) => {
    const at = data.findIndex((value, j) => !(value === got[i][j] || (Number.isNaN(value) && Number.isNaN(got[i][j]))));
    if (at >= 0 || data.length !== got[i].length) {
      assert.fail(`${what()}: array ${i} is ${got[i][at]} at ${at}, expected ${data[at]}`);
    }
  });
}
