import type { Geometry } from '../kernel/contraction.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { addChannels, checkGroups, ofRank } from './conv.js';
import { contract } from './convolution.js';
import { checkDataFormat, type DataFormat, fromChannelsFirst, toChannelsFirst } from './data-format.js';
import {
  checkImages,
  checkOutputPadding,
  type Padding,
  type PerAxis,
  perAxis,
  resolvePadding,
  splitText,
  type TransposedOptions,
  transposedOutputs,
  windowSpan,
} from './window.js';

/** Options of {@link convTranspose2d} and its kin. */
export interface ConvTransposeOptions {
  /** [out channels]; default none */
  readonly bias?: Tensor;
  /** default 1 */
  readonly stride?: PerAxis;
  /** what the convolution that this one is the transpose of pads; `same` makes input · stride outputs; default 0 */
  readonly padding?: Exclude<Padding, 'causal'>;
  /** Of the output extents that the convolution maps to one input extent, this many above the least; default 0. */
  readonly outputPadding?: PerAxis;
  /** The output extents themselves, in place of `outputPadding`. */
  readonly outputSize?: PerAxis;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** channels are split into so many independent convolutions; default 1 */
  readonly groups?: number;
  /** of x and of the result; default `channels-first` */
  readonly dataFormat?: DataFormat;
}

const OPTIONS = ['bias', 'stride', 'padding', 'outputPadding', 'outputSize', 'dilation', 'groups', 'dataFormat'];

/**
 * Transposed convolution with any number of spatial axes: the gradient of {@link conv} with respect to its input, as an
 * operator of its own. Each axis gets (input − 1) · stride − padding + dilation · (kernel − 1) + outputPadding + 1 outputs.
 *
 * @param x [batch, channels in, …spatial]
 * @param w [channels in, channels out / groups, …kernel]
 * @param where named in messages
 * @throws ShapeError where operands, groups or extents do not fit; OptionError for options that are none.
 */
export function convTranspose(
  x: Tensor,
  w: Tensor,
  options: ConvTransposeOptions = {},
  where = 'convTranspose',
): Tensor {
  checkOptions(where, options, OPTIONS);
  const { groups = 1, bias, dataFormat = 'channels-first' } = options;
  checkDataFormat(where, dataFormat);
  const rank = w.rank - 2;
  if (rank < 0) {
    throw new ShapeError(`${where}: the filter must be [in, out / groups, …kernel], got ${formatShape(w.shape)}`);
  }
  checkGroups(where, groups);
  const [channels, channelsOut, ...kernel] = w.shape;
  checkImages(where, x.shape, rank, channels, dataFormat);
  if (channels % groups !== 0)
    throw new ShapeError(`${where}: ${channels} input channels: ${splitText(channels, groups)}`);
  const images = toChannelsFirst(x, dataFormat);
  const inputs = images.shape.slice(2);
  const windows = transposedWindows(where, kernel, options);
  const outputs = outputExtents(where, inputs, windows, options.outputSize);
  // The contraction's X is what comes out, its Z what goes in.
  const geometry: Geometry = {
    batch: x.shape[0],
    groups,
    channelsIn: channelsOut,
    channelsOut: channels / groups,
    axes: inputs.map((input, s) => ({
      input: outputs[s],
      kernel: kernel[s],
      output: input,
      stride: windows.stride[s],
      dilation: windows.dilation[s],
      padLow: windows.padding[s][0],
    })),
  };
  const y = contract('input', w, images, geometry);
  return fromChannelsFirst(bias === undefined ? y : addChannels(where, y, bias), dataFormat);
}

interface TransposedWindows extends TransposedOptions {
  /** The outputs are input · stride. */
  readonly same: boolean;
}

/** The options per axis, checked. */
export function transposedWindows(
  where: string,
  kernel: readonly number[],
  options: Pick<ConvTransposeOptions, 'stride' | 'padding' | 'outputPadding' | 'outputSize' | 'dilation'>,
): TransposedWindows {
  const rank = kernel.length;
  const stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
  const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
  const outputPadding = perAxis(where, 'outputPadding', options.outputPadding ?? 0, rank, 0);
  const padding = (options.padding ?? 0) as Padding;
  if (padding === 'causal') {
    throw new OptionError(`${where}: a transposed convolution has no padding "causal"; give [low, high]`);
  }
  checkOutputPadding(where, outputPadding, stride, dilation);
  if (options.outputSize !== undefined && outputPadding.some((extra) => extra > 0)) {
    throw new OptionError(`${where}: outputSize and outputPadding both say how large the output is; give one`);
  }
  const same = padding === 'same';
  if (same && (options.outputSize !== undefined || outputPadding.some((extra) => extra > 0))) {
    throw new OptionError(
      `${where}: padding "same" makes input · stride outputs; leave out outputPadding and outputSize`,
    );
  }
  // For `same`: what the convolution of `stride` elements pads, which is what that of input · stride elements pads.
  return {
    kernel,
    stride,
    dilation,
    outputPadding,
    same,
    padding: resolvePadding(where, padding, kernel, stride, dilation, stride),
  };
}

/** The extents of the output: from the options, `same`, or `size` where it is among those that lead back to the inputs. */
export function outputExtents(where: string, inputs: Shape, windows: TransposedWindows, size?: PerAxis): number[] {
  const { kernel, stride, dilation, padding, same } = windows;
  if (same) return inputs.map((input, axis) => input * stride[axis]);
  if (size === undefined) return transposedOutputs(where, inputs, windows);
  return perAxis(where, 'outputSize', size, inputs.length, 1).map((wanted, axis) => {
    const [low, high] = padding[axis];
    const span = windowSpan(kernel[axis], dilation[axis]);
    const least = (inputs[axis] - 1) * stride[axis] - low - high + span;
    const most = least + Math.max(stride[axis], dilation[axis]) - 1;
    if (wanted >= least && wanted <= most) return wanted;
    const sum = `(${inputs[axis]} − 1) · ${stride[axis]} − ${low} − ${high} + ${span}`;
    throw new ShapeError(
      `${where}: outputSize ${wanted} (axis ${axis + 2}) cannot come from ${inputs[axis]} positions: ${sum} = ${least} to ${most} can`,
    );
  });
}

/** {@link convTranspose} of sequences: x [batch, in, length], w [in, out / groups, kernel]. */
export function convTranspose1d(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const where = 'convTranspose1d';
  return convTranspose(x, ofRank(where, w, '[in, out / groups, length]'), options, where);
}

/** {@link convTranspose} of images: x [batch, in, height, width], w [in, out / groups, kernel height, kernel width]. */
export function convTranspose2d(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const where = 'convTranspose2d';
  return convTranspose(x, ofRank(where, w, '[in, out / groups, height, width]'), options, where);
}

/** {@link convTranspose} of volumes: x [batch, in, depth, height, width], w [in, out / groups, …kernel]. */
export function convTranspose3d(x: Tensor, w: Tensor, options: ConvTransposeOptions = {}): Tensor {
  const where = 'convTranspose3d';
  return convTranspose(x, ofRank(where, w, '[in, out / groups, depth, height, width]'), options, where);
}
