/**
 * What a picture file says about itself before it is decoded: kind, size, orientation, colour. Reading this first keeps
 * a lying header from making a decoder allocate gigabytes, and lets a folder be measured without decoding it.
 */

/** Facts from the header of a PNG or JPEG file. */
export interface ImageHeader {
  readonly kind: 'png' | 'jpeg';
  /** Width as shown, that is, after the EXIF orientation has been applied. */
  readonly width: number;
  readonly height: number;
  /** 3 for RGB, palette, YCbCr and CMYK files (whatever their pixels hold), 1 for grey ones. */
  readonly channels: 1 | 3;
  /** EXIF orientation 1 … 8 (CIPA DC-008, tag 274); 1 = as stored. */
  readonly orientation: number;
  /** PNG: bits per sample. JPEG: 8. */
  readonly depth: number;
  /** PNG: Adam7. */
  readonly interlaced: boolean;
  /** JPEG: three components that are RGB already, not YCbCr. */
  readonly rgb: boolean;
}

/** Largest picture that is decoded, in pixels; a bigger one is most likely a broken header. */
export const MAX_PIXELS: number = 2 ** 27;

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

/** Names of files that people put in image folders and that Gabor does not decode, by their first bytes. */
const FOREIGN: readonly (readonly [string, string])[] = [
  ['GIF8', 'a GIF image'],
  ['BM', 'a BMP image'],
  ['RIFF', 'a WebP image or other RIFF file'],
  ['II*\0', 'a TIFF image'],
  ['MM\0*', 'a TIFF image'],
  ['%PDF', 'a PDF document'],
  ['PK\x03\x04', 'a ZIP archive'],
  ['\x1f\x8b', 'a gzip file'],
  ['<svg', 'an SVG drawing'],
  ['P5', 'a PGM image'],
  ['P6', 'a PPM image'],
];

/**
 * Reads the header, by content and never by the file's ending.
 *
 * @throws Error with a plain reason when the bytes are neither PNG nor JPEG, cut short, or of a size out of range.
 */
export function readHeader(bytes: Uint8Array): ImageHeader {
  if (bytes.length === 0) throw new Error('the file is empty');
  const header = PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)
    ? pngHeader(bytes)
    : bytes[0] === 0xff && bytes[1] === 0xd8
      ? jpegHeader(bytes)
      : undefined;
  if (!header) {
    const start = String.fromCharCode(...bytes.subarray(0, 8));
    const foreign = FOREIGN.find(([magic]) => start.startsWith(magic));
    throw new Error(foreign ? `${foreign[1]}; only PNG and JPEG are read` : 'neither PNG nor JPEG');
  }
  const { width, height } = header;
  if (width < 1 || height < 1) throw new Error(`the header says ${width}×${height} pixels`);
  if (width * height > MAX_PIXELS)
    throw new Error(`the header says ${width}×${height} pixels, more than ${MAX_PIXELS}`);
  return header;
}

function pngHeader(bytes: Uint8Array): ImageHeader {
  if (bytes.length < 33) throw new Error('the PNG file is cut short in its header');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (String.fromCharCode(...bytes.subarray(12, 16)) !== 'IHDR') throw new Error('the PNG file has no IHDR chunk');
  const colour = bytes[25];
  return {
    kind: 'png',
    width: view.getUint32(16),
    height: view.getUint32(20),
    channels: colour === 0 || colour === 4 ? 1 : 3,
    orientation: 1,
    depth: bytes[24],
    interlaced: bytes[28] === 1,
    rgb: true,
  };
}

/** Walks the marker segments (ITU-T T.81, annex B) up to the frame header. */
function jpegHeader(bytes: Uint8Array): ImageHeader {
  let orientation = 1;
  let adobe: number | undefined;
  let jfif = false;
  let at = 2;
  for (;;) {
    while (at < bytes.length && bytes[at] === 0xff && bytes[at + 1] === 0xff) at++; // fill bytes
    if (at + 4 > bytes.length) throw new Error('the JPEG file is cut short before its frame header');
    if (bytes[at] !== 0xff) throw new Error('the JPEG file has a broken marker');
    const marker = bytes[at + 1];
    if (marker === 0xd9 || marker === 0xda) throw new Error('the JPEG file has no frame header');
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd7)) {
      at += 2;
      continue;
    }
    const length = (bytes[at + 2] << 8) | bytes[at + 3];
    const body = bytes.subarray(at + 4, at + 2 + length);
    if (marker === 0xe0 && text(body, 0, 4) === 'JFIF') jfif = true;
    if (marker === 0xe1 && text(body, 0, 4) === 'Exif') orientation = exifOrientation(body.subarray(6));
    if (marker === 0xee && text(body, 0, 5) === 'Adobe') adobe = body[11];
    // SOF0 … SOF15 without DHT (C4), JPG (C8) and DAC (CC).
    if (marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc) {
      if (body.length < 6) throw new Error('the JPEG file is cut short in its frame header');
      if (marker > 0xc2)
        throw new Error(`JPEG process SOF${marker - 0xc0} (lossless, hierarchical or arithmetic) is not read`);
      if (body[0] !== 8) throw new Error(`JPEG with ${body[0]} bits per sample is not read, only 8`);
      const height = (body[1] << 8) | body[2];
      const width = (body[3] << 8) | body[4];
      const components = body[5];
      const ids = text(body, 6, 1) + text(body, 9, 1) + text(body, 12, 1);
      const turned = orientation >= 5;
      return {
        kind: 'jpeg',
        width: turned ? height : width,
        height: turned ? width : height,
        channels: components === 1 ? 1 : 3,
        orientation,
        depth: 8,
        interlaced: false,
        // libjpeg's rule (jdapimin.c, default_decompress_parms): JFIF is YCbCr, else Adobe's flag, else the component names.
        rgb: components === 3 && !jfif && (adobe !== undefined ? adobe === 0 : ids === 'RGB'),
      };
    }
    at += 2 + length;
  }
}

function text(bytes: Uint8Array, from: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(from, from + length));
}

/** Tag 274 of the first image directory in a TIFF structure; 1 where it is absent or broken. */
function exifOrientation(tiff: Uint8Array): number {
  if (tiff.length < 8) return 1;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const little = text(tiff, 0, 2) === 'II';
  const directory = view.getUint32(4, little);
  if (directory + 2 > tiff.length) return 1;
  const entries = view.getUint16(directory, little);
  for (let i = 0; i < entries; i++) {
    const entry = directory + 2 + 12 * i;
    if (entry + 12 > tiff.length) return 1;
    if (view.getUint16(entry, little) !== 274) continue;
    const value = view.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}
