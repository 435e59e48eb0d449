import { decode as decodePngFile } from 'fast-png';
import jpeg from 'jpeg-js';
import { FileError } from '../../tensor/errors.js';
import { type ImageHeader, readHeader } from './header.js';

/** A picture in memory: 8 bits per sample, rows from top to bottom, channels of a pixel side by side. */
export interface DecodedImage {
  readonly width: number;
  readonly height: number;
  /** 1 = grey, 3 = red, green, blue. */
  readonly channels: 1 | 3;
  /** `height · width · channels` values. */
  readonly data: Uint8Array;
}

/** Options of {@link decodeImage}. */
export interface DecodeOptions {
  /** Grey value 0 … 255 that lies behind transparent pixels. Default 255, the white page that viewers show. */
  readonly background?: number;
}

/**
 * Decodes a PNG (1 to 16 bits; grey, colour, palette, alpha; interlaced from 8 bits up) or a JPEG (baseline or progressive; grey, YCbCr,
 * RGB, CMYK; turned as its EXIF orientation says). 16 bits are scaled to 8. What the file is follows from its content.
 *
 * @param name named in errors, usually the path.
 * @throws FileError when the file is something else, cut short or damaged.
 */
export function decodeImage(bytes: Uint8Array, name: string, options: DecodeOptions = {}): DecodedImage {
  try {
    return decodeBytes(bytes, options);
  } catch (error) {
    throw new FileError(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** {@link decodeImage} with errors that give only the reason. */
export function decodeBytes(bytes: Uint8Array, options: DecodeOptions = {}): DecodedImage {
  const header = readHeader(bytes);
  return header.kind === 'png' ? decodePng(bytes, header, options.background ?? 255) : decodeJpeg(bytes, header);
}

function decodeJpeg(bytes: Uint8Array, header: ImageHeader): DecodedImage {
  // Every 8×8 block costs at least one bit (T.81, F.1.2), so a far larger picture cannot be in this file.
  if (header.width * header.height > 512 * bytes.length) throw tooFewBytes(header, bytes);
  const turned = header.orientation >= 5;
  const stored = { width: turned ? header.height : header.width, height: turned ? header.width : header.height };
  const decoded = orDamaged('JPEG', () =>
    jpeg.decode(bytes, {
      useTArray: true,
      formatAsRGBA: false,
      tolerantDecoding: false,
      ...(header.rgb ? { colorTransform: false } : {}),
      maxResolutionInMP: Number.POSITIVE_INFINITY, // the header has been checked already
      maxMemoryUsageInMB: 4096,
    }),
  );
  if (decoded.width !== stored.width || decoded.height !== stored.height)
    throw new Error('the JPEG has several frames');
  let data = decoded.data;
  if (header.channels === 1) {
    data = new Uint8Array(stored.width * stored.height);
    for (let i = 0; i < data.length; i++) data[i] = decoded.data[3 * i];
  }
  return orient({ ...stored, channels: header.channels, data }, header.orientation);
}

/** What decoders say is for people who know the format. */
function orDamaged<T>(format: string, decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new Error(`the ${format} file is damaged or cut short (${error instanceof Error ? error.message : error})`);
  }
}

function tooFewBytes({ width, height }: ImageHeader, bytes: Uint8Array): Error {
  return new Error(`the header says ${width}×${height} pixels, more than ${bytes.length} bytes can hold`);
}

/**
 * Undoes an EXIF orientation: pixel (x, y) of the result is pixel (x or W−1−x, y or H−1−y) of the stored picture, its axes swapped
 * for 5 … 8 (CIPA DC-008, figure of tag 274).
 */
function orient(image: DecodedImage, orientation: number): DecodedImage {
  if (orientation === 1) return image;
  const { channels, data } = image;
  const swap = orientation >= 5;
  const width = swap ? image.height : image.width;
  const height = swap ? image.width : image.height;
  const mirrorX = [2, 3, 7, 8].includes(orientation);
  const mirrorY = [3, 4, 6, 7].includes(orientation);
  const result = new Uint8Array(data.length);
  for (let y = 0, to = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = swap ? y : x;
      const v = swap ? x : y;
      const column = mirrorX ? image.width - 1 - u : u;
      const row = mirrorY ? image.height - 1 - v : v;
      const from = (row * image.width + column) * channels;
      for (let c = 0; c < channels; c++) result[to++] = data[from + c];
    }
  }
  return { width, height, channels, data: result };
}

function decodePng(bytes: Uint8Array, header: ImageHeader, background: number): DecodedImage {
  const { width, height, depth } = header;
  if (header.interlaced && depth < 8) throw new Error(`an interlaced PNG with ${depth} bits per sample is not read`);
  // Deflate shrinks at most 1032-fold (RFC 1951: 258 bytes from 2 bits), so a far larger picture cannot be in this file.
  if ((width * height * depth) / 8 > 1032 * bytes.length) {
    throw tooFewBytes(header, bytes);
  }
  // CRCs are checked: a damaged file must not become a training image.
  const png = orDamaged('PNG', () => decodePngFile(bytes, { checkCrc: true }));
  if (png.palette) return fromPalette(width, height, depth, png.data, png.palette, background);
  const samples = unpack(png.data, width * png.channels, height, depth);
  const top = 2 ** depth - 1;
  const colours = png.channels >= 3 ? 3 : 1;
  const hasAlpha = png.channels === 2 || png.channels === 4;
  const key = png.transparency && png.transparency.length >= colours ? png.transparency : undefined;
  const data = new Uint8Array(width * height * colours);
  for (let p = 0; p < width * height; p++) {
    const from = p * png.channels;
    let alpha = hasAlpha ? samples[from + colours] / top : 1;
    if (
      key &&
      key[0] === samples[from] &&
      (colours === 1 || (key[1] === samples[from + 1] && key[2] === samples[from + 2]))
    ) {
      alpha = 0;
    }
    for (let c = 0; c < colours; c++) {
      data[p * colours + c] = over((samples[from + c] * 255) / top, alpha, background);
    }
  }
  return { width, height, channels: colours, data };
}

function over(value: number, alpha: number, background: number): number {
  return Math.round(alpha * value + (1 - alpha) * background);
}

function fromPalette(
  width: number,
  height: number,
  depth: number,
  packed: ArrayLike<number>,
  palette: number[][],
  background: number,
): DecodedImage {
  const indices = unpack(packed, width, height, depth);
  const colours = palette.map(([red, green, blue, alpha = 255]) =>
    [red, green, blue].map((value) => over(value, alpha / 255, background)),
  );
  const data = new Uint8Array(width * height * 3);
  for (let p = 0; p < width * height; p++) {
    const colour = colours[indices[p]];
    if (!colour)
      throw new Error(`pixel ${p} has palette index ${indices[p]}, but the palette has ${colours.length} entries`);
    data.set(colour, 3 * p);
  }
  return { width, height, channels: 3, data };
}

/** Samples of 1, 2 or 4 bits, each row starting on a byte; 8 and 16 bits come as they are. */
function unpack(packed: ArrayLike<number>, perRow: number, rows: number, depth: number): ArrayLike<number> {
  if (depth >= 8) return packed;
  const stride = Math.ceil((perRow * depth) / 8);
  const mask = 2 ** depth - 1;
  const samples = new Uint8Array(perRow * rows);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) {
      const bit = i * depth;
      samples[row * perRow + i] = (packed[row * stride + (bit >> 3)] >> (8 - depth - (bit & 7))) & mask;
    }
  }
  return samples;
}
