import {
  abs,
  add,
  div,
  equal,
  greater,
  greaterEqual,
  less,
  minimum,
  mul,
  notEqual,
  round,
  stopGradient,
  sub,
  where,
} from '../../../ops/elementwise.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { type ElementType, largest, rowOf } from '../element-types.js';

const STEPS: readonly number[] = [64, 32, 16, 8, 4, 2, 1];

/** The power of two that brings |x| into [1, 2), found by halving the range of its exponent; 1 for 0 and what is not finite. */
function normalizer(x: Tensor): Tensor {
  let t = abs(x);
  const usable = less(t, Number.POSITIVE_INFINITY);
  t = where(usable, where(equal(t, 0), 1, t), 1);
  let scale = where(usable, 1, where(usable, 1, mul(t, 1)));
  for (const step of STEPS) {
    const large = greaterEqual(t, 2 ** step);
    t = where(large, mul(t, 2 ** -step), t);
    scale = where(large, mul(scale, 2 ** -step), scale);
  }
  for (const step of STEPS) {
    const small = less(t, 2 ** (1 - step));
    t = where(small, mul(t, 2 ** step), t);
    scale = where(small, mul(scale, 2 ** step), scale);
  }
  return scale;
}

/**
 * `x` as a floating-point format with fewer bits would hold it: to nearest, halves to even. Gradients pass as if nothing was
 * rounded.
 *
 * @param saturate what is too large becomes the largest value; otherwise infinity or, where the format has none, no number
 */
export function roundToFormat(x: Tensor, type: ElementType, saturate: boolean): Tensor {
  const { format } = rowOf(type);
  if (format === undefined) return x;
  const { mantissa, bias, special } = format;
  // Below the smallest normal number the distance of neighbours stays the same.
  const scale = minimum(normalizer(x), 2 ** Math.min(127, bias - 1));
  const units = round(mul(mul(x, scale), 2 ** mantissa));
  const rounded = div(mul(units, 2 ** -mantissa), scale);
  const most = largest(format);
  const bound = where(greater(x, 0), most, notANumber(x, -most));
  const infinite = where(greater(x, 0), notANumber(x, Number.POSITIVE_INFINITY), Number.NEGATIVE_INFINITY);
  const beyond = special === 'none' || saturate ? bound : special === 'ieee' ? infinite : notANumber(x, Number.NaN);
  const y = where(greater(abs(rounded), most), beyond, rounded);
  // Formats without NaN hold zero in its place.
  const known = equal(x, x);
  return passing(x, where(known, y, special === 'none' ? 0 : x));
}

/** A constant in the shape of `x`. */
function notANumber(x: Tensor, value: number): Tensor {
  return where(notEqual(x, x), value, where(equal(x, x), value, x));
}

/** `y`, with the gradient of `x`. */
function passing(x: Tensor, y: Tensor): Tensor {
  const difference = sub(y, x);
  const small = less(abs(difference), Number.POSITIVE_INFINITY);
  return where(small, add(x, stopGradient(where(small, difference, 0))), stopGradient(y));
}

/** `x` as a power of two (float8e8m0, the scales of MX formats): rounded up, down or to nearest; at least 2⁻¹²⁷. */
export function roundToPower(x: Tensor, mode: string): Tensor {
  const scale = normalizer(x);
  const t = mul(abs(x), scale);
  const up = greater(t, mode === 'up' ? 1 : mode === 'nearest' ? 1.4999999 : 2);
  const power = where(up, div(2, scale), div(1, scale));
  return passing(x, where(equal(x, x), where(equal(x, 0), 2 ** -127, power), x));
}
