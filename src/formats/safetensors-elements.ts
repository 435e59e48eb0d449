import { allocateArray, type DType, type TypedArray } from '../tensor/dtype.js';
import { FileError } from '../tensor/errors.js';

type StoredArray =
  | Float64Array
  | Float32Array
  | Int32Array
  | Uint32Array
  | Int16Array
  | Uint16Array
  | Int8Array
  | Uint8Array
  | BigInt64Array
  | BigUint64Array;

interface ElementRow {
  readonly bytes: number;
  /** How the elements lie in the file. */
  readonly array: new (
    buffer: ArrayBufferLike,
    byteOffset?: number,
    length?: number,
  ) => StoredArray;
  /** What they are read as. */
  readonly dtype: DType;
  /** The value of one stored element, where it is not the value itself. */
  readonly value?: (stored: number) => number;
}

/** The element types of safetensors that can be read. */
export const ELEMENTS: Readonly<Record<string, ElementRow>> = {
  F64: { bytes: 8, array: Float64Array, dtype: 'f32' },
  F32: { bytes: 4, array: Float32Array, dtype: 'f32' },
  F16: { bytes: 2, array: Uint16Array, dtype: 'f32', value: halfToNumber },
  BF16: { bytes: 2, array: Uint16Array, dtype: 'f32', value: bfloatToNumber },
  I64: { bytes: 8, array: BigInt64Array, dtype: 'i32' },
  U64: { bytes: 8, array: BigUint64Array, dtype: 'i32' },
  I32: { bytes: 4, array: Int32Array, dtype: 'i32' },
  U32: { bytes: 4, array: Uint32Array, dtype: 'i32' },
  I16: { bytes: 2, array: Int16Array, dtype: 'i32' },
  U16: { bytes: 2, array: Uint16Array, dtype: 'i32' },
  I8: { bytes: 1, array: Int8Array, dtype: 'i32' },
  U8: { bytes: 1, array: Uint8Array, dtype: 'u8' },
  BOOL: { bytes: 1, array: Uint8Array, dtype: 'bool' },
};

/**
 * Elements as they lie in a file (in this machine's byte order) as an array of the dtype they are read as.
 *
 * @param bytes on their own or aligned; whole elements.
 * @throws FileError, beginning with `where`, for values that the dtype cannot hold.
 */
export function decodeElements(where: string, stored: string, bytes: Uint8Array): TypedArray {
  const { bytes: width, array, dtype, value } = ELEMENTS[stored];
  const aligned = bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
  const source = new array(aligned.buffer, aligned.byteOffset, aligned.length / width);
  if (stored === 'BOOL') {
    const at = (source as Uint8Array).findIndex((byte) => byte > 1);
    if (at >= 0) throw new FileError(`${where}, element ${at}: ${source[at]} is neither false (0) nor true (1)`);
  }
  if (stored === 'F32' || stored === 'I32' || stored === 'U8' || stored === 'BOOL') return source as TypedArray;
  const result = allocateArray(dtype, source.length);
  for (let i = 0; i < source.length; i++) {
    const number = value === undefined ? Number(source[i]) : value(source[i] as number);
    result[i] = number;
    // Rounding to f32 is expected; overflow is not.
    if (dtype === 'i32' ? result[i] !== number : Number.isFinite(number) && !Number.isFinite(result[i])) {
      throw new FileError(
        `${where}, element ${i}: the ${stored} value ${source[i]} is outside of the range of ${dtype}`,
      );
    }
  }
  return result;
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The upper half of a binary32. */
function bfloatToNumber(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}
