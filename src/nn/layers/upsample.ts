import {
  checkResizeOptions,
  interpolate,
  RESIZE_OPTIONS,
  type ResizeMode,
  type ResizeOptions,
} from '../../ops/resize.js';
import { checkOptions } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { defined, type Json, type LayerConfig } from '../config.js';
import type { Keeps } from '../signature.js';
import { FormattedLayer } from './formatted-layer.js';

/**
 * Resizes the spatial axes of [batch, channels, …spatial] to `size` or by `scaleFactor`. As `torch.nn.Upsample`.
 *
 * @example new Upsample({ scaleFactor: 2 })
 * @example new Upsample({ size: [64, 48], mode: 'bilinear', alignCorners: true })
 */
export class Upsample extends FormattedLayer<Keeps> {
  readonly type: string = 'Upsample';
  readonly size: ResizeOptions['size'];
  readonly scaleFactor: ResizeOptions['scaleFactor'];
  readonly mode: ResizeMode;
  readonly alignCorners: boolean | undefined;
  readonly recomputeScaleFactor: boolean | undefined;

  constructor(options: ResizeOptions) {
    checkResizeOptions('Upsample', options);
    super('Upsample', options);
    this.size = options.size;
    this.scaleFactor = options.scaleFactor;
    this.mode = options.mode ?? 'nearest';
    this.alignCorners = options.alignCorners;
    this.recomputeScaleFactor = options.recomputeScaleFactor;
  }

  forward(x: Tensor): Tensor {
    const { size, scaleFactor, mode, alignCorners, recomputeScaleFactor, dataFormat } = this;
    return interpolate(x, { size, scaleFactor, mode, alignCorners, recomputeScaleFactor, dataFormat }, 'Upsample');
  }

  override config(): LayerConfig {
    const { type, size, scaleFactor, mode, alignCorners, recomputeScaleFactor } = this;
    return this.withFormat(
      defined({
        type,
        size: size as Json | undefined,
        scaleFactor: scaleFactor as Json | undefined,
        mode,
        alignCorners,
        recomputeScaleFactor,
      }),
    );
  }

  static fromConfig(this: void, config: LayerConfig): Upsample {
    const { type, ...options } = config;
    checkOptions(type, options, RESIZE_OPTIONS);
    return new Upsample(options as ResizeOptions);
  }
}
