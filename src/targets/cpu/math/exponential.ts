import type { Register, VectorMachine } from '../machine.js';
import { Formula } from './expression.js';

/**
 * Adding 1.5 · 2^23 rounds |x| < 2^22 to an integer (to nearest), which is then the low bits of the sum: one addition
 * where a conversion takes several instructions.
 */
export const ROUNDING: number = 1.5 * 2 ** 23;

/** ln 2 in two parts; the first has 9 bits, so that its product with an exponent is exact (Cephes, `expf.c`). */
export const LN2_HIGH = 0.693359375;
export const LN2_LOW = -2.1219444005469057e-4;

/** (e^r − 1 − r) / r² for |r| ≤ ln 2 / 2 (Cephes, `expf.c`). */
export const EXP_TAIL: readonly number[] = [
  5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.98756915e-4,
];

/** n and r with x = n ln 2 + r, |r| ≤ ln 2 / 2. `biased` holds n + bias in its low nine bits if that is not negative. */
function reduce(f: Formula, x: Register, bias: number): { biased: Register; r: Register } {
  const shifted = f.multiplyAdd(x, Math.LOG2E, ROUNDING + bias);
  const n = f.sub(shifted, ROUNDING + bias);
  const r = f.multiplyAdd(n, -LN2_LOW, f.multiplyAdd(n, -LN2_HIGH, x));
  return { biased: f.bits(shifted), r };
}

/**
 * `value · 2^n` with one rounding, for -254 ≤ n ≤ 257; `biased` holds n + 254 in its low nine bits. The power is applied in two
 * halves since neither 2^128 nor 2^-149 is a normal number.
 */
export function scaleByPower(f: Formula, value: Register, biased: Register): Register {
  const half = f.m.shift('shr', biased, 1);
  const rest = f.sub(biased, half);
  const power = (exponent: Register): Register => f.bits(f.m.shift('shl', exponent, 23));
  return f.mul(f.mul(value, power(half)), power(rest));
}

export function exp(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  // e^89 overflows and e^-104 rounds to zero.
  const { biased, r } = reduce(f, f.clamp(-104, x, 89), 254);
  return scaleByPower(f, f.add(expm1OfRemainder(f, r), 1), biased);
}

/** e^r − 1 for the remainder of a reduction. */
function expm1OfRemainder(f: Formula, r: Register): Register {
  return f.multiplyAdd(f.polynomial(r, EXP_TAIL), f.mul(r, r), r);
}

/** e^x − 1 for −20 ≤ x ≤ 20, but for the sign of zero. */
export function expm1Between(f: Formula, x: Register): Register {
  const { biased, r } = reduce(f, x, 127);
  const power = f.bits(f.m.shift('shl', biased, 23));
  return f.multiplyAdd(expm1OfRemainder(f, r), power, f.sub(power, 1));
}

/** e^x − 1 = 2 (2^(n-1) (e^r − 1) + 2^(n-1) − 1/2), in which no step overflows before the last. */
export function expm1(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const { biased, r } = reduce(f, f.clamp(-18, x, 89), 126);
  const power = f.bits(m.shift('shl', biased, 23));
  const half = f.multiplyAdd(expm1OfRemainder(f, r), power, f.sub(power, 0.5));
  return f.signedLike(x, f.add(half, half));
}

/** e^x / (1 + e^x), with x bounded where the result rounds to one. */
export function sigmoid(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const power = exp(m, m.binary('min', x, f.f32(88)));
  return f.div(power, f.add(power, 1));
}
