import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';

// What convolution and pooling share: options per spatial axis, padding, and the extent of the output.

/** One number for every spatial axis, or one for each. */
export type PerAxis = number | readonly number[];

/**
 * What goes around the input: one number, one per axis, or `[low, high]` per axis. `valid` is none. `same` gives
 * ⌈input / stride⌉ outputs, the odd element goes to the high side (as PyTorch, Keras and ONNX's SAME_UPPER have it).
 * `causal`, for one spatial axis, puts all of it in front, so that no output sees a later input.
 */
export type Padding = PerAxis | readonly (readonly [number, number])[] | 'same' | 'valid' | 'causal';

/** What the axes of an input of `rank` spatial axes are called in messages. */
function extentWord(rank: number, axis: number): string {
  return rank === 1 ? 'long' : rank > 3 ? `along axis ${axis + 2}` : ['deep', 'high', 'wide'][axis + 3 - rank];
}

/** `value` as one number per axis; every number must be an integer of at least `least`. */
export function perAxis(where: string, name: string, value: PerAxis, rank: number, least: number): number[] {
  const list = typeof value === 'number' ? new Array<number>(rank).fill(value) : value;
  const valid = Array.isArray(list) && list.length === rank && list.every((n) => Number.isInteger(n) && n >= least);
  if (!valid) {
    throw new OptionError(
      `${where}: ${name} must be an integer ≥ ${least}${rank > 1 ? ` or ${rank} of them` : ''}, got ${JSON.stringify(value)}`,
    );
  }
  return [...list];
}

/**
 * `[low, high]` per axis.
 *
 * @param inputs extents of the spatial axes, which `same` depends on where the stride is not 1; without them it is an
 *   error there
 * @param causal whether there is padding `causal` here
 * @throws OptionError for padding that is none
 */
export function resolvePadding(
  where: string,
  padding: Padding,
  kernel: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
  inputs?: Shape,
  causal = true,
): [number, number][] {
  if (padding === 'valid') return kernel.map(() => [0, 0]);
  const spans = kernel.map((k, axis) => dilation[axis] * (k - 1) + 1);
  if (padding === 'same') {
    return spans.map((span, axis) => {
      if (stride[axis] === 1) return halves(span - 1);
      if (inputs === undefined) {
        throw new OptionError(`${where}: padding "same" needs stride 1, got ${formatShape(stride)}`);
      }
      const outputs = Math.ceil(inputs[axis] / stride[axis]);
      return halves(Math.max(0, (outputs - 1) * stride[axis] + span - inputs[axis]));
    });
  }
  if (padding === 'causal' && causal) {
    if (kernel.length !== 1) {
      throw new OptionError(
        `${where}: padding "causal" is for one spatial axis, here are ${kernel.length}; give [low, high] for each`,
      );
    }
    return [[spans[0] - 1, 0]];
  }
  const valid = typeof padding === 'number' || Array.isArray(padding);
  if (valid && Array.isArray(padding) && padding.some((p) => Array.isArray(p))) {
    const pairs = padding as readonly (readonly [number, number])[];
    if (pairs.length === kernel.length && pairs.every((pair) => Array.isArray(pair))) {
      return pairs.map((pair) => perAxis(where, 'padding of one axis', pair, 2, 0) as [number, number]);
    }
  } else if (valid) {
    return perAxis(where, 'padding', padding as PerAxis, kernel.length, 0).map((p) => [p, p]);
  }
  const words = kernel.length === 1 && causal ? '"same", "causal" or "valid"' : '"same" or "valid"';
  throw new OptionError(
    `${where}: padding must be an integer ≥ 0, ${kernel.length} of them, ${kernel.length} pairs [low, high], ${words}, got ${JSON.stringify(padding)}`,
  );
}

function halves(total: number): [number, number] {
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

/** `channels = quotient · groups + remainder`, where that is not what was meant. */
export function splitText(channels: number, groups: number): string {
  return `does not split into ${groups} groups: ${channels} = ${Math.floor(channels / groups)}·${groups} + ${channels % groups}`;
}

export interface WindowOptions {
  readonly kernel: readonly number[];
  readonly stride: readonly number[];
  readonly dilation: readonly number[];
  readonly padding: readonly (readonly [number, number])[];
  /** Let a last window start inside the padded input although it does not end there. */
  readonly ceilMode?: boolean;
}

/** What `kernel` taps stretch over, the effective kernel size: dilation · (kernel − 1) + 1. */
export function windowSpan(kernel: number, dilation: number): number {
  return dilation * (kernel - 1) + 1;
}

/** How many windows fit along each axis: ⌊(input + low + high − span) / stride⌋ + 1, span = dilation · (kernel − 1) + 1. */
export function windowOutputs(where: string, inputs: Shape, options: WindowOptions): number[] {
  const { kernel, stride, dilation, padding, ceilMode = false } = options;
  return inputs.map((input, axis) => {
    const [low, high] = padding[axis];
    const span = windowSpan(kernel[axis], dilation[axis]);
    const room = input + low + high - span;
    // With ceilMode one window may also be the whole input and more, as long as a stride is not missing (as in PyTorch).
    if (room < 0 && !(ceilMode && room > -stride[axis])) {
      const size =
        dilation[axis] === 1 ? `${kernel[axis]}` : `${kernel[axis]} with dilation ${dilation[axis]} spans ${span}`;
      const padded = low === high ? (low === 0 ? '' : ` + 2·${low}`) : ` + ${low} + ${high}`;
      const sum =
        padded === '' ? `the input is ${input}` : `the padded input is ${input}${padded} = ${input + low + high}`;
      const is = dilation[axis] === 1 ? `kernel ${size} does not fit: ` : `kernel ${size}, but `;
      throw new ShapeError(`${where}: ${is}${sum} ${extentWord(inputs.length, axis)}`);
    }
    if (!ceilMode) return Math.floor(room / stride[axis]) + 1;
    const count = Math.ceil(room / stride[axis]) + 1;
    // A window that would start in the high padding is dropped.
    return (count - 1) * stride[axis] >= input + low ? count - 1 : count;
  });
}

/** @throws OptionError unless every `outputPadding` is less than the stride or the dilation of its axis. */
export function checkOutputPadding(
  where: string,
  outputPadding: readonly number[],
  stride: readonly number[],
  dilation: readonly number[],
): void {
  outputPadding.forEach((extra, axis) => {
    const [s, d] = [stride[axis], dilation[axis]];
    if (extra >= Math.max(s, d)) {
      throw new OptionError(
        `${where}: outputPadding must be smaller than the stride or the dilation, got ${extra} with stride ${s} and dilation ${d}: ${extra} ≥ max(${s}, ${d})`,
      );
    }
  });
}

export interface TransposedOptions extends Omit<WindowOptions, 'ceilMode'> {
  /** Extra positions at the high side: with a stride, several extents have the same number of windows. */
  readonly outputPadding: readonly number[];
}

/**
 * The extents that a transposed convolution puts out: (input − 1) · stride − low − high + span + outputPadding. With
 * outputPadding below the stride, exactly `inputs` windows fit into them, see {@link windowOutputs}.
 */
export function transposedOutputs(where: string, inputs: Shape, options: TransposedOptions): number[] {
  const { kernel, stride, dilation, padding, outputPadding } = options;
  checkOutputPadding(where, outputPadding, stride, dilation);
  return inputs.map((input, axis) => {
    const [s, d, extra] = [stride[axis], dilation[axis], outputPadding[axis]];
    const [low, high] = padding[axis];
    const span = windowSpan(kernel[axis], d);
    const output = (input - 1) * s - low - high + span + extra;
    if (output < 1) {
      throw new ShapeError(
        `${where}: nothing is left of ${input} positions: (${input} − 1) · ${s} − ${low} − ${high} + ${span} + ${extra} = ${output} ${extentWord(inputs.length, axis)}`,
      );
    }
    return output;
  });
}

/** Throws unless `shape` is [batch, channels, …rank spatial axes], or [batch, …rank spatial axes, channels]. */
export function checkImages(
  where: string,
  shape: Shape,
  rank: number,
  channels?: number,
  dataFormat: 'channels-first' | 'channels-last' = 'channels-first',
): void {
  const last = dataFormat === 'channels-last';
  const spatial = (rank === 1 ? ['length'] : rank === 2 ? ['height', 'width'] : ['depth', 'height', 'width']).slice(
    0,
    rank,
  );
  const count = channels === undefined ? 'channels' : String(channels);
  const expected = `[${['batch', ...(last ? [...spatial, count] : [count, ...spatial])].join(', ')}]`;
  if (shape.length !== rank + 2) {
    const hint = shape.length === rank + 1 ? '; put a batch axis of extent 1 in front' : '';
    throw new ShapeError(`${where}: expected ${expected}, got ${formatShape(shape)}${hint}`);
  }
  const axis = last ? rank + 1 : 1;
  if (channels !== undefined && shape[axis] !== channels) {
    throw new ShapeError(
      `${where}: expected ${channels} channels (axis ${axis}), got ${shape[axis]} in ${formatShape(shape)}`,
    );
  }
}
