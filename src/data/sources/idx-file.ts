import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip, gunzipSync, constants as zlib } from 'node:zlib';
import { FileError } from '../../tensor/errors.js';

/**
 * The IDX format of the MNIST family (LeCun, Cortes and Burges): two zero bytes, a type (8 = unsigned byte), the number of
 * axes, each axis as a big-endian 32-bit number, then the values with the last axis fastest.
 */
export interface IdxArray {
  readonly shape: readonly number[];
  readonly data: Uint8Array;
}

const UBYTE = 8;
/** A deflate stream grows at most 1032-fold (258 bytes from 2 bits). */
const MOST_GROWTH = 1032;

/**
 * Reads an IDX file of unsigned bytes, plain or gzipped (by content). The header is checked against the file's length before memory is
 * taken for the values.
 *
 * @param axes how many axes it must have.
 * @throws FileError when it is cut short, has another type or number of axes, or sizes that the file does not hold.
 */
export async function readIdx(path: string, axes: number): Promise<IdxArray> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new FileError(`${path}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
  const zipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  const headerLength = 4 + 4 * axes;
  const header = zipped ? peek(path, bytes, headerLength) : bytes.subarray(0, headerLength);
  const shape = readShape(path, header, axes);
  const expected = headerLength + shape.reduce((product, extent) => product * extent, 1);
  if (zipped) {
    if (expected > MOST_GROWTH * bytes.length)
      throw sizeError(path, shape, `at most ${MOST_GROWTH * bytes.length}`, expected);
    try {
      bytes = await promisify(gunzip)(bytes, { maxOutputLength: expected + 1 });
    } catch (error) {
      const tooLong = (error as { code?: string }).code === 'ERR_BUFFER_TOO_LARGE';
      if (tooLong) throw sizeError(path, shape, 'more than that', expected);
      throw new FileError(`${path}: the gzip data is cut short or damaged (${(error as Error).message})`, {
        cause: error,
      });
    }
  }
  if (bytes.length !== expected) throw sizeError(path, shape, String(bytes.length), expected);
  return { shape, data: bytes.subarray(headerLength) };
}

function sizeError(path: string, shape: readonly number[], has: string, expected: number): FileError {
  return new FileError(
    `${path}: the header says ${shape.join('×')}, which makes ${expected} bytes, but the file has ${has}; it is cut short or damaged`,
  );
}

function peek(path: string, bytes: Uint8Array, length: number): Uint8Array {
  try {
    return gunzipSync(bytes.subarray(0, 4096), { finishFlush: zlib.Z_SYNC_FLUSH }).subarray(0, length);
  } catch (error) {
    throw new FileError(`${path}: the gzip data is damaged (${(error as Error).message})`, { cause: error });
  }
}

function readShape(path: string, header: Uint8Array, axes: number): number[] {
  const magic = [...header.subarray(0, 4)];
  const wanted = [0, 0, UBYTE, axes];
  if (header.length < 4) throw new FileError(`${path}: has only ${header.length} bytes; the file is cut short`);
  if (magic.some((byte, i) => byte !== wanted[i])) {
    throw new FileError(
      `${path}: begins with the bytes ${magic.join(' ')}, but an IDX file of unsigned bytes with ${axes} ${axes === 1 ? 'axis' : 'axes'} begins with ${wanted.join(' ')}`,
    );
  }
  if (header.length < 4 + 4 * axes) throw new FileError(`${path}: the file is cut short in its header`);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const shape = Array.from({ length: axes }, (_, i) => view.getUint32(4 + 4 * i));
  if (shape.includes(0)) throw new FileError(`${path}: the header says ${shape.join('×')}; there is nothing in it`);
  return shape;
}
