import type { Register, VectorMachine } from '../machine.js';
import { ROUNDING } from './exponential.js';
import { Formula, SIGN_BIT } from './expression.js';

/**
 * π/2 in parts (Cody and Waite). With fused multiply-add three parts of 24 bits; without, four of 11 bits, whose products with
 * the 13 bits of a quotient up to 6,366 are exact, and one of 24. The smallest remainder of an f32 below 10,000 is about
 * 4e-8, so that 24 correct bits of it take π/2 to about 1e-19.
 */
const HALF_PI_FUSED: readonly number[] = [1.5707963705062866, -4.371138828673793e-8, -1.7151245100058819e-15];
const HALF_PI: readonly number[] = [
  1.5703125, 4.837512969970703e-4, 7.549533620476723e-8, 2.5632829192545614e-12, 6.123234262925839e-17,
];
/** A little more than π/4: the quotient is rounded, too. */
const BOUND = 0.79;

/** (sin x − x) / x³ and (cos x − 1 + x²/2) / x⁴ in x² for |x| ≤ π/4 (Cephes, `sinf.c`). */
const SIN_TAIL: readonly number[] = [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4];
const COS_TAIL: readonly number[] = [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5];

function remainderFused(f: Formula, x: Register, q: Register): Register {
  return HALF_PI_FUSED.reduce((rest, part) => f.multiplyAdd(q, -part, rest), x);
}

/** The first two differences are exact; what the third rounds off goes into the sum of the small parts. */
function remainder(f: Formula, x: Register, q: Register): Register {
  const [first, second, third, fourth, fifth] = HALF_PI.map((part) => f.mul(q, part));
  const exact = f.sub(f.sub(x, first), second);
  const high = f.sub(exact, third);
  const low = f.sub(f.sub(exact, high), third);
  return f.add(high, f.sub(f.sub(low, fourth), fifth));
}

/** sin(x + quarters · π/2). */
function sine(m: VectorMachine, x: Register, quarters: 0 | 1): Register {
  const f = new Formula(m, x);
  const shifted = f.multiplyAdd(x, 2 / Math.PI, ROUNDING);
  const q = f.sub(shifted, ROUNDING);
  // Far out the quotient is no integer any more; the polynomials must not run away then.
  const r = f.clamp(-BOUND, m.fusedMultiplyAdd ? remainderFused(f, x, q) : remainder(f, x, q), BOUND);

  const square = f.mul(r, r);
  const sin = f.multiplyAdd(f.mul(f.polynomial(square, SIN_TAIL), square), r, r);
  const cosTail = f.multiplyAdd(f.polynomial(square, COS_TAIL), f.mul(square, square), f.mul(square, -0.5));
  const cos = f.add(cosTail, 1);

  const quadrant = quarters === 0 ? f.bits(shifted) : f.add(f.bits(shifted), quarters);
  const odd = f.compare('ne', f.and(quadrant, 1), 0);
  const sign = f.and(m.shift('shl', quadrant, 30), SIGN_BIT);
  return f.bits(f.xor(f.bits(f.select(odd, cos, sin)), sign));
}

export function sin(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  return f.select(f.compare('eq', x, 0), x, sine(m, x, 0)); // keeps the sign of zero
}

export function cos(m: VectorMachine, x: Register): Register {
  return sine(m, x, 1);
}
