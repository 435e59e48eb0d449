import { currentTrace } from '../graph/trace.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, formatType, type Shape, sameShape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { full, iota } from './create.js';
import { checkDataFormat, type DataFormatOption, fromChannelsFirst, toChannelsFirst } from './data-format.js';
import {
  add,
  cast,
  div,
  floor,
  greaterEqual,
  less,
  logicalAnd,
  maximum,
  mul,
  where as select,
  sub,
} from './elementwise.js';
import { maxPoolWithTaps, unpool, type WindowAxis } from './maxpool.js';
import {
  MAX_POOL_OPTIONS,
  type MaxPoolOptions,
  type PoolPadding,
  pooled,
  poolPadding,
  poolWindows,
} from './pooling.js';
import { checkImages, type PerAxis, perAxis } from './window.js';

/** What max pooling found, and where. */
export interface MaxPoolResult {
  readonly values: Tensor;
  /** i32, of the shape of the values: the flat position in the input's spatial axes, row-major, as in PyTorch */
  readonly indices: Tensor;
}

/** Options of {@link maxUnpool} and its kin. */
export interface MaxUnpoolOptions extends DataFormatOption {
  /** default: the window's size */
  readonly stride?: PerAxis;
  /** of the pooling to undo; `same` needs `outputSize`; default 0 */
  readonly padding?: PoolPadding;
  /** Spatial extents of the result: those of the pooling's input; default (extent − 1) · stride − low − high + kernel. */
  readonly outputSize?: PerAxis;
}

/** Max pooling that also tells where it found each element; x is [batch, channels, …spatial], options as `maxPool`. */
export function maxPoolWithIndices(
  x: Tensor,
  kernel: PerAxis,
  options: MaxPoolOptions = {},
  where = 'maxPoolWithIndices',
): MaxPoolResult {
  checkOptions(where, options, MAX_POOL_OPTIONS);
  const { dataFormat = 'channels-first' } = options;
  checkDataFormat(where, dataFormat);
  checkImages(where, x.shape, Math.max(1, x.rank - 2), undefined, dataFormat);
  const images = toChannelsFirst(x, dataFormat);
  const { axes } = poolWindows(where, images, images.rank - 2, kernel, options);
  const { values, taps } = maxPoolWithTaps(images, axes);
  const back = (t: Tensor): Tensor => fromChannelsFirst(t, dataFormat);
  return { values: back(values), indices: back(indicesOfTaps(taps, axes)) };
}

/**
 * Puts every element where max pooling with the same window, stride and padding had found it, and zeros elsewhere.
 * Where overlapping windows name one place, it gets the mean of their elements (PyTorch leaves open which it gets).
 *
 * @param indices i32, of the shape of `x`, from {@link maxPoolWithIndices}; an index outside of its own window is dropped
 * @throws OptionError outside of `compile` for an index that is no position of the result
 */
export function maxUnpool(
  x: Tensor,
  indices: Tensor,
  kernel: PerAxis,
  options: MaxUnpoolOptions = {},
  where = 'maxUnpool',
): Tensor {
  checkOptions(where, options, ['stride', 'padding', 'outputSize', 'dataFormat']);
  if (indices.dtype !== 'i32' || !sameShape(indices.shape, x.shape)) {
    throw new ShapeError(
      `${where}: the indices must be i32${formatShape(x.shape)}, as the input, got ${formatType(indices)}`,
    );
  }
  const { dataFormat = 'channels-first' } = options;
  return pooled(where, x, options, (images) =>
    putBack(images, toChannelsFirst(indices, dataFormat), kernel, options, where),
  );
}

function putBack(x: Tensor, indices: Tensor, kernel: PerAxis, options: MaxUnpoolOptions, where: string): Tensor {
  const rank = x.rank - 2;
  const size = perAxis(where, 'kernelSize', kernel, rank, 1);
  const stride = perAxis(where, 'stride', options.stride ?? size, rank, 1);
  const wanted =
    options.outputSize === undefined ? undefined : perAxis(where, 'outputSize', options.outputSize, rank, 1);
  if (options.padding === 'same' && wanted === undefined) {
    throw new OptionError(`${where}: padding "same" fits several outputs; give outputSize, the pooling's input`);
  }
  const ones = size.map(() => 1);
  const padding = poolPadding(where, options.padding ?? 0, size, stride, ones, wanted ?? size);
  const axes = x.shape.slice(2).map((output, s): WindowAxis => {
    const [low, high] = padding[s];
    const usual = (output - 1) * stride[s] - low - high + size[s];
    const pads = low === high ? `2·${low}` : `${low} − ${high}`;
    const sum = `(${output} − 1)·${stride[s]} − ${pads} + ${size[s]} = ${usual}`;
    const input = wanted?.[s] ?? usual;
    if (input < 1) throw new ShapeError(`${where}: nothing is left along axis ${2 + s}: ${sum}`);
    if (Math.abs(input - usual) >= stride[s]) {
      throw new OptionError(
        `${where}: outputSize ${input} along axis ${2 + s} must lie between ${Math.max(1, usual - stride[s] + 1)} and ${usual + stride[s] - 1}, less than the stride ${stride[s]} from ${sum}`,
      );
    }
    return { input, kernel: size[s], output, stride: stride[s], dilation: 1, padLow: low };
  });
  if (currentTrace() === undefined) {
    const extents = axes.map((a) => a.input);
    const positions = sizeOf(extents);
    const at = indices.data().findIndex((index) => index < 0 || index >= positions);
    if (at >= 0) {
      throw new OptionError(
        `${where}: index ${indices.data()[at]} (element ${at} of the indices) is no position of ${extents.join('×')} = ${positions}; are the indices of this pooling, is outputSize the extents of its input?`,
      );
    }
  }
  const taps = tapsOfIndices(indices, axes);
  const sums = unpool(x, taps, axes);
  if (axes.every((a) => a.stride >= a.kernel)) return sums;
  return div(sums, maximum(unpool(full(x.shape, 1, x.dtype), taps, axes), 1));
}

/** The position along spatial axis `s`, i32[1, 1, …] to broadcast. */
function positionAlong(s: number, extents: Shape): Tensor {
  const shape = new Array<number>(extents.length + 2).fill(1);
  shape[2 + s] = extents[s];
  return iota(shape, 2 + s);
}

/** i32[1, 1, …extents]: row-major positions. */
export function flatPositions(extents: Shape): Tensor {
  const strides = stridesOf(extents);
  return extents.map((_, s) => mul(positionAlong(s, extents), strides[s])).reduce((total, part) => add(total, part));
}

/** Where each window starts along axis `s`: stride · o − padLow. */
function starts(s: number, axes: readonly WindowAxis[]): Tensor {
  return sub(
    mul(
      positionAlong(
        s,
        axes.map((a) => a.output),
      ),
      axes[s].stride,
    ),
    axes[s].padLow,
  );
}

/** Flat positions in the input of taps, which are flat positions in the window. */
function indicesOfTaps(taps: Tensor, axes: readonly WindowAxis[]): Tensor {
  const positions = unravel(
    taps,
    axes.map((a) => a.kernel),
  ).map((tap, s) => maximum(add(starts(s, axes), mul(tap, axes[s].dilation)), 0));
  const strides = stridesOf(axes.map((a) => a.input));
  return positions.map((i, s) => mul(i, strides[s])).reduce((total, part) => add(total, part));
}

/** The inverse for dilation 1; −1, which no tap equals, for positions outside of the window. */
function tapsOfIndices(indices: Tensor, axes: readonly WindowAxis[]): Tensor {
  const positions = unravel(
    indices,
    axes.map((a) => a.input),
  );
  const along = positions.map((i, s) => sub(i, starts(s, axes)));
  const inside = along
    .map((tap, s) => logicalAnd(greaterEqual(tap, 0), less(tap, axes[s].kernel)))
    .reduce((all, one) => logicalAnd(all, one));
  const strides = stridesOf(axes.map((a) => a.kernel));
  const taps = along.map((tap, s) => mul(tap, strides[s])).reduce((total, part) => add(total, part));
  return select(inside, taps, -1);
}

/** Row-major positions along each axis of flat ones; what is out of range ends up out of range along the first axis. */
function unravel(flat: Tensor, extents: Shape): Tensor[] {
  const positions: Tensor[] = [];
  let rest = flat;
  for (let s = extents.length - 1; s > 0; s--) {
    const [quotient, remainder] = divide(rest, extents[s]);
    positions.unshift(remainder);
    rest = quotient;
  }
  return [rest, ...positions];
}

/**
 * ⌊x / by⌋ and what remains, in i32, for every x. Single precision guesses the quotient; its 24 bits leave an error, which a
 * second guess for the remainder brings down to one.
 */
export function divide(x: Tensor, by: number): [Tensor, Tensor] {
  const guess = (n: Tensor): Tensor => cast(floor(div(cast(n, 'f32'), by)), 'i32');
  const first = guess(x);
  const left = sub(x, mul(first, by));
  const second = guess(left);
  const rest = sub(left, mul(second, by));
  const error = sub(cast(greaterEqual(rest, by), 'i32'), cast(less(rest, 0), 'i32'));
  return [add(add(first, second), error), sub(rest, mul(error, by))];
}

/** {@link maxUnpool} of one rank. */
export type MaxUnpoolFunction = (x: Tensor, indices: Tensor, kernel: PerAxis, options?: MaxUnpoolOptions) => Tensor;

const ofRank =
  (rank: number, where: string): MaxUnpoolFunction =>
  (x, indices, kernel, options) => {
    checkImages(where, x.shape, rank, undefined, options?.dataFormat);
    return maxUnpool(x, indices, kernel, options, where);
  };

/** {@link maxUnpool} of [batch, channels, length]. */
export const maxUnpool1d: MaxUnpoolFunction = ofRank(1, 'maxUnpool1d');
/** {@link maxUnpool} of images [batch, channels, height, width]. */
export const maxUnpool2d: MaxUnpoolFunction = ofRank(2, 'maxUnpool2d');
/** {@link maxUnpool} of volumes [batch, channels, depth, height, width]. */
export const maxUnpool3d: MaxUnpoolFunction = ofRank(3, 'maxUnpool3d');
