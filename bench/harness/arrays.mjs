import { readFileSync, writeFileSync } from 'node:fs';

/** `n` numbers from the uniform distribution over [-scale, scale), the same for every contestant (mulberry32). */
export function uniform(n, seed, scale = 1) {
  const numbers = new Float32Array(n);
  let state = seed >>> 0;
  for (let i = 0; i < n; i++) {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    numbers[i] = (((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * scale;
  }
  return numbers;
}

export function sizeOf(shape) {
  return shape.reduce((product, extent) => product * extent, 1);
}

/** Little-endian f32, which is what contestants in other languages read, too. */
export function writeFloats(file, numbers) {
  writeFileSync(file, new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength));
}

export function readFloats(file) {
  const { buffer, byteOffset, byteLength } = readFileSync(file);
  return new Float32Array(buffer.slice(byteOffset, byteOffset + byteLength));
}

/** Rearranges a row-major array: axis `i` of the result is axis `order[i]` of the source. */
export function permute(source, shape, order) {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  const extents = order.map((axis) => shape[axis]);
  const steps = order.map((axis) => strides[axis]);
  const result = new source.constructor(source.length);
  const position = new Array(extents.length).fill(0);
  for (let i = 0, at = 0; i < result.length; i++) {
    result[i] = source[at];
    for (let axis = extents.length - 1; axis >= 0; axis--) {
      at += steps[axis];
      if (++position[axis] < extents[axis]) break;
      at -= steps[axis] * extents[axis];
      position[axis] = 0;
    }
  }
  return result;
}

/** [n, rows, columns] → [n, columns, rows], in squares that stay in the cache. */
function transposeImages(source, n, rows, columns) {
  const SIDE = 32;
  const result = new source.constructor(source.length);
  for (let base = 0; base < n * rows * columns; base += rows * columns) {
    for (let r = 0; r < rows; r += SIDE) {
      for (let c = 0; c < columns; c += SIDE) {
        for (let i = r; i < Math.min(r + SIDE, rows); i++) {
          for (let j = c; j < Math.min(c + SIDE, columns); j++) {
            result[base + j * rows + i] = source[base + i * columns + j];
          }
        }
      }
    }
  }
  return result;
}

/** [n, c, …spatial] → [n, …spatial, c]. */
export function toChannelsLast(source, [n, c, ...spatial]) {
  return transposeImages(source, n, c, sizeOf(spatial));
}

/** [n, …spatial, c] → [n, c, …spatial]; `shape` is the shape of the result. */
export function toChannelsFirst(source, [n, c, ...spatial]) {
  return transposeImages(source, n, sizeOf(spatial), c);
}

export function concatenate(parts) {
  const result = new Float32Array(parts.reduce((n, part) => n + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}

/** The largest difference between elements of `a` and `b`, relative to the largest element of `b`; NaN where there is one. */
export function largestDifference(a, b) {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let largest = 0;
  let difference = 0;
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(b[i]));
    const d = Math.abs(a[i] - b[i]);
    if (!(d <= difference)) difference = d; // NaN counts, too
  }
  return difference / largest;
}
