import type { Matrix } from '../../kernel/winograd.js';
import type { Register, VectorMachine } from './machine.js';

// Small constant matrices times vectors of registers, lane by lane, with as few operations as pairs of rows and columns that
// differ in signs only allow. What these are is found once for each matrix.

/** Registers by number: those of x, then the results of the operations before. */
type Operation =
  | { readonly op: 'add' | 'sub'; readonly a: number; readonly b: number }
  | { readonly op: 'scale'; readonly a: number; readonly factor: number }
  | { readonly op: 'copy'; readonly a: number }
  | { readonly op: 'zero' }
  /** Changes `sum`; has no result. */
  | { readonly op: 'multiplyAdd'; readonly sum: number; readonly a: number; readonly factor: number };

interface Product {
  readonly operations: readonly Operation[];
  /** Registers of the rows of the result. */
  readonly rows: readonly number[];
}

const products = new WeakMap<Matrix, Product>();

/** Numbers in all lanes, each made once. */
class Constants {
  readonly #m: VectorMachine;
  readonly #registers = new Map<number, Register>();

  constructor(m: VectorMachine) {
    this.#m = m;
  }

  get(value: number): Register {
    let register = this.#registers.get(value);
    if (register === undefined) {
      register = this.#m.constant('f32', value, true);
      this.#registers.set(value, register);
    }
    return register;
  }
}

/** matrix · x */
function applyMatrix(m: VectorMachine, matrix: Matrix, x: readonly Register[], constants: Constants): Register[] {
  let product = products.get(matrix);
  if (product === undefined) {
    product = new ProductWriter(x.length).write(matrix);
    products.set(matrix, product);
  }
  const { operations, rows } = product;
  const registers = [...x];
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i];
    switch (operation.op) {
      case 'add':
      case 'sub':
        registers.push(m.binary(operation.op, registers[operation.a], registers[operation.b]));
        break;
      case 'scale':
        registers.push(m.binary('mul', registers[operation.a], constants.get(operation.factor)));
        break;
      case 'copy':
        registers.push(m.copy(registers[operation.a]));
        break;
      case 'zero':
        registers.push(constants.get(0));
        break;
      case 'multiplyAdd':
        m.multiplyAdd(registers[operation.sum], registers[operation.a], constants.get(operation.factor));
        break;
    }
  }
  return rows.map((row) => registers[row]);
}

/**
 * A matrix along each axis of an array of registers, [..extents] row-major; the result has as many elements along an axis as
 * its matrix has rows.
 */
export function applyMatrices(m: VectorMachine, matrices: readonly Matrix[], values: readonly Register[]): Register[] {
  let current = values;
  const constants = new Constants(m);
  const extents = matrices.map((matrix) => matrix[0].length);
  matrices.forEach((matrix, axis) => {
    const inner = extents.slice(axis + 1).reduce((a, b) => a * b, 1);
    const outer = extents.slice(0, axis).reduce((a, b) => a * b, 1);
    const next = new Array<Register>(outer * matrix.length * inner);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const column = Array.from({ length: extents[axis] }, (_, k) => current[(o * extents[axis] + k) * inner + i]);
        applyMatrix(m, matrix, column, constants).forEach((value, r) => {
          next[(o * matrix.length + r) * inner + i] = value;
        });
      }
    }
    extents[axis] = matrix.length;
    current = next;
  });
  return [...current];
}

/** Finds the operations of a product. */
class ProductWriter {
  readonly #operations: Operation[] = [];
  readonly #columns: number;
  /** Registers so far. */
  #count: number;

  constructor(columns: number) {
    this.#columns = columns;
    this.#count = columns;
  }

  write(matrix: Matrix): Product {
    const { columns, registers } = this.#joinColumns(matrix);
    const y = new Array<number>(matrix.length);
    columns.forEach((row, r) => {
      if (y[r] !== undefined) return;
      const partner = columns.findIndex((other, s) => s > r && y[s] === undefined && isMirrored(row, other));
      if (partner < 0) {
        y[r] = this.#combine(row, registers);
        return;
      }
      const other = columns[partner];
      const even = this.#combine(
        row.map((c, k) => (c === other[k] ? c : 0)),
        registers,
      );
      const odd = this.#combine(
        row.map((c, k) => (c === other[k] ? 0 : c)),
        registers,
      );
      y[r] = this.#result({ op: 'add', a: even, b: odd });
      y[partner] = this.#result({ op: 'sub', a: even, b: odd });
    });
    return { operations: this.#operations, rows: y };
  }

  #result(operation: Operation): number {
    this.#operations.push(operation);
    return this.#count++;
  }

  /** Columns that agree up to signs are replaced by the sum and the difference of their operands. */
  #joinColumns(matrix: Matrix): { columns: number[][]; registers: number[] } {
    const columns = matrix.map((row) => [...row]);
    const registers = Array.from({ length: this.#columns }, (_, k) => k);
    const joined = new Set<number>();
    for (let k = 0; k < registers.length; k++) {
      for (let l = k + 1; l < registers.length && !joined.has(k); l++) {
        if (joined.has(l)) continue;
        const rows = matrix.filter((row) => row[k] !== 0 || row[l] !== 0);
        const agree = rows.every((row) => Math.abs(row[k]) === Math.abs(row[l]));
        const equal = rows.filter((row) => row[k] === row[l]).length;
        if (!agree || equal < 2 || rows.length - equal < 2) continue;
        joined.add(k).add(l);
        registers[k] = this.#result({ op: 'add', a: k, b: l });
        registers[l] = this.#result({ op: 'sub', a: k, b: l });
        for (const row of columns) {
          const [a, b] = [row[k], row[l]];
          row[k] = a === b ? a : 0;
          row[l] = a === b ? 0 : a;
        }
      }
    }
    return { columns, registers };
  }

  /** Σ coefficients[k] · x[k] */
  #combine(coefficients: readonly number[], x: readonly number[]): number {
    const terms = coefficients.flatMap((c, k) => (c === 0 ? [] : [{ c, value: x[k] }]));
    if (terms.length === 0) return this.#result({ op: 'zero' });
    const common = Math.abs(terms[0].c);
    if (common !== 1 && terms.every(({ c }) => Math.abs(c) === common)) {
      const sum = this.#combine(
        coefficients.map((c) => c / common),
        x,
      );
      return this.#result({ op: 'scale', a: sum, factor: common });
    }
    // Begins with a term that needs no product, and a positive one if possible.
    terms.sort((a, b) => rank(a.c) - rank(b.c));
    const [first, ...rest] = terms;
    let sum = first.value;
    if (first.c !== 1) sum = this.#result({ op: 'scale', a: sum, factor: first.c });
    let own = first.c !== 1;
    for (const { c, value } of rest) {
      if (Math.abs(c) === 1) {
        sum = this.#result({ op: c === 1 ? 'add' : 'sub', a: sum, b: value });
      } else {
        if (!own) sum = this.#result({ op: 'copy', a: sum });
        this.#operations.push({ op: 'multiplyAdd', sum, a: value, factor: c });
      }
      own = true;
    }
    return sum;
  }
}

/** Whether two rows agree in some columns and differ in the sign in others. */
function isMirrored(a: readonly number[], b: readonly number[]): boolean {
  let used = 0;
  let equal = 0;
  for (let k = 0; k < a.length; k++) {
    if (a[k] === 0 && b[k] === 0) continue;
    if (Math.abs(a[k]) !== Math.abs(b[k])) return false;
    used++;
    if (a[k] === b[k]) equal++;
  }
  return equal > 0 && equal < used;
}

function rank(c: number): number {
  return c === 1 ? 0 : Math.abs(c) === 1 ? 2 : 1;
}

/** All positions of an array, row-major. */
export function positions(extents: readonly number[]): number[][] {
  return extents.reduce<number[][]>(
    (all, extent) => all.flatMap((head) => Array.from({ length: extent }, (_, i) => [...head, i])),
    [[]],
  );
}
