import { allocateArray, type TypedArray } from '../../tensor/dtype.js';
import { FileError } from '../../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../../tensor/shape.js';
import { numberToBfloat, numberToHalf } from '../elements.js';
import {
  ELEMENT_TYPES,
  type ElementType,
  elementTypeOf,
  miniFloatValues,
  rowOf,
  UNREAD_TYPES,
} from './element-types.js';
import { TENSOR, type TensorProto } from './messages.js';
import { decode, encode, type NumberList } from './proto.js';
import { IN_THIS_FILE } from './skeleton.js';

/** An array as ONNX files hold it: whole numbers in i32, floats in f32, bool in bytes. */
export interface HostArray {
  readonly type: ElementType;
  readonly shape: Shape;
  readonly data: TypedArray;
}

/** In another file, or still in the model's own (`skeleton.ts`). */
const EXTERNAL: readonly number[] = [1, IN_THIS_FILE];
/** More elements than any memory holds. */
const MOST_ELEMENTS = 2 ** 31;

export function isExternal(proto: TensorProto): boolean {
  return EXTERNAL.includes(proto.dataLocation ?? 0);
}

/** Type and shape of a tensor, and how many bytes its elements take; nothing is read. */
export function tensorHeader(proto: TensorProto, where: string): { type: ElementType; shape: number[]; bytes: number } {
  const type = elementTypeOf(proto.dataType);
  if (type === undefined) {
    const name = UNREAD_TYPES[proto.dataType ?? 0];
    throw new FileError(
      `${where}: element type ${name ?? proto.dataType} is not read; tensors hold numbers and bool here`,
    );
  }
  const shape = Array.from(proto.dims);
  const size = sizeOf(shape);
  if (!shape.every((extent) => Number.isInteger(extent) && extent >= 0) || !(size <= MOST_ELEMENTS)) {
    throw new FileError(`${where}: ${formatShape(shape)} is no shape, or too large`);
  }
  return { type, shape, bytes: Math.ceil((size * rowOf(type).bits) / 8) };
}

/**
 * The elements of a tensor. Floats in the file's own bytes are a view of them where they lie aligned.
 *
 * @param external its bytes, where they lie in another file
 * @throws FileError where type, shape and data do not fit together, or a whole number does not fit into 32 bits
 */
export function readTensor(proto: TensorProto, where: string, external?: Uint8Array): HostArray {
  const { type, shape, bytes } = tensorHeader(proto, where);
  const size = sizeOf(shape);
  if (isExternal(proto) && external === undefined) {
    throw new FileError(`${where}: its data lie in another file, which is not at hand for a model given as bytes`);
  }
  const raw = external ?? proto.rawData;
  if (raw !== undefined) {
    if (raw.length !== bytes) {
      throw new FileError(`${where}: ${type}${formatShape(shape)} takes ${bytes} bytes, there are ${raw.length}`);
    }
    return { type, shape, data: fromBytes(type, size, raw, where) };
  }
  const numbers = fieldOf(type, proto);
  const packed = rowOf(type).bits < 8;
  const expected = packed ? bytes : size;
  if (numbers.length !== expected) {
    throw new FileError(
      `${where}: ${type}${formatShape(shape)} takes ${expected} numbers, there are ${numbers.length}`,
    );
  }
  return {
    type,
    shape,
    data: packed ? fromBytes(type, size, Uint8Array.from(numbers), where) : fromNumbers(type, numbers, where),
  };
}

/** The field that holds a tensor's elements where its bytes are not raw; small ones lie in int32Data by their codes. */
function fieldOf(type: ElementType, proto: TensorProto): NumberList {
  switch (type) {
    case 'float':
      return proto.floatData;
    case 'double':
      return proto.doubleData;
    case 'int64':
      return proto.int64Data;
    case 'uint32':
    case 'uint64':
      return proto.uint64Data;
    default:
      return proto.int32Data;
  }
}

function fromNumbers(type: ElementType, numbers: NumberList, where: string): TypedArray {
  const { dtype, format, bits } = rowOf(type);
  if (format !== undefined) {
    const values = miniFloatValues(format);
    return Float32Array.from(numbers, (code) => values[code & (2 ** bits - 1)]);
  }
  if (dtype === 'f32') return numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  if (dtype === 'bool') return Uint8Array.from(numbers, (n) => (n === 0 ? 0 : 1));
  return Int32Array.from(numbers, (n) => toInt32(n, type, where));
}

/**
 * Whole numbers are held in 32 bits. The ends of the range of int64 mean "to the end" wherever files have them (`Slice`), and
 * become the ends of that of i32; other numbers beyond it are an error.
 */
function toInt32(value: number, type: ElementType, where: string): number {
  if (value >= -2147483648 && value <= 2147483647) return value;
  if (type === 'int64' && Math.abs(value) >= 2 ** 62) return value < 0 ? -2147483648 : 2147483647;
  throw new FileError(`${where}: ${value} (${type}) does not fit into 32 bits; whole numbers are computed in i32 here`);
}

function fromBytes(type: ElementType, size: number, raw: Uint8Array, where: string): TypedArray {
  const { dtype, format, bits, signed } = rowOf(type);
  if (type === 'float') {
    const view = raw.byteOffset % 4 === 0 ? raw : new Uint8Array(raw);
    return new Float32Array(view.buffer, view.byteOffset, size);
  }
  if (type === 'bool') return Uint8Array.from(raw, (byte) => (byte === 0 ? 0 : 1));
  const out = allocateArray(dtype, size);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const values = format && miniFloatValues(format);
  const perByte = 8 / bits;
  for (let i = 0; i < size; i++) {
    if (type === 'double') out[i] = view.getFloat64(i * 8, true);
    else if (type === 'int64') out[i] = toInt32(Number(view.getBigInt64(i * 8, true)), type, where);
    else if (type === 'uint64') out[i] = toInt32(Number(view.getBigUint64(i * 8, true)), type, where);
    else if (type === 'uint32') out[i] = toInt32(view.getUint32(i * 4, true), type, where);
    else if (type === 'int32') out[i] = view.getInt32(i * 4, true);
    else {
      const code =
        bits === 16
          ? view.getUint16(i * 2, true)
          : bits === 8
            ? raw[i]
            : (raw[Math.floor(i / perByte)] >> ((i % perByte) * bits)) & (2 ** bits - 1);
      out[i] = values ? values[code] : signed && code >= 2 ** (bits - 1) ? code - 2 ** bits : code;
    }
  }
  return out;
}

/** A tensor for a file; what does not fit its type is an error. Whole numbers that are given as such stay so. */
export function writeTensor(name: string, type: ElementType, shape: Shape, data: ArrayLike<number>): TensorProto {
  const { bits, format } = rowOf(type);
  const size = sizeOf(shape);
  if (data.length !== size)
    throw new FileError(`tensor "${name}": ${data.length} elements do not fill ${formatShape(shape)}`);
  const raw = new Uint8Array(Math.ceil((size * bits) / 8));
  if (type === 'float') new Float32Array(raw.buffer).set(data);
  else {
    if (format !== undefined && bits < 16) throw new FileError(`tensor "${name}": ${type} is not written`);
    const view = new DataView(raw.buffer);
    for (let i = 0; i < size; i++) putElement(view, type, i, data[i], name);
  }
  return { ...EMPTY, name, dataType: ELEMENT_TYPES[type].code, dims: [...shape], rawData: raw };
}

const EMPTY = {
  floatData: [],
  int32Data: [],
  stringData: [],
  int64Data: [],
  doubleData: [],
  uint64Data: [],
  externalData: [],
} as const;

function putElement(view: DataView, type: ElementType, i: number, value: number, name: string): void {
  const { bits, signed, dtype } = rowOf(type);
  if (type === 'double') view.setFloat64(i * 8, value, true);
  else if (type === 'float16') view.setUint16(i * 2, numberToHalf(value), true);
  else if (type === 'bfloat16') view.setUint16(i * 2, numberToBfloat(value), true);
  else if (dtype === 'bool') view.setUint8(i, value === 0 ? 0 : 1);
  else {
    const low = signed ? -(2 ** (bits - 1)) : 0;
    if (!Number.isInteger(value) || value < low || value >= low + 2 ** bits) {
      throw new FileError(`tensor "${name}": ${value} is no ${type}`);
    }
    if (bits === 64) view.setBigInt64(i * 8, BigInt.asIntN(64, BigInt(value)), true);
    else if (bits === 32) view.setUint32(i * 4, value >>> 0, true);
    else if (bits === 16) view.setUint16(i * 2, value & 0xffff, true);
    else if (bits === 8) view.setUint8(i, value & 0xff);
    else {
      const perByte = 8 / bits;
      const at = Math.floor(i / perByte);
      view.setUint8(at, view.getUint8(at) | ((value & (2 ** bits - 1)) << ((i % perByte) * bits)));
    }
  }
}

/** Parses the bytes of a `.pb` file with one tensor, as ONNX's test data have. */
export function parseTensor(bytes: Uint8Array, where: string): HostArray & { readonly name: string } {
  const proto = decode<TensorProto>(TENSOR, bytes, where);
  return { name: proto.name ?? '', ...readTensor(proto, where) };
}

/** The bytes of a `.pb` file with one tensor. */
export function serializeTensor(name: string, type: ElementType, shape: Shape, data: ArrayLike<number>): Uint8Array {
  return encode(TENSOR, writeTensor(name, type, shape, data));
}
