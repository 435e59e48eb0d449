import { defaultRandom } from '../nn/init.js';
import {
  iota,
  ones as makeOnes,
  tensor as makeTensor,
  zeros as makeZeros,
  type NestedNumbers,
  randomNormal as normal,
  randomUniform as uniformNumbers,
} from '../ops/create.js';
import { cast, equal } from '../ops/elementwise.js';
import { argmax } from '../ops/reduce.js';
import { reshape } from '../ops/reshape.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { turn } from '../train/evaluate.js';
import type { KerasDType } from './layer.js';

// TensorFlow.js's functions that make tensors, for the engine's tensors.

type Values = NestedNumbers;

function dtypeOf(where: string, dtype: KerasDType): 'f32' | 'i32' {
  if (dtype === 'float32') return 'f32';
  if (dtype === 'int32') return 'i32';
  throw new OptionError(`${where}: dtype must be "float32" or "int32", got ${JSON.stringify(dtype)}`);
}

/** A tensor of nested or flat numbers; a shape is needed for flat ones of more than one axis. */
export function tensor(values: Values, shape?: Shape, dtype: KerasDType = 'float32'): Tensor {
  return makeTensor(values, { ...(shape === undefined ? {} : { shape }), dtype: dtypeOf('tensor', dtype) });
}

/** A tensor of one number without axes. */
export function scalar(value: number, dtype: KerasDType = 'float32'): Tensor {
  return makeTensor(value, { dtype: dtypeOf('scalar', dtype) });
}

type MakeTensor = (values: Values, shape?: Shape, dtype?: KerasDType) => Tensor;

function ofRank(rank: number): MakeTensor {
  return (values, shape, dtype) => {
    const made = tensor(values, shape, dtype);
    if (made.rank === rank) return made;
    throw new ShapeError(`tensor${rank}d: needs ${rank} axes, got ${formatShape(made.shape)}; give a shape`);
  };
}

/** {@link tensor} of one axis. */
export function tensor1d(values: Values, dtype?: KerasDType): Tensor {
  return ofRank(1)(values, undefined, dtype);
}
/** {@link tensor} of two axes, nested or with a shape. */
export const tensor2d: MakeTensor = ofRank(2);
/** {@link tensor} of three axes, nested or with a shape. */
export const tensor3d: MakeTensor = ofRank(3);
/** {@link tensor} of four axes, nested or with a shape. */
export const tensor4d: MakeTensor = ofRank(4);
/** {@link tensor} of five axes, nested or with a shape. */
export const tensor5d: MakeTensor = ofRank(5);

/** All elements zero. */
export function zeros(shape: Shape, dtype: KerasDType = 'float32'): Tensor {
  return makeZeros(shape, dtypeOf('zeros', dtype));
}

/** All elements one. */
export function ones(shape: Shape, dtype: KerasDType = 'float32'): Tensor {
  return makeOnes(shape, dtypeOf('ones', dtype));
}

/** Normal numbers; without a seed from the generator that `manualSeed` resets. */
export function randomNormal(shape: Shape, mean = 0, stdDev = 1, dtype: 'float32' = 'float32', seed?: number): Tensor {
  dtypeOf('randomNormal', dtype);
  return normal(shape, seed ?? defaultRandom(), mean, stdDev);
}

/** Uniform numbers in [minval, maxval); without a seed from the generator that `manualSeed` resets. */
export function randomUniform(
  shape: Shape,
  minval = 0,
  maxval = 1,
  dtype: 'float32' = 'float32',
  seed?: number,
): Tensor {
  dtypeOf('randomUniform', dtype);
  return uniformNumbers(shape, seed ?? defaultRandom(), minval, maxval);
}

/** A one in the place of each class number, zeros elsewhere: [...] to [..., depth]. */
export function oneHot(indices: Tensor, depth: number): Tensor {
  const numbers = reshape(cast(indices, 'i32'), [...indices.shape, 1]);
  const classes = iota([...indices.shape.map(() => 1), depth], indices.rank);
  return cast(equal(numbers, classes), 'f32');
}

/** The position of the largest element along an axis (default the first, as in TensorFlow.js). */
export function argMax(x: Tensor, axis = 0): Tensor {
  return argmax(x, axis);
}

/** Runs `body`. The garbage collector frees tensors that nobody holds, so nothing needs tidying; `dispose` frees at once. */
export function tidy<T>(body: () => T): T;
export function tidy<T>(name: string, body: () => T): T;
export function tidy<T>(nameOrBody: string | (() => T), body?: () => T): T {
  return typeof nameOrBody === 'function' ? nameOrBody() : (body as () => T)();
}

/** Frees the memory of tensors at once. */
export function dispose(tensors: Tensor | readonly Tensor[]): void {
  for (const tensor of Array.isArray(tensors) ? tensors : [tensors as Tensor]) tensor.dispose();
}

/** Lets timers and messages have their turn, as in TensorFlow.js between frames. */
export function nextFrame(): Promise<void> {
  return turn();
}
