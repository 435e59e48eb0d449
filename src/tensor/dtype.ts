/** Element types. `bool` is stored as one byte, 0 or 1. `f64` exists on the reference device only. */
export type DType = 'f32' | 'f64' | 'i32' | 'u8' | 'bool';

/** Arrays that hold the elements of tensors: f32, f64, i32, and u8 or bool. */
export type TypedArray = Float32Array | Float64Array | Int32Array | Uint8Array;

interface DTypeRow {
  readonly bytes: number;
  readonly array: new (buffer: ArrayBufferLike, byteOffset?: number, length?: number) => TypedArray;
}

export const DTYPES: Readonly<Record<DType, DTypeRow>> = {
  f32: { bytes: 4, array: Float32Array },
  f64: { bytes: 8, array: Float64Array },
  i32: { bytes: 4, array: Int32Array },
  u8: { bytes: 1, array: Uint8Array },
  bool: { bytes: 1, array: Uint8Array },
};

/** A zero-filled array for `size` elements of `dtype`. */
export function allocateArray(dtype: DType, size: number): TypedArray {
  const row = DTYPES[dtype];
  return new row.array(new ArrayBuffer(row.bytes * size));
}

export function isFloat(dtype: DType): boolean {
  return dtype === 'f32' || dtype === 'f64';
}
