import { OptionError } from '../../tensor/errors.js';
import type { DecodedImage } from './decode.js';

/** A rectangle of a picture, in pixels, possibly fractional. */
export interface Region {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Which source pixels make one output position along an axis, and their weights. */
interface Taps {
  readonly first: Int32Array;
  readonly count: Int32Array;
  readonly weights: Float32Array;
  readonly most: number;
}

/**
 * Weights along one axis. Shrinking: output `o` is the mean over [start + o·step, start + (o+1)·step), with fractional
 * pixels at its ends (area averaging, so nothing aliases). Growing: linear interpolation between pixel centres
 * (`x = start + (o + ½)·step − ½`), held at the picture's border.
 */
function taps(start: number, extent: number, size: number, outputs: number): Taps {
  const step = extent / outputs;
  const most = step > 1 ? Math.ceil(step) + 1 : 2;
  const first = new Int32Array(outputs);
  const count = new Int32Array(outputs);
  const weights = new Float32Array(outputs * most);
  for (let o = 0; o < outputs; o++) {
    if (step > 1) {
      const low = start + o * step;
      const high = low + step;
      const from = Math.min(Math.floor(low), size - 1);
      const to = Math.min(Math.max(Math.ceil(high), from + 1), size);
      first[o] = from;
      count[o] = to - from;
      for (let i = from; i < to; i++) {
        weights[o * most + i - from] = Math.max(0, Math.min(high, i + 1) - Math.max(low, i)) / step;
      }
    } else {
      const x = Math.min(Math.max(start + (o + 0.5) * step - 0.5, 0), size - 1);
      const from = Math.min(Math.floor(x), Math.max(size - 2, 0));
      first[o] = from;
      count[o] = Math.min(2, size - from);
      weights[o * most] = 1 - (x - from);
      if (count[o] === 2) weights[o * most + 1] = x - from;
    }
  }
  return { first, count, weights, most };
}

/**
 * Brings a picture, or a region of it, to `width × height`: area averaging along an axis that shrinks, linear interpolation
 * along one that grows.
 *
 * @throws OptionError when the size is not positive whole numbers.
 */
export function resizeImage(image: DecodedImage, width: number, height: number, region?: Region): DecodedImage {
  if (!(Number.isInteger(width) && width > 0 && Number.isInteger(height) && height > 0)) {
    throw new OptionError(`resizeImage: the size must be positive whole numbers, got ${width}×${height}`);
  }
  const { channels } = image;
  const source = region ?? { left: 0, top: 0, width: image.width, height: image.height };
  const whole = source.left === 0 && source.top === 0 && source.width === width && source.height === height;
  if (whole && image.width === width && image.height === height) return image;
  const across = taps(source.left, source.width, image.width, width);
  const down = taps(source.top, source.height, image.height, height);
  // Rows first: every source row that is needed, shrunk to `width`.
  const top = down.first[0];
  const bottom = down.first[height - 1] + down.count[height - 1];
  const rows = new Float32Array((bottom - top) * width * channels);
  for (let y = top, to = 0; y < bottom; y++) {
    for (let x = 0; x < width; x++) {
      const from = (y * image.width + across.first[x]) * channels;
      for (let c = 0; c < channels; c++) {
        let sum = 0;
        for (let k = 0; k < across.count[x]; k++)
          sum += across.weights[x * across.most + k] * image.data[from + k * channels + c];
        rows[to++] = sum;
      }
    }
  }
  const line = width * channels;
  const data = new Uint8Array(height * line);
  for (let y = 0, to = 0; y < height; y++) {
    const from = (down.first[y] - top) * line;
    for (let i = 0; i < line; i++) {
      let sum = 0;
      for (let k = 0; k < down.count[y]; k++) sum += down.weights[y * down.most + k] * rows[from + k * line + i];
      data[to++] = Math.round(sum);
    }
  }
  return { width, height, channels, data };
}

/** The largest centred region with the proportions `width : height`. */
export function centreCrop(
  image: { readonly width: number; readonly height: number },
  width: number,
  height: number,
): Region {
  const scale = Math.min(image.width / width, image.height / height);
  const region = { width: width * scale, height: height * scale };
  return { left: (image.width - region.width) / 2, top: (image.height - region.height) / 2, ...region };
}
