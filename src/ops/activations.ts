import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, normalizeAxes } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { channelwise } from './conv.js';
import {
  abs,
  add,
  div,
  erf,
  exp,
  expm1,
  greater,
  greaterEqual,
  lessEqual,
  log1p,
  mul,
  neg,
  sigmoid,
  tanh,
  where,
} from './elementwise.js';
import { slice } from './slice.js';

// Activation functions as compositions: they fuse into the operator before them, and their derivatives follow. Where a
// branch is not taken its argument is replaced, so that an overflow there does not become 0 · ∞ in the gradient.

/** x between `low` and `high`, otherwise the nearer of them; the derivative is 0 at both ends, as in PyTorch. */
export function hardtanh(x: Tensor, low = -1, high = 1): Tensor {
  if (!(low < high)) throw new OptionError(`hardtanh: the low end ${low} must lie below the high end ${high}`);
  return where(lessEqual(x, low), low, where(greaterEqual(x, high), high, x));
}

/** min(max(x, 0), 6) */
export function relu6(x: Tensor): Tensor {
  return hardtanh(x, 0, 6);
}

/**
 * x where positive, weight · x elsewhere (He et al., 2015, "Delving deep into rectifiers").
 *
 * @param x [batch, channels, …]
 * @param weight [channels], or [1] for all
 */
export function prelu(x: Tensor, weight: Tensor, where_ = 'prelu'): Tensor {
  if (weight.rank !== 1 || (weight.size !== 1 && (x.rank < 2 || x.shape[1] !== weight.size))) {
    throw new ShapeError(
      `${where_}: the weight must be [1] or [channels], one for each channel (axis 1) of ${formatShape(x.shape)}, got ${formatShape(weight.shape)}`,
    );
  }
  const slope = weight.size === 1 ? weight : channelwise(weight, x.rank);
  return where(greater(x, 0), x, mul(slope, x));
}

/** scale · x where positive, scale · α (exp(x / width) − 1) elsewhere. */
function exponential(x: Tensor, alpha: number, scale: number, width: number): Tensor {
  const positive = greater(x, 0);
  const negative = where(positive, 0, x);
  const tail = mul(expm1(width === 1 ? negative : div(negative, width)), scale * alpha);
  return where(positive, scale === 1 ? x : mul(x, scale), tail);
}

/** x where positive, α (exp(x) − 1) elsewhere (Clevert et al., 2015). */
export function elu(x: Tensor, alpha = 1): Tensor {
  return exponential(x, alpha, 1, 1);
}

/** {@link elu} scaled so that mean 0 and variance 1 are a fixed point (Klambauer et al., 2017). */
export function selu(x: Tensor): Tensor {
  return exponential(x, 1.6732632423543772, 1.0507009873554805, 1);
}

/** x where positive, α (exp(x / α) − 1) elsewhere: continuously differentiable for every α (Barron, 2017). */
export function celu(x: Tensor, alpha = 1): Tensor {
  if (alpha === 0) throw new OptionError('celu: alpha must not be 0');
  return exponential(x, alpha, 1, alpha);
}

/** How {@link gelu} computes the normal distribution. */
export type GeluApproximation = 'none' | 'tanh';

/** x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel, 2016): exact, or their approximation by tanh. */
export function gelu(x: Tensor, approximate: GeluApproximation = 'none'): Tensor {
  if (approximate === 'none') return mul(mul(x, 0.5), add(erf(mul(x, Math.SQRT1_2)), 1));
  if (approximate !== 'tanh') {
    throw new OptionError(`gelu: approximate must be "none" or "tanh", got ${JSON.stringify(approximate)}`);
  }
  const inner = mul(add(x, mul(mul(mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI));
  return mul(mul(x, 0.5), add(tanh(inner), 1));
}

/** x / (1 + exp(−x)), also called swish. */
export function silu(x: Tensor): Tensor {
  return mul(x, sigmoid(x));
}

/** log(1 + exp(βx)) / β; x itself where βx > threshold. */
export function softplus(x: Tensor, beta = 1, threshold = 20): Tensor {
  if (beta === 0) throw new OptionError('softplus: beta must not be 0');
  const scaled = beta === 1 ? x : mul(x, beta);
  // Above 80 the difference to βx is below every precision, and exp would soon overflow.
  const linear = greater(scaled, Math.min(threshold, 80));
  const curve = log1p(exp(where(linear, 0, scaled)));
  return where(linear, x, beta === 1 ? curve : div(curve, beta));
}

/** log(1 / (1 + exp(−x))), precise where the sigmoid is tiny. */
export function logSigmoid(x: Tensor): Tensor {
  return neg(softplus(neg(x), 1, 80));
}

/** x · tanh(softplus(x)) (Misra, 2019). */
export function mish(x: Tensor): Tensor {
  return mul(x, tanh(softplus(x)));
}

/** min(max(x + 3, 0), 6) / 6 */
export function hardsigmoid(x: Tensor): Tensor {
  return div(hardtanh(add(x, 3), 0, 6), 6);
}

/** x · {@link hardsigmoid}(x) (Howard et al., 2019). */
export function hardswish(x: Tensor): Tensor {
  return where(lessEqual(x, -3), 0, where(greater(x, 3), x, div(mul(x, add(x, 3)), 6)));
}

/** x / (1 + |x|) */
export function softsign(x: Tensor): Tensor {
  return div(x, add(abs(x), 1));
}

/** The first and the second half along `dim`. */
function halves(where_: string, x: Tensor, dim: number): [Tensor, Tensor] {
  const [axis] = normalizeAxes(where_, [dim], x.rank);
  const extent = x.shape[axis];
  if (extent % 2 !== 0) {
    throw new ShapeError(
      `${where_}: axis ${axis} of ${formatShape(x.shape)} has ${extent} elements, two equal halves are needed: ${extent} = 2·${Math.floor(extent / 2)} + 1`,
    );
  }
  const size = x.shape.map((n, i) => (i === axis ? n / 2 : n));
  const start = x.shape.map((_, i) => (i === axis ? extent / 2 : 0));
  return [
    slice(
      x,
      start.map(() => 0),
      size,
    ),
    slice(x, start, size),
  ];
}

/** a · sigmoid(b), where a and b are the halves of x along `dim` (Dauphin et al., 2016). */
export function glu(x: Tensor, dim = -1, where_ = 'glu'): Tensor {
  const [a, b] = halves(where_, x, dim);
  return mul(a, sigmoid(b));
}

/** tanh(a) · sigmoid(b), where a and b are the halves of x along `dim`: the unit of WaveNet (van den Oord et al., 2016). */
export function gatedTanh(x: Tensor, dim = 1, where_ = 'gatedTanh'): Tensor {
  const [a, b] = halves(where_, x, dim);
  return mul(tanh(a), sigmoid(b));
}
