import fc from 'fast-check';
import { tensor } from '../ops/create.js';
import { allocateArray, type DType } from '../tensor/dtype.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { Random } from '../tensor/random.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

/** Shapes of `minRank` to `maxRank` axes with extents from `minExtent` (default 1) to `maxExtent` (default 4). */
export function shapes(
  minRank: number,
  maxRank: number,
  { minExtent = 1, maxExtent = 4 }: { readonly minExtent?: number; readonly maxExtent?: number } = {},
): fc.Arbitrary<number[]> {
  return fc.array(fc.integer({ min: minExtent, max: maxExtent }), { minLength: minRank, maxLength: maxRank });
}

/** A shape and some of its axes, in any order. */
export function shapeAndAxes(minRank: number, maxRank: number): fc.Arbitrary<{ shape: number[]; axes: number[] }> {
  return shapes(minRank, maxRank).chain((shape) =>
    fc.shuffledSubarray([...shape.keys()]).map((axes) => ({ shape, axes })),
  );
}

/** Two or three shapes that broadcast to one. */
export function broadcastable(count: number): fc.Arbitrary<{ joint: number[]; shapes: number[][] }> {
  return shapes(0, 3).chain((joint) => {
    const one = fc
      .tuple(
        fc.integer({ min: 0, max: joint.length }),
        fc.array(fc.boolean(), { minLength: joint.length, maxLength: joint.length }),
      )
      .map(([skip, stretched]) => joint.map((extent, i) => (stretched[i] ? 1 : extent)).slice(skip));
    return fc.tuple(...new Array(count).fill(one)).map((list) => ({ joint, shapes: list as number[][] }));
  });
}

/** Numbers from `low` to `high`, the same for the same seed. */
function randomNumbers(size: number, seed: number, low = -2, high = 2): Float64Array {
  const random = new Random(seed);
  return Float64Array.from({ length: size }, () => random.uniform(low, high));
}

/** A tensor of numbers from `low` to `high`; integers for integer dtypes. */
export function randomTensor(shape: Shape, seed: number, low = -2, high = 2, dtype: DType = 'f32'): Tensor {
  return tensor(randomNumbers(sizeOf(shape), seed, low, high), { shape, dtype });
}

/** A tensor of different numbers, at least 0.1 apart and away from zero, in random order: no ties, no kinks nearby. */
export function distinctTensor(shape: Shape, seed: number): Tensor {
  const size = sizeOf(shape);
  const order = new Random(seed).permutation(size);
  return tensor(
    Float64Array.from(order, (n) => (n - Math.floor(size / 2)) * 0.1 + 0.05),
    { shape },
  );
}

/** Arrays as files hold them, empty ones, too. */
export const hostTensors: fc.Arbitrary<HostTensor> = fc
  .record({
    dtype: fc.constantFrom<DType>('f32', 'i32', 'u8', 'bool'),
    shape: shapes(0, 4, { minExtent: 0 }),
    seed: fc.integer(),
  })
  .map(({ dtype, shape, seed }) => {
    const data = allocateArray(dtype, sizeOf(shape));
    for (let i = 0; i < data.length; i++) data[i] = dtype === 'bool' ? (seed + i) & 1 : Math.sin(seed + i) * 1000;
    return { dtype, shape, data };
  });

export const seeds: fc.Arbitrary<number> = fc.integer({ min: 0, max: 1_000_000 });
