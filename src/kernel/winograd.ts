import { InternalError } from '../tensor/errors.js';

/** Rows of numbers. */
export type Matrix = readonly (readonly number[])[];

/**
 * F(m, r): m neighbouring outputs of a one-dimensional convolution with r taps from m + r − 1 products instead of m · r,
 *
 *     y = Aᵀ [(G w) ⊙ (Bᵀ x)]
 *
 * (Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural
 * Networks", CVPR 2016, section 4). The sum Σ (A z) ⊙ (G w) ⊙ (Bᵀ x) is the trilinear form of convolution, so the same three
 * matrices give its other two derivatives: w' = Gᵀ [Σ (A z) ⊙ (Bᵀ x)] for the filter.
 */
export interface Winograd {
  /** m, r and the products m + r − 1. */
  readonly outputs: number;
  readonly taps: number;
  readonly points: number;
  /** Bᵀ [points][points], of neighbouring inputs */
  readonly input: Matrix;
  /** G [points][taps] */
  readonly filter: Matrix;
  /** Aᵀ [outputs][points] */
  readonly output: Matrix;
}

const IDENTITY: Winograd = { outputs: 1, taps: 1, points: 1, input: [[1]], filter: [[1]], output: [[1]] };

/** Interpolates at 0, 1, −1, ∞. */
const F23: Winograd = {
  outputs: 2,
  taps: 3,
  points: 4,
  input: [
    [1, 0, -1, 0],
    [0, 1, 1, 0],
    [0, -1, 1, 0],
    [0, 1, 0, -1],
  ],
  filter: [
    [1, 0, 0],
    [1 / 2, 1 / 2, 1 / 2],
    [1 / 2, -1 / 2, 1 / 2],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 0],
    [0, 1, -1, -1],
  ],
};

/** Interpolates at 0, ±1, 2, ∞. */
const F33: Winograd = {
  outputs: 3,
  taps: 3,
  points: 5,
  input: [
    [2, -1, -2, 1, 0],
    [0, -2, -1, 1, 0],
    [0, 2, -3, 1, 0],
    [0, -1, 0, 1, 0],
    [0, 2, -1, -2, 1],
  ],
  filter: [
    [1 / 2, 0, 0],
    [-1 / 2, -1 / 2, -1 / 2],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 6, 1 / 3, 2 / 3],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 1, 0],
    [0, 1, -1, 2, 0],
    [0, 1, 1, 4, 1],
  ],
};

/** Interpolates at 0, ±1, ±2, ∞. */
const F43: Winograd = {
  outputs: 4,
  taps: 3,
  points: 6,
  input: [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
  ],
  filter: [
    [1 / 4, 0, 0],
    [-1 / 6, -1 / 6, -1 / 6],
    [-1 / 6, 1 / 6, -1 / 6],
    [1 / 24, 1 / 12, 1 / 6],
    [1 / 24, -1 / 12, 1 / 6],
    [0, 0, 1],
  ],
  output: [
    [1, 1, 1, 1, 1, 0],
    [0, 1, -1, 2, -2, 0],
    [0, 1, 1, 4, 4, 0],
    [0, 1, -1, 8, -8, 1],
  ],
};

/** F(outputs, taps): F(1, 1), F(2, 3), F(3, 3) or F(4, 3). */
export function winograd(outputs: number, taps: number): Winograd {
  const found = [IDENTITY, F23, F33, F43].find((f) => f.outputs === outputs && f.taps === taps);
  if (found === undefined) throw new InternalError(`there is no F(${outputs}, ${taps})`);
  return found;
}

/** Rows and columns exchanged. */
export function transposed(matrix: Matrix): Matrix {
  return matrix[0].map((_, column) => matrix.map((row) => row[column]));
}
