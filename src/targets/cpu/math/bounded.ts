import type { Register, VectorMachine } from '../machine.js';
import { expm1Between } from './exponential.js';
import { Formula } from './expression.js';

/** tanh x = t / (t + 2) with t = e^2x − 1. From 9.02 on the result rounds to one. */
export function tanh(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const magnitude = m.binary('min', f.abs(x), f.f32(9.02));
  const t = expm1Between(f, f.add(magnitude, magnitude));
  return f.signedLike(x, f.div(t, f.add(t, 2)));
}

/** From here on erf rounds to one. */
const ERF_LIMIT = 3.95;
/**
 * ln(1 − erf x) / −x for 0 ≤ x ≤ 3.95: a minimax fit of the relative error of erf (least squares with Lawson's weights on 800
 * Chebyshev points), error 4e-9.
 */
const ERF_EXPONENT: readonly number[] = [
  1.128379225730896, 0.6366193890571594, 0.10277783125638962, -0.019153064116835594, -1.6039671027101576e-4,
  1.6670281765982509e-3, -6.328372401185334e-4, 1.1764138616854325e-4, -9.256279554392677e-6,
];

/** erf x = 1 − e^(−x p(x)): one formula for all x, without cancellation. */
export function erf(m: VectorMachine, x: Register): Register {
  const f = new Formula(m, x);
  const magnitude = m.binary('min', f.abs(x), f.f32(ERF_LIMIT));
  const exponent = f.mul(m.unary('neg', magnitude), f.polynomial(magnitude, ERF_EXPONENT));
  return f.signedLike(x, f.abs(expm1Between(f, exponent)));
}
