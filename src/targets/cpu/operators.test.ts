import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { compile } from '../../graph/compile.js';
import { type Device, setDevice } from '../../graph/device.js';
import { castValue } from '../../kernel/scalar.js';
import { broadcastTo, sum } from '../../ops/broadcast.js';
import { concat } from '../../ops/concat.js';
import { linear } from '../../ops/conv.js';
import { matmul } from '../../ops/convolution.js';
import { full, iota, tensor } from '../../ops/create.js';
import * as elementwise from '../../ops/elementwise.js';
import { maxPoolWithTaps, pickTaps, unpool } from '../../ops/maxpool.js';
import { uniform } from '../../ops/random.js';
import { argmax, max, min, product } from '../../ops/reduce.js';
import { reshape } from '../../ops/reshape.js';
import { pad, slice } from '../../ops/slice.js';
import { transpose } from '../../ops/transpose.js';
import { cpuDevice } from '../../runtime/cpu-device.js';
import type { DType, TypedArray } from '../../tensor/dtype.js';
import { Random } from '../../tensor/random.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { INSTRUCTIONS } from '../../testing/devices.js';
import { ReferenceDevice } from '../reference/device.js';

/** Shapes tried for each operator. */
const RUNS = Number(process.env.GABOR_RUNS ?? 4);

const devices = INSTRUCTIONS.map((instructions) => cpuDevice({ threads: 2, instructions, winograd: false }));
const reference = new ReferenceDevice({ precision: 'f64' });
after(() => Promise.all(devices.map((device) => device.close())));

interface Input {
  readonly shape: Shape;
  readonly dtype: DType;
  readonly data: readonly number[];
}

/** One application of an operator. */
interface Case {
  readonly inputs: readonly Input[];
  readonly apply: (inputs: Tensor[]) => Tensor | Tensor[];
}

type Values = (random: Random, dtype: DType) => number;

const SPECIAL = [
  0,
  -0,
  1,
  -1,
  0.5,
  -0.5,
  1.5,
  2.5,
  -2.5,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  Number.NaN,
];
const EXTREME = [1e-40, -1e-45, 3.4e38, -3.4e38, 2147483648, -2147483648, 4294967296, 255.5, 256, -1e-20];
const INTEGERS = [0, 1, -1, 2147483647, -2147483648, 65536, 255, 256];

/** Numbers of every kind that f32 and i32 have. */
const anything: Values = (random, dtype) => {
  if (dtype === 'bool') return random.integer(2);
  if (dtype === 'u8') return random.integer(256);
  if (dtype === 'i32')
    return random.integer(2) === 0 ? INTEGERS[random.integer(INTEGERS.length)] : random.integer(200) - 100;
  const kind = random.integer(6);
  if (kind === 0) return SPECIAL[random.integer(SPECIAL.length)];
  if (kind === 1) return EXTREME[random.integer(EXTREME.length)];
  return Math.fround(random.normal(0, kind === 2 ? 100 : 3));
};
/** Sums start from 0, so that −0 is lost; which zero is the largest depends on the order in which they come. */
const unsignedZero: Values = (random, dtype) => anything(random, dtype) + 0;
const moderate: Values = (random, dtype) =>
  dtype === 'f32' ? Math.fround(random.normal(0, 3)) : anything(random, dtype);
const positive: Values = (random) => Math.fround(Math.exp(random.normal(0, 2)));
/** Sums and products of a few hundred of them are exact in f32. */
const small: Values = (random, dtype) => (dtype === 'f32' ? random.integer(7) - 3 : anything(random, dtype));
const signs: Values = (random) => [1, -1, 1, -1, 2][random.integer(5)];

function input(shape: Shape, dtype: DType, values: Values, random: Random): Input {
  return { shape, dtype, data: Array.from({ length: sizeOf(shape) }, () => castTo(dtype, values(random, dtype))) };
}

const castTo = (dtype: DType, value: number): number =>
  dtype === 'f32' ? Math.fround(value) : castValue(dtype, value);

const extents = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(9, 13, 16, 35) },
  { weight: 1, arbitrary: fc.constant(0) },
);
const shapes = fc
  .array(extents, { minLength: 0, maxLength: 5 })
  .map((shape) => (sizeOf(shape) > 4000 ? shape.slice(0, 2) : shape));

/** Shapes that broadcast to `joint`. */
function broadcasting(joint: Shape, random: Random): number[] {
  const skip = random.integer(3) === 0 ? random.integer(joint.length + 1) : 0;
  return joint.map((extent) => (random.integer(4) === 0 ? 1 : extent)).slice(skip);
}

/**
 * Runs a case on the CPU as it stands and compiled, awaited and not, and compares with the reference.
 * @param error in units in the last place of f32; 0: the very bits.
 */
function check(make: (shape: Shape, random: Random) => Case | undefined, error = 0, numRuns = RUNS): Promise<void> {
  const property = fc.asyncProperty(shapes, fc.nat(), async (shape, seed) => {
    const it = make(shape, new Random(seed));
    if (it === undefined) return;
    const { inputs, apply } = it;
    const on = (device: Device): Tensor[] => {
      setDevice(device);
      return inputs.map(({ shape, dtype, data }) => tensor(data, { shape, dtype }));
    };
    const list = (result: Tensor | Tensor[]): Tensor[] => (Array.isArray(result) ? result : [result]);
    const expected = list(apply(on(reference)));
    for (const device of devices) {
      const tensors = on(device);
      const run = compile((...args: Tensor[]) => list(apply(args)));
      const eager = list(apply(tensors));
      const sync = run.sync(...tensors);
      const awaited = await run(...tensors);
      expected.forEach((tensor, i) => {
        const from = inputs.map(({ shape, dtype }) => `${dtype}[${shape}] on ${device.instructions}`).join(', ');
        assertClose(eager[i], tensor, error, `eager, of ${from}`);
        assertClose(sync[i], tensor, error, `compiled, of ${from}`);
        assert.deepEqual(awaited[i].data(), sync[i].data(), `awaited, of ${from}`);
      });
      for (const t of [...tensors, ...eager, ...sync, ...awaited]) t.dispose();
      run.dispose();
    }
  });
  return fc.assert(property, { numRuns });
}

function assertClose(got: Tensor, expected: Tensor, ulps: number, what: string): void {
  assert.deepEqual([got.shape, got.dtype], [expected.shape, expected.dtype], what);
  const [a, b]: TypedArray[] = [got.data(), expected.data()];
  for (let i = 0; i < b.length; i++) {
    const rounded = got.dtype === 'f32' ? Math.fround(b[i]) : b[i];
    if (Object.is(a[i], rounded)) continue;
    const ulp = 2 ** Math.max(-149, Math.floor(Math.log2(Math.abs(b[i]))) - 23);
    if (ulps > 0 && Math.abs(a[i] - b[i]) <= ulps * ulp) continue;
    assert.fail(`${what}: element ${i} is ${a[i]}, expected ${rounded}`);
  }
}

type Unary = (x: Tensor) => Tensor;
type Binary = (a: Tensor, b: Tensor) => Tensor;

function unary(f: Unary, dtypes: readonly DType[], values: Values = anything, error = 0): () => Promise<void> {
  return async () => {
    for (const dtype of dtypes) {
      await check((shape, random) => ({ inputs: [input(shape, dtype, values, random)], apply: ([x]) => f(x) }), error);
    }
  };
}

function binary(f: Binary, dtypes: readonly DType[], values: Values = anything, error = 0): () => Promise<void> {
  return async () => {
    for (const dtype of dtypes) {
      await check((shape, random) => {
        const make = (): Input => input(broadcasting(shape, random), dtype, values, random);
        return { inputs: [make(), make()], apply: ([a, b]) => f(a, b) };
      }, error);
    }
  };
}

const NUMBERS: readonly DType[] = ['f32', 'i32'];
const ALL: readonly DType[] = ['f32', 'i32', 'u8', 'bool'];
const e = elementwise;

const OPERATORS: Readonly<Record<string, () => Promise<void>>> = {
  add: binary(e.add, NUMBERS),
  sub: binary(e.sub, NUMBERS),
  mul: binary(e.mul, NUMBERS),
  div: binary(e.div, ['f32']),
  minimum: binary(e.minimum, NUMBERS),
  maximum: binary(e.maximum, NUMBERS),
  pow: binary((a, b) => e.pow(e.abs(a), b), ['f32'], moderate, 2),
  equal: binary(e.equal, ALL),
  notEqual: binary(e.notEqual, ALL),
  less: binary(e.less, NUMBERS),
  lessEqual: binary(e.lessEqual, NUMBERS),
  greater: binary(e.greater, NUMBERS),
  greaterEqual: binary(e.greaterEqual, NUMBERS),
  logicalAnd: binary(e.logicalAnd, ['bool']),
  logicalOr: binary(e.logicalOr, ['bool']),
  logicalNot: unary(e.logicalNot, ['bool']),
  bitXor: binary(e.bitXor, ['i32']),
  bitOr: binary(e.bitOr, ['i32']),
  shiftLeft: unary((x) => e.shiftLeft(x, 5), ['i32']),
  shiftRight: unary((x) => e.shiftRight(x, 31), ['i32']),
  neg: unary(e.neg, NUMBERS),
  abs: unary(e.abs, NUMBERS),
  sqrt: unary(e.sqrt, ['f32']),
  floor: unary(e.floor, ['f32']),
  ceil: unary(e.ceil, ['f32']),
  trunc: unary(e.trunc, ['f32']),
  round: unary(e.round, ['f32']),
  relu: unary(e.relu, ['f32']),
  leakyRelu: unary((x) => e.leakyRelu(x, 0.25), ['f32']),
  stopGradient: unary(e.stopGradient, ALL),
  exp: unary(e.exp, ['f32'], anything, 2),
  expm1: unary(e.expm1, ['f32'], anything, 2),
  log: unary(e.log, ['f32'], anything, 2),
  log1p: unary(e.log1p, ['f32'], anything, 2),
  tanh: unary(e.tanh, ['f32'], anything, 3),
  sigmoid: unary(e.sigmoid, ['f32'], anything, 3),
  erf: unary(e.erf, ['f32'], anything, 4),
  sin: unary(e.sin, ['f32'], moderate, 2),
  cos: unary(e.cos, ['f32'], moderate, 2),
  logPositive: unary(e.log, ['f32'], positive, 2),
  where: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => {
        const make = (of: DType): Input => input(broadcasting(shape, random), of, anything, random);
        return { inputs: [make('bool'), make(dtype), make(dtype)], apply: ([c, a, b]) => e.where(c, a, b) };
      });
    }
  },
  cast: async () => {
    for (const from of ALL) for (const to of ALL) await unary((x) => e.cast(x, to), [from])();
  },
  broadcastTo: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => ({
        inputs: [input(broadcasting(shape, random), dtype, anything, random)],
        apply: ([x]) => broadcastTo(x, shape),
      }));
    }
  },
  sum: () => reduction(sum, small, true),
  max: () => reduction(max, unsignedZero),
  min: () => reduction(min, unsignedZero),
  argmax: () => reduction(argmax, anything),
  product: () => reduction(product, signs, true),
  largeReductions: async () => {
    // Split into chunks, along different axes.
    for (const shape of [[70_000], [40, 1000], [16, 3, 700], [1024, 33]]) {
      for (const [f, values] of [
        [sum, small],
        [max, unsignedZero],
        [argmax, anything],
      ] as const) {
        for (const axes of new Set(
          [[0], [shape.length - 1], shape.map((_, axis) => axis)].slice(0, 2 * shape.length - 1),
        )) {
          const make = (_: Shape, random: Random): Case => ({
            inputs: [input(shape, 'f32', values, random)],
            apply: ([x]) => f(x, axes),
          });
          await check(make, 0, 1);
        }
      }
    }
  },
  transpose: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => {
        const order = [...random.permutation(shape.length)];
        return { inputs: [input(shape, dtype, anything, random)], apply: ([x]) => transpose(x, order) };
      });
    }
  },
  reshape: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => ({
        inputs: [input(shape, dtype, anything, random)],
        apply: ([x]) => [reshape(x, [sizeOf(shape), 1]), reshape(x, [1, ...shape])],
      }));
    }
  },
  slice: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => {
        const step = shape.map(() => 1 + random.integer(3));
        const start = shape.map((extent) => random.integer(extent + 1));
        const size = shape.map((extent, i) => random.integer(Math.ceil((extent - start[i]) / step[i]) + 1));
        return { inputs: [input(shape, dtype, anything, random)], apply: ([x]) => slice(x, start, size, step) };
      });
    }
  },
  pad: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => {
        const low = shape.map((extent) => Math.max(random.integer(5) - 2, -extent));
        const high = shape.map((extent, i) => Math.max(random.integer(5) - 2, -extent - low[i]));
        const value = dtype === 'f32' ? Number.NEGATIVE_INFINITY : 1;
        return { inputs: [input(shape, dtype, anything, random)], apply: ([x]) => pad(x, low, high, value) };
      });
    }
  },
  concat: async () => {
    for (const dtype of ALL) {
      await check((shape, random) => {
        if (shape.length === 0) return undefined;
        const axis = random.integer(shape.length);
        const make = (): Input =>
          input(
            shape.map((extent, i) => (i === axis ? random.integer(5) : extent)),
            dtype,
            anything,
            random,
          );
        const inputs = Array.from({ length: 2 + random.integer(3) }, make);
        return { inputs, apply: (tensors) => concat(tensors, axis) };
      });
    }
  },
  full: async () => {
    for (const dtype of ALL) await check((shape) => ({ inputs: [], apply: () => full(shape, 1, dtype) }));
    for (const value of SPECIAL) await check((shape) => ({ inputs: [], apply: () => full(shape, value) }));
  },
  iota: () =>
    check((shape, random) => {
      if (shape.length === 0) return undefined;
      const axis = random.integer(shape.length);
      return { inputs: [], apply: () => iota(shape, axis) };
    }),
  uniform: () =>
    check((shape, random) => ({
      inputs: [input([2], 'i32', anything, random)],
      apply: ([key]) => uniform(key, shape),
    })),
  maxPool: async () => {
    for (const dtype of NUMBERS) await check((shape, random) => pooling(shape, random, dtype));
  },
  matmul: () =>
    check((shape, random) => {
      const [n = 3, k = 5, m = 7] = shape;
      return {
        inputs: [input([n, k], 'f32', small, random), input([k, m], 'f32', small, random)],
        apply: ([a, b]) => matmul(a, b),
      };
    }),
  linear: () =>
    check((shape, random) => {
      if (shape.length === 0) return undefined;
      const k = shape[shape.length - 1];
      const inputs = [shape, [6, k], [6]].map((s) => input(s, 'f32', small, random));
      return { inputs, apply: ([x, w, b]) => linear(x, w, b) };
    }),
};

async function reduction(f: typeof sum, values: Values, empty = false): Promise<void> {
  for (const dtype of NUMBERS) {
    for (const keepDims of [false, true]) {
      await check((shape, random) => {
        const axes = shape.map((_, axis) => axis).filter(() => random.integer(2) === 0);
        if (!empty && axes.some((axis) => shape[axis] === 0)) return undefined;
        // Products of many twos leave the range.
        if (f === product && sizeOf(shape) > 100) return undefined;
        return { inputs: [input(shape, dtype, values, random)], apply: ([x]) => f(x, axes, { keepDims }) };
      });
    }
  }
}

function pooling(shape: Shape, random: Random, dtype: DType): Case | undefined {
  const [batch = 2, channels = 5, ...rest] = shape;
  const spatial = rest.slice(0, 2);
  const axes = spatial.map((input) => {
    const kernel = 1 + random.integer(3);
    const stride = 1 + random.integer(3);
    const dilation = 1 + random.integer(2);
    const padLow = random.integer(2);
    const output = Math.max(0, Math.floor((input + 2 * padLow - dilation * (kernel - 1) - 1) / stride) + 1);
    return { input, kernel, output, stride, dilation, padLow };
  });
  const outputs = [batch, channels, ...axes.map((a) => a.output)];
  return {
    inputs: [input([batch, channels, ...spatial], dtype, unsignedZero, random), input(outputs, 'f32', small, random)],
    apply: ([x, g]) => {
      const { values, taps } = maxPoolWithTaps(x, axes);
      return [values, taps, unpool(g, taps, axes), pickTaps(x, taps, axes)];
    },
  };
}

for (const [name, body] of Object.entries(OPERATORS)) test(`${name} on the cpu is the reference's`, body);
