import type { Register, VectorMachine } from '../machine.js';
import { EXP_TAIL, ROUNDING, scaleByPower } from './exponential.js';
import { Formula, SIGN_BIT } from './expression.js';
import { splitAny } from './logarithm.js';

// 2 / (3 ln 2), ln 2 and their parts, as in fdlibm's `e_powf.c`; the high parts leave room for exact products.
const CP = 9.6179670095e-1;
const CP_HIGH = 9.619140625e-1;
const CP_LOW = -1.1736857402e-4;
const LN2 = 6.9314718246e-1;
const LN2_HIGH = 6.93145752e-1;
const LN2_LOW = 1.42860654e-6;
/** (ln((1+s)/(1−s)) / s − 2 − 2s²/3) · 3 / (2 s⁴) in s². */
const LOG_TAIL: readonly number[] = [
  6.0000002384e-1, 4.2857143283e-1, 3.3333334327e-1, 2.7272811532e-1, 2.3066075146e-1,
];
/** |y| from which any x other than one gives zero or infinity. */
const HUGE_EXPONENT = 2 ** 32;

/**
 * x^y = 2^(y log2 x) with the logarithm in two f32s, since its relative error is multiplied by up to 128 (after fdlibm,
 * `e_powf.c`). `head` keeps so few leading bits that products of heads are exact.
 */
export function pow(m: VectorMachine, x: Register, exponent: Register): Register {
  const f = new Formula(m, x);
  const head = (value: Register, mask = ~0xfff): Register => f.bits(f.and(f.bits(value), mask));
  const magnitude = f.abs(x);
  const y = f.clamp(-HUGE_EXPONENT, exponent, HUGE_EXPONENT);

  // log2 |x| = logHigh + logLow: s = (mantissa − 1) / (mantissa + 1) = sHigh + sLow, ln mantissa = 2s + 2s³/3 + …
  const { n, mantissa } = splitAny(f, magnitude);
  const difference = f.sub(mantissa, 1);
  const sum = f.add(mantissa, 1);
  const reciprocal = f.div(1, sum);
  const s = f.mul(difference, reciprocal);
  const sHigh = head(s);
  const sumHigh = head(sum);
  const sumLow = f.sub(mantissa, f.sub(sumHigh, 1));
  const sLow = f.mul(reciprocal, f.sub(f.sub(difference, f.mul(sHigh, sumHigh)), f.mul(sHigh, sumLow)));
  const s2 = f.mul(s, s);
  const tail = f.multiplyAdd(sLow, f.add(sHigh, s), f.mul(f.mul(s2, s2), f.polynomial(s2, LOG_TAIL)));
  const square = f.mul(sHigh, sHigh);
  const seriesHigh = head(f.add(f.add(square, 3), tail));
  const seriesLow = f.sub(tail, f.sub(f.sub(seriesHigh, 3), square));
  const main = f.mul(sHigh, seriesHigh);
  const rest = f.multiplyAdd(sLow, seriesHigh, f.mul(seriesLow, s));
  const productHigh = head(f.add(main, rest));
  const productLow = f.sub(rest, f.sub(productHigh, main));
  const scaledHigh = f.mul(productHigh, CP_HIGH);
  const scaledLow = f.multiplyAdd(productLow, CP, f.mul(productHigh, CP_LOW));
  const logHigh = head(f.add(f.add(scaledHigh, scaledLow), n));
  const logLow = f.sub(scaledLow, f.sub(f.sub(logHigh, n), scaledHigh));

  // z = y log2 |x| = high + low, x^y = 2^integer · e^((z − integer) ln 2)
  const yHigh = head(y);
  const low = f.multiplyAdd(f.sub(y, yHigh), logHigh, f.mul(y, logLow));
  const high = f.mul(yHigh, logHigh);
  const z = f.add(low, high);
  const shifted = f.add(f.clamp(-151, z, 129), ROUNDING + 254);
  const fraction = f.sub(high, f.sub(shifted, ROUNDING + 254));
  const top = head(f.add(low, fraction), ~0x7fff);
  const u = f.mul(top, LN2_HIGH);
  const v = f.multiplyAdd(f.sub(low, f.sub(top, fraction)), LN2, f.mul(top, LN2_LOW));
  const r = f.add(u, v);
  const rLow = f.sub(v, f.sub(r, u));
  const power = f.add(f.add(f.multiplyAdd(f.polynomial(r, EXP_TAIL), f.mul(r, r), rLow), r), 1);
  let result = scaleByPower(f, power, f.bits(shifted));

  result = f.select(f.compare('ge', z, 129), Infinity, result);
  result = f.select(f.compare('le', z, -151), 0, result);
  const falling = f.compare('lt', y, 0);
  result = f.select(f.compare('eq', magnitude, 0), f.select(falling, Infinity, 0), result);
  result = f.select(f.compare('eq', magnitude, Infinity), f.select(falling, 0, Infinity), result);

  // A negative base: odd integers keep the sign, other integers drop it, fractions have no result.
  const integer = f.compare('eq', m.unary('trunc', y), y);
  const halved = f.mul(y, 0.5);
  const odd = f.m.binary('and', integer, f.compare('ne', m.unary('trunc', halved), halved));
  const negated = f.bits(f.or(f.bits(result), f.and(f.bits(x), SIGN_BIT)));
  result = f.select(odd, negated, result);
  const finiteNegative = m.binary('and', f.compare('lt', x, 0), f.compare('ne', magnitude, Infinity));
  result = f.select(m.binary('and', finiteNegative, m.unary('not', integer)), NaN, result);

  const unordered = m.binary('or', f.compare('ne', x, x), f.compare('ne', y, y));
  result = f.select(unordered, NaN, result);
  const one = m.binary('or', f.compare('eq', y, 0), f.compare('eq', x, 1));
  return f.select(one, 1, result);
}
