import { FileError } from 'gabor';

/**
 * The samples of a WAV file with one channel of 16 bits, from −1 to 1.
 *
 * @param name named in errors
 * @throws FileError for other files
 */
export function readWav(bytes: Buffer, name: string): Float32Array {
  const tag = (at: number): string => bytes.toString('latin1', at, at + 4);
  if (bytes.length < 12 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') throw new FileError(`${name} is no WAV file`);
  let known = false;
  // Chunks, each with a name of four letters, its length and its contents, padded to an even length.
  for (let at = 12; at + 8 <= bytes.length; ) {
    const [length, from] = [bytes.readUInt32LE(at + 4), at + 8];
    if (tag(at) === 'fmt ' && length >= 16 && from + 16 <= bytes.length) {
      const [format, channels] = [bytes.readUInt16LE(from), bytes.readUInt16LE(from + 2)];
      const bits = bytes.readUInt16LE(from + 14);
      known = format === 1 && channels === 1 && bits === 16;
      if (!known)
        throw new FileError(`${name}: format ${format}, ${channels} × ${bits} bits; only PCM of 1 × 16 is read`);
    }
    if (tag(at) === 'data') {
      if (!known || from + length > bytes.length) throw new FileError(`${name} is damaged or cut short`);
      return Float32Array.from({ length: length >> 1 }, (_, i) => bytes.readInt16LE(from + 2 * i) / 32768);
    }
    at = from + length + (length % 2);
  }
  throw new FileError(`${name} holds no samples`);
}
