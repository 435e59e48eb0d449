import { Conv1d, Conv2d, Conv3d } from '../../nn/layers/conv.js';
import { DepthwiseConv1d, DepthwiseConv2d, SeparableConv1d, SeparableConv2d } from '../../nn/layers/conv-separable.js';
import { ConvTranspose1d, ConvTranspose2d, ConvTranspose3d } from '../../nn/layers/conv-transpose.js';
import type { DataFormat } from '../../ops/data-format.js';
import { type PerAxis, perAxis, windowSpan } from '../../ops/window.js';
import { OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type Activation, activationOf } from '../activations.js';
import { getInitializer, type Initializer, type InitializerName } from '../initializers.js';
import { BasicLayer, type Layer, type LayerOptions, type WeightSpec } from '../layer.js';
import { getRegularizer, type Regularizer, type RegularizerName } from '../regularizers.js';
import { channelsOf, engineFormat, type KerasDataFormat } from '../shapes.js';

/** Weights of layers with a kernel: how they start and what is added to the loss for them. */
export interface KernelOptions extends LayerOptions {
  /** default none */
  readonly activation?: Activation;
  /** default true */
  readonly useBias?: boolean;
  /** default `glorotUniform` */
  readonly kernelInitializer?: InitializerName | Initializer;
  /** default `zeros` */
  readonly biasInitializer?: InitializerName | Initializer;
  readonly kernelRegularizer?: RegularizerName | Regularizer;
  readonly biasRegularizer?: RegularizerName | Regularizer;
  /** of the output, divided by the size of the batch */
  readonly activityRegularizer?: RegularizerName | Regularizer;
}

export const KERNEL_OPTIONS: readonly string[] = [
  'activation',
  'useBias',
  'kernelInitializer',
  'biasInitializer',
  'kernelRegularizer',
  'biasRegularizer',
  'activityRegularizer',
];

interface WindowOptions {
  /** extent of the kernel, one number for all axes or one for each */
  readonly kernelSize: PerAxis;
  /** default 1 */
  readonly strides?: PerAxis;
  /** default `channelsLast` */
  readonly dataFormat?: KerasDataFormat;
  /** distance between taps; default 1 */
  readonly dilationRate?: PerAxis;
}

export interface ConvOptions extends KernelOptions, WindowOptions {
  /** channels that come out */
  readonly filters: number;
  /** `valid` (default) is none, `same` gives ⌈input / stride⌉ outputs */
  readonly padding?: 'valid' | 'same';
  /** channels are split into so many independent convolutions; default 1 */
  readonly groups?: number;
}

export interface Conv1dOptions extends Omit<ConvOptions, 'padding'> {
  /** `causal` puts all padding in front; default `valid` */
  readonly padding?: 'valid' | 'same' | 'causal';
}

export interface ConvTransposeOptions extends KernelOptions, WindowOptions {
  /** channels that come out */
  readonly filters: number;
  /** `same` makes input · stride outputs, `valid` (default) (input − 1) · stride + max(kernel, stride) */
  readonly padding?: 'valid' | 'same';
  /** Outputs beyond (input − 1) · stride + kernel − 2 · padding, where padding is ⌊kernel / 2⌋ for `same`; default: as `padding` says. */
  readonly outputPadding?: PerAxis;
}

export interface DepthwiseConvOptions
  extends Omit<KernelOptions, 'kernelInitializer' | 'kernelRegularizer'>,
    WindowOptions {
  /** default `valid` */
  readonly padding?: 'valid' | 'same';
  /** filters for each input channel; default 1 */
  readonly depthMultiplier?: number;
  /** default `glorotUniform` */
  readonly depthwiseInitializer?: InitializerName | Initializer;
  readonly depthwiseRegularizer?: RegularizerName | Regularizer;
}

export interface SeparableConvOptions extends DepthwiseConvOptions {
  /** channels that come out */
  readonly filters: number;
  /** default `glorotUniform` */
  readonly pointwiseInitializer?: InitializerName | Initializer;
  readonly pointwiseRegularizer?: RegularizerName | Regularizer;
}

const WINDOW_OPTIONS = ['kernelSize', 'strides', 'padding', 'dataFormat', 'dilationRate'];

/** What all convolutions read of their options, under the engine's names. */
interface Geometry {
  readonly where: string;
  readonly rank: number;
  readonly kernel: number[];
  readonly format: DataFormat;
  readonly shared: {
    readonly stride: number[];
    readonly dilation: number[];
    readonly bias: boolean;
    readonly dataFormat: DataFormat;
  };
}

function geometry(where: string, rank: number, options: WindowOptions & KernelOptions): Geometry {
  const { strides = 1, dilationRate = 1, useBias = true } = options;
  const kernel = perAxis(where, 'kernelSize', options.kernelSize, rank, 1);
  const stride = perAxis(where, 'strides', strides, rank, 1);
  const dilation = perAxis(where, 'dilationRate', dilationRate, rank, 1);
  const format = engineFormat(where, options.dataFormat);
  if (typeof useBias !== 'boolean') throw new OptionError(`${where}: useBias must be true or false, got ${useBias}`);
  activationOf(where, options.activation);
  return { where, rank, kernel, format, shared: { stride, dilation, bias: useBias, dataFormat: format } };
}

function checkPadding(where: string, padding: unknown, known: readonly string[] = ['valid', 'same']): void {
  if (known.includes(padding as string)) return;
  const names = known.map((name) => `"${name}"`).join(', ');
  throw new OptionError(`${where}: padding must be one of ${names}, got ${JSON.stringify(padding)}`);
}

function checkFilters(where: string, filters: unknown): void {
  if (!Number.isInteger(filters) || (filters as number) < 1) {
    throw new OptionError(`${where}: filters must be an integer ≥ 1, got ${JSON.stringify(filters)}`);
  }
}

/** `activation` for the engine's options. */
function activated(g: Geometry, options: KernelOptions): { activation?: ReturnType<typeof activationOf> } {
  const activation = activationOf(g.where, options.activation);
  return activation === undefined ? {} : { activation };
}

export function biasSpec(where: string, bias: Tensor | undefined, options: KernelOptions): WeightSpec[] {
  if (bias === undefined) return [];
  return [
    {
      name: 'bias',
      tensor: bias,
      initializer: getInitializer(`${where}: biasInitializer`, options.biasInitializer ?? 'zeros'),
      regularizer: getRegularizer(`${where}: biasRegularizer`, options.biasRegularizer),
    },
  ];
}

/** A kernel that the engine has as [first, second, …kernel] and Keras as […kernel, second, first]. */
function kernelSpec(
  where: string,
  name: string,
  tensor: Tensor,
  initializer: InitializerName | Initializer | undefined,
  regularizer: RegularizerName | Regularizer | undefined,
): WeightSpec {
  return {
    name: `${name}`,
    tensor,
    order: [...tensor.shape.map((_, axis) => axis).slice(2), 1, 0],
    initializer: getInitializer(`${where}: ${name} initializer`, initializer ?? 'glorotUniform'),
    regularizer: getRegularizer(`${where}: ${name} regularizer`, regularizer),
  };
}

/** A depthwise kernel: the engine's [in · multiplier, 1, …kernel] is Keras's […kernel, in, multiplier]. */
function depthwiseSpec(where: string, tensor: Tensor, channels: number, options: DepthwiseConvOptions): WeightSpec {
  const { depthwiseInitializer: initializer, depthwiseRegularizer: regularizer } = options;
  const kernel = tensor.shape.slice(2);
  return {
    name: 'depthwise_kernel',
    tensor,
    view: [channels, tensor.shape[0] / channels, ...kernel],
    order: [...kernel.map((_, axis) => axis + 2), 0, 1],
    initializer: getInitializer(`${where}: depthwiseInitializer`, initializer ?? 'glorotUniform'),
    regularizer: getRegularizer(`${where}: depthwiseRegularizer`, regularizer),
  };
}

const CONVOLUTIONS = [Conv1d, Conv2d, Conv3d];
const TRANSPOSED = [ConvTranspose1d, ConvTranspose2d, ConvTranspose3d];

function conv(rank: number, options: ConvOptions | Conv1dOptions): Layer {
  const where = `conv${rank}d`;
  const known = [...KERNEL_OPTIONS, ...WINDOW_OPTIONS, 'filters', 'groups'];
  const layer = new BasicLayer(where, `Conv${rank}D`, options, known, ([shape]) => {
    const { filters, padding = 'valid', groups = 1, kernelInitializer, kernelRegularizer } = options;
    const channels = channelsOf(where, shape, rank, g.format);
    const Conv = CONVOLUTIONS[rank - 1];
    const module = new Conv(channels, filters, g.kernel, { ...g.shared, padding, groups, ...activated(g, options) });
    return {
      module,
      weights: [
        kernelSpec(where, 'kernel', module.weight, kernelInitializer, kernelRegularizer),
        ...biasSpec(where, module.bias, options),
      ],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  });
  const g = geometry(where, rank, options);
  checkFilters(where, options.filters);
  checkPadding(where, options.padding ?? 'valid', rank === 1 ? ['valid', 'same', 'causal'] : ['valid', 'same']);
  return layer;
}

/** Convolution of sequences [batch, length, channels]. Kernel [length, in / groups, filters]. */
export function conv1d(options: Conv1dOptions): Layer {
  return conv(1, options);
}

/** Convolution of images [batch, height, width, channels]. Kernel [height, width, in / groups, filters]. */
export function conv2d(options: ConvOptions): Layer {
  return conv(2, options);
}

/** Convolution of volumes [batch, depth, height, width, channels]. Kernel [depth, height, width, in / groups, filters]. */
export function conv3d(options: ConvOptions): Layer {
  return conv(3, options);
}

function convTranspose(rank: number, options: ConvTransposeOptions): Layer {
  const where = `conv${rank}dTranspose`;
  const known = [...KERNEL_OPTIONS, ...WINDOW_OPTIONS, 'filters', 'outputPadding'];
  const layer = new BasicLayer(where, `Conv${rank}DTranspose`, options, known, ([shape]) => {
    const { filters, kernelInitializer, kernelRegularizer } = options;
    const channels = channelsOf(where, shape, rank, g.format);
    const Conv = TRANSPOSED[rank - 1];
    const module = new Conv(channels, filters, g.kernel, { ...g.shared, ...amounts, ...activated(g, options) });
    return {
      module,
      weights: [
        kernelSpec(where, 'kernel', module.weight, kernelInitializer, kernelRegularizer),
        ...biasSpec(where, module.bias, options),
      ],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  });
  const g = geometry(where, rank, options);
  const amounts = transposedAmounts(g, options);
  checkFilters(where, options.filters);
  return layer;
}

/** Padding under the engine's names, see `deconv_output_length` in Keras. */
function transposedAmounts(
  { where, rank, kernel, shared: { stride, dilation } }: Geometry,
  { padding = 'valid', outputPadding }: ConvTransposeOptions,
): { padding: 'same' | [number, number][]; outputPadding: number[] } {
  checkPadding(where, padding);
  const spans = kernel.map((k, axis) => windowSpan(k, dilation[axis]));
  if (outputPadding === undefined) {
    if (padding === 'same') return { padding, outputPadding: kernel.map(() => 0) };
    // All inputs · stride are there, also where the kernel is shorter than the stride.
    return { padding: kernel.map(() => [0, 0]), outputPadding: spans.map((s, axis) => Math.max(0, stride[axis] - s)) };
  }
  const extra = perAxis(where, 'outputPadding', outputPadding, rank, 0);
  extra.forEach((amount, axis) => {
    if (amount >= stride[axis]) {
      throw new OptionError(`${where}: outputPadding must be less than strides: ${amount} ≥ ${stride[axis]}`);
    }
  });
  if (padding === 'valid') return { padding: kernel.map(() => [0, 0]), outputPadding: extra };
  const totals = spans.map((span, axis) => Math.max(0, 2 * Math.floor(span / 2) - extra[axis]));
  return {
    padding: totals.map((total) => [Math.floor(total / 2), Math.ceil(total / 2)]),
    outputPadding: spans.map((span, axis) => Math.max(0, extra[axis] - 2 * Math.floor(span / 2))),
  };
}

/** Transposed convolution of sequences [batch, length, channels]. Kernel [length, filters, in]. */
export function conv1dTranspose(options: ConvTransposeOptions): Layer {
  return convTranspose(1, options);
}

/** Transposed convolution of images [batch, height, width, channels]. Kernel [height, width, filters, in]. */
export function conv2dTranspose(options: ConvTransposeOptions): Layer {
  return convTranspose(2, options);
}

/** Transposed convolution of volumes [batch, depth, height, width, channels]. Kernel [depth, height, width, filters, in]. */
export function conv3dTranspose(options: ConvTransposeOptions): Layer {
  return convTranspose(3, options);
}

const DEPTHWISE_OPTIONS = [
  ...KERNEL_OPTIONS.filter((name) => !name.startsWith('kernel')),
  ...WINDOW_OPTIONS,
  'depthMultiplier',
  'depthwiseInitializer',
  'depthwiseRegularizer',
];

function depthwiseConv(rank: 1 | 2, options: DepthwiseConvOptions): Layer {
  const where = `depthwiseConv${rank}d`;
  const layer = new BasicLayer(where, `DepthwiseConv${rank}D`, options, DEPTHWISE_OPTIONS, ([shape]) => {
    const { padding = 'valid', depthMultiplier = 1 } = options;
    const channels = channelsOf(where, shape, rank, g.format);
    const Conv = rank === 1 ? DepthwiseConv1d : DepthwiseConv2d;
    const module = new Conv(channels, g.kernel, { ...g.shared, padding, depthMultiplier, ...activated(g, options) });
    return {
      module,
      weights: [depthwiseSpec(where, module.weight, channels, options), ...biasSpec(where, module.bias, options)],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  });
  const g = geometry(where, rank, options);
  checkPadding(where, options.padding ?? 'valid');
  return layer;
}

/** Every channel of [batch, length, channels] by itself. Kernel [length, in, depthMultiplier]. */
export function depthwiseConv1d(options: DepthwiseConvOptions): Layer {
  return depthwiseConv(1, options);
}

/** Every channel of [batch, height, width, channels] by itself. Kernel [height, width, in, depthMultiplier]. */
export function depthwiseConv2d(options: DepthwiseConvOptions): Layer {
  return depthwiseConv(2, options);
}

function separableConv(rank: 1 | 2, options: SeparableConvOptions): Layer {
  const where = `separableConv${rank}d`;
  const known = [...DEPTHWISE_OPTIONS, 'filters', 'pointwiseInitializer', 'pointwiseRegularizer'];
  const layer = new BasicLayer(where, `SeparableConv${rank}D`, options, known, ([shape]) => {
    const { filters, padding = 'valid', depthMultiplier = 1, pointwiseInitializer, pointwiseRegularizer } = options;
    const channels = channelsOf(where, shape, rank, g.format);
    const Conv = rank === 1 ? SeparableConv1d : SeparableConv2d;
    const more = { ...g.shared, padding, depthMultiplier, ...activated(g, options) };
    const module = new Conv(channels, filters, g.kernel, more);
    return {
      module,
      weights: [
        depthwiseSpec(where, module.depthwise.weight, channels, options),
        kernelSpec(where, 'pointwise_kernel', module.pointwise.weight, pointwiseInitializer, pointwiseRegularizer),
        ...biasSpec(where, module.pointwise.bias, options),
      ],
      activityRegularizer: getRegularizer(`${where}: activityRegularizer`, options.activityRegularizer),
    };
  });
  const g = geometry(where, rank, options);
  checkFilters(where, options.filters);
  checkPadding(where, options.padding ?? 'valid');
  return layer;
}

/** {@link depthwiseConv1d}, then a convolution of one tap across the channels. Kernels [length, in, multiplier], [1, in · multiplier, filters]. */
export function separableConv1d(options: SeparableConvOptions): Layer {
  return separableConv(1, options);
}

/** {@link depthwiseConv2d}, then a convolution of one tap across the channels. Kernels [height, width, in, multiplier], [1, 1, in · multiplier, filters]. */
export function separableConv2d(options: SeparableConvOptions): Layer {
  return separableConv(2, options);
}
