import { checkNumber } from '../nn/config.js';
import { add, cast, div, expm1, maximum, mul, neg, sqrt, sub } from '../ops/elementwise.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { Optimizer, type ParameterList, replace } from './optimizer.js';

/** Options of {@link Adam} and {@link AdamW}. */
export interface AdamOptions {
  /** default 0.001 */
  readonly lr?: number;
  /** how much of the averages of gradients and of their squares stays from step to step; default [0.9, 0.999] */
  readonly betas?: readonly [number, number];
  /** added to the denominator; default 1e-8 */
  readonly eps?: number;
  /** default 0 (Adam, where it is added to the gradient), 0.01 (AdamW, where it shrinks the parameter) */
  readonly weightDecay?: number;
  /** Divide by the largest average of squares so far (Reddi et al., 2018); default false. */
  readonly amsgrad?: boolean;
}

const OPTIONS = ['lr', 'betas', 'eps', 'weightDecay', 'amsgrad'];

/** Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1; as `torch.optim.Adam`. */
export class Adam extends Optimizer {
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weightDecay: number;
  readonly amsgrad: boolean;
  readonly #decoupled: boolean;
  readonly #averages: readonly Tensor[];
  readonly #squares: readonly Tensor[];
  readonly #largest: readonly Tensor[];

  constructor(parameters: ParameterList, options: AdamOptions = {}, decoupled?: { readonly where: string }) {
    const where = decoupled?.where ?? 'Adam';
    checkOptions(where, options, OPTIONS);
    super(where, parameters, options.lr ?? 0.001);
    const { betas = [0.9, 0.999], eps = 1e-8, weightDecay = decoupled ? 0.01 : 0, amsgrad = false } = options;
    if (!Array.isArray(betas) || betas.length !== 2 || !betas.every((b) => typeof b === 'number' && b >= 0 && b < 1)) {
      throw new OptionError(
        `${where}: betas must be two numbers of at least 0 and below 1, got ${JSON.stringify(betas)}`,
      );
    }
    checkNumber(where, 'eps', eps, 0);
    checkNumber(where, 'weightDecay', weightDecay, 0);
    this.betas = betas as [number, number];
    this.eps = eps;
    this.weightDecay = weightDecay;
    this.amsgrad = amsgrad;
    this.#decoupled = decoupled !== undefined;
    this.#averages = this.stateLikeParameters('exp_avg');
    this.#squares = this.stateLikeParameters('exp_avg_sq');
    this.#largest = amsgrad ? this.stateLikeParameters('max_exp_avg_sq') : [];
  }

  protected override update(gradients: readonly Tensor[]): void {
    const { betas, eps, weightDecay, amsgrad, lr, stepCount } = this;
    const [b1, b2] = betas;
    const t = cast(replace(stepCount, add(stepCount, 1)), lr.dtype);
    const stepSize = div(lr, oneMinusPower(b1, t));
    const correction = sqrt(oneMinusPower(b2, t));
    this.parameters.forEach((parameter, i) => {
      let gradient = gradients[i];
      let old = parameter;
      if (weightDecay !== 0) {
        if (this.#decoupled) old = mul(parameter, sub(1, mul(lr, weightDecay)));
        else gradient = add(gradient, mul(parameter, weightDecay));
      }
      const average = replace(this.#averages[i], add(mul(this.#averages[i], b1), mul(gradient, 1 - b1)));
      const squares = mul(mul(gradient, gradient), 1 - b2);
      let square = replace(this.#squares[i], add(mul(this.#squares[i], b2), squares));
      if (amsgrad) square = replace(this.#largest[i], maximum(this.#largest[i], square));
      const denominator = add(div(sqrt(square), correction), eps);
      replace(parameter, sub(old, mul(div(average, denominator), stepSize)));
    });
  }
}

/** Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2; as `torch.optim.AdamW`. */
export class AdamW extends Adam {
  constructor(parameters: ParameterList, options: AdamOptions = {}) {
    super(parameters, options, { where: 'AdamW' });
  }
}

/** 1 − bᵗ = −(exp(t · ln b) − 1): subtracting the power loses four of f32's seven digits for b = 0.999 and small t. */
function oneMinusPower(b: number, t: Tensor): Tensor {
  // ln 0 = −∞ is right too, but keep infinities out of programs: exp(−200) is zero in f32.
  return neg(expm1(mul(t, b === 0 ? -200 : Math.log(b))));
}
