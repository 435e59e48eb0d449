import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';
import { transpose } from './transpose.js';

/**
 * Where the channels are: [batch, channels, …spatial] or [batch, …spatial, channels]. Weights are the same for both.
 * The compiler lays programs out as it likes; the transposes at the boundary cancel between layers.
 */
export type DataFormat = 'channels-first' | 'channels-last';

/** The option of every layer and function that tells channels from positions. */
export interface DataFormatOption {
  /** of input and result; the parameters are the same for both; default `channels-first` */
  readonly dataFormat?: DataFormat;
}

export function checkDataFormat(where: string, format: unknown): void {
  if (format !== 'channels-first' && format !== 'channels-last') {
    throw new OptionError(
      `${where}: dataFormat must be "channels-first" or "channels-last", got ${JSON.stringify(format)}`,
    );
  }
}

/** From `format` to [batch, channels, …spatial]. */
export function toChannelsFirst(x: Tensor, format: DataFormat): Tensor {
  if (format === 'channels-first' || x.rank < 3) return x;
  return transpose(x, [0, x.rank - 1, ...spatialAxes(x.rank, 1)]);
}

/** From [batch, channels, …spatial] to `format`. */
export function fromChannelsFirst(x: Tensor, format: DataFormat): Tensor {
  if (format === 'channels-first' || x.rank < 3) return x;
  return transpose(x, [0, ...spatialAxes(x.rank, 2), 1]);
}

/** `apply`, which knows [batch, channels, …spatial] alone, on a tensor of `format`; the result is in `format`, too. */
export function inChannelsFirst(x: Tensor, format: DataFormat, apply: (x: Tensor) => Tensor): Tensor {
  return fromChannelsFirst(apply(toChannelsFirst(x, format)), format);
}

function spatialAxes(rank: number, first: number): number[] {
  return Array.from({ length: rank - 2 }, (_, s) => first + s);
}
