import { OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { greaterEqual, mul, where } from './elementwise.js';
import { uniform } from './random.js';
import { checkImages } from './window.js';

/** Throws unless p is a probability. */
export function checkProbability(name: string, p: number): void {
  if (!(typeof p === 'number' && p >= 0 && p <= 1)) {
    throw new OptionError(`${name}: p must lie between 0 and 1, got ${JSON.stringify(p)}`);
  }
}

/**
 * Zeroes each element with probability `p` and multiplies the others by 1 / (1 − p).
 *
 * @param key i32[2]; the same key gives the same choice
 */
export function dropout(x: Tensor, key: Tensor, p = 0.5): Tensor {
  return drop(x, x.shape, key, p, 'dropout');
}

/** {@link dropout} of whole channels, each with all its positions: x is [batch, channels, …spatial]. */
export function channelDropout(x: Tensor, key: Tensor, p = 0.5, where = 'channelDropout'): Tensor {
  checkImages(where, x.shape, Math.max(1, x.rank - 2));
  const ones = new Array<number>(x.rank - 2).fill(1);
  return drop(x, [...x.shape.slice(0, 2), ...ones], key, p, where);
}

/** One choice for each element of `shape`, which broadcasts to that of `x`. */
function drop(x: Tensor, shape: Shape, key: Tensor, p: number, name: string): Tensor {
  checkProbability(name, p);
  if (p === 0) return x;
  return where(greaterEqual(uniform(key, shape), p), mul(x, p < 1 ? 1 / (1 - p) : 0), 0);
}

/** {@link channelDropout} of one rank. */
export type ChannelDropout = (x: Tensor, key: Tensor, p?: number) => Tensor;

const ofRank =
  (rank: number, name: string): ChannelDropout =>
  (x, key, p) => {
    checkImages(name, x.shape, rank);
    return channelDropout(x, key, p, name);
  };

/** {@link channelDropout} of [batch, channels, length]. */
export const dropout1d: ChannelDropout = ofRank(1, 'dropout1d');
/** {@link channelDropout} of images [batch, channels, height, width]. */
export const dropout2d: ChannelDropout = ofRank(2, 'dropout2d');
/** {@link channelDropout} of volumes [batch, channels, depth, height, width]. */
export const dropout3d: ChannelDropout = ofRank(3, 'dropout3d');
