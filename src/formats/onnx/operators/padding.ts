import { cast } from '../../../ops/elementwise.js';
import { type PaddingMode, pad } from '../../../ops/padding.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';

const MODES: Readonly<Record<string, PaddingMode>> = {
  constant: 'constant',
  reflect: 'reflect',
  edge: 'replicate',
  wrap: 'circular',
};

function padded(c: OperatorContext): Results {
  const x = c.x(0);
  const pads = (c.opset < 11 ? (c.ints('pads') ?? c.ints('paddings')) : c.numbers(1)) ?? c.broken('pads are missing');
  const axes = c.axes(c.numbersOr(3, undefined) ?? x.shape.map((_, axis) => axis), x.rank);
  if (pads.length !== 2 * axes.length) c.broken(`${pads.length} pads for ${axes.length} axes: needs two for each`);
  const low = x.shape.map(() => 0);
  const high = x.shape.map(() => 0);
  axes.forEach((axis, i) => {
    low[axis] = pads[i];
    high[axis] = pads[axes.length + i];
  });
  const mode = MODES[c.text('mode', 'constant')] ?? c.refuse(`mode "${c.text('mode', '')}" is not known`);
  if (mode !== 'constant') return c.like(pad(x, low, high, mode, c.where));
  const value = c.opset < 11 ? c.float('value', 0) : (c.numbersOr(2, [0])[0] ?? 0);
  if (x.dtype !== 'bool') return c.like(pad(x, low, high, value, c.where));
  return c.like(cast(pad(cast(x, 'i32'), low, high, value, c.where), 'bool'));
}

/** The middle of each axis, or zeros around it; of odd differences the smaller half comes first. */
function centred(c: OperatorContext): Results {
  const x = c.x(0);
  const shape = c.numbers(1);
  const axes = c.axes(c.ints('axes') ?? x.shape.map((_, axis) => axis), x.rank);
  if (shape.length !== axes.length) c.broken(`${shape.length} extents for ${axes.length} axes`);
  const low = x.shape.map(() => 0);
  const high = x.shape.map(() => 0);
  axes.forEach((axis, i) => {
    const extra = shape[i] - x.shape[axis];
    // As positive numbers: what is cut off, or put on, in front.
    const first = Math.floor(Math.abs(extra) / 2) * Math.sign(extra);
    low[axis] = first;
    high[axis] = extra - first;
  });
  return c.like(pad(x, low, high, 0, c.where));
}

export const PADDING: OperatorTable = {
  CenterCropPad: { attributes: ['axes'], statics: [1], since: 18, run: centred },
  Pad: { attributes: ['mode', 'pads', 'paddings', 'value'], statics: [1, 2, 3], run: padded },
};
