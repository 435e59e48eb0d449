import { sum } from '../ops/broadcast.js';
import { add, div, minimum, mul, sqrt } from '../ops/elementwise.js';
import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * Scales gradients together so that their joint Euclidean norm is at most `maxNorm`, as `torch.nn.utils.clip_grad_norm_`.
 *
 * @returns the gradients to use, and the norm before, f32[]
 */
export function clipGradNorm(gradients: readonly Tensor[], maxNorm: number): { gradients: Tensor[]; norm: Tensor } {
  if (!(maxNorm > 0)) throw new OptionError(`clipGradNorm: maxNorm must be above 0, got ${maxNorm}`);
  if (gradients.length === 0) throw new OptionError('clipGradNorm: there are no gradients');
  const norm = sqrt(gradients.map((g) => sum(mul(g, g))).reduce((total, part) => add(total, part)));
  const factor = minimum(div(maxNorm, add(norm, 1e-6)), 1);
  return { gradients: gradients.map((g) => mul(g, factor)), norm };
}
