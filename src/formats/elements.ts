import { allocateArray, DTYPES, type DType, isFloat, type TypedArray } from '../tensor/dtype.js';
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

/** How elements are stored in a file. */
export type StoredType =
  | 'F64'
  | 'F32'
  | 'F16'
  | 'BF16'
  | 'I64'
  | 'U64'
  | 'I32'
  | 'U32'
  | 'I16'
  | 'U16'
  | 'I8'
  | 'U8'
  | 'BOOL';

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

/** Element types of files, by safetensors' names, that can be read. */
export const ELEMENTS: Readonly<Record<StoredType, ElementRow>> = {
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

/** The same by NumPy's names, without the byte order. */
export const NUMPY_TYPES: Readonly<Record<string, StoredType>> = {
  f2: 'F16',
  f4: 'F32',
  f8: 'F64',
  i1: 'I8',
  i2: 'I16',
  i4: 'I32',
  i8: 'I64',
  u1: 'U8',
  u2: 'U16',
  u4: 'U32',
  u8: 'U64',
  b1: 'BOOL',
};

/**
 * Elements as they lie in a file (in this machine's byte order) as an array of the dtype they are read as.
 *
 * @param bytes on their own or aligned; whole elements.
 * @throws FileError, beginning with `where`, for values that the dtype cannot hold.
 */
export function decodeElements(where: string, stored: StoredType, bytes: Uint8Array): TypedArray {
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

/** Whether this machine stores the low byte first, as nearly all do. */
export const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** A copy with the bytes of every element of `size` bytes in reverse order. */
export function swapped(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) out[i] = bytes[i - (i % size) + size - 1 - (i % size)];
  return out;
}

/** The stored type of a dtype's own elements. */
const STORED_AS: Readonly<Record<DType, StoredType>> = {
  f32: 'F32',
  f64: 'F64',
  i32: 'I32',
  u8: 'U8',
  bool: 'BOOL',
};

/** Floating-point types that f32 may be rounded to in a file. */
export type FloatStorage = 'f32' | 'f16' | 'bf16';

/**
 * The bytes of elements, little-endian: a view of `data` where it lies in memory as the file wants it, which it does
 * on every machine that Node runs on but s390x.
 *
 * @param floats what f32 is rounded to, to nearest, halves to even
 * @throws FileError, beginning with `where`, for finite values beyond the range of f16
 */
export function encodeElements(
  where: string,
  dtype: DType,
  data: ArrayLike<number>,
  floats: FloatStorage = 'f32',
): { stored: StoredType; bytes: Uint8Array } {
  if (isFloat(dtype) && floats !== 'f32')
    return { stored: floats === 'f16' ? 'F16' : 'BF16', bytes: narrowed(where, data, floats) };
  const { array, bytes } = DTYPES[dtype];
  let exact = data as TypedArray;
  if (!(data instanceof array)) {
    // A reference device in double precision holds f32 tensors in a Float64Array.
    exact = new array(new ArrayBuffer(bytes * data.length));
    exact.set(data);
  }
  const view = new Uint8Array(exact.buffer, exact.byteOffset, exact.byteLength);
  return { stored: STORED_AS[dtype], bytes: LITTLE_ENDIAN || bytes === 1 ? view : swapped(view, bytes) };
}

function narrowed(where: string, data: ArrayLike<number>, floats: 'f16' | 'bf16'): Uint8Array {
  const bytes = new Uint8Array(2 * data.length);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < data.length; i++) {
    const bits = floats === 'f16' ? numberToHalf(data[i]) : numberToBfloat(data[i]);
    if (floats === 'f16' && (bits & 0x7fff) === 0x7c00 && Number.isFinite(data[i])) {
      throw new FileError(`${where}, element ${i}: ${data[i]} is outside of the range of f16, ±65504; use bf16 or f32`);
    }
    view.setUint16(2 * i, bits, true);
  }
  return bytes;
}

/** The nearest IEEE 754 binary16, halves to even; beyond 65519.99… infinity. */
export function numberToHalf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return sign | 0x7c00;
  // The exponent from the bits, since logarithms round; numbers below 2^-14 have the step of the smallest.
  double[0] = magnitude;
  const exponent = Math.max(-14, ((doubleBits[LITTLE_ENDIAN ? 1 : 0] >>> 20) & 0x7ff) - 1023);
  const steps = roundHalfEven(magnitude * 2 ** (10 - exponent));
  // A carry out of the fraction goes into the exponent by itself.
  return sign | ((exponent + 14) * 1024 + steps);
}

/** The nearest bfloat16, halves to even, by way of binary32. */
export function numberToBfloat(value: number): number {
  float[0] = value;
  if (Number.isNaN(value)) return 0x7fc0;
  return ((word[0] + 0x7fff + ((word[0] >>> 16) & 1)) >>> 16) & 0xffff;
}

function roundHalfEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

const double = new Float64Array(1);
const doubleBits = new Uint32Array(double.buffer);
const word = new Uint32Array(1);
const float = new Float32Array(word.buffer);

/** The upper half of a binary32. */
function bfloatToNumber(bits: number): number {
  word[0] = bits << 16;
  return float[0];
}
