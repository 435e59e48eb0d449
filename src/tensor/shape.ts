import type { DType } from './dtype.js';
import { ShapeError } from './errors.js';

/** Extents, outermost first. A scalar has the shape `[]`. */
export type Shape = readonly number[];

/** What is known about a tensor without its data. */
export interface TensorType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const extent of shape) size *= extent;
  return size;
}

/** Row-major strides, in elements. */
export function stridesOf(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((extent, axis) => extent === b[axis]);
}

/** `[2, 3]`, as printed in messages. */
export function formatShape(shape: Shape): string {
  return `[${shape.join(', ')}]`;
}

export function formatType(type: TensorType): string {
  return `${type.dtype}${formatShape(type.shape)}`;
}

/** NumPy broadcasting: aligned at the last axis, extents of one stretch. Returns undefined where shapes do not fit. */
export function broadcastShapes(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const out = new Array<number>(rank);
  for (let i = 1; i <= rank; i++) {
    const x = a[a.length - i] ?? 1;
    const y = b[b.length - i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    out[rank - i] = x === 1 ? y : x;
  }
  return out;
}

/** Turns negative axes into non-negative ones; throws for axes outside of `rank` and for duplicates. */
export function normalizeAxes(where: string, axes: readonly number[], rank: number): number[] {
  const out = axes.map((axis) => {
    if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
      throw new ShapeError(`${where}: axis ${axis} is outside of a tensor with ${rank} axes`);
    }
    return axis < 0 ? axis + rank : axis;
  });
  if (new Set(out).size !== out.length) throw new ShapeError(`${where}: axes ${formatShape(axes)} repeat`);
  return out;
}

/** Throws unless every extent is a non-negative integer. */
export function checkShape(where: string, shape: Shape): void {
  for (const extent of shape) {
    if (!Number.isInteger(extent) || extent < 0) {
      throw new ShapeError(`${where}: ${formatShape(shape)} is not a shape; extents must be integers ≥ 0`);
    }
  }
}
