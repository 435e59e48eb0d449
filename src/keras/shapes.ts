import type { DataFormat } from '../ops/data-format.js';
import { OptionError, ShapeError } from '../tensor/errors.js';
import { type Shape, sizeOf } from '../tensor/shape.js';

/** A shape with its batch axis, whose extent is not known: `[null, 28, 28, 1]`. */
export type KerasShape = readonly (number | null)[];

/** Where the channels are: the last axis (default everywhere) or the first one after the batch. */
export type KerasDataFormat = 'channelsLast' | 'channelsFirst';

export function formatKerasShape(shape: KerasShape): string {
  return `[${shape.map((extent) => extent ?? 'null').join(', ')}]`;
}

/** The extents behind the batch axis, all of which must be known. */
export function extents(where: string, shape: KerasShape): number[] {
  return shape.slice(1).map((extent) => {
    if (typeof extent === 'number' && Number.isInteger(extent) && extent > 0) return extent;
    throw new ShapeError(
      `${where}: the input shape ${formatKerasShape(shape)} must be known but for the batch; give every extent in inputShape`,
    );
  });
}

/** The engine's name of a data format. */
export function engineFormat(where: string, format: KerasDataFormat = 'channelsLast'): DataFormat {
  if (format === 'channelsLast') return 'channels-last';
  if (format === 'channelsFirst') return 'channels-first';
  throw new OptionError(
    `${where}: dataFormat must be "channelsLast" or "channelsFirst", got ${JSON.stringify(format)}`,
  );
}

/** The number of channels of [batch, …spatial, channels] or [batch, channels, …spatial]. */
export function channelsOf(where: string, shape: KerasShape, rank: number, format: DataFormat): number {
  if (shape.length !== rank + 2) {
    const spatial = ['length', 'height, width', 'depth, height, width'][rank - 1];
    const expected = format === 'channels-last' ? `[batch, ${spatial}, channels]` : `[batch, channels, ${spatial}]`;
    throw new ShapeError(`${where}: expected ${expected}, got ${formatKerasShape(shape)}`);
  }
  return extents(where, shape)[format === 'channels-last' ? rank : 0];
}

/** Elements of a row-major array in the order of its transpose: axis i of the result is axis `order[i]` of `shape`. */
export function permuteArray(data: ArrayLike<number>, shape: Shape, order: readonly number[]): Float32Array {
  const result = new Float32Array(sizeOf(shape));
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const extentsOut = order.map((axis) => shape[axis]);
  const stridesOut = order.map((axis) => strides[axis]);
  const position = order.map(() => 0);
  let from = 0;
  for (let to = 0; to < result.length; to++) {
    result[to] = data[from];
    for (let axis = order.length - 1; axis >= 0; axis--) {
      from += stridesOut[axis];
      if (++position[axis] < extentsOut[axis]) break;
      from -= stridesOut[axis] * extentsOut[axis];
      position[axis] = 0;
    }
  }
  return result;
}

/** The order that undoes `order`. */
export function inverseOrder(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis));
}
