import { compile } from '../graph/compile.js';
import { currentTrace } from '../graph/trace.js';
import { checkOptions, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { gradients } from './gradients.js';

/** Options of {@link grad} and {@link valueAndGrad}. */
export interface GradOptions {
  /** Which arguments to differentiate with respect to; default the first. */
  readonly argnums?: number | readonly number[];
}

/** A function of tensors that returns one number. */
export type Loss = (...args: Tensor[]) => Tensor;

/**
 * The function that computes both `f` and its gradient.
 *
 * @returns `[value, gradient]`, or `[value, gradients]` where `argnums` is a list.
 * @example const [loss, dw] = valueAndGrad((w: Tensor) => mean(square(matmul(x, w))))(w);
 */
export function valueAndGrad(
  f: Loss,
  options: { readonly argnums: readonly number[] },
): (...args: Tensor[]) => [Tensor, Tensor[]];
export function valueAndGrad(f: Loss, options?: { readonly argnums?: number }): (...args: Tensor[]) => [Tensor, Tensor];
export function valueAndGrad(f: Loss, options: GradOptions = {}): (...args: Tensor[]) => [Tensor, Tensor | Tensor[]] {
  checkOptions('valueAndGrad', options, ['argnums']);
  const { argnums = 0 } = options;
  const list = typeof argnums === 'number' ? [argnums] : argnums;
  const traced = (...args: Tensor[]): Tensor[] => {
    const y = f(...args);
    if (y.size !== 1) {
      throw new ShapeError(`valueAndGrad: the function must return one number, it returned ${formatShape(y.shape)}`);
    }
    return [
      y,
      ...gradients(
        y,
        list.map((n) => argument(args, n)),
      ),
    ];
  };
  const compiled = compile(traced);
  return (...args) => {
    const [y, ...rest] = currentTrace() ? traced(...args) : compiled.sync(...args);
    return [y, typeof argnums === 'number' ? rest[0] : rest];
  };
}

function argument(args: readonly Tensor[], n: number): Tensor {
  const found = args[n];
  if (!(found instanceof Tensor)) throw new ShapeError(`valueAndGrad: there is no argument ${n}, got ${args.length}`);
  return found;
}

/** The gradient of `f`; see {@link valueAndGrad}. */
export function grad(f: Loss, options: { readonly argnums: readonly number[] }): (...args: Tensor[]) => Tensor[];
export function grad(f: Loss, options?: { readonly argnums?: number }): (...args: Tensor[]) => Tensor;
export function grad(f: Loss, options: GradOptions = {}): (...args: Tensor[]) => Tensor | Tensor[] {
  const both = valueAndGrad(f, options as { readonly argnums?: number });
  return (...args) => both(...args)[1];
}
