import { flatten } from '../../ops/reshape.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { LayerConfig } from '../config.js';
import { Module } from '../module.js';
import type { Signature } from '../signature.js';

/** By default [batch, features] comes out. How many they are depends on the extents, which types do not know. */
export type FlattenSignature<Start extends number, End extends number> = Signature<
  number,
  number,
  number,
  [Start, End] extends [1, -1] ? 0 : number
>;

/** Joins the axes from `startDim` to `endDim` (inclusive); by default all but the batch axis. As `torch.nn.Flatten`. */
export class Flatten<Start extends number = 1, End extends number = -1> extends Module<FlattenSignature<Start, End>> {
  readonly type = 'Flatten';
  readonly startDim: Start;
  readonly endDim: End;

  constructor(startDim: Start = 1 as Start, endDim: End = -1 as End) {
    super();
    for (const [name, axis] of Object.entries({ startDim, endDim })) {
      if (!Number.isInteger(axis)) {
        throw new OptionError(`Flatten: ${name} must be an integer, got ${JSON.stringify(axis)}`);
      }
    }
    this.startDim = startDim;
    this.endDim = endDim;
  }

  forward(x: Tensor): Tensor {
    const [start, end] = [this.startDim, this.endDim].map((axis) => (axis < 0 ? axis + x.rank : axis));
    if (start < 0 || end >= x.rank || start > end) {
      throw new ShapeError(`Flatten: ${formatShape(x.shape)} has no axes from ${this.startDim} to ${this.endDim}`);
    }
    return flatten(x, start, end);
  }

  override config(): LayerConfig {
    return { type: this.type, startDim: this.startDim, endDim: this.endDim };
  }

  static fromConfig(this: void, config: LayerConfig): Flatten<number, number> {
    checkOptions(config.type, config, ['type', 'startDim', 'endDim']);
    return new Flatten(config.startDim as number | undefined, config.endDim as number | undefined);
  }
}
