import type { NdArray } from '../graph/operator.js';
import { type Shape, sizeOf, stridesOf } from '../tensor/shape.js';

/** Calls `visit` with every position of `shape`, last axis fastest; the array is reused. */
export function forEachPosition(shape: Shape, visit: (position: readonly number[], flat: number) => void): void {
  const position = new Array<number>(shape.length).fill(0);
  const size = sizeOf(shape);
  for (let flat = 0; flat < size; flat++) {
    visit(position, flat);
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++position[axis] < shape[axis]) break;
      position[axis] = 0;
    }
  }
}

/** Reads an array at a position of a larger shape, broadcast as in NumPy. */
export function broadcastReader(array: NdArray, rank: number): (position: readonly number[]) => number {
  const { shape } = array.type;
  const skip = rank - shape.length;
  const strides = stridesOf(shape).map((stride, axis) => (shape[axis] === 1 ? 0 : stride));
  return (position) => {
    let at = 0;
    for (let axis = 0; axis < strides.length; axis++) at += strides[axis] * position[axis + skip];
    return array.data[at];
  };
}
