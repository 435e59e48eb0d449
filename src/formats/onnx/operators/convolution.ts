import { conv } from '../../../ops/conv.js';
import { convTranspose } from '../../../ops/conv-transpose.js';
import { add, cast, sub } from '../../../ops/elementwise.js';
import { reshape } from '../../../ops/reshape.js';
import { pad } from '../../../ops/slice.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { OnnxValue } from '../value.js';

/** Beyond this no window has a size, step or padding. */
const MOST_EXTENT = 2 ** 20;

/** The geometry of a sliding window, per spatial axis. */
export interface Windows {
  readonly kernel: number[];
  readonly stride: number[];
  readonly dilation: number[];
  readonly padding: [number, number][];
}

export const WINDOW_ATTRIBUTES: readonly string[] = ['auto_pad', 'dilations', 'kernel_shape', 'pads', 'strides'];

/**
 * Reads the attributes of convolutions and pools.
 *
 * @param inputs spatial extents
 * @param kernel of the filter; without one, `kernel_shape` says it
 */
export function windowsOf(c: OperatorContext, inputs: readonly number[], kernel?: readonly number[]): Windows {
  const rank = inputs.length;
  const perAxis = (name: string, otherwise: number[]): number[] => {
    const list = c.ints(name) ?? otherwise;
    if (!list.every((n) => Math.abs(n) <= MOST_EXTENT && n > 0)) c.broken(`${name} ${list} makes no sense`);
    if (list.length !== rank) c.broken(`${name} has ${list.length} numbers, the input has ${rank} spatial axes`);
    return list;
  };
  const ones = new Array<number>(rank).fill(1);
  const size =
    kernel === undefined
      ? perAxis('kernel_shape', c.ints('kernel_shape') ?? c.broken('kernel_shape is missing'))
      : [...kernel];
  const declared = c.ints('kernel_shape');
  if (declared !== undefined && `${declared}` !== `${size}`)
    c.broken(`kernel_shape ${declared} is not that of the filter, ${size}`);
  const stride = perAxis('strides', ones);
  const dilation = perAxis('dilations', ones);
  const auto = c.text('auto_pad', 'NOTSET');
  if (!['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER', ''].includes(auto)) c.refuse(`auto_pad "${auto}" is not known`);
  if (auto === 'SAME_UPPER' || auto === 'SAME_LOWER') {
    const padding = inputs.map((input, s): [number, number] => {
      const outputs = Math.ceil(input / stride[s]);
      const total = Math.max(0, (outputs - 1) * stride[s] + dilation[s] * (size[s] - 1) + 1 - input);
      const less = Math.floor(total / 2);
      return auto === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
    });
    return { kernel: size, stride, dilation, padding };
  }
  const pads =
    auto === 'VALID' ? new Array<number>(2 * rank).fill(0) : (c.ints('pads') ?? new Array<number>(2 * rank).fill(0));
  if (!pads.every((n) => Math.abs(n) <= MOST_EXTENT)) c.broken(`pads ${pads} make no sense`);
  if (pads.length !== 2 * rank) c.broken(`pads has ${pads.length} numbers, expected ${2 * rank}`);
  return { kernel: size, stride, dilation, padding: inputs.map((_, s) => [pads[s], pads[rank + s]]) };
}

/** The convolution of f32 tensors with a node's geometry. */
export function convolve(c: OperatorContext, x: Tensor, w: Tensor, bias?: Tensor): Tensor {
  if (x.rank < 3 || w.rank !== x.rank)
    c.broken(`needs [batch, channels, …spatial] and a filter of as many axes, got ${c.shapes()}`);
  const { stride, dilation, padding } = windowsOf(c, x.shape.slice(2), w.shape.slice(2));
  const negative = padding.some(([low, high]) => low < 0 || high < 0);
  const cut = negative
    ? pad(
        x,
        [0, 0, ...padding.map(([low]) => Math.min(0, low))],
        [0, 0, ...padding.map(([, high]) => Math.min(0, high))],
      )
    : x;
  const around = padding.map(([low, high]): [number, number] => [Math.max(0, low), Math.max(0, high)]);
  return conv(cut, w, { stride, dilation, padding: around, groups: c.int('group', 1), bias }, c.where);
}

function convTransposed(c: OperatorContext): Results {
  const [x, w] = [c.x(0), c.x(1)];
  if (x.rank < 3 || w.rank !== x.rank)
    c.broken(`needs [batch, channels, …spatial] and a filter of as many axes, got ${c.shapes()}`);
  const rank = x.rank - 2;
  const inputs = x.shape.slice(2);
  const kernel = w.shape.slice(2);
  const ones = new Array<number>(rank).fill(1);
  const stride = c.ints('strides') ?? ones;
  const dilation = c.ints('dilations') ?? ones;
  const extra = c.ints('output_padding') ?? ones.map(() => 0);
  const auto = c.text('auto_pad', 'NOTSET');
  const span = (s: number): number => (inputs[s] - 1) * stride[s] + dilation[s] * (kernel[s] - 1) + 1 + extra[s];
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  const wanted =
    c.ints('output_shape')?.slice(-rank) ?? (same ? inputs.map((input, s) => input * stride[s]) : undefined);
  const pads = c.ints('pads') ?? new Array<number>(2 * rank).fill(0);
  // What is cut off at both ends of the whole result; less than nothing where the result is to be larger.
  const cuts = inputs.map((_, s): [number, number] => {
    if (wanted === undefined) return auto === 'VALID' ? [0, 0] : [pads[s], pads[rank + s]];
    const total = span(s) - wanted[s];
    const half = Math.floor(total / 2);
    return auto === 'SAME_UPPER' ? [half, total - half] : [total - half, half];
  });
  const plain = { stride, dilation, groups: c.int('group', 1) };
  const bias = c.optional(2);
  const fits =
    cuts.every(([low, high]) => low >= 0 && high >= 0) && extra.every((n, s) => n < Math.max(stride[s], dilation[s]));
  if (fits) return c.like(convTranspose(x, w, { ...plain, padding: cuts, outputPadding: extra, bias }, c.where));
  const whole = convTranspose(x, w, plain, c.where);
  const moved = pad(whole, [0, 0, ...cuts.map(([low]) => -low)], [0, 0, ...cuts.map(([, high], s) => extra[s] - high)]);
  return c.like(bias === undefined ? moved : add(moved, reshape(bias, [bias.size, ...ones])));
}

/** Whole numbers with their zero point taken off, as floats: sums of so many products of bytes stay exact in f32. */
export function centred(c: OperatorContext, i: number, zero: number, channelAxis?: number): Tensor {
  const x = c.x(i);
  if (!c.has(zero)) return cast(x, 'f32');
  const point = c.x(zero);
  const spread =
    point.size === 1
      ? reshape(point, [])
      : reshape(
          point,
          x.shape.map((_, axis) => (axis === (channelAxis ?? 0) ? point.size : 1)),
        );
  return cast(sub(x, spread), 'f32');
}

function convInteger(c: OperatorContext): Results {
  return [OnnxValue.of('int32', cast(convolve(c, centred(c, 0, 2), centred(c, 1, 3, 0)), 'i32'))];
}

export const CONVOLUTION: OperatorTable = {
  Conv: { attributes: [...WINDOW_ATTRIBUTES, 'group'], run: (c) => c.like(convolve(c, c.x(0), c.x(1), c.optional(2))) },
  ConvTranspose: { attributes: [...WINDOW_ATTRIBUTES, 'group', 'output_padding', 'output_shape'], run: convTransposed },
  ConvInteger: { attributes: [...WINDOW_ATTRIBUTES, 'group'], since: 10, run: convInteger },
};
