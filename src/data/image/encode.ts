import { encode } from 'fast-png';
import { OptionError } from '../../tensor/errors.js';
import type { DecodedImage } from './decode.js';

/**
 * A PNG file of a picture, compressed as far as the format goes; {@link decodeImage} reads the same values from it.
 *
 * @throws OptionError where the values are not `height · width · channels`.
 * @example
 * await writeFile('half.png', encodePng(resizeImage(photo, photo.width >> 1, photo.height >> 1)));
 */
export function encodePng({ width, height, channels, data }: DecodedImage): Uint8Array {
  const whole = [width, height].every((extent) => Number.isInteger(extent) && extent > 0);
  if (!whole || (channels !== 1 && channels !== 3) || data.length !== width * height * channels) {
    throw new OptionError(
      `encodePng: ${width}×${height} pixels of ${channels} values, but there are ${data.length}; expected width · height · channels (1 or 3)`,
    );
  }
  return encode({ width, height, channels, data, depth: 8 }, { zlib: { level: 9 } });
}
