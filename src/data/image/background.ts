import type { DecodedImage } from './decode.js';

/** Mean and standard deviation (0 … 255) of the outermost rows and columns of one channel. */
export function borderOf(image: DecodedImage, channel: number): Background {
  const { width, height, channels, data } = image;
  let count = 0;
  let sum = 0;
  let squares = 0;
  for (let y = 0; y < height; y++) {
    const step = y === 0 || y === height - 1 ? 1 : Math.max(width - 1, 1);
    for (let x = 0; x < width; x += step) {
      const value = data[(y * width + x) * channels + channel];
      count++;
      sum += value;
      squares += value * value;
    }
  }
  const mean = sum / count;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)) };
}

/** Mean and standard deviation, 0 … 255, of the border pixels of a data set's images. */
export interface Background {
  readonly mean: number;
  readonly deviation: number;
}

/** The background that a set of grey images [count, 1, height, width] has in common; store it with the model. */
export function measureBackground(images: Uint8Array, height: number, width: number): Background {
  const size = height * width;
  const count = Math.floor(images.length / size);
  let sum = 0;
  let squares = 0;
  for (let i = 0; i < count; i++) {
    const border = borderOf({ width, height, channels: 1, data: images.subarray(i * size, (i + 1) * size) }, 0);
    sum += border.mean;
    squares += border.mean ** 2 + border.deviation ** 2;
  }
  if (count === 0) return { mean: 0, deviation: 0 };
  const mean = sum / count;
  return { mean, deviation: Math.sqrt(Math.max(0, squares / count - mean * mean)) };
}

/**
 * Whether a picture should be inverted (v → 255 − v) before a grey model sees it. A model trained on white strokes on black
 * has learned one plain background; ink on paper is the same drawing with the sign turned. So: only where the training
 * images share a plain background (border deviation below 48, mean within 64 of black or white), the picture has a plain border, too, and
 * the inverted border is the nearer one. Photographs never qualify.
 *
 * @param image preprocessed grey planes [1, height, width].
 */
export function shouldInvert(image: Uint8Array, height: number, width: number, trained: Background): boolean {
  const plain = trained.deviation < 48 && (trained.mean < 64 || trained.mean > 191);
  if (!plain) return false;
  const border = borderOf({ width, height, channels: 1, data: image }, 0);
  if (border.deviation >= 64) return false;
  return Math.abs(255 - border.mean - trained.mean) < Math.abs(border.mean - trained.mean);
}

/** v → 255 − v, as a new array. */
export function invertImage(image: Uint8Array): Uint8Array {
  return image.map((value) => 255 - value);
}
