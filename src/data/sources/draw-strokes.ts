import { strokes } from '../strokes/index.js';

/** Side of the images. */
export const STROKES_SIDE: number = 28;

/** A range of images to draw into shared memory. */
export interface StrokesRequest {
  readonly split: 'train' | 'test';
  readonly seed: number;
  readonly start: number;
  readonly count: number;
  /** Where in `images` [.., 28, 28] and `labels` the range goes. */
  readonly row: number;
  readonly images: Uint8Array;
  readonly labels: Int32Array;
}

/** Draws one range and returns how many images it has. */
export function drawStrokes({ split, seed, start, count, row, images, labels }: StrokesRequest): number {
  const drawn = strokes({ split, seed, start, count });
  images.set(drawn.images, row * STROKES_SIDE * STROKES_SIDE);
  labels.set(drawn.labels, row);
  return count;
}
