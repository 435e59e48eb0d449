import { OptionError } from '../../tensor/errors.js';
import { borderOf } from './background.js';
import type { DecodedImage } from './decode.js';
import { centreCrop, resizeImage } from './resize.js';

/**
 * How a picture of other proportions becomes the wanted rectangle: `crop` keeps the proportions and cuts the longer side equally at
 * both ends; `stretch` keeps everything and distorts; `pad` keeps both and fills the rest with the mean colour of the picture's border.
 */
export type Fit = 'crop' | 'stretch' | 'pad';

/** What a model wants its input to be. */
export interface ImageFormat {
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** Default `crop`. */
  readonly fit?: Fit;
}

/** Grey or colour. Grey is the luma of Rec. ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B. */
export function toChannels(image: DecodedImage, channels: 1 | 3): DecodedImage {
  if (channels !== 1 && channels !== 3) throw new OptionError(`toChannels: channels must be 1 or 3, got ${channels}`);
  if (image.channels === channels) return image;
  const { width, height, data } = image;
  const result = new Uint8Array(width * height * channels);
  for (let p = 0; p < width * height; p++) {
    if (channels === 1) result[p] = Math.round(0.299 * data[3 * p] + 0.587 * data[3 * p + 1] + 0.114 * data[3 * p + 2]);
    else result[3 * p] = result[3 * p + 1] = result[3 * p + 2] = data[p];
  }
  return { width, height, channels, data: result };
}

/**
 * Any picture as a model's input: resized and cut (`fit`), grey or colour, and laid out in planes.
 *
 * @returns `channels · height · width` values 0 … 255 (CHW). {@link normalizeImages} turns them into the floats that a network reads.
 */
export function preprocessImage(image: DecodedImage, format: ImageFormat): Uint8Array {
  const { channels, height, width } = format;
  const sized = toChannels(fitImage(image, width, height, format.fit ?? 'crop'), channels);
  if (channels === 1) return sized.data === image.data ? sized.data.slice() : sized.data;
  const planes = new Uint8Array(channels * height * width);
  for (let c = 0, to = 0; c < channels; c++) {
    for (let p = 0; p < height * width; p++) planes[to++] = sized.data[p * channels + c];
  }
  return planes;
}

/** Brings a picture to `width × height` in the manner of `fit`. */
function fitImage(image: DecodedImage, width: number, height: number, fit: Fit): DecodedImage {
  if (fit === 'stretch') return resizeImage(image, width, height);
  if (fit === 'crop') return resizeImage(image, width, height, centreCrop(image, width, height));
  if (fit !== 'pad') throw new OptionError(`fit must be crop, stretch or pad, got ${String(fit)}`);
  const scale = Math.min(width / image.width, height / image.height);
  const innerWidth = Math.max(1, Math.round(image.width * scale));
  const innerHeight = Math.max(1, Math.round(image.height * scale));
  const inner = resizeImage(image, innerWidth, innerHeight);
  const { channels } = image;
  const data = new Uint8Array(width * height * channels);
  for (let c = 0; c < channels; c++) {
    const colour = Math.round(borderOf(image, c).mean);
    for (let i = c; i < data.length; i += channels) data[i] = colour;
  }
  const left = (width - innerWidth) >> 1;
  const top = (height - innerHeight) >> 1;
  const line = innerWidth * channels;
  for (let y = 0; y < innerHeight; y++) {
    data.set(inner.data.subarray(y * line, (y + 1) * line), ((y + top) * width + left) * channels);
  }
  return { width, height, channels, data };
}
