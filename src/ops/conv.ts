import type { Geometry } from '../kernel/contraction.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { contract } from './convolution.js';
import { checkDataFormat, type DataFormat, fromChannelsFirst, toChannelsFirst } from './data-format.js';
import { add } from './elementwise.js';
import { checkPaddingMode, type PaddingMode, pad } from './padding.js';
import { reshape } from './reshape.js';
import {
  checkImages,
  type Padding,
  type PerAxis,
  perAxis,
  resolvePadding,
  splitText,
  windowOutputs,
} from './window.js';

/** Options of {@link conv2d} and its kin. */
export interface ConvOptions {
  /** [out channels]; default none */
  readonly bias?: Tensor;
  /** default 1 */
  readonly stride?: PerAxis;
  /** default 0 */
  readonly padding?: Padding;
  /** distance between taps; default 1 */
  readonly dilation?: PerAxis;
  /** channels are split into so many independent convolutions; default 1 */
  readonly groups?: number;
  /** what the padding consists of; default `zeros` */
  readonly paddingMode?: PaddingMode;
  /** of paddingMode `constant`; default 0 */
  readonly paddingValue?: number;
  /** of x and of the result; default `channels-first` */
  readonly dataFormat?: DataFormat;
}

const OPTIONS = ['bias', 'stride', 'padding', 'dilation', 'groups', 'paddingMode', 'paddingValue', 'dataFormat'];

/**
 * Convolution (cross-correlation, as everywhere in the field) with any number of spatial axes. Each gets
 * ⌊(input + padding − dilation · (kernel − 1) − 1) / stride⌋ + 1 outputs.
 *
 * @param x [batch, channels in, …spatial]
 * @param w [channels out, channels in / groups, …kernel]
 * @param where named in messages
 * @throws ShapeError where the operands, the groups or the kernel do not fit; OptionError for options that are none.
 */
export function conv(x: Tensor, w: Tensor, options: ConvOptions = {}, where = 'conv'): Tensor {
  checkOptions(where, options, OPTIONS);
  const { groups = 1, bias, paddingMode = 'zeros', paddingValue, dataFormat = 'channels-first' } = options;
  checkPaddingMode(where, 'paddingMode', paddingMode, paddingValue);
  checkDataFormat(where, dataFormat);
  const rank = w.rank - 2;
  if (rank < 0) {
    throw new ShapeError(`${where}: the filter must be [out, in / groups, …kernel], got ${formatShape(w.shape)}`);
  }
  checkGroups(where, groups);
  const [out, channelsIn, ...kernel] = w.shape;
  checkImages(where, x.shape, rank, channelsIn * groups, dataFormat);
  if (out % groups !== 0) throw new ShapeError(`${where}: ${out} output channels: ${splitText(out, groups)}`);
  const stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
  const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
  let images = toChannelsFirst(x, dataFormat);
  const extents = images.shape.slice(2);
  let padding = resolvePadding(where, options.padding ?? 0, kernel, stride, dilation, extents);
  const outputs = windowOutputs(where, extents, { kernel, stride, dilation, padding });
  if (paddingMode !== 'zeros' && (paddingMode !== 'constant' || paddingValue)) {
    const [low, high] = [0, 1].map((side) => [0, 0, ...padding.map((pair) => pair[side])]);
    images = pad(images, low, high, { mode: paddingMode, value: paddingValue }, where);
    padding = padding.map(() => [0, 0]);
  }
  const geometry: Geometry = {
    batch: x.shape[0],
    groups,
    channelsIn,
    channelsOut: out / groups,
    axes: outputs.map((output, s) => ({
      input: images.shape[2 + s],
      kernel: kernel[s],
      output,
      stride: stride[s],
      dilation: dilation[s],
      padLow: padding[s][0],
    })),
  };
  const y = contract('output', images, w, geometry);
  return fromChannelsFirst(bias === undefined ? y : addChannels(where, y, bias), dataFormat);
}

export function checkGroups(where: string, groups: number): void {
  if (!Number.isInteger(groups) || groups < 1) {
    throw new OptionError(`${where}: groups must be an integer ≥ 1, got ${groups}`);
  }
}

/** {@link conv} of sequences: x [batch, in, length], w [out, in / groups, kernel]. */
export function conv1d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  return conv(x, ofRank('conv1d', w, '[out, in / groups, length]'), options, 'conv1d');
}

/** {@link conv} of images: x [batch, in, height, width], w [out, in / groups, kernel height, kernel width]. */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  return conv(x, ofRank('conv2d', w, '[out, in / groups, height, width]'), options, 'conv2d');
}

/** {@link conv} of volumes: x [batch, in, depth, height, width], w [out, in / groups, …kernel]. */
export function conv3d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  return conv(x, ofRank('conv3d', w, '[out, in / groups, depth, height, width]'), options, 'conv3d');
}

/** The filter `w`, if it has as many axes as `expected` lists. */
export function ofRank(where: string, w: Tensor, expected: string): Tensor {
  if (w.rank === expected.split(',').length) return w;
  throw new ShapeError(`${where}: the filter must be ${expected}, got ${formatShape(w.shape)}`);
}

/** x · wᵀ + bias over the last axis: x […, in], w [out, in], bias [out]. */
export function linear(x: Tensor, w: Tensor, bias?: Tensor, where = 'linear'): Tensor {
  if (w.rank !== 2) throw new ShapeError(`${where}: the weight must be [out, in], got ${formatShape(w.shape)}`);
  const [out, features] = w.shape;
  if (x.rank < 1 || x.shape[x.rank - 1] !== features) {
    throw new ShapeError(`${where}: expected […, ${features}], got ${formatShape(x.shape)}`);
  }
  const rows = x.shape.slice(0, -1);
  const batch = rows.reduce((product, extent) => product * extent, 1);
  const geometry: Geometry = { batch, groups: 1, channelsIn: features, channelsOut: out, axes: [] };
  const y = contract('output', reshape(x, [batch, features]), w, geometry);
  return reshape(bias === undefined ? y : addChannels(where, y, bias), [...rows, out]);
}

/** Adds one number per channel (axis 1). */
export function addChannels(where: string, y: Tensor, bias: Tensor): Tensor {
  if (bias.rank !== 1 || bias.shape[0] !== y.shape[1]) {
    throw new ShapeError(`${where}: the bias must be [${y.shape[1]}], got ${formatShape(bias.shape)}`);
  }
  return add(y, channelwise(bias, y.rank));
}

/** [channels] as a shape that broadcasts along axis 1 of a tensor of `rank` axes. */
export function channelwise(x: Tensor, rank: number): Tensor {
  return reshape(x, [x.size, ...new Array<number>(rank - 2).fill(1)]);
}
