import { compile } from '../graph/compile.js';
import { currentTrace } from '../graph/trace.js';
import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { add, mul } from '../ops/elementwise.js';
import { isFloat } from '../tensor/dtype.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { formatShape, type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { gradients } from './gradients.js';
import { valueAndGrad } from './transform.js';

/** Options of {@link checkGradients}. */
export interface CheckGradientsOptions {
  /** Largest |analytic − numeric| / max(1, |numeric|) allowed; default 1e-6 in double precision, 2e-2 in single. */
  readonly tolerance?: number;
  /** Half the distance of the central difference, scaled by max(1, |x|); default 1e-5 in double precision, 1e-2 in single. */
  readonly step?: number;
  /** 2 checks the gradients of the gradients, too; default 1. */
  readonly order?: 1 | 2;
  /** Which inputs to check; default all floating-point ones. */
  readonly argnums?: readonly number[];
  /** Of the random weights that make one number of what `f` returns; default 0. */
  readonly seed?: number;
}

/**
 * Compares the gradients of `f` with central finite differences; throws a GaborError that names the worst element
 * where they differ. A result with several elements is reduced to a sum with random weights. Differences mean
 * something in double precision only: use `new ReferenceDevice({ precision: 'f64' })`, and keep inputs away from kinks.
 *
 * @param f a function of tensors that returns one tensor; called inside a trace.
 * @example checkGradients((x, w) => tanh(matmul(x, w)), [x, w]);
 */
export function checkGradients(
  f: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  options: CheckGradientsOptions = {},
): void {
  checkOptions('checkGradients', options, ['tolerance', 'step', 'order', 'argnums', 'seed']);
  const { order = 1, seed = 0 } = options;
  if (currentTrace() !== undefined) throw new GaborError('checkGradients: call it outside of compiled functions');
  if (order !== 1 && order !== 2) throw new OptionError(`checkGradients: order must be 1 or 2, got ${order}`);
  const argnums = options.argnums ?? inputs.flatMap((x, i) => (isFloat(x.dtype) ? [i] : []));
  const weigh = randomWeights(seed);
  const loss = (...xs: Tensor[]): Tensor => weigh(0, f(...xs));
  compare('gradient', loss, inputs, argnums, options);
  if (order === 1) return;
  const slope = (...xs: Tensor[]): Tensor =>
    gradients(
      loss(...xs),
      argnums.map((n) => xs[n]),
    )
      .map((g, i) => weigh(1 + i, g))
      .reduce((total, part) => add(total, part));
  compare('second-order gradient', slope, inputs, argnums, options);
}

/** Σ weights · y, with weights that depend on the seed, `which` and the position only. */
function randomWeights(seed: number): (which: number, y: Tensor) => Tensor {
  const made = new Map<string, Tensor>();
  return (which, y) => {
    const key = `${which}${formatShape(y.shape)}`;
    let weights = made.get(key);
    if (weights === undefined) {
      const random = new Random(seed).fork(which);
      const values = Float64Array.from(
        { length: y.size },
        () => random.uniform(0.5, 1.5) * (random.integer(2) * 2 - 1),
      );
      weights = tensor(values, { shape: y.shape, dtype: y.dtype });
      made.set(key, weights);
    }
    return sum(mul(y, weights));
  };
}

function compare(
  what: string,
  loss: (...xs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  argnums: readonly number[],
  options: CheckGradientsOptions,
): void {
  const [y, analytic] = valueAndGrad(loss, { argnums })(...inputs);
  const double = y.data() instanceof Float64Array;
  const { tolerance = double ? 1e-6 : 2e-2, step = double ? 1e-5 : 1e-2 } = options;
  const evaluate = compile(loss);
  // Perturbed copies: the caller's tensors stay as they are.
  const copies = inputs.map((x) => tensor(x.data(), { shape: x.shape, dtype: x.dtype }));
  const at = (x: Tensor, values: ArrayLike<number>): number => {
    x.write(values);
    const result = evaluate.sync(...copies);
    const value = result.item();
    result.dispose();
    return value;
  };
  let worst = { error: -1, message: '' };
  argnums.forEach((n, k) => {
    const values = inputs[n].data();
    const got = analytic[k].data();
    for (let i = 0; i < values.length; i++) {
      const x = values[i];
      const h = step * Math.max(1, Math.abs(x));
      const above = values.slice();
      above[i] = x + h;
      const below = values.slice();
      below[i] = x - h;
      const numeric = (at(copies[n], above) - at(copies[n], below)) / (above[i] - below[i]);
      const difference = Math.abs(got[i] - numeric) / Math.max(1, Math.abs(numeric));
      const error = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
      if (error > worst.error) {
        const where = `input ${n} ${formatShape(inputs[n].shape)} at ${formatShape(positionOf(i, inputs[n].shape))}`;
        worst = { error, message: `${where}: analytic ${got[i]}, numeric ${numeric}` };
      }
    }
    copies[n].write(values);
  });
  for (const x of [...copies, ...analytic, y]) x.dispose();
  evaluate.dispose();
  if (worst.error > tolerance) {
    throw new GaborError(
      `checkGradients: the ${what} is wrong, worst for ${worst.message} (error ${worst.error.toExponential(1)}, tolerance ${tolerance})`,
    );
  }
}

function positionOf(flat: number, shape: Shape): number[] {
  return sizeOf(shape) === 0 ? [] : stridesOf(shape).map((stride, axis) => Math.floor(flat / stride) % shape[axis]);
}
