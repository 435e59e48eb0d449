import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { broadcastTo } from './broadcast.js';
import { concat } from './concat.js';
import { flip } from './flip.js';
import { identity } from './identity.js';
import { pad as padConstant, slice } from './slice.js';

/**
 * What stands outside of the input: `zeros`, another `constant`, its mirror image without the edge (`reflect`), its
 * edge (`replicate`) or its other end (`circular`).
 */
export type PaddingMode = 'zeros' | 'constant' | 'reflect' | 'replicate' | 'circular';

export const PADDING_MODES: readonly PaddingMode[] = ['zeros', 'constant', 'reflect', 'replicate', 'circular'];

/** Options of {@link pad}. */
export interface PadOptions {
  /** default `constant` */
  readonly mode?: PaddingMode;
  /** of mode `constant`; default 0 */
  readonly value?: number;
}

/** Checks a mode and the value that belongs to `constant` alone. */
export function checkPaddingMode(where: string, name: string, mode: unknown, value: unknown): void {
  if (!PADDING_MODES.includes(mode as PaddingMode)) {
    const known = PADDING_MODES.map((m) => `"${m}"`).join(', ');
    throw new OptionError(`${where}: ${name} must be one of ${known}, got ${JSON.stringify(mode)}`);
  }
  if (value === undefined) return;
  if (mode !== 'constant') {
    throw new OptionError(`${where}: a padding value belongs to ${name} "constant", but it is "${mode}"`);
  }
  if (typeof value !== 'number') {
    throw new OptionError(`${where}: the padding value must be a number, got ${JSON.stringify(value)}`);
  }
}

/**
 * Puts `low[i]` and `high[i]` elements around axis `i`; negative amounts cut off (after the rest was put around).
 *
 * @param fill the value (default 0), or how to fill
 * @throws ShapeError where the mode needs more elements than there are: `reflect` as many as it adds and one more,
 *   `circular` as many as it adds, `replicate` one.
 * @example pad(images, [0, 0, 1, 1], [0, 0, 1, 1], { mode: 'reflect' })
 */
export function pad(
  x: Tensor,
  low: Shape,
  high: Shape,
  fill: number | PaddingMode | PadOptions = 0,
  where = 'pad',
): Tensor {
  const options: PadOptions =
    typeof fill === 'number' ? { value: fill } : typeof fill === 'string' ? { mode: fill } : fill;
  checkOptions(where, options, ['mode', 'value']);
  const { mode = 'constant', value } = options;
  checkPaddingMode(where, 'mode', mode, value);
  checkExtents(where, x.shape, low, high);
  if (mode === 'zeros' || mode === 'constant') return padConstant(x, low, high, value ?? 0);
  x.shape.forEach((_, axis) => {
    if (low[axis] > 0 || high[axis] > 0) checkRoom(where, x.shape, axis, low[axis], high[axis], mode);
  });
  // The modes work on one axis after the other: what lies outside of two axes is the fill of the fill.
  const filled = x.shape.reduce<Tensor>(
    (y, _, axis) => padAxis(y, axis, Math.max(0, low[axis]), Math.max(0, high[axis]), mode),
    x,
  );
  if ([...low, ...high].every((n) => n >= 0)) return filled === x ? identity(x) : filled;
  return padConstant(
    filled,
    low.map((n) => Math.min(0, n)),
    high.map((n) => Math.min(0, n)),
  );
}

function padAxis(
  x: Tensor,
  axis: number,
  low: number,
  high: number,
  mode: 'reflect' | 'replicate' | 'circular',
): Tensor {
  if (low === 0 && high === 0) return x;
  const extent = x.shape[axis];
  /** `count` elements from `from` along the axis. */
  const part = (from: number, count: number): Tensor =>
    slice(
      x,
      x.shape.map((_, i) => (i === axis ? from : 0)),
      x.shape.map((n, i) => (i === axis ? count : n)),
    );
  const repeat = (from: number, count: number): Tensor =>
    broadcastTo(
      part(from, 1),
      x.shape.map((n, i) => (i === axis ? count : n)),
    );
  const sides = {
    reflect: [() => flip(part(1, low), axis), () => flip(part(extent - 1 - high, high), axis)],
    replicate: [() => repeat(0, low), () => repeat(extent - 1, high)],
    circular: [() => part(extent - low, low), () => part(0, high)],
  }[mode];
  return concat([...(low > 0 ? [sides[0]()] : []), x, ...(high > 0 ? [sides[1]()] : [])], axis);
}

function checkExtents(where: string, shape: Shape, low: Shape, high: Shape): void {
  if ([low, high].some((list) => list.length !== shape.length || !list.every(Number.isInteger))) {
    throw new ShapeError(
      `${where}: needs two integers for each axis of ${formatShape(shape)}, got ${formatShape(low)} and ${formatShape(high)}`,
    );
  }
  shape.forEach((extent, axis) => {
    const left = extent + low[axis] + high[axis];
    if (left >= 0) return;
    const signed = (n: number): string => (n < 0 ? `− ${-n}` : `+ ${n}`);
    throw new ShapeError(
      `${where}: more is cut off than there is along axis ${axis} of ${formatShape(shape)}: ${extent} ${signed(low[axis])} ${signed(high[axis])} = −${-left}`,
    );
  });
}

function checkRoom(where: string, shape: Shape, axis: number, low: number, high: number, mode: PaddingMode): void {
  const extent = shape[axis];
  const most = Math.max(low, high);
  const needed = mode === 'reflect' ? most + 1 : mode === 'circular' ? most : 1;
  if (extent >= needed) return;
  const why =
    mode === 'reflect'
      ? `reflect padding ${most} must be less than the extent, but ${most} ≥ ${extent}`
      : mode === 'circular'
        ? `circular padding ${most} must be at most the extent, but ${most} > ${extent}`
        : `replicate padding needs an edge to repeat, but the extent is ${extent}`;
  throw new ShapeError(`${where}: ${why} (axis ${axis} of ${formatShape(shape)})`);
}
