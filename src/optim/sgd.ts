import { checkNumber } from '../nn/config.js';
import { add, equal, mul, sub, where } from '../ops/elementwise.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { Optimizer, type ParameterList, replace } from './optimizer.js';

/** Options of {@link SGD}. */
export interface SGDOptions {
  /** learning rate */
  readonly lr: number;
  /** default 0 */
  readonly momentum?: number;
  /** how much less a gradient counts in the momentum from the second step on; default 0 */
  readonly dampening?: number;
  /** Look ahead along the momentum (needs momentum, no dampening); default false. */
  readonly nesterov?: boolean;
  /** times the parameter is added to its gradient; default 0 */
  readonly weightDecay?: number;
}

/** Stochastic gradient descent with momentum, in the form of `torch.optim.SGD` (the learning rate is not part of the momentum). */
export class SGD extends Optimizer {
  readonly momentum: number;
  readonly dampening: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
  readonly #velocity: readonly Tensor[];

  constructor(parameters: ParameterList, options: SGDOptions) {
    checkOptions('SGD', options, ['lr', 'momentum', 'dampening', 'nesterov', 'weightDecay']);
    super('SGD', parameters, options.lr);
    const { momentum = 0, dampening = 0, nesterov = false, weightDecay = 0 } = options;
    checkNumber('SGD', 'momentum', momentum, 0);
    checkNumber('SGD', 'dampening', dampening, -Infinity);
    checkNumber('SGD', 'weightDecay', weightDecay, 0);
    if (nesterov && (momentum === 0 || dampening !== 0)) {
      throw new OptionError('SGD: nesterov needs a momentum above 0 and no dampening');
    }
    this.momentum = momentum;
    this.dampening = dampening;
    this.nesterov = nesterov;
    this.weightDecay = weightDecay;
    this.#velocity = momentum === 0 ? [] : this.stateLikeParameters('momentum_buffer');
  }

  protected override update(gradients: readonly Tensor[]): void {
    const { momentum, dampening, nesterov, weightDecay, lr, stepCount } = this;
    // The first gradient enters the momentum whole.
    const share = dampening === 0 ? undefined : where(equal(stepCount, 0), 1, 1 - dampening);
    replace(stepCount, add(stepCount, 1));
    this.parameters.forEach((parameter, i) => {
      let direction = gradients[i];
      if (weightDecay !== 0) direction = add(direction, mul(parameter, weightDecay));
      if (momentum !== 0) {
        const entering = share === undefined ? direction : mul(direction, share);
        const velocity = replace(this.#velocity[i], add(mul(this.#velocity[i], momentum), entering));
        direction = nesterov ? add(direction, mul(velocity, momentum)) : velocity;
      }
      replace(parameter, sub(parameter, mul(direction, lr)));
    });
  }
}
