import type { Register, VectorMachine } from './machine.js';

/** Integer arithmetic on addresses and positions, where factors and summands of constants vanish if they can. */
export class Arithmetic {
  readonly #m: VectorMachine;

  constructor(m: VectorMachine) {
    this.#m = m;
  }

  times(a: Register, factor: number): Register {
    return factor === 1 ? a : this.#m.binary('mul', a, this.#m.constant('i32', factor));
  }

  plus(a: Register, b: Register | number): Register {
    if (typeof b !== 'number') return this.#m.binary('add', a, b);
    return b === 0 ? a : this.#m.binary('add', a, this.#m.constant('i32', b));
  }

  /** The smaller of a position and a bound known when code is generated. */
  atMost(a: Register, bound: number): Register {
    return this.#m.binary('min', a, this.#m.constant('i32', bound));
  }

  /** The position along each of `extents` of a number that counts all of them row-major. */
  decode(position: Register, extents: readonly number[]): Register[] {
    const m = this.#m;
    const decoded: Register[] = [];
    let rest = position;
    for (let i = extents.length - 1; i > 0; i--) {
      if (extents[i] === 1) {
        decoded.unshift(m.constant('i32', 0));
      } else {
        decoded.unshift(m.remainder(rest, extents[i]));
        rest = m.divide(rest, extents[i]);
      }
    }
    return extents.length === 0 ? [] : [rest, ...decoded];
  }
}
