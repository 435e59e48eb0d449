import type { DataFormatOption } from '../../ops/data-format.js';
import { type PaddingMode, pad } from '../../ops/padding.js';
import { checkImages } from '../../ops/window.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkNumber, type Json, type LayerConfig } from '../config.js';
import type { Keeps } from '../signature.js';
import { FormattedLayer, formatOption } from './formatted-layer.js';

/** One number for all sides, or one for each: [left, right, top, bottom, front, back], as many as there are axes. */
export type SidePadding = number | readonly number[];

/**
 * Puts elements around the spatial axes of [batch, channels, …spatial] or, channels-first alone, [channels, …spatial]; negative
 * amounts cut off.
 */
abstract class PaddingLayer<Rank extends number = number> extends FormattedLayer<Keeps<Rank>> {
  abstract override readonly type: string;
  /** [low, high] of each spatial axis, the last axis first */
  readonly padding: readonly number[];
  readonly #rank: number;
  readonly #mode: PaddingMode;

  constructor(where: string, rank: number, mode: PaddingMode, padding: SidePadding, options: DataFormatOption) {
    checkOptions(where, options, ['dataFormat']);
    super(where, options);
    const sides = typeof padding === 'number' ? new Array<number>(2 * rank).fill(padding) : padding;
    if (!Array.isArray(sides) || sides.length !== 2 * rank || !sides.every(Number.isInteger)) {
      const names = ['left', 'right', 'top', 'bottom', 'front', 'back'].slice(0, 2 * rank).join(', ');
      throw new OptionError(`${where}: padding must be an integer or [${names}], got ${JSON.stringify(padding)}`);
    }
    this.padding = [...sides];
    this.#rank = rank;
    this.#mode = mode;
  }

  forward(x: Tensor): Tensor {
    const unbatched = x.rank === this.#rank + 1 && this.dataFormat === 'channels-first';
    if (!unbatched) checkImages(this.type, x.shape, this.#rank, undefined, this.dataFormat);
    return this.inChannelsFirst(x, (images) => {
      const lead = images.rank - this.#rank;
      const side = (high: 0 | 1): number[] =>
        images.shape.map((_, axis) => (axis < lead ? 0 : this.padding[2 * (images.rank - 1 - axis) + high]));
      return pad(images, side(0), side(1), { mode: this.#mode, value: this.fill() }, this.type);
    });
  }

  /** The value of mode `constant`. */
  protected fill(): number | undefined {
    return undefined;
  }

  override config(): LayerConfig {
    return this.withFormat({ type: this.type, padding: this.padding as Json });
  }
}

function ofPadding<M>(make: (padding: SidePadding, options: DataFormatOption) => M): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type', 'padding', 'dataFormat']);
    return make(config.padding as SidePadding, formatOption(config));
  };
}

/** Padding by one value. */
abstract class ConstantPadding<Rank extends number = number> extends PaddingLayer<Rank> {
  readonly value: number;

  constructor(where: string, rank: number, padding: SidePadding, value: number, options: DataFormatOption) {
    super(where, rank, 'constant', padding, options);
    checkNumber(where, 'value', value, -Infinity);
    this.value = value;
  }

  protected override fill(): number {
    return this.value;
  }

  override config(): LayerConfig {
    return { ...super.config(), value: this.value };
  }
}

function ofValue<M>(
  make: (padding: SidePadding, value: number, options: DataFormatOption) => M,
): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type', 'padding', 'value', 'dataFormat']);
    return make(config.padding as SidePadding, config.value as number, formatOption(config));
  };
}

/** Puts `value` around the spatial axis. As `torch.nn.ConstantPad1d`. */
export class ConstantPad1d extends ConstantPadding<1> {
  readonly type = 'ConstantPad1d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad1d = ofValue((...args) => new ConstantPad1d(...args));

  constructor(padding: SidePadding, value: number, options: DataFormatOption = {}) {
    super('ConstantPad1d', 1, padding, value, options);
  }
}

/** Puts `value` around the 2 spatial axes. As `torch.nn.ConstantPad2d`. */
export class ConstantPad2d extends ConstantPadding<2> {
  readonly type = 'ConstantPad2d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad2d = ofValue((...args) => new ConstantPad2d(...args));

  constructor(padding: SidePadding, value: number, options: DataFormatOption = {}) {
    super('ConstantPad2d', 2, padding, value, options);
  }
}

/** Puts `value` around the 3 spatial axes. As `torch.nn.ConstantPad3d`. */
export class ConstantPad3d extends ConstantPadding<3> {
  readonly type = 'ConstantPad3d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad3d = ofValue((...args) => new ConstantPad3d(...args));

  constructor(padding: SidePadding, value: number, options: DataFormatOption = {}) {
    super('ConstantPad3d', 3, padding, value, options);
  }
}

/** Puts zeros around the spatial axis. As `torch.nn.ZeroPad1d`. */
export class ZeroPad1d extends PaddingLayer<1> {
  readonly type = 'ZeroPad1d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad1d = ofPadding((...args) => new ZeroPad1d(...args));

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ZeroPad1d', 1, 'zeros', padding, options);
  }
}

/** Puts zeros around the 2 spatial axes. As `torch.nn.ZeroPad2d`. */
export class ZeroPad2d extends PaddingLayer<2> {
  readonly type = 'ZeroPad2d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad2d = ofPadding((...args) => new ZeroPad2d(...args));

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ZeroPad2d', 2, 'zeros', padding, options);
  }
}

/** Puts zeros around the 3 spatial axes. As `torch.nn.ZeroPad3d`. */
export class ZeroPad3d extends PaddingLayer<3> {
  readonly type = 'ZeroPad3d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad3d = ofPadding((...args) => new ZeroPad3d(...args));

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ZeroPad3d', 3, 'zeros', padding, options);
  }
}

/** Puts the mirror image without the edge around the spatial axis. As `torch.nn.ReflectionPad1d`. */
export class ReflectionPad1d extends PaddingLayer<1> {
  readonly type = 'ReflectionPad1d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad1d = ofPadding(
    (...args) => new ReflectionPad1d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReflectionPad1d', 1, 'reflect', padding, options);
  }
}

/** Puts the mirror image without the edge around the 2 spatial axes. As `torch.nn.ReflectionPad2d`. */
export class ReflectionPad2d extends PaddingLayer<2> {
  readonly type = 'ReflectionPad2d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad2d = ofPadding(
    (...args) => new ReflectionPad2d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReflectionPad2d', 2, 'reflect', padding, options);
  }
}

/** Puts the mirror image without the edge around the 3 spatial axes. As `torch.nn.ReflectionPad3d`. */
export class ReflectionPad3d extends PaddingLayer<3> {
  readonly type = 'ReflectionPad3d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad3d = ofPadding(
    (...args) => new ReflectionPad3d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReflectionPad3d', 3, 'reflect', padding, options);
  }
}

/** Repeats the edges of the spatial axis. As `torch.nn.ReplicationPad1d`. */
export class ReplicationPad1d extends PaddingLayer<1> {
  readonly type = 'ReplicationPad1d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad1d = ofPadding(
    (...args) => new ReplicationPad1d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReplicationPad1d', 1, 'replicate', padding, options);
  }
}

/** Repeats the edges of the 2 spatial axes. As `torch.nn.ReplicationPad2d`. */
export class ReplicationPad2d extends PaddingLayer<2> {
  readonly type = 'ReplicationPad2d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad2d = ofPadding(
    (...args) => new ReplicationPad2d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReplicationPad2d', 2, 'replicate', padding, options);
  }
}

/** Repeats the edges of the 3 spatial axes. As `torch.nn.ReplicationPad3d`. */
export class ReplicationPad3d extends PaddingLayer<3> {
  readonly type = 'ReplicationPad3d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad3d = ofPadding(
    (...args) => new ReplicationPad3d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('ReplicationPad3d', 3, 'replicate', padding, options);
  }
}

/** Wraps around the spatial axis. As `torch.nn.CircularPad1d`. */
export class CircularPad1d extends PaddingLayer<1> {
  readonly type = 'CircularPad1d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad1d = ofPadding(
    (...args) => new CircularPad1d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('CircularPad1d', 1, 'circular', padding, options);
  }
}

/** Wraps around the 2 spatial axes. As `torch.nn.CircularPad2d`. */
export class CircularPad2d extends PaddingLayer<2> {
  readonly type = 'CircularPad2d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad2d = ofPadding(
    (...args) => new CircularPad2d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('CircularPad2d', 2, 'circular', padding, options);
  }
}

/** Wraps around the 3 spatial axes. As `torch.nn.CircularPad3d`. */
export class CircularPad3d extends PaddingLayer<3> {
  readonly type = 'CircularPad3d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad3d = ofPadding(
    (...args) => new CircularPad3d(...args),
  );

  constructor(padding: SidePadding, options: DataFormatOption = {}) {
    super('CircularPad3d', 3, 'circular', padding, options);
  }
}
