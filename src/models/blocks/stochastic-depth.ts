import type { LayerConfig, RandomOption } from '../../nn/config.js';
import { DropoutBase, registerModule } from '../../nn/index.js';
import { channelDropout } from '../../ops/dropout.js';
import { reshape } from '../../ops/reshape.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';

/**
 * In training zeroes all of an example with probability `p`, and multiplies the others by 1 / (1 − p): the rest of a residual block
 * then is its shortcut (Huang et al., "Deep networks with stochastic depth", ECCV 2016). As `torchvision.ops.StochasticDepth`, mode "row".
 */
export class StochasticDepth extends DropoutBase {
  readonly type = 'StochasticDepth';

  constructor(p: number, options: RandomOption = {}) {
    super('StochasticDepth', p, options, ['random']);
  }

  protected drop(x: Tensor): Tensor {
    // Examples in the place of channels, of which each is kept or dropped as a whole.
    const [batch, ...rest] = x.shape;
    return reshape(channelDropout(reshape(x, [1, batch, ...rest]), this.state, this.p, this.type), x.shape);
  }

  static fromConfig(this: void, config: LayerConfig): StochasticDepth {
    checkOptions(config.type, config, ['type', 'p']);
    return new StochasticDepth(config.p as number);
  }
}

registerModule('StochasticDepth', StochasticDepth.fromConfig);
