import { sum } from '../ops/broadcast.js';
import { abs, add, mul } from '../ops/elementwise.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';

/** A penalty that is added to the loss. */
export interface Regularizer {
  readonly l1: number;
  readonly l2: number;
}

function regularizer(where: string, rates: { readonly l1: number; readonly l2: number }): Regularizer {
  for (const [name, rate] of Object.entries(rates)) {
    if (typeof rate !== 'number' || !(rate >= 0) || !Number.isFinite(rate)) {
      throw new OptionError(`${where}: ${name} must be a number ≥ 0, got ${JSON.stringify(rate)}`);
    }
  }
  return rates;
}

/** l1 · Σ|w|; default 0.01 */
export function l1(options: { readonly l1?: number } = {}): Regularizer {
  checkOptions('regularizers.l1', options, ['l1']);
  return regularizer('regularizers.l1', { l1: options.l1 ?? 0.01, l2: 0 });
}

/** l2 · Σw²; default 0.01 */
export function l2(options: { readonly l2?: number } = {}): Regularizer {
  checkOptions('regularizers.l2', options, ['l2']);
  return regularizer('regularizers.l2', { l1: 0, l2: options.l2 ?? 0.01 });
}

/** l1 · Σ|w| + l2 · Σw²; defaults 0.01 each */
export function l1l2(options: { readonly l1?: number; readonly l2?: number } = {}): Regularizer {
  checkOptions('regularizers.l1l2', options, ['l1', 'l2']);
  return regularizer('regularizers.l1l2', { l1: options.l1 ?? 0.01, l2: options.l2 ?? 0.01 });
}

/** Regularizers with their usual rates, by name. */
export type RegularizerName = 'l1' | 'l2' | 'l1l2';

/** `given` itself, or the regularizer of this name with its defaults. */
export function getRegularizer(
  where: string,
  given: RegularizerName | Regularizer | undefined,
): Regularizer | undefined {
  if (given === undefined || given === null) return undefined;
  if (typeof given === 'object' && typeof given.l1 === 'number' && typeof given.l2 === 'number') return given;
  const named = { l1, l2, l1l2 };
  if (typeof given === 'string' && Object.hasOwn(named, given)) return named[given]();
  throw new OptionError(`${where}: must be a regularizer, "l1", "l2" or "l1l2", got ${JSON.stringify(given)}`);
}

/** The penalty of `x`, a scalar. */
export function penalty({ l1: a, l2: b }: Regularizer, x: Tensor): Tensor {
  const linear = a === 0 ? undefined : mul(sum(abs(x)), a);
  const square = b === 0 ? undefined : mul(sum(mul(x, x)), b);
  if (linear === undefined || square === undefined) return linear ?? square ?? mul(sum(x), 0);
  return add(linear, square);
}
