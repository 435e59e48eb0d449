import type { Register, VectorMachine } from './machine.js';

/**
 * The columns of a square whose rows are wide registers: lane i of column j is lane j of row i; of rows that are missing at the end,
 * anything. Pairs of registers are joined: by elements and by pairs of elements within every four lanes, then by fours of lanes (as in
 * Intel's optimization reference manual, "AVX implementation of an 8×8 matrix transpose"). Only what is asked for is computed.
 */
export class Transposed {
  readonly #m: VectorMachine;
  readonly #rows: readonly Register[];
  readonly #made = new Map<string, Register>();

  constructor(m: VectorMachine, rows: readonly Register[]) {
    this.#m = m;
    this.#rows = rows;
  }

  column(j: number): Register {
    const c = j % 4;
    const q = Math.floor(j / 4);
    const fours = this.#m.lanes / 4;
    if (fours === 1) return this.#four(c, 0);
    if (fours === 2) return this.#join(`${c} ${q}`, this.#four(c, 0), this.#four(c, 1), [q, 2 + q]);
    const half = (h: number): Register => {
      const p = q % 2;
      return this.#join(`${c} ${h} ${p}`, this.#four(c, 2 * h), this.#four(c, 2 * h + 1), [p, p + 2, p + 4, p + 6]);
    };
    const s = Math.floor(q / 2);
    return this.#join(`${c} ${q}`, half(0), half(1), [s, s + 2, s + 4, s + 6]);
  }

  /** In the q-th four lanes: column 4q + c of rows 4g … 4g + 3. */
  #four(c: number, g: number): Register {
    const row = (r: number): Register => this.#rows[Math.min(4 * g + r, this.#rows.length - 1)];
    const pair = (r: number): Register => {
      const high = c < 2 ? 0 : 2;
      return this.#zip(`${high} ${g} ${r} zip`, row(r), row(r + 1), [high, 4 + high, high + 1, 5 + high]);
    };
    const at = 2 * (c % 2);
    return this.#zip(`${c} ${g} four`, pair(0), pair(2), [at, at + 1, 4 + at, 5 + at]);
  }

  /** The same lanes of every four: 0 … 3 of `a`, 4 … 7 of `b`. */
  #zip(key: string, a: Register, b: Register, pattern: readonly number[]): Register {
    const { lanes } = this.#m;
    const from = (i: number): number => (i < 4 ? i : lanes + i - 4);
    return this.#shuffle(
      key,
      a,
      b,
      Array.from({ length: lanes }, (_, i) => from(pattern[i % 4]) + i - (i % 4)),
    );
  }

  /** Whole fours of lanes: those of `a`, then those of `b`, by number. */
  #join(key: string, a: Register, b: Register, fours: readonly number[]): Register {
    return this.#shuffle(
      key,
      a,
      b,
      fours.flatMap((four) => [4 * four, 4 * four + 1, 4 * four + 2, 4 * four + 3]),
    );
  }

  #shuffle(key: string, a: Register, b: Register, indices: readonly number[]): Register {
    let made = this.#made.get(key);
    if (made === undefined) {
      made = this.#m.shuffle(a, b, indices);
      this.#made.set(key, made);
    }
    return made;
  }
}
