import { getDevice } from '../graph/device.js';
import type { Operator } from '../graph/operator.js';
import { applyOperator } from '../graph/trace.js';
import { axisIndex, axisValue, constant } from '../kernel/expression.js';
import { mapNest } from '../kernel/kernel.js';
import { castValue } from '../kernel/scalar.js';
import { allocateArray, DTYPES, type DType, isFloat } from '../tensor/dtype.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { type HostTensor, isHostTensor } from '../tensor/host-tensor.js';
import { Random } from '../tensor/random.js';
import { checkShape, formatShape, normalizeAxes, type Shape, sizeOf } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { checkRepresentable } from './checks.js';
import { forEachPosition } from './loops.js';

const fullOperator: Operator<{ shape: Shape; value: number; dtype: DType }> = {
  name: 'full',
  infer: (_, { shape, dtype }) => [{ dtype, shape }],
  reference(_, [y], { value }) {
    y.data.fill(value);
  },
  lower: (_, [y], { value }) => mapNest(y.shape, constant(value, y.dtype)),
};

const iotaOperator: Operator<{ shape: Shape; axis: number }> = {
  name: 'iota',
  infer: (_, { shape }) => [{ dtype: 'i32', shape }],
  reference(_, [y], { axis }) {
    forEachPosition(y.type.shape, (position, flat) => {
      y.data[flat] = position[axis];
    });
  },
  lower: (_, [y], { axis }) => mapNest(y.shape, axisValue(axisIndex(axis))),
};

/** A constant of the graph: part of the program, no memory of its own. */
export function full(shape: Shape, value: number, dtype: DType = 'f32'): Tensor {
  checkShape('full', shape);
  checkRepresentable('full', value, dtype);
  return applyOperator(fullOperator, [], { shape: [...shape], value, dtype })[0];
}

/** The position along `axis`, as i32. */
export function iota(shape: Shape, axis = 0): Tensor {
  checkShape('iota', shape);
  const [a] = normalizeAxes('iota', [axis], shape.length);
  return applyOperator(iotaOperator, [], { shape: [...shape], axis: a })[0];
}

/** Nested arrays of numbers, at most as deep as is sensible to type. */
export type NestedNumbers = number | readonly NestedNumbers[] | ArrayLike<number>;

/** Options of {@link tensor}. */
export interface TensorOptions {
  /** default: taken from the data; one-dimensional for flat arrays */
  readonly shape?: Shape;
  /** default: that of the contents of a tensor; `i32` for Int32Array, `u8` for Uint8Array, otherwise `f32` */
  readonly dtype?: DType;
}

/**
 * A tensor with data on the current device.
 *
 * @param data numbers, or the contents of a tensor with their shape and dtype, as files hold them
 * @example tensor([[1, 2], [3, 4]])
 * @example tensor(new Float32Array(784), { shape: [1, 1, 28, 28] })
 * @example tensor(await readNpy('image.npy'))
 */
export function tensor(data: NestedNumbers | HostTensor, options: TensorOptions = {}): Tensor {
  checkOptions('tensor', options, ['shape', 'dtype']);
  if (isHostTensor(data)) {
    const { shape = data.shape, dtype = data.dtype } = options;
    return tensor(data.data, { shape, dtype });
  }
  const flat: number[] = [];
  let values: ArrayLike<number> = flat;
  let shape: number[] = [];
  if (ArrayBuffer.isView(data)) {
    values = data as unknown as ArrayLike<number>;
    shape = [values.length];
  } else {
    shape = flattenInto(data, flat);
  }
  const dtype = options.dtype ?? (values instanceof Int32Array ? 'i32' : values instanceof Uint8Array ? 'u8' : 'f32');
  checkDType('tensor', dtype);
  const target = options.shape ?? shape;
  checkShape('tensor', target);
  if (sizeOf(target) !== values.length) {
    throw new ShapeError(`tensor: ${values.length} elements do not fill ${formatShape(target)} = ${sizeOf(target)}`);
  }
  const storage = getDevice().allocate({ dtype, shape: [...target] });
  // As cast() does: typed arrays would wrap around instead of saturating.
  const exact = isFloat(dtype) || (values instanceof DTYPES[dtype].array && dtype !== 'bool');
  storage.write(exact ? values : Array.from(values, (value) => castValue(dtype, value)));
  return Tensor.fromStorage(storage);
}

function checkDType(where: string, dtype: DType): void {
  if (typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype)) return;
  const got = typeof dtype === 'string' ? `"${dtype}"` : `a value of the type ${typeof dtype}`;
  throw new OptionError(`${where}: unknown dtype, ${got}; known are ${Object.keys(DTYPES).join(', ')}`);
}

function flattenInto(data: NestedNumbers, flat: number[]): number[] {
  if (typeof data === 'number') {
    flat.push(data);
    return [];
  }
  if (typeof data !== 'object' || data === null) {
    throw new OptionError(`tensor: takes numbers, typed arrays and nested arrays of them, got ${typeof data}`);
  }
  let inner: number[] | undefined;
  for (const part of Array.from(data as ArrayLike<NestedNumbers>)) {
    const shape = flattenInto(part, flat);
    if (inner !== undefined && (inner.length !== shape.length || inner.some((extent, i) => extent !== shape[i]))) {
      throw new ShapeError(`tensor: rows differ in shape, ${formatShape(inner)} and ${formatShape(shape)}`);
    }
    inner = shape;
  }
  return [(data as ArrayLike<NestedNumbers>).length, ...(inner ?? [])];
}

/** Data of zeros. Inside a traced function prefer {@link full}. */
export function zeros(shape: Shape, dtype: DType = 'f32'): Tensor {
  checkShape('zeros', shape);
  checkDType('zeros', dtype);
  const storage = getDevice().allocate({ dtype, shape: [...shape] });
  storage.clear();
  return Tensor.fromStorage(storage);
}

/** All elements one. */
export function ones(shape: Shape, dtype: DType = 'f32'): Tensor {
  checkShape('ones', shape);
  checkDType('ones', dtype);
  return tensor(allocateArray(dtype, sizeOf(shape)).fill(1), { shape, dtype });
}

/** Independent normal numbers from an explicit generator or seed. */
export function randomNormal(shape: Shape, random: Random | number, mean = 0, deviation = 1): Tensor {
  const source = typeof random === 'number' ? new Random(random) : random;
  return tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => source.normal(mean, deviation)),
    { shape },
  );
}

/** Independent uniform numbers in [low, high) from an explicit generator or seed. */
export function randomUniform(shape: Shape, random: Random | number, low = 0, high = 1): Tensor {
  const source = typeof random === 'number' ? new Random(random) : random;
  return tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => source.uniform(low, high)),
    { shape },
  );
}
