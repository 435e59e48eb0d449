import type { Register, VectorMachine } from '../machine.js';
import { exp, LN2_HIGH, LN2_LOW } from './exponential.js';
import { Formula } from './expression.js';

/** The bits of √½: subtracting them splits a positive number into 2^n and a mantissa in [√½, √2). */
const SQRT_HALF_BITS = 0x3f3504f3;
const SMALLEST_NORMAL = 2 ** -126;

/** (ln(1+f) − f + f²/2) / f³ for √½ ≤ 1+f ≤ √2 (Cephes, `logf.c`). */
const LOG_TAIL: readonly number[] = [
  3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1,
  1.167699874e-1, -1.151461031e-1, 7.0376836292e-2,
];

/** n and the mantissa with x = 2^n · mantissa, √½ ≤ mantissa < √2, for positive normal x; n is i32. */
function split(f: Formula, x: Register): { n: Register; mantissa: Register } {
  const shifted = f.sub(f.bits(x), SQRT_HALF_BITS);
  const n = f.m.shift('sar', shifted, 23);
  const mantissa = f.bits(f.add(f.and(shifted, 0x7fffff), SQRT_HALF_BITS));
  return { n, mantissa };
}

/** As `split` for any positive x, denormal ones included; n is f32. */
export function splitAny(f: Formula, x: Register): { n: Register; mantissa: Register } {
  const denormal = f.compare('lt', x, SMALLEST_NORMAL);
  const { n, mantissa } = split(f, f.select(denormal, f.mul(x, 2 ** 24), x));
  return { n: f.sub(f.m.convert('f32', n), f.select(denormal, 24, 0)), mantissa };
}

/** ln(2^n · mantissa) + correction, for a correction that is small against one. */
function logOfParts(f: Formula, n: Register, mantissa: Register, correction?: Register): Register {
  const x = f.sub(mantissa, 1);
  const square = f.mul(x, x);
  let rest = f.mul(f.mul(f.polynomial(x, LOG_TAIL), square), x);
  if (correction) rest = f.add(rest, correction);
  rest = f.multiplyAdd(n, LN2_LOW, rest);
  rest = f.multiplyAdd(square, -0.5, rest);
  return f.multiplyAdd(n, LN2_HIGH, f.add(x, rest));
}

/** −∞ at zero, NaN below, x at ∞ and NaN, else `result`; `argument` is what the logarithm is taken of. */
function withLimits(f: Formula, x: Register, argument: Register, result: Register): Register {
  const below = f.select(f.compare('eq', argument, 0), -Infinity, NaN);
  const valid = f.select(f.compare('gt', argument, 0), result, below);
  return f.select(f.compare('lt', x, Infinity), valid, x);
}

export function log(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const { n, mantissa } = splitAny(f, x);
  return withLimits(f, x, x, logOfParts(f, n, mantissa));
}

/** ln(1 + x) = ln u + (x − (u − 1)) / u, where u is 1 + x rounded and u − 1 is exact (Kahan; fdlibm, `s_log1p.c`). */
function logOfOnePlus(f: Formula, x: Register): { u: Register; result: Register } {
  const u = f.add(x, 1);
  const correction = f.div(f.sub(x, f.sub(u, 1)), u);
  const { n, mantissa } = split(f, u);
  return { u, result: logOfParts(f, f.m.convert('f32', n), mantissa, correction) };
}

export function log1p(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const { u, result } = logOfOnePlus(f, x);
  return f.signedLike(x, withLimits(f, x, u, result));
}

/** ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|). */
export function softplus(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const { result } = logOfOnePlus(f, exp(m, m.unary('neg', f.abs(x))));
  return f.add(m.binary('max', x, f.f32(0)), result);
}
