import { pixelShuffle, pixelUnshuffle } from '../../ops/shuffle.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkCount, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

/** […, channels · r², height, width] to […, channels, height · r, width · r]. As `torch.nn.PixelShuffle`. */
export class PixelShuffle extends Module {
  readonly type = 'PixelShuffle';
  readonly upscaleFactor: number;

  constructor(upscaleFactor: number) {
    super();
    checkCount('PixelShuffle', 'upscaleFactor', upscaleFactor);
    this.upscaleFactor = upscaleFactor;
  }

  forward(x: Tensor): Tensor {
    return pixelShuffle(x, this.upscaleFactor);
  }

  override config(): LayerConfig {
    return { type: this.type, upscaleFactor: this.upscaleFactor };
  }

  static fromConfig(this: void, config: LayerConfig): PixelShuffle {
    checkOptions(config.type, config, ['type', 'upscaleFactor']);
    return new PixelShuffle(config.upscaleFactor as number);
  }
}

/** […, channels, height · r, width · r] to […, channels · r², height, width]. As `torch.nn.PixelUnshuffle`. */
export class PixelUnshuffle extends Module {
  readonly type = 'PixelUnshuffle';
  readonly downscaleFactor: number;

  constructor(downscaleFactor: number) {
    super();
    checkCount('PixelUnshuffle', 'downscaleFactor', downscaleFactor);
    this.downscaleFactor = downscaleFactor;
  }

  forward(x: Tensor): Tensor {
    return pixelUnshuffle(x, this.downscaleFactor);
  }

  override config(): LayerConfig {
    return { type: this.type, downscaleFactor: this.downscaleFactor };
  }

  static fromConfig(this: void, config: LayerConfig): PixelUnshuffle {
    checkOptions(config.type, config, ['type', 'downscaleFactor']);
    return new PixelUnshuffle(config.downscaleFactor as number);
  }
}
