import type { DType } from '../tensor/dtype.js';

/**
 * The scalar functions that kernels are made of. A row says what the function means (`evaluate`, on JavaScript numbers;
 * floats are computed in double precision) and the dtype of its result. Code generators have one rule per row.
 */
interface ScalarRow {
  readonly arity: number;
  readonly result: 'same' | 'bool' | 'second';
  readonly evaluate: (...args: number[]) => number;
}

export type ScalarFunction =
  | 'neg'
  | 'abs'
  | 'sqrt'
  | 'exp'
  | 'expm1'
  | 'log'
  | 'log1p'
  | 'tanh'
  | 'sigmoid'
  | 'erf'
  | 'sin'
  | 'cos'
  | 'floor'
  | 'ceil'
  | 'trunc'
  | 'round'
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'pow'
  | 'min'
  | 'max'
  | 'eq'
  | 'ne'
  | 'lt'
  | 'le'
  | 'gt'
  | 'ge'
  | 'not'
  | 'and'
  | 'or'
  | 'select'
  | 'bitxor'
  | 'shl'
  | 'shr'
  | 'bitor';

const row = (
  arity: number,
  evaluate: (...args: number[]) => number,
  result: ScalarRow['result'] = 'same',
): ScalarRow => ({ arity, evaluate, result });

export const SCALAR: Readonly<Record<ScalarFunction, ScalarRow>> = {
  neg: row(1, (x) => -x),
  abs: row(1, Math.abs),
  sqrt: row(1, Math.sqrt),
  exp: row(1, Math.exp),
  expm1: row(1, Math.expm1),
  log: row(1, Math.log),
  log1p: row(1, Math.log1p),
  tanh: row(1, Math.tanh),
  sigmoid: row(1, (x) => 1 / (1 + Math.exp(-x))),
  erf: row(1, erf),
  sin: row(1, Math.sin),
  cos: row(1, Math.cos),
  floor: row(1, Math.floor),
  ceil: row(1, Math.ceil),
  trunc: row(1, Math.trunc),
  round: row(1, roundHalfEven),
  add: row(2, (a, b) => a + b),
  sub: row(2, (a, b) => a - b),
  mul: row(2, (a, b) => a * b),
  div: row(2, (a, b) => a / b),
  pow: row(2, power),
  min: row(2, Math.min),
  max: row(2, Math.max),
  eq: row(2, (a, b) => Number(a === b), 'bool'),
  ne: row(2, (a, b) => Number(a !== b), 'bool'),
  lt: row(2, (a, b) => Number(a < b), 'bool'),
  le: row(2, (a, b) => Number(a <= b), 'bool'),
  gt: row(2, (a, b) => Number(a > b), 'bool'),
  ge: row(2, (a, b) => Number(a >= b), 'bool'),
  not: row(1, (a) => Number(!a), 'bool'),
  and: row(2, (a, b) => Number(a !== 0 && b !== 0), 'bool'),
  or: row(2, (a, b) => Number(a !== 0 || b !== 0), 'bool'),
  /** condition ? a : b; only the dtype of the second argument counts */
  select: row(3, (condition, a, b) => (condition !== 0 ? a : b), 'second'),
  // i32 only
  bitxor: row(2, (a, b) => a ^ b),
  shl: row(2, (a, b) => a << b),
  shr: row(2, (a, b) => (a >>> b) | 0),
  bitor: row(2, (a, b) => a | b),
};

/** The dtype of `fn` applied to arguments of the given dtypes. */
export function scalarResult(fn: ScalarFunction, args: readonly DType[]): DType {
  const { result } = SCALAR[fn];
  return result === 'bool' ? 'bool' : result === 'second' ? args[1] : args[0];
}

/**
 * `fn` of operands of `dtype` (for `select`, of its branches). Floats are computed in double precision, whichever their
 * dtype; i32 wraps around.
 */
export function evaluateScalar(fn: ScalarFunction, dtype: DType, ...args: number[]): number {
  // The double-precision product of two i32 loses the low bits that wrapping keeps.
  if (fn === 'mul' && dtype === 'i32') return Math.imul(args[0], args[1]);
  const value = SCALAR[fn].evaluate(...args);
  return dtype === 'f32' || dtype === 'f64' ? value : roundTo(dtype, value);
}

/** Brings a number into the range of `dtype`, as a store to memory would. */
export function roundTo(dtype: DType, value: number): number {
  switch (dtype) {
    case 'f32':
      return Math.fround(value);
    case 'f64':
      return value;
    case 'i32':
      return value | 0;
    case 'u8':
      return value & 255;
    case 'bool':
      return value !== 0 ? 1 : 0;
  }
}

/** Conversion between dtypes: floats truncate and saturate on their way to i32 and u8, NaN gives 0. */
export function castValue(to: DType, value: number): number {
  if (to === 'i32') {
    return Number.isNaN(value) ? 0 : Math.min(Math.max(value, -2147483648), 2147483647) | 0;
  }
  if (to === 'u8') return Number.isNaN(value) ? 0 : Math.min(Math.max(value, 0), 255) | 0;
  return roundTo(to, value);
}

/** As in IEEE 754 and C: 1 to the power of anything is 1, and so is −1 to ±∞; JavaScript says NaN. */
function power(a: number, b: number): number {
  return a === 1 || (a === -1 && Math.abs(b) === Number.POSITIVE_INFINITY) ? 1 : a ** b;
}

function roundHalfEven(x: number): number {
  if (x < 0) return -roundHalfEven(-x);
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/**
 * Error function: the Maclaurin series of Abramowitz & Stegun 7.1.6 below 3, the continued fraction 7.1.14 above;
 * both to double precision.
 */
function erf(x: number): number {
  const a = Math.abs(x);
  if (Number.isNaN(x)) return Number.NaN;
  if (a > 6) return Math.sign(x);
  if (a < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (a + fraction);
  return Math.sign(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + fraction));
}
