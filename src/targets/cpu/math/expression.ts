import type { BinaryOp, Comparison, Register, VectorMachine } from '../machine.js';

export const SIGN_BIT: number = -(2 ** 31);

/** An operand: a register, or a constant as wide and of the same kind as the registers around it. */
export type Operand = Register | number;

/** Arithmetic in infix order with constants as plain numbers, for formulas of one width. */
export class Formula {
  readonly m: VectorMachine;
  readonly #wide: boolean;

  /** @param like a register as wide as all registers of the formula. */
  constructor(m: VectorMachine, like: Register) {
    this.m = m;
    this.#wide = like.wide;
  }

  f32(x: Operand): Register {
    return typeof x === 'number' ? this.m.constant('f32', x, this.#wide) : x;
  }

  i32(x: Operand): Register {
    return typeof x === 'number' ? this.m.constant('i32', x, this.#wide) : x;
  }

  add(a: Operand, b: Operand): Register {
    return this.#binary('add', a, b);
  }

  sub(a: Operand, b: Operand): Register {
    return this.#binary('sub', a, b);
  }

  mul(a: Operand, b: Operand): Register {
    return this.#binary('mul', a, b);
  }

  div(a: Operand, b: Operand): Register {
    return this.#binary('div', a, b);
  }

  and(a: Register, b: Operand): Register {
    return this.#binary('and', a, b);
  }

  or(a: Register, b: Operand): Register {
    return this.#binary('or', a, b);
  }

  xor(a: Register, b: Operand): Register {
    return this.#binary('xor', a, b);
  }

  /** The bits of an f32, or an f32 from bits. */
  bits(a: Register): Register {
    return this.m.bitcast(a.kind === 'f32' ? 'i32' : 'f32', a);
  }

  abs(a: Register): Register {
    return this.m.unary('abs', a);
  }

  compare(op: Comparison, a: Operand, b: Operand): Register {
    const [x, y] = this.#pair(a, b);
    return this.m.compare(op, x, y);
  }

  select(mask: Register, a: Operand, b: Operand): Register {
    const [x, y] = this.#pair(a, b);
    return this.m.select(mask, x, y);
  }

  /** `a · b + c`, rounded once where the machine can. */
  multiplyAdd(a: Operand, b: Operand, c: Operand): Register {
    const sum = typeof c === 'number' ? this.f32(c) : this.m.copy(c);
    this.m.multiplyAdd(sum, this.f32(a), this.f32(b));
    return sum;
  }

  /** `c[0] + c[1] · x + c[2] · x² + …` by Horner's rule. */
  polynomial(x: Register, coefficients: readonly number[]): Register {
    const last = coefficients.length - 1;
    let sum: Register = this.f32(coefficients[last]);
    for (let i = last - 1; i >= 0; i--) sum = this.multiplyAdd(sum, x, coefficients[i]);
    return sum;
  }

  /** `low` if x < low, `high` if x > high; NaN stays NaN. */
  clamp(low: number, x: Register, high: number): Register {
    return this.m.binary('min', this.m.binary('max', x, this.f32(low)), this.f32(high));
  }

  /** `result` with the sign of x, for results that have it already unless they are zero. */
  signedLike(x: Register, result: Register): Register {
    return this.bits(this.or(this.and(this.bits(x), SIGN_BIT), this.bits(result)));
  }

  #binary(op: BinaryOp, a: Operand, b: Operand): Register {
    const [x, y] = this.#pair(a, b);
    return this.m.binary(op, x, y);
  }

  /** Constants take the kind of the other operand; f32 if both are constants. */
  #pair(a: Operand, b: Operand): [Register, Register] {
    const integer = [a, b].some((operand) => typeof operand !== 'number' && operand.kind === 'i32');
    return integer ? [this.i32(a), this.i32(b)] : [this.f32(a), this.f32(b)];
  }
}
