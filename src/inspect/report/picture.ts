import type { DecodedImage } from '../../data/image/decode.js';
import { encodePng } from '../../data/image/encode.js';

/** A PNG as a `data:` address. */
export function pictureUri(picture: DecodedImage): string {
  let binary = '';
  for (const byte of encodePng(picture)) binary += String.fromCharCode(byte);
  return `data:image/png;base64,${btoa(binary)}`;
}

/** From planes [channels, height, width] of 0 … 255, as data sets hold them. */
export function pictureFromPlanes(planes: Uint8Array, channels: 1 | 3, height: number, width: number): DecodedImage {
  const plane = height * width;
  const data = new Uint8Array(channels * plane);
  for (let c = 0; c < channels; c++) {
    for (let p = 0; p < plane; p++) data[p * channels + c] = planes[c * plane + p];
  }
  return { width, height, channels, data };
}

type Colour = readonly [red: number, green: number, blue: number];

/** Negative is blue, zero nearly white, positive red; even in lightness on both sides (after ColorBrewer's RdBu). */
const DIVERGING: readonly Colour[] = [
  [5, 48, 97],
  [33, 102, 172],
  [67, 147, 195],
  [146, 197, 222],
  [209, 229, 240],
  [247, 247, 247],
  [253, 219, 199],
  [244, 165, 130],
  [214, 96, 77],
  [178, 24, 43],
  [103, 0, 31],
];

/** Dark to light, even in lightness (sampled from matplotlib's magma). */
const SEQUENTIAL: readonly Colour[] = [
  [0, 0, 4],
  [20, 14, 54],
  [59, 15, 112],
  [100, 26, 128],
  [140, 41, 129],
  [183, 55, 121],
  [222, 73, 104],
  [247, 112, 92],
  [254, 159, 109],
  [254, 207, 146],
  [252, 253, 191],
];

function interpolate(scale: readonly Colour[], at: number): Colour {
  const position = Math.min(Math.max(at, 0), 1) * (scale.length - 1);
  const below = Math.min(Math.floor(position), scale.length - 2);
  const share = position - below;
  const mix = (c: 0 | 1 | 2): number => Math.round(scale[below][c] + share * (scale[below + 1][c] - scale[below][c]));
  return [mix(0), mix(1), mix(2)];
}

function paint(
  values: ArrayLike<number>,
  height: number,
  width: number,
  colour: (value: number) => Colour,
): DecodedImage {
  const data = new Uint8Array(3 * height * width);
  for (let p = 0; p < height * width; p++) data.set(colour(values[p]), 3 * p);
  return { width, height, channels: 3, data };
}

/** Signed values; the ends of the colour scale stand for ±`limit`. */
export function divergingPicture(
  values: ArrayLike<number>,
  height: number,
  width: number,
  limit: number,
): DecodedImage {
  const half = limit > 0 ? 0.5 / limit : 0;
  return paint(values, height, width, (value) => interpolate(DIVERGING, 0.5 + half * value));
}

/** Values from `low` (dark) to `high` (light). */
export function sequentialPicture(
  values: ArrayLike<number>,
  height: number,
  width: number,
  [low, high]: readonly [number, number],
): DecodedImage {
  const factor = high > low ? 1 / (high - low) : 0;
  return paint(values, height, width, (value) => interpolate(SEQUENTIAL, (value - low) * factor));
}

/** A filter over red, green and blue [3, height, width] as a colour image; grey is zero, the extremes are ±`limit`. */
export function colourFilterPicture(
  values: ArrayLike<number>,
  height: number,
  width: number,
  limit: number,
): DecodedImage {
  const plane = height * width;
  const data = new Uint8Array(3 * plane);
  const factor = limit > 0 ? 127.5 / limit : 0;
  for (let c = 0; c < 3; c++) {
    for (let p = 0; p < plane; p++) {
      data[3 * p + c] = Math.min(255, Math.max(0, Math.round(127.5 + factor * values[c * plane + p])));
    }
  }
  return { width, height, channels: 3, data };
}

/** The colours of the scales as CSS gradients, for legends. */
export const SCALE_GRADIENTS: Readonly<Record<'diverging' | 'sequential', string>> = {
  diverging: gradient(DIVERGING),
  sequential: gradient(SEQUENTIAL),
};

function gradient(scale: readonly Colour[]): string {
  return `linear-gradient(to right,${scale.map((colour) => `rgb(${colour.join(' ')})`).join(',')})`;
}
