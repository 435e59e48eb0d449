import { OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { reshape } from './reshape.js';
import { transpose } from './transpose.js';
import { checkImages, splitText } from './window.js';

function checkFactor(where: string, x: Tensor, factor: number): void {
  if (!Number.isInteger(factor) || factor < 1) {
    throw new OptionError(`${where}: the factor must be an integer ≥ 1, got ${factor}`);
  }
  if (x.rank < 3) throw new ShapeError(`${where}: expected […, channels, height, width], got ${formatShape(x.shape)}`);
}

/** `extent = quotient · by + remainder` */
function remainderText(extent: number, by: number): string {
  return `${extent} = ${Math.floor(extent / by)}·${by} + ${extent % by}`;
}

/**
 * […, channels · r², height, width] to […, channels, height · r, width · r]: every r² channels become the pixels of an
 * r × r block (Shi et al., 2016, "sub-pixel convolution").
 */
export function pixelShuffle(x: Tensor, factor: number, where = 'pixelShuffle'): Tensor {
  checkFactor(where, x, factor);
  const lead = x.shape.slice(0, -3);
  const [channels, height, width] = x.shape.slice(-3);
  const out = channels / (factor * factor);
  if (!Number.isInteger(out)) {
    throw new ShapeError(
      `${where}: ${channels} channels of ${formatShape(x.shape)} do not split into groups of ${factor}² = ${factor * factor}: ${remainderText(channels, factor * factor)}`,
    );
  }
  const n = lead.length;
  const parts = reshape(x, [...lead, out, factor, factor, height, width]);
  const order = [...lead.keys(), n, n + 3, n + 1, n + 4, n + 2];
  return reshape(transpose(parts, order), [...lead, out, height * factor, width * factor]);
}

/** The inverse of {@link pixelShuffle}: […, channels, height · r, width · r] to […, channels · r², height, width]. */
export function pixelUnshuffle(x: Tensor, factor: number, where = 'pixelUnshuffle'): Tensor {
  checkFactor(where, x, factor);
  const lead = x.shape.slice(0, -3);
  const [channels, height, width] = x.shape.slice(-3);
  const [h, w] = [height / factor, width / factor];
  if (!Number.isInteger(h) || !Number.isInteger(w)) {
    throw new ShapeError(
      `${where}: ${height}×${width} pixels of ${formatShape(x.shape)} do not split into blocks of ${factor}×${factor}: ${remainderText(Number.isInteger(h) ? width : height, factor)}`,
    );
  }
  const n = lead.length;
  const parts = reshape(x, [...lead, channels, h, factor, w, factor]);
  const order = [...lead.keys(), n, n + 2, n + 4, n + 1, n + 3];
  return reshape(transpose(parts, order), [...lead, channels * factor * factor, h, w]);
}

/**
 * Channel i · (channels / groups) + j becomes channel j · groups + i (Zhang et al., "ShuffleNet", 2018), so that what follows
 * in groups sees all of them.
 *
 * @param x [batch, channels, …spatial]
 */
export function channelShuffle(x: Tensor, groups: number, where = 'channelShuffle'): Tensor {
  if (!Number.isInteger(groups) || groups < 1) {
    throw new OptionError(`${where}: groups must be an integer ≥ 1, got ${groups}`);
  }
  checkImages(where, x.shape, Math.max(1, x.rank - 2));
  const [batch, channels, ...spatial] = x.shape;
  if (channels % groups !== 0) {
    const count = `the number of channels, ${channels} in ${formatShape(x.shape)},`;
    throw new ShapeError(`${where}: ${count} ${splitText(channels, groups)}`);
  }
  const parts = reshape(x, [batch, groups, channels / groups, ...spatial]);
  return reshape(transpose(parts, [0, 2, 1, ...spatial.map((_, s) => 3 + s)]), x.shape);
}
