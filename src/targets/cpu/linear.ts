import type { Matrix } from '../../kernel/winograd.js';
import type { Register, VectorMachine } from './machine.js';

// Small constant matrices times vectors of registers, lane by lane, with as few operations as pairs of rows and columns that
// differ in signs only allow.

/** matrix · x */
function applyMatrix(m: VectorMachine, matrix: Matrix, x: readonly Register[]): Register[] {
  const { columns, registers } = joinColumns(m, matrix, x);
  const y = new Array<Register>(matrix.length);
  columns.forEach((row, r) => {
    if (y[r] !== undefined) return;
    const partner = columns.findIndex((other, s) => s > r && y[s] === undefined && isMirrored(row, other));
    if (partner < 0) {
      y[r] = combine(m, row, registers);
      return;
    }
    const other = columns[partner];
    const even = combine(
      m,
      row.map((c, k) => (c === other[k] ? c : 0)),
      registers,
    );
    const odd = combine(
      m,
      row.map((c, k) => (c === other[k] ? 0 : c)),
      registers,
    );
    y[r] = m.binary('add', even, odd);
    y[partner] = m.binary('sub', even, odd);
  });
  return y;
}

/**
 * A matrix along each axis of an array of registers, [..extents] row-major; the result has as many elements along an axis as
 * its matrix has rows.
 */
export function applyMatrices(m: VectorMachine, matrices: readonly Matrix[], values: readonly Register[]): Register[] {
  let current = values;
  const extents = matrices.map((matrix) => matrix[0].length);
  matrices.forEach((matrix, axis) => {
    const inner = extents.slice(axis + 1).reduce((a, b) => a * b, 1);
    const outer = extents.slice(0, axis).reduce((a, b) => a * b, 1);
    const next = new Array<Register>(outer * matrix.length * inner);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const column = Array.from({ length: extents[axis] }, (_, k) => current[(o * extents[axis] + k) * inner + i]);
        applyMatrix(m, matrix, column).forEach((value, r) => {
          next[(o * matrix.length + r) * inner + i] = value;
        });
      }
    }
    extents[axis] = matrix.length;
    current = next;
  });
  return [...current];
}

/** Columns that agree up to signs are replaced by the sum and the difference of their operands. */
function joinColumns(
  m: VectorMachine,
  matrix: Matrix,
  x: readonly Register[],
): { columns: number[][]; registers: Register[] } {
  const columns = matrix.map((row) => [...row]);
  const registers = [...x];
  const joined = new Set<number>();
  for (let k = 0; k < x.length; k++) {
    for (let l = k + 1; l < x.length && !joined.has(k); l++) {
      if (joined.has(l)) continue;
      const rows = matrix.filter((row) => row[k] !== 0 || row[l] !== 0);
      const agree = rows.every((row) => Math.abs(row[k]) === Math.abs(row[l]));
      const equal = rows.filter((row) => row[k] === row[l]).length;
      if (!agree || equal < 2 || rows.length - equal < 2) continue;
      joined.add(k).add(l);
      const sum = m.binary('add', x[k], x[l]);
      const difference = m.binary('sub', x[k], x[l]);
      registers[k] = sum;
      registers[l] = difference;
      for (const row of columns) {
        const [a, b] = [row[k], row[l]];
        row[k] = a === b ? a : 0;
        row[l] = a === b ? 0 : a;
      }
    }
  }
  return { columns, registers };
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

/** Σ coefficients[k] · x[k] */
function combine(m: VectorMachine, coefficients: readonly number[], x: readonly Register[]): Register {
  const terms = coefficients.flatMap((c, k) => (c === 0 ? [] : [{ c, value: x[k] }]));
  if (terms.length === 0) return m.constant('f32', 0, true);
  const common = Math.abs(terms[0].c);
  if (common !== 1 && terms.every(({ c }) => Math.abs(c) === common)) {
    const sum = combine(
      m,
      coefficients.map((c) => c / common),
      x,
    );
    return m.binary('mul', sum, m.constant('f32', common, true));
  }
  // Begins with a term that needs no product, and a positive one if possible.
  terms.sort((a, b) => rank(a.c) - rank(b.c));
  const [first, ...rest] = terms;
  let sum = first.value;
  if (first.c !== 1) sum = m.binary('mul', sum, m.constant('f32', first.c, true));
  let own = first.c !== 1;
  for (const { c, value } of rest) {
    if (Math.abs(c) === 1) {
      sum = m.binary(c === 1 ? 'add' : 'sub', sum, value);
    } else {
      if (!own) sum = m.copy(sum);
      m.multiplyAdd(sum, value, m.constant('f32', c, true));
    }
    own = true;
  }
  return sum;
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
