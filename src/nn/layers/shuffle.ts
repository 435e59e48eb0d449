import type { DataFormatOption } from '../../ops/data-format.js';
import { channelShuffle, pixelShuffle, pixelUnshuffle } from '../../ops/shuffle.js';
import { checkImages } from '../../ops/window.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, type LayerConfig } from '../config.js';
import type { Keeps, Maps, Signature } from '../signature.js';
import { FormattedLayer, formatOption } from './formatted-layer.js';

/** Moves elements between channels and positions, as one whole number says. */
abstract class ShuffleLayer<S extends Signature> extends FormattedLayer<S> {
  readonly #axes: number;

  /** @param axes the least number of spatial axes */
  constructor(where: string, axes: number, name: string, factor: number, options: DataFormatOption) {
    checkOptions(where, options, ['dataFormat']);
    super(where, options);
    checkCount(where, name, factor);
    this.#axes = axes;
  }

  protected abstract shuffle(x: Tensor): Tensor;

  forward(x: Tensor): Tensor {
    // Channels-first, any number of axes may stand before the channels.
    if (this.dataFormat === 'channels-last') {
      checkImages(this.type, x.shape, Math.max(this.#axes, x.rank - 2), undefined, this.dataFormat);
    }
    return this.inChannelsFirst(x, (images) => this.shuffle(images));
  }
}

/** […, channels · r², height, width] to […, channels, height · r, width · r]. As `torch.nn.PixelShuffle`. */
export class PixelShuffle extends ShuffleLayer<Maps<number, number, 2>> {
  readonly type = 'PixelShuffle';
  readonly upscaleFactor: number;

  constructor(upscaleFactor: number, options: DataFormatOption = {}) {
    super('PixelShuffle', 2, 'upscaleFactor', upscaleFactor, options);
    this.upscaleFactor = upscaleFactor;
  }

  protected shuffle(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor, this.type);
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, upscaleFactor: this.upscaleFactor });
  }

  static fromConfig(this: void, config: LayerConfig): PixelShuffle {
    checkOptions(config.type, config, ['type', 'upscaleFactor', 'dataFormat']);
    return new PixelShuffle(config.upscaleFactor as number, formatOption(config));
  }
}

/** […, channels, height · r, width · r] to […, channels · r², height, width]. As `torch.nn.PixelUnshuffle`. */
export class PixelUnshuffle extends ShuffleLayer<Maps<number, number, 2>> {
  readonly type = 'PixelUnshuffle';
  readonly downscaleFactor: number;

  constructor(downscaleFactor: number, options: DataFormatOption = {}) {
    super('PixelUnshuffle', 2, 'downscaleFactor', downscaleFactor, options);
    this.downscaleFactor = downscaleFactor;
  }

  protected shuffle(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor, this.type);
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, downscaleFactor: this.downscaleFactor });
  }

  static fromConfig(this: void, config: LayerConfig): PixelUnshuffle {
    checkOptions(config.type, config, ['type', 'downscaleFactor', 'dataFormat']);
    return new PixelUnshuffle(config.downscaleFactor as number, formatOption(config));
  }
}

/**
 * Channel c = i · (channels / groups) + j becomes channel j · groups + i, so that the next grouped convolution sees all groups.
 * As `torch.nn.ChannelShuffle`.
 */
export class ChannelShuffle extends ShuffleLayer<Keeps> {
  readonly type = 'ChannelShuffle';
  readonly groups: number;

  constructor(groups: number, options: DataFormatOption = {}) {
    super('ChannelShuffle', 1, 'groups', groups, options);
    this.groups = groups;
  }

  protected shuffle(x: Tensor): Tensor {
    return channelShuffle(x, this.groups, this.type);
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, groups: this.groups });
  }

  static fromConfig(this: void, config: LayerConfig): ChannelShuffle {
    checkOptions(config.type, config, ['type', 'groups', 'dataFormat']);
    return new ChannelShuffle(config.groups as number, formatOption(config));
  }
}
