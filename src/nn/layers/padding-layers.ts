import { type PaddingMode, pad } from '../../ops/padding.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { checkNumber, type Json, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

/** One number for all sides, or one for each: [left, right, top, bottom, front, back], as many as there are axes. */
export type SidePadding = number | readonly number[];

/** Puts elements around the last `rank` axes of […, channels, …spatial]; negative amounts cut off. */
abstract class PaddingLayer extends Module {
  abstract override readonly type: string;
  /** [low, high] of each spatial axis, the last axis first */
  readonly padding: readonly number[];
  readonly #rank: number;
  readonly #mode: PaddingMode;

  constructor(where: string, rank: number, mode: PaddingMode, padding: SidePadding) {
    super();
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
    const lead = x.rank - this.#rank;
    if (lead !== 1 && lead !== 2) {
      const axes = ['length', 'height, width', 'depth, height, width'][this.#rank - 1];
      throw new ShapeError(`${this.type}: expected [batch, channels, ${axes}], got ${formatShape(x.shape)}`);
    }
    const side = (high: 0 | 1): number[] =>
      x.shape.map((_, axis) => (axis < lead ? 0 : this.padding[2 * (x.rank - 1 - axis) + high]));
    return pad(x, side(0), side(1), { mode: this.#mode, value: this.fill() }, this.type);
  }

  /** The value of mode `constant`. */
  protected fill(): number | undefined {
    return undefined;
  }

  override config(): LayerConfig {
    return { type: this.type, padding: this.padding as Json };
  }
}

function ofPadding<M>(make: (padding: SidePadding) => M): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type', 'padding']);
    return make(config.padding as SidePadding);
  };
}

/** Padding by one value. */
abstract class ConstantPadding extends PaddingLayer {
  readonly value: number;

  constructor(where: string, rank: number, padding: SidePadding, value: number) {
    super(where, rank, 'constant', padding);
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

function ofValue<M>(make: (padding: SidePadding, value: number) => M): (config: LayerConfig) => M {
  return (config) => {
    checkOptions(config.type, config, ['type', 'padding', 'value']);
    return make(config.padding as SidePadding, config.value as number);
  };
}

/** Puts `value` around the last 1 axis. As `torch.nn.ConstantPad1d`. */
export class ConstantPad1d extends ConstantPadding {
  readonly type = 'ConstantPad1d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad1d = ofValue(
    (padding, value) => new ConstantPad1d(padding, value),
  );

  constructor(padding: SidePadding, value: number) {
    super('ConstantPad1d', 1, padding, value);
  }
}

/** Puts `value` around the last 2 axes. As `torch.nn.ConstantPad2d`. */
export class ConstantPad2d extends ConstantPadding {
  readonly type = 'ConstantPad2d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad2d = ofValue(
    (padding, value) => new ConstantPad2d(padding, value),
  );

  constructor(padding: SidePadding, value: number) {
    super('ConstantPad2d', 2, padding, value);
  }
}

/** Puts `value` around the last 3 axes. As `torch.nn.ConstantPad3d`. */
export class ConstantPad3d extends ConstantPadding {
  readonly type = 'ConstantPad3d';
  static readonly fromConfig: (config: LayerConfig) => ConstantPad3d = ofValue(
    (padding, value) => new ConstantPad3d(padding, value),
  );

  constructor(padding: SidePadding, value: number) {
    super('ConstantPad3d', 3, padding, value);
  }
}

/** Puts zeros around the last 1 axis. As `torch.nn.ZeroPad1d`. */
export class ZeroPad1d extends PaddingLayer {
  readonly type = 'ZeroPad1d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad1d = ofPadding((padding) => new ZeroPad1d(padding));

  constructor(padding: SidePadding) {
    super('ZeroPad1d', 1, 'zeros', padding);
  }
}

/** Puts zeros around the last 2 axes. As `torch.nn.ZeroPad2d`. */
export class ZeroPad2d extends PaddingLayer {
  readonly type = 'ZeroPad2d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad2d = ofPadding((padding) => new ZeroPad2d(padding));

  constructor(padding: SidePadding) {
    super('ZeroPad2d', 2, 'zeros', padding);
  }
}

/** Puts zeros around the last 3 axes. As `torch.nn.ZeroPad3d`. */
export class ZeroPad3d extends PaddingLayer {
  readonly type = 'ZeroPad3d';
  static readonly fromConfig: (config: LayerConfig) => ZeroPad3d = ofPadding((padding) => new ZeroPad3d(padding));

  constructor(padding: SidePadding) {
    super('ZeroPad3d', 3, 'zeros', padding);
  }
}

/** Puts the mirror image without the edge around the last 1 axis. As `torch.nn.ReflectionPad1d`. */
export class ReflectionPad1d extends PaddingLayer {
  readonly type = 'ReflectionPad1d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad1d = ofPadding(
    (padding) => new ReflectionPad1d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReflectionPad1d', 1, 'reflect', padding);
  }
}

/** Puts the mirror image without the edge around the last 2 axes. As `torch.nn.ReflectionPad2d`. */
export class ReflectionPad2d extends PaddingLayer {
  readonly type = 'ReflectionPad2d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad2d = ofPadding(
    (padding) => new ReflectionPad2d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReflectionPad2d', 2, 'reflect', padding);
  }
}

/** Puts the mirror image without the edge around the last 3 axes. As `torch.nn.ReflectionPad3d`. */
export class ReflectionPad3d extends PaddingLayer {
  readonly type = 'ReflectionPad3d';
  static readonly fromConfig: (config: LayerConfig) => ReflectionPad3d = ofPadding(
    (padding) => new ReflectionPad3d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReflectionPad3d', 3, 'reflect', padding);
  }
}

/** Repeats the edges of the last 1 axis. As `torch.nn.ReplicationPad1d`. */
export class ReplicationPad1d extends PaddingLayer {
  readonly type = 'ReplicationPad1d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad1d = ofPadding(
    (padding) => new ReplicationPad1d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReplicationPad1d', 1, 'replicate', padding);
  }
}

/** Repeats the edges of the last 2 axes. As `torch.nn.ReplicationPad2d`. */
export class ReplicationPad2d extends PaddingLayer {
  readonly type = 'ReplicationPad2d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad2d = ofPadding(
    (padding) => new ReplicationPad2d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReplicationPad2d', 2, 'replicate', padding);
  }
}

/** Repeats the edges of the last 3 axes. As `torch.nn.ReplicationPad3d`. */
export class ReplicationPad3d extends PaddingLayer {
  readonly type = 'ReplicationPad3d';
  static readonly fromConfig: (config: LayerConfig) => ReplicationPad3d = ofPadding(
    (padding) => new ReplicationPad3d(padding),
  );

  constructor(padding: SidePadding) {
    super('ReplicationPad3d', 3, 'replicate', padding);
  }
}

/** Wraps around the last 1 axis. As `torch.nn.CircularPad1d`. */
export class CircularPad1d extends PaddingLayer {
  readonly type = 'CircularPad1d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad1d = ofPadding(
    (padding) => new CircularPad1d(padding),
  );

  constructor(padding: SidePadding) {
    super('CircularPad1d', 1, 'circular', padding);
  }
}

/** Wraps around the last 2 axes. As `torch.nn.CircularPad2d`. */
export class CircularPad2d extends PaddingLayer {
  readonly type = 'CircularPad2d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad2d = ofPadding(
    (padding) => new CircularPad2d(padding),
  );

  constructor(padding: SidePadding) {
    super('CircularPad2d', 2, 'circular', padding);
  }
}

/** Wraps around the last 3 axes. As `torch.nn.CircularPad3d`. */
export class CircularPad3d extends PaddingLayer {
  readonly type = 'CircularPad3d';
  static readonly fromConfig: (config: LayerConfig) => CircularPad3d = ofPadding(
    (padding) => new CircularPad3d(padding),
  );

  constructor(padding: SidePadding) {
    super('CircularPad3d', 3, 'circular', padding);
  }
}
