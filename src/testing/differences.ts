import assert from 'node:assert/strict';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { add, mul } from '../ops/elementwise.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';

/** A function of tensors, all of which it may be differentiated by, with one number as its result. */
type Scalar = (...xs: Tensor[]) => Tensor;

/**
 * Compares the gradients of `f` with central differences along random directions; with `order` 2 those of its
 * directional derivative, too. Needs a device that computes in double precision.
 */
export function checkDerivatives(what: string, f: Scalar, xs: readonly Tensor[], order: 1 | 2 = 1): void {
  const random = new Random(99);
  const directions = xs.map((x) =>
    tensor(
      Array.from({ length: x.size }, () => random.normal()),
      { shape: x.shape },
    ),
  );
  const along: Scalar = (...values) => {
    const slopes = gradients(f(...values), values);
    return slopes.map((slope, i) => sum(mul(slope, directions[i]))).reduce((a, b) => add(a, b));
  };
  compareWithDifferences(what, f, along, xs, directions);
  if (order === 1) return;
  const twice: Scalar = (...values) => {
    const slopes = gradients(along(...values), values);
    return slopes.map((slope, i) => sum(mul(slope, directions[i]))).reduce((a, b) => add(a, b));
  };
  compareWithDifferences(`${what}, second order`, along, twice, xs, directions);
}

/** Compares `derivative` with the change of `f` from x − h·direction to x + h·direction. */
function compareWithDifferences(
  what: string,
  f: Scalar,
  derivative: Scalar,
  xs: readonly Tensor[],
  directions: readonly Tensor[],
): void {
  const h = 1e-5;
  const value = compile(f).sync;
  const shifted = (by: number): number => {
    const moved = xs.map((x, i) => {
      const direction = directions[i].data();
      return tensor(
        Array.from(x.data(), (v, k) => v + by * direction[k]),
        { shape: x.shape },
      );
    });
    return value(...moved).item();
  };
  const expected = (shifted(h) - shifted(-h)) / (2 * h);
  const actual = compile(derivative)
    .sync(...xs)
    .item();
  const difference = Math.abs(actual - expected);
  assert.ok(
    difference <= 1e-6 * Math.max(1, Math.abs(expected)),
    `${what}: the derivative is ${actual}, differences give ${expected}`,
  );
}
