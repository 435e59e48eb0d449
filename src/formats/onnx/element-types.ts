import type { DType } from '../../tensor/dtype.js';

/** A floating-point format with fewer bits than single precision. */
export interface MiniFloat {
  readonly exponent: number;
  readonly mantissa: number;
  readonly bias: number;
  /** Which codes of the highest exponent are no numbers: as in IEEE 754, only the last code, only the negative zero, or none. */
  readonly special: 'ieee' | 'last is NaN' | 'negative zero is NaN' | 'none';
  readonly unsigned?: boolean;
}

/** What elements of ONNX are, by the names of the standard. */
export type ElementType =
  | 'float'
  | 'uint8'
  | 'int8'
  | 'uint16'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'bool'
  | 'float16'
  | 'double'
  | 'uint32'
  | 'uint64'
  | 'bfloat16'
  | 'float8e4m3fn'
  | 'float8e4m3fnuz'
  | 'float8e5m2'
  | 'float8e5m2fnuz'
  | 'uint4'
  | 'int4'
  | 'float4e2m1'
  | 'float8e8m0'
  | 'uint2'
  | 'int2';

/** An element type of ONNX and how it is held here. */
export interface ElementTypeRow {
  /** its number in `TensorProto.DataType` */
  readonly code: number;
  readonly bits: number;
  /** what tensors of it are here: all floats f32, all whole numbers i32 */
  readonly dtype: DType;
  /** of whole numbers: whether they have a sign */
  readonly signed?: boolean;
  /** of floats other than single and double precision */
  readonly format?: MiniFloat;
}

const whole = (code: number, bits: number, signed: boolean): ElementTypeRow => ({ code, bits, dtype: 'i32', signed });

const mini = (
  code: number,
  exponent: number,
  mantissa: number,
  bias: number,
  special: MiniFloat['special'],
  unsigned = false,
): ElementTypeRow => ({
  code,
  bits: exponent + mantissa + (unsigned ? 0 : 1),
  dtype: 'f32',
  format: { exponent, mantissa, bias, special, unsigned },
});

/** https://onnx.ai/onnx/technical/float8.html, …/float4.html, …/int4.html describe the small ones. */
export const ELEMENT_TYPES: Readonly<Record<ElementType, ElementTypeRow>> = {
  float: { code: 1, bits: 32, dtype: 'f32' },
  uint8: whole(2, 8, false),
  int8: whole(3, 8, true),
  uint16: whole(4, 16, false),
  int16: whole(5, 16, true),
  int32: whole(6, 32, true),
  int64: whole(7, 64, true),
  bool: { code: 9, bits: 8, dtype: 'bool' },
  float16: mini(10, 5, 10, 15, 'ieee'),
  double: { code: 11, bits: 64, dtype: 'f32' },
  uint32: whole(12, 32, false),
  uint64: whole(13, 64, false),
  bfloat16: mini(16, 8, 7, 127, 'ieee'),
  float8e4m3fn: mini(17, 4, 3, 7, 'last is NaN'),
  float8e4m3fnuz: mini(18, 4, 3, 8, 'negative zero is NaN'),
  float8e5m2: mini(19, 5, 2, 15, 'ieee'),
  float8e5m2fnuz: mini(20, 5, 2, 16, 'negative zero is NaN'),
  uint4: whole(21, 4, false),
  int4: whole(22, 4, true),
  float4e2m1: mini(23, 2, 1, 1, 'none'),
  float8e8m0: mini(24, 8, 0, 127, 'last is NaN', true),
  uint2: whole(25, 2, false),
  int2: whole(26, 2, true),
};

const BY_CODE: ReadonlyMap<number, ElementType> = new Map(
  (Object.keys(ELEMENT_TYPES) as ElementType[]).map((name) => [ELEMENT_TYPES[name].code, name]),
);

/** The element type with a number, or undefined where there is none here (strings, complex numbers). */
export function elementTypeOf(code: number | undefined): ElementType | undefined {
  return BY_CODE.get(code ?? 0);
}

/** What the element types with these numbers are called that are not read. */
export const UNREAD_TYPES: Readonly<Record<number, string>> = {
  0: 'undefined',
  8: 'string',
  14: 'complex64',
  15: 'complex128',
};

export function rowOf(type: ElementType): ElementTypeRow {
  return ELEMENT_TYPES[type];
}

/** The value of every code of a small floating-point format. */
export function miniFloatValues(format: MiniFloat): Float32Array {
  const { exponent, mantissa, bias, special, unsigned = false } = format;
  const bits = exponent + mantissa + (unsigned ? 0 : 1);
  const values = new Float32Array(2 ** bits);
  const top = 2 ** exponent - 1;
  for (let code = 0; code < values.length; code++) {
    const negative = !unsigned && code >= values.length / 2;
    const magnitude = negative ? code - values.length / 2 : code;
    const e = Math.floor(magnitude / 2 ** mantissa);
    const m = magnitude % 2 ** mantissa;
    const last = magnitude === 2 ** (exponent + mantissa) - 1;
    let value: number;
    if (special === 'ieee' && e === top) value = m === 0 ? Number.POSITIVE_INFINITY : Number.NaN;
    else if (special === 'last is NaN' && last) value = Number.NaN;
    else if (special === 'negative zero is NaN' && negative && magnitude === 0) value = Number.NaN;
    // Without mantissa bits there are powers of two only: no zero, nothing below the first.
    else if (e === 0 && mantissa > 0) value = m * 2 ** (1 - bias - mantissa);
    else value = (1 + m / 2 ** mantissa) * 2 ** (e - bias);
    values[code] = negative ? -value : value;
  }
  return values;
}

/** The largest finite value of a format. */
export function largest(format: MiniFloat): number {
  return miniFloatValues(format).reduce((most, value) => (Number.isFinite(value) && value > most ? value : most), 0);
}

export function isWhole(type: ElementType): boolean {
  return rowOf(type).dtype === 'i32';
}
