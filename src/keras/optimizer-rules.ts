import { full } from '../ops/create.js';
import { abs, add, cast, div, expm1, maximum, mul, neg, sqrt, sub } from '../ops/elementwise.js';
import { Optimizer, type ParameterList, replace } from '../optim/optimizer.js';
import type { Tensor } from '../tensor/tensor.js';

// Optimizers in Keras's form, where epsilon is added before the root.

/** One state tensor for each parameter, changed by every step. */
type States = readonly Tensor[];

/** state · rate + value · (1 − rate) */
function decay(state: Tensor, value: Tensor, rate: number): Tensor {
  return replace(state, add(mul(state, rate), mul(value, 1 - rate)));
}

/** Hinton, "Neural networks for machine learning", lecture 6e, 2012; the momentum includes the learning rate. */
export class KerasRMSprop extends Optimizer {
  readonly #options: {
    readonly rho: number;
    readonly momentum: number;
    readonly epsilon: number;
    readonly centered: boolean;
  };
  readonly #squares: States;
  readonly #averages: States;
  readonly #moments: States;

  constructor(
    parameters: ParameterList,
    lr: number,
    options: { readonly rho: number; readonly momentum: number; readonly epsilon: number; readonly centered: boolean },
  ) {
    super('RMSprop', parameters, lr);
    this.#options = options;
    this.#squares = this.stateLikeParameters('velocity');
    this.#averages = options.centered ? this.stateLikeParameters('average_gradient') : [];
    this.#moments = options.momentum > 0 ? this.stateLikeParameters('momentum') : [];
  }

  protected override update(gradients: readonly Tensor[]): void {
    const { rho, momentum, epsilon, centered } = this.#options;
    replace(this.stepCount, add(this.stepCount, 1));
    this.parameters.forEach((parameter, i) => {
      const g = gradients[i];
      let spread = decay(this.#squares[i], mul(g, g), rho);
      if (centered) {
        const average = decay(this.#averages[i], g, rho);
        spread = sub(spread, mul(average, average));
      }
      let change = div(mul(g, this.lr), sqrt(add(spread, epsilon)));
      if (momentum > 0) change = replace(this.#moments[i], add(mul(this.#moments[i], momentum), change));
      replace(parameter, sub(parameter, change));
    });
  }
}

/** Duchi, Hazan and Singer, "Adaptive subgradient methods", 2011. */
export class KerasAdagrad extends Optimizer {
  readonly #sums: States;
  readonly #epsilon: number;

  constructor(parameters: ParameterList, lr: number, initial: number, epsilon: number) {
    super('Adagrad', parameters, lr);
    this.#epsilon = epsilon;
    this.#sums = this.stateLikeParameters('accumulator');
    for (const sum of this.#sums) sum.write(full(sum.shape, initial).data());
  }

  protected override update(gradients: readonly Tensor[]): void {
    replace(this.stepCount, add(this.stepCount, 1));
    this.parameters.forEach((parameter, i) => {
      const g = gradients[i];
      const sum = replace(this.#sums[i], add(this.#sums[i], mul(g, g)));
      replace(parameter, sub(parameter, div(mul(g, this.lr), sqrt(add(sum, this.#epsilon)))));
    });
  }
}

/** Zeiler, "ADADELTA: an adaptive learning rate method", 2012. */
export class KerasAdadelta extends Optimizer {
  readonly #squares: States;
  readonly #changes: States;
  readonly #rho: number;
  readonly #epsilon: number;

  constructor(parameters: ParameterList, lr: number, rho: number, epsilon: number) {
    super('Adadelta', parameters, lr);
    this.#rho = rho;
    this.#epsilon = epsilon;
    this.#squares = this.stateLikeParameters('accumulated_gradient');
    this.#changes = this.stateLikeParameters('accumulated_change');
  }

  protected override update(gradients: readonly Tensor[]): void {
    const [rho, epsilon] = [this.#rho, this.#epsilon];
    replace(this.stepCount, add(this.stepCount, 1));
    this.parameters.forEach((parameter, i) => {
      const g = gradients[i];
      const square = decay(this.#squares[i], mul(g, g), rho);
      const change = mul(div(sqrt(add(this.#changes[i], epsilon)), sqrt(add(square, epsilon))), g);
      decay(this.#changes[i], mul(change, change), rho);
      replace(parameter, sub(parameter, mul(change, this.lr)));
    });
  }
}

/** Kingma and Ba, 2015, algorithm 2: Adam with the largest gradient in place of the mean square. */
export class KerasAdamax extends Optimizer {
  readonly #averages: States;
  readonly #largest: States;
  readonly #betas: readonly [number, number];
  readonly #epsilon: number;

  constructor(parameters: ParameterList, lr: number, betas: readonly [number, number], epsilon: number) {
    super('Adamax', parameters, lr);
    this.#betas = betas;
    this.#epsilon = epsilon;
    this.#averages = this.stateLikeParameters('momentum');
    this.#largest = this.stateLikeParameters('norm');
  }

  protected override update(gradients: readonly Tensor[]): void {
    const [b1, b2] = this.#betas;
    const t = cast(replace(this.stepCount, add(this.stepCount, 1)), this.lr.dtype);
    // 1 − b1ᵗ
    const rate = div(this.lr, neg(expm1(mul(t, b1 === 0 ? -200 : Math.log(b1)))));
    this.parameters.forEach((parameter, i) => {
      const g = gradients[i];
      const average = decay(this.#averages[i], g, b1);
      const largest = replace(this.#largest[i], maximum(mul(this.#largest[i], b2), abs(g)));
      replace(parameter, sub(parameter, mul(div(average, add(largest, this.#epsilon)), rate)));
    });
  }
}
