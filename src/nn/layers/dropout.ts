import { assign } from '../../graph/trace.js';
import { iota, tensor } from '../../ops/create.js';
import type { DataFormatOption } from '../../ops/data-format.js';
import { channelDropout, checkProbability, dropout } from '../../ops/dropout.js';
import { add } from '../../ops/elementwise.js';
import { checkImages } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig, RandomOption } from '../config.js';
import { defaultRandom } from '../init.js';
import type { Keeps } from '../signature.js';
import { FormattedLayer, formatOption } from './formatted-layer.js';

/**
 * Dropout of every kind. The choice depends on `random` and on the number of the step. The program itself counts steps,
 * in a state of two words [key, step], so that a training loop that goes on from a checkpoint makes the same choices.
 */
export abstract class DropoutBase<Rank extends number = number> extends FormattedLayer<Keeps<Rank>> {
  readonly p: number;
  /** i32[2]: key and step */
  readonly state: Tensor;

  constructor(where: string, p: number, options: RandomOption & DataFormatOption, known: readonly string[]) {
    checkOptions(where, options, known);
    super(where, options);
    checkProbability(where, p);
    this.p = p;
    const { random = defaultRandom() } = options;
    const key = (random.integer(2 ** 16) << 16) | random.integer(2 ** 16);
    this.state = this.randomState('state', tensor(Int32Array.of(key, 0)));
  }

  protected abstract drop(x: Tensor): Tensor;

  forward(x: Tensor): Tensor {
    if (!this.training || this.p === 0) return x;
    const y = this.drop(x);
    assign(this.state, add(this.state, iota([2])));
    return y;
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, p: this.p });
  }
}

/** `p` of a configuration that holds nothing else. */
function probability(config: LayerConfig): number | undefined {
  checkOptions(config.type, config, ['type', 'p']);
  return config.p as number | undefined;
}

/**
 * In training zeroes each element with probability `p` and multiplies the others by 1 / (1 − p); otherwise does nothing.
 * As `torch.nn.Dropout`.
 */
export class Dropout extends DropoutBase {
  readonly type = 'Dropout';

  constructor(p = 0.5, options: RandomOption = {}) {
    super('Dropout', p, options, ['random']);
  }

  protected drop(x: Tensor): Tensor {
    return dropout(x, this.state, this.p);
  }

  static fromConfig(this: void, config: LayerConfig): Dropout {
    return new Dropout(probability(config));
  }
}

function channelProbability({ dataFormat, ...config }: LayerConfig): number | undefined {
  return probability(config);
}

/** Options of {@link Dropout2d} and its kin. */
export interface ChannelDropoutOptions extends RandomOption, DataFormatOption {}

/** Dropout of whole channels, in every rank; see {@link Dropout2d}. */
export abstract class DropoutNd<Rank extends number = number> extends DropoutBase<Rank> {
  readonly #rank: number;

  constructor(where: string, rank: number, p: number, options: ChannelDropoutOptions) {
    super(where, p, options, ['random', 'dataFormat']);
    this.#rank = rank;
  }

  override forward(x: Tensor): Tensor {
    checkImages(this.type, x.shape, this.#rank, undefined, this.dataFormat);
    return super.forward(x);
  }

  protected drop(x: Tensor): Tensor {
    return this.inChannelsFirst(x, (images) => channelDropout(images, this.state, this.p, this.type));
  }
}

/** {@link Dropout2d} of [batch, channels, length]. As `torch.nn.Dropout1d`. */
export class Dropout1d extends DropoutNd<1> {
  readonly type = 'Dropout1d';

  constructor(p = 0.5, options: ChannelDropoutOptions = {}) {
    super('Dropout1d', 1, p, options);
  }

  static fromConfig(this: void, config: LayerConfig): Dropout1d {
    return new Dropout1d(channelProbability(config), formatOption(config));
  }
}

/**
 * In training zeroes each channel of each image [batch, channels, height, width] with probability `p`, and multiplies the
 * others by 1 / (1 − p) (Tompson et al., "Efficient object localization using convolutional networks", CVPR 2015): neighbouring
 * elements are alike, so single ones carry little. As `torch.nn.Dropout2d`.
 */
export class Dropout2d extends DropoutNd<2> {
  readonly type = 'Dropout2d';

  constructor(p = 0.5, options: ChannelDropoutOptions = {}) {
    super('Dropout2d', 2, p, options);
  }

  static fromConfig(this: void, config: LayerConfig): Dropout2d {
    return new Dropout2d(channelProbability(config), formatOption(config));
  }
}

/** {@link Dropout2d} of volumes [batch, channels, depth, height, width]. As `torch.nn.Dropout3d`. */
export class Dropout3d extends DropoutNd<3> {
  readonly type = 'Dropout3d';

  constructor(p = 0.5, options: ChannelDropoutOptions = {}) {
    super('Dropout3d', 3, p, options);
  }

  static fromConfig(this: void, config: LayerConfig): Dropout3d {
    return new Dropout3d(channelProbability(config), formatOption(config));
  }
}
