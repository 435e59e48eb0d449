import { assign } from '../../graph/trace.js';
import { iota, tensor } from '../../ops/create.js';
import { checkProbability, dropout } from '../../ops/dropout.js';
import { add } from '../../ops/elementwise.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig, RandomOption } from '../config.js';
import { defaultRandom } from '../init.js';
import { Module } from '../module.js';

/**
 * In training zeroes each element with probability `p` and multiplies the others by 1 / (1 − p); otherwise does nothing.
 * As `torch.nn.Dropout`.
 *
 * The choice depends on `random` and on the number of the step. The program itself counts steps, in a state of
 * two words [key, step], so that a training loop that goes on from a checkpoint makes the same choices.
 */
export class Dropout extends Module {
  readonly type = 'Dropout';
  readonly p: number;
  /** i32[2]: key and step */
  readonly state: Tensor;

  constructor(p = 0.5, options: RandomOption = {}) {
    super();
    checkOptions('Dropout', options, ['random']);
    checkProbability('Dropout', p);
    this.p = p;
    const { random = defaultRandom() } = options;
    const key = (random.integer(2 ** 16) << 16) | random.integer(2 ** 16);
    this.state = this.randomState('state', tensor(Int32Array.of(key, 0)));
  }

  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    const y = dropout(x, this.state, this.p);
    assign(this.state, add(this.state, iota([2])));
    return y;
  }

  override config(): LayerConfig {
    return { type: this.type, p: this.p };
  }

  static fromConfig(this: void, config: LayerConfig): Dropout {
    checkOptions(config.type, config, ['type', 'p']);
    return new Dropout(config.p as number | undefined);
  }
}
