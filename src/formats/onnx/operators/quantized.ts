import { batchedMatmul } from '../../../ops/einsum.js';
import { add, cast, div, equal, maximum, minimum, mul, round, sub, where } from '../../../ops/elementwise.js';
import { max, min } from '../../../ops/reduce.js';
import { reshape } from '../../../ops/reshape.js';
import { repeatElements } from '../../../ops/resize.js';
import { slice } from '../../../ops/slice.js';
import type { Tensor } from '../../../tensor/tensor.js';
import type { OperatorContext, OperatorTable, Results } from '../context.js';
import { type ElementType, elementTypeOf, isWhole, rowOf } from '../element-types.js';
import { OnnxValue } from '../value.js';
import { centred, convolve, WINDOW_ATTRIBUTES } from './convolution.js';
import { offset } from './matrix.js';
import { roundToFormat } from './rounding.js';

// Numbers of a few bits that stand for (q − zero point) · scale.

/** Brings whole numbers, still as floats, into the range of a type. */
function saturated(x: Tensor, type: ElementType): Tensor {
  const { bits, signed } = rowOf(type);
  const low = signed ? -(2 ** (bits - 1)) : 0;
  return cast(maximum(minimum(x, low + 2 ** bits - 1), low), 'i32');
}

/** A scale or zero point in the shape in which it meets `x`: one, one for each place along an axis, or one for each block of them. */
function spread(c: OperatorContext, t: Tensor, x: Tensor): Tensor {
  if (t.size === 1) return reshape(t, []);
  const axis = c.axis(c.int('axis', 1), x.rank);
  const block = c.int('block_size', 0);
  if (block === 0) {
    if (t.size !== x.shape[axis])
      c.broken(`needs a scale for each of ${x.shape[axis]} places along axis ${axis}, got ${c.shapes()}`);
    return reshape(
      t,
      x.shape.map((_, i) => (i === axis ? t.size : 1)),
    );
  }
  const repeated = repeatElements(t, axis, block);
  return slice(
    repeated,
    x.shape.map(() => 0),
    x.shape,
  );
}

function quantize(c: OperatorContext): Results {
  const x = cast(c.x(0), 'f32');
  const declared = c.int('output_dtype', 0);
  const type = c.has(2)
    ? c.value(2).type
    : declared === 0
      ? 'uint8'
      : (elementTypeOf(declared) ?? c.refuse(`writes element type ${declared}`));
  const scaled = div(x, spread(c, c.x(1), x));
  if (!isWhole(type)) return [OnnxValue.of(type, roundToFormat(scaled, type, c.flag('saturate', true)))];
  const rounded = round(scaled);
  return [OnnxValue.of(type, saturated(c.has(2) ? add(rounded, cast(spread(c, c.x(2), x), 'f32')) : rounded, type))];
}

function dequantize(c: OperatorContext): Results {
  const x = c.x(0);
  const q = c.has(2) ? sub(x, spread(c, c.x(2), x)) : x;
  return [OnnxValue.of('float', mul(cast(q, 'f32'), spread(c, c.x(1), x)))];
}

/** Scale and zero point from the range of the data, which is made to hold 0. */
function dynamicQuantize(c: OperatorContext): Results {
  const x = c.x(0);
  const low = minimum(min(x), 0);
  const scale = div(sub(maximum(max(x), 0), low), 255);
  const safe = where(equal(scale, 0), 1, scale);
  const zero = round(maximum(minimum(div(mul(low, -1), safe), 255), 0));
  const y = saturated(add(round(div(x, safe)), zero), 'uint8');
  return [OnnxValue.of('uint8', y), OnnxValue.of('float', scale), OnnxValue.of('uint8', cast(zero, 'i32'))];
}

/** Sums as floats to quantised results. */
function requantized(c: OperatorContext, sums: Tensor, scale: Tensor, outScale: number): Results {
  const { type } = c.value(outScale + 1);
  const y = round(mul(sums, div(scale, reshape(c.x(outScale), []))));
  return [OnnxValue.of(type, saturated(add(y, cast(reshape(c.x(outScale + 1), []), 'f32')), type))];
}

function qlinearConv(c: OperatorContext): Results {
  const bias = c.optional(8);
  const y = convolve(c, centred(c, 0, 2), centred(c, 3, 5, 0), bias && cast(bias, 'f32'));
  const weightScale = c.x(4);
  const channels =
    weightScale.size === 1
      ? reshape(weightScale, [])
      : reshape(weightScale, [weightScale.size, ...y.shape.slice(2).map(() => 1)]);
  return requantized(c, y, mul(reshape(c.x(1), []), channels), 6);
}

function qlinearMatMul(c: OperatorContext): Results {
  const scaleOf = (i: number): Tensor => {
    const t = c.x(i);
    if (t.size === 1) return reshape(t, []);
    return i === 1 && t.rank === 1 ? reshape(t, [t.size, 1]) : t;
  };
  const y = batchedMatmul(cast(offset(c, 0, 2), 'f32'), cast(offset(c, 3, 5), 'f32'), c.where);
  return requantized(c, y, mul(scaleOf(1), scaleOf(4)), 6);
}

export const QUANTIZED: OperatorTable = {
  DequantizeLinear: { attributes: ['axis', 'block_size', 'output_dtype'], buffers: [1], since: 10, run: dequantize },
  DynamicQuantizeLinear: { since: 11, run: dynamicQuantize },
  QLinearConv: { attributes: [...WINDOW_ATTRIBUTES, 'group'], buffers: [1, 4, 6], since: 10, run: qlinearConv },
  QLinearMatMul: { buffers: [1, 4, 6], since: 10, run: qlinearMatMul },
  QuantizeLinear: {
    attributes: ['axis', 'block_size', 'output_dtype', 'precision', 'saturate'],
    buffers: [1],
    since: 10,
    run: quantize,
  },
};
