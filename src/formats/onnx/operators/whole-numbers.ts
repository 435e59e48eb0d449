import { broadcastTo } from '../../../ops/broadcast.js';
import {
  abs,
  add,
  bitOr,
  bitXor,
  cast,
  div,
  floor,
  greaterEqual,
  less,
  mul,
  neg,
  notEqual,
  shiftLeft,
  shiftRight,
  sub,
  where,
} from '../../../ops/elementwise.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { type ElementType, rowOf } from '../element-types.js';

// Whole numbers of every width are held in i32; what does not fit the width wraps around as there.

/** Brings results of arithmetic back into the range of narrow types. */
export function wrap(x: Tensor, type: ElementType): Tensor {
  const { bits, signed, dtype } = rowOf(type);
  if (dtype !== 'i32' || bits >= 32) return x;
  const shifted = shiftLeft(x, 32 - bits);
  if (!signed) return shiftRight(shifted, 32 - bits);
  // Sign extension: (x XOR sign) − sign.
  const sign = 2 ** (bits - 1);
  return sub(bitXor(shiftRight(shifted, 32 - bits), sign), sign);
}

/**
 * a / b towards zero and what remains, with the sign of a, as in C. Single precision guesses the quotient; its 24 bits leave an
 * error, which a second guess for the remainder brings down to one.
 */
export function divideWhole(a: Tensor, b: Tensor): { quotient: Tensor; remainder: Tensor } {
  const n = abs(a);
  const d = abs(b);
  const guess = (x: Tensor): Tensor => cast(floor(div(cast(x, 'f32'), cast(d, 'f32'))), 'i32');
  const first = guess(n);
  const left = sub(n, mul(first, d));
  const second = guess(left);
  const rest = sub(left, mul(second, d));
  const error = sub(cast(greaterEqual(rest, d), 'i32'), cast(less(rest, 0), 'i32'));
  const whole = add(add(first, second), error);
  const remains = sub(rest, mul(error, d));
  const differ = notEqual(cast(less(a, 0), 'i32'), cast(less(b, 0), 'i32'));
  return { quotient: where(differ, neg(whole), whole), remainder: where(less(a, 0), neg(remains), remains) };
}

export function bitAnd(a: Tensor, b: Tensor): Tensor {
  // a + b = (a OR b) + (a AND b)
  return sub(add(a, b), bitOr(a, b));
}

/** Shifts by as many bits as a tensor says: one bit after the other of the distance. */
export function shiftBy(x: Tensor, bits: Tensor, shift: (x: Tensor, bits: number) => Tensor): Tensor {
  let y = broadcastTo(x, add(x, bits).shape);
  for (const step of [1, 2, 4, 8, 16]) {
    const set = notEqual(
      bitAnd(shiftRight(bits, Math.log2(step)), broadcastTo(sub(bits, sub(bits, 1)), bits.shape)),
      0,
    );
    y = where(set, shift(y, step), y);
  }
  // 32 bits and more leave nothing.
  return where(greaterEqual(bits, 32), 0, y);
}
