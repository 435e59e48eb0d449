import {
  type AdaptiveSize,
  type AvgPoolOptions,
  adaptiveAvgPool,
  adaptiveSize,
  avgPool,
  checkPoolPadding,
  type MaxPoolOptions,
  maxPool,
} from '../../ops/pooling.js';
import { checkImages, type PerAxis, perAxis } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkBoolean, defined, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

const MAX_OPTIONS = ['stride', 'padding', 'dilation', 'ceilMode'];
const AVG_OPTIONS = ['stride', 'padding', 'ceilMode', 'countIncludePad', 'divisorOverride'];

/** Pooling layers of every rank: size, stride and padding of the window, per axis. */
abstract class Pool extends Module {
  readonly kernelSize: readonly number[];
  readonly stride: readonly number[];
  readonly padding: readonly number[];

  constructor(where: string, rank: number, kernelSize: PerAxis, options: MaxPoolOptions) {
    super();
    this.kernelSize = perAxis(where, 'kernelSize', kernelSize, rank, 1);
    this.stride = perAxis(where, 'stride', options.stride ?? this.kernelSize, rank, 1);
    this.padding = perAxis(where, 'padding', options.padding ?? 0, rank, 0);
    checkPoolPadding(
      where,
      this.padding.map((p) => [p, p]),
      this.kernelSize,
    );
  }
}

/**
 * Largest element of every window: [batch, channels, height, width] to [batch, channels, height′, width′]. The stride
 * defaults to the window's size. As `torch.nn.MaxPool2d`.
 */
export class MaxPool2d extends Pool {
  readonly type = 'MaxPool2d';
  readonly dilation: readonly number[];
  readonly ceilMode: boolean;

  constructor(kernelSize: PerAxis, options: MaxPoolOptions = {}) {
    super('MaxPool2d', 2, kernelSize, options);
    checkOptions('MaxPool2d', options, MAX_OPTIONS);
    const { dilation = 1, ceilMode = false } = options;
    checkBoolean('MaxPool2d', 'ceilMode', ceilMode);
    this.dilation = perAxis('MaxPool2d', 'dilation', dilation, 2, 1);
    this.ceilMode = ceilMode;
  }

  forward(x: Tensor): Tensor {
    checkImages('MaxPool2d', x.shape, 2);
    const { kernelSize, stride, padding, dilation, ceilMode } = this;
    return maxPool(x, kernelSize, { stride, padding, dilation, ceilMode }, 'MaxPool2d');
  }

  override config(): LayerConfig {
    const { type, kernelSize, stride, padding, dilation, ceilMode } = this;
    return { type, kernelSize, stride, padding, dilation, ceilMode };
  }

  static fromConfig(this: void, config: LayerConfig): MaxPool2d {
    const { type, kernelSize, ...options } = config;
    checkOptions(type, options, MAX_OPTIONS);
    return new MaxPool2d(kernelSize as PerAxis, options as MaxPoolOptions);
  }
}

/** Average of every window, shapes as {@link MaxPool2d}. As `torch.nn.AvgPool2d`. */
export class AvgPool2d extends Pool {
  readonly type = 'AvgPool2d';
  readonly ceilMode: boolean;
  readonly countIncludePad: boolean;
  readonly divisorOverride: number | undefined;

  constructor(kernelSize: PerAxis, options: AvgPoolOptions = {}) {
    super('AvgPool2d', 2, kernelSize, options);
    checkOptions('AvgPool2d', options, AVG_OPTIONS);
    const { ceilMode = false, countIncludePad = true, divisorOverride } = options;
    checkBoolean('AvgPool2d', 'ceilMode', ceilMode);
    checkBoolean('AvgPool2d', 'countIncludePad', countIncludePad);
    if (divisorOverride !== undefined && !(Number.isInteger(divisorOverride) && divisorOverride !== 0)) {
      throw new OptionError(`AvgPool2d: divisorOverride must be an integer other than 0, got ${divisorOverride}`);
    }
    this.ceilMode = ceilMode;
    this.countIncludePad = countIncludePad;
    this.divisorOverride = divisorOverride;
  }

  forward(x: Tensor): Tensor {
    checkImages('AvgPool2d', x.shape, 2);
    const { kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride } = this;
    const options = { stride, padding, ceilMode, countIncludePad, divisorOverride };
    return avgPool(x, kernelSize, options, 'AvgPool2d');
  }

  override config(): LayerConfig {
    const { type, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride } = this;
    return defined({ type, kernelSize, stride, padding, ceilMode, countIncludePad, divisorOverride });
  }

  static fromConfig(this: void, config: LayerConfig): AvgPool2d {
    const { type, kernelSize, ...options } = config;
    checkOptions(type, options, AVG_OPTIONS);
    return new AvgPool2d(kernelSize as PerAxis, options as AvgPoolOptions);
  }
}

/**
 * Average pooling to a given size, whatever the input's: [batch, channels, height, width] to
 * [batch, channels, …outputSize]; `null` keeps an extent. As `torch.nn.AdaptiveAvgPool2d`.
 */
export class AdaptiveAvgPool2d extends Module {
  readonly type = 'AdaptiveAvgPool2d';
  readonly outputSize: readonly (number | null)[];

  constructor(outputSize: AdaptiveSize) {
    super();
    this.outputSize = adaptiveSize('AdaptiveAvgPool2d', outputSize, 2);
  }

  forward(x: Tensor): Tensor {
    checkImages('AdaptiveAvgPool2d', x.shape, 2);
    return adaptiveAvgPool(x, this.outputSize, 'AdaptiveAvgPool2d');
  }

  override config(): LayerConfig {
    return { type: this.type, outputSize: this.outputSize };
  }

  static fromConfig(this: void, config: LayerConfig): AdaptiveAvgPool2d {
    checkOptions(config.type, config, ['type', 'outputSize']);
    return new AdaptiveAvgPool2d(config.outputSize as AdaptiveSize);
  }
}
