import type { Geometry } from '../kernel/contraction.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { contract } from './convolution.js';
import { add } from './elementwise.js';
import { reshape } from './reshape.js';
import { checkImages, type Padding, type PerAxis, perAxis, resolvePadding, windowOutputs } from './window.js';

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
}

/**
 * Convolution (cross-correlation, as everywhere in the field) with any number of spatial axes.
 *
 * @param x [batch, channels in, …spatial]
 * @param w [channels out, channels in / groups, …kernel]
 * @param where named in messages
 */
export function conv(x: Tensor, w: Tensor, options: ConvOptions = {}, where = 'conv'): Tensor {
  checkOptions(where, options, ['bias', 'stride', 'padding', 'dilation', 'groups']);
  const { groups = 1, bias } = options;
  const rank = w.rank - 2;
  if (rank < 0) {
    throw new ShapeError(`${where}: the filter must be [out, in / groups, …kernel], got ${formatShape(w.shape)}`);
  }
  if (!Number.isInteger(groups) || groups < 1) {
    throw new OptionError(`${where}: groups must be an integer ≥ 1, got ${groups}`);
  }
  const [out, channelsIn, ...kernel] = w.shape;
  checkImages(where, x.shape, rank, channelsIn * groups);
  if (out % groups !== 0) {
    throw new ShapeError(`${where}: ${out} output channels do not split into ${groups} groups`);
  }
  const stride = perAxis(where, 'stride', options.stride ?? 1, rank, 1);
  const dilation = perAxis(where, 'dilation', options.dilation ?? 1, rank, 1);
  const padding = resolvePadding(where, options.padding ?? 0, kernel, stride, dilation);
  const inputs = x.shape.slice(2);
  const outputs = windowOutputs(where, inputs, { kernel, stride, dilation, padding });
  const geometry: Geometry = {
    batch: x.shape[0],
    groups,
    channelsIn,
    channelsOut: out / groups,
    axes: inputs.map((input, s) => ({
      input,
      kernel: kernel[s],
      output: outputs[s],
      stride: stride[s],
      dilation: dilation[s],
      padLow: padding[s][0],
    })),
  };
  const y = contract('output', x, w, geometry);
  return bias === undefined ? y : addChannels(where, y, bias);
}

/** {@link conv} of images: x [batch, in, height, width], w [out, in / groups, kernel height, kernel width]. */
export function conv2d(x: Tensor, w: Tensor, options: ConvOptions = {}): Tensor {
  if (w.rank !== 4) {
    throw new ShapeError(`conv2d: the filter must be [out, in / groups, height, width], got ${formatShape(w.shape)}`);
  }
  return conv(x, w, options, 'conv2d');
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
function addChannels(where: string, y: Tensor, bias: Tensor): Tensor {
  if (bias.rank !== 1 || bias.shape[0] !== y.shape[1]) {
    throw new ShapeError(`${where}: the bias must be [${y.shape[1]}], got ${formatShape(bias.shape)}`);
  }
  return add(y, channelwise(bias, y.rank));
}

/** [channels] as a shape that broadcasts along axis 1 of a tensor of `rank` axes. */
export function channelwise(x: Tensor, rank: number): Tensor {
  return reshape(x, [x.size, ...new Array<number>(rank - 2).fill(1)]);
}
