import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';

// Initial weights, as torch.nn.init: every function overwrites a tensor [out, in, …kernel] and returns it.

let shared = new Random(0);

/** Resets the generator that layers draw initial weights from when they are given none. It starts with seed 0. */
export function manualSeed(seed: number): void {
  if (!Number.isSafeInteger(seed)) throw new OptionError(`manualSeed: the seed must be an integer, got ${seed}`);
  shared = new Random(seed);
}

/** The generator of {@link manualSeed}. */
export function defaultRandom(): Random {
  return shared;
}

let skipping = false;

/**
 * Runs `body`, in which weights keep the contents that they are made with (zeros) instead of being drawn: for layers whose weights
 * are written afterwards anyway, as `torch.nn.utils.skip_init`.
 */
export function skipInit<T>(body: () => T): T {
  const before = skipping;
  skipping = true;
  try {
    return body();
  } finally {
    skipping = before;
  }
}

/** Whether this is within {@link skipInit}. */
export function initSkipped(): boolean {
  return skipping;
}

/** Inputs that one output depends on, and outputs that one input takes part in. */
export function fans(shape: Shape): { fanIn: number; fanOut: number } {
  if (shape.length < 2) throw new ShapeError(`init: needs at least two axes [out, in, …], got ${formatShape(shape)}`);
  const taps = sizeOf(shape.slice(2));
  return { fanIn: shape[1] * taps, fanOut: shape[0] * taps };
}

export type Nonlinearity = 'linear' | 'conv2d' | 'sigmoid' | 'tanh' | 'relu' | 'leaky_relu' | 'selu';

/** By how much to scale weights so that variance survives the nonlinearity; `a` is the slope of `leaky_relu`. */
export function gain(nonlinearity: Nonlinearity, a = 0.01): number {
  switch (nonlinearity) {
    case 'linear':
    case 'conv2d':
    case 'sigmoid':
      return 1;
    case 'tanh':
      return 5 / 3;
    case 'relu':
      return Math.SQRT2;
    case 'leaky_relu':
      return Math.sqrt(2 / (1 + a * a));
    case 'selu':
      return 3 / 4;
    default:
      throw new OptionError(`init: unknown nonlinearity ${JSON.stringify(nonlinearity)}`);
  }
}

export interface KaimingOptions {
  /** slope of `leaky_relu`; default 0 */
  readonly a?: number;
  /** `fan_in` (default) keeps the variance of activations, `fan_out` that of gradients */
  readonly mode?: 'fan_in' | 'fan_out';
  /** default `leaky_relu` */
  readonly nonlinearity?: Nonlinearity;
  readonly random?: Random;
}

export interface XavierOptions {
  /** default 1 */
  readonly gain?: number;
  readonly random?: Random;
}

/** Uniform in [low, high). */
export function uniform(tensor: Tensor, low = 0, high = 1, random: Random = shared): Tensor {
  return skipping ? tensor : fill(tensor, () => random.uniform(low, high));
}

export function normal(tensor: Tensor, mean = 0, deviation = 1, random: Random = shared): Tensor {
  return skipping ? tensor : fill(tensor, () => random.normal(mean, deviation));
}

export function constant(tensor: Tensor, value: number): Tensor {
  return fill(tensor, () => value);
}

/** He et al., "Delving deep into rectifiers", 2015: uniform with the deviation gain / √fan. */
export function kaimingUniform(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  const bound = Math.sqrt(3) * kaimingDeviation(tensor, options);
  return uniform(tensor, -bound, bound, options.random);
}

/** He et al., 2015: normal with the deviation gain / √fan. */
export function kaimingNormal(tensor: Tensor, options: KaimingOptions = {}): Tensor {
  return normal(tensor, 0, kaimingDeviation(tensor, options), options.random);
}

function kaimingDeviation(tensor: Tensor, options: KaimingOptions): number {
  checkOptions('kaiming', options, ['a', 'mode', 'nonlinearity', 'random']);
  const { a = 0, mode = 'fan_in', nonlinearity = 'leaky_relu' } = options;
  if (mode !== 'fan_in' && mode !== 'fan_out') {
    throw new OptionError(`kaiming: mode must be "fan_in" or "fan_out", got ${JSON.stringify(mode)}`);
  }
  const { fanIn, fanOut } = fans(tensor.shape);
  return gain(nonlinearity, a) / Math.sqrt(mode === 'fan_in' ? fanIn : fanOut);
}

/** Glorot and Bengio, "Understanding the difficulty of training deep feedforward networks", 2010: uniform. */
export function xavierUniform(tensor: Tensor, options: XavierOptions = {}): Tensor {
  const bound = Math.sqrt(3) * xavierDeviation(tensor, options);
  return uniform(tensor, -bound, bound, options.random);
}

/** Glorot and Bengio, 2010: normal with the deviation gain · √(2 / (fan in + fan out)). */
export function xavierNormal(tensor: Tensor, options: XavierOptions = {}): Tensor {
  return normal(tensor, 0, xavierDeviation(tensor, options), options.random);
}

function xavierDeviation(tensor: Tensor, options: XavierOptions): number {
  checkOptions('xavier', options, ['gain', 'random']);
  const { fanIn, fanOut } = fans(tensor.shape);
  return (options.gain ?? 1) * Math.sqrt(2 / (fanIn + fanOut));
}

/** PyTorch's default of convolution and linear layers: weights and bias uniform within ±1 / √fan in. */
export function defaultInit(weight: Tensor, bias: Tensor | undefined, random: Random = shared): void {
  // kaimingUniform with a = √5 has the bound √3 · √(2 / 6) / √fan in.
  const bound = 1 / Math.sqrt(Math.max(1, fans(weight.shape).fanIn));
  uniform(weight, -bound, bound, random);
  if (bias !== undefined) uniform(bias, -bound, bound, random);
}

function fill(tensor: Tensor, next: () => number): Tensor {
  const data = new Float32Array(tensor.size);
  for (let i = 0; i < data.length; i++) data[i] = next();
  tensor.write(data);
  return tensor;
}
