import type { Register, VectorMachine } from './machine.js';
import { erf, tanh } from './math/bounded.js';
import { exp, expm1, sigmoid } from './math/exponential.js';
import { log, log1p, softplus } from './math/logarithm.js';
import { pow } from './math/power.js';
import { cos, sin } from './math/trigonometric.js';

/**
 * Functions of f32 registers, scalar or wide, from the operations of the vector machine. They treat ±0, ±∞, NaN, overflow and
 * denormals as IEEE 754 and C do, and {@link MATH_ERROR} states the largest error of each.
 */
export type MathFunction = 'exp' | 'expm1' | 'log' | 'log1p' | 'tanh' | 'sigmoid' | 'softplus' | 'erf' | 'sin' | 'cos';

/**
 * Largest error in units in the last place of the exact result (2^-149 where that is below 2^-126), with and without fused
 * multiply-add (of 4.4e7 values spread over all of f32; pow: of 8e6 pairs). sin and cos: up to |x| = 10,000; beyond, they lose
 * accuracy but stay within ±1.
 */
export const MATH_ERROR: Readonly<Record<MathFunction | 'pow', number>> = {
  exp: 1.25,
  expm1: 1.75,
  log: 1,
  log1p: 1,
  tanh: 2.75,
  sigmoid: 2.5,
  softplus: 1.75,
  erf: 3.5,
  sin: 1.75,
  cos: 1.75,
  pow: 1,
};

const UNARY: Readonly<Record<MathFunction, (m: VectorMachine, x: Register) => Register>> = {
  exp,
  expm1,
  log,
  log1p,
  tanh,
  sigmoid,
  softplus,
  erf,
  sin,
  cos,
};

/** `name(x)` for f32; the result is a fresh register. */
export function emitUnary(m: VectorMachine, name: MathFunction, x: Register): Register {
  return UNARY[name](m, x);
}

/** `x^y` for f32 with the special cases of C: `pow(1, y)` and `pow(x, 0)` are 1 even for NaN. */
export function emitPow(m: VectorMachine, x: Register, y: Register): Register {
  return pow(m, x, y);
}
