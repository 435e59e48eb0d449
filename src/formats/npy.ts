/**
 * NumPy's array files (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html): a magic text, the version, the length of
 * the header, the header as a Python dictionary, then the elements:
 *
 *     \x93NUMPY 1 0 | 118 | {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } … \n | data
 */
import { allocateArray } from '../tensor/dtype.js';
import { FileError } from '../tensor/errors.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { formatShape, type Shape, sizeOf, stridesOf } from '../tensor/shape.js';
import { writeFileAtomic } from './atomic-write.js';
import { withFile } from './byte-source.js';
import {
  decodeElements,
  ELEMENTS,
  encodeElements,
  LITTLE_ENDIAN,
  NUMPY_TYPES,
  type StoredType,
  swapped,
} from './elements.js';

/** What a file says about its array. */
export interface NpyHeader {
  readonly stored: StoredType;
  readonly bigEndian: boolean;
  readonly fortranOrder: boolean;
  readonly shape: Shape;
  /** Where the elements begin. */
  readonly dataStart: number;
  /** How long the whole file is. */
  readonly length: number;
}

const MAGIC = '\x93NUMPY';
const ALIGNMENT = 64;
/** Headers of arrays of numbers are short; NumPy, too, refuses longer ones unless told to trust them. */
const LONGEST_HEADER = 10_000;
/** So many bytes hold any header. */
export const NPY_HEADER_BYTES: number = LONGEST_HEADER + 12;

/** What other letters of `descr` mean. */
const KINDS: Readonly<Record<string, string>> = {
  c: 'complex numbers',
  O: 'Python objects, which would have to be executed',
  S: 'texts',
  a: 'texts',
  U: 'texts',
  V: 'raw bytes',
  M: 'dates',
  m: 'durations',
  f: 'floats of this length',
  g: 'long doubles',
};

/**
 * Reads a `.npy` file: numbers of any width and byte order, in C or Fortran order. Floats are read as f32, integers as i32 (an error
 * where one does not fit), uint8 as u8, bool as bool.
 *
 * @throws FileError that says what is wrong with the file.
 */
export async function readNpy(path: string): Promise<HostTensor> {
  return withFile(path, async (source) => {
    const first = await source.read(0, Math.min(source.size, NPY_HEADER_BYTES));
    const header = parseNpyHeader(first, path, source.size);
    const bytes = await source.read(header.dataStart, header.length - header.dataStart);
    return decodeNpy(header, bytes, path);
  });
}

/** The same for bytes in memory; `where` names them in messages. */
export function parseNpy(bytes: Uint8Array, where = 'npy'): HostTensor {
  const header = parseNpyHeader(bytes, where, bytes.length);
  return decodeNpy(header, new Uint8Array(bytes.subarray(header.dataStart)), where);
}

/** Writes a `.npy` file, as a whole or not at all. */
export async function writeNpy(path: string, tensor: HostTensor): Promise<void> {
  await writeFileAtomic(path, npyChunks(tensor));
}

/** The bytes of a `.npy` file: version 1.0, little-endian, in C order. */
export function serializeNpy(tensor: HostTensor): Uint8Array {
  return Buffer.concat(npyChunks(tensor));
}

const DESCR: Readonly<Record<HostTensor['dtype'], string>> = {
  f32: '<f4',
  f64: '<f8',
  i32: '<i4',
  u8: '|u1',
  bool: '|b1',
};

function npyChunks({ dtype, shape, data }: HostTensor): Uint8Array[] {
  if (data.length !== sizeOf(shape)) {
    throw new FileError(`npy: ${data.length} elements do not fill ${formatShape(shape)}`);
  }
  const tuple = shape.length === 1 ? `(${shape[0]},)` : `(${shape.join(', ')})`;
  const text = `{'descr': '${DESCR[dtype]}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const before = MAGIC.length + 4;
  const length = Math.ceil((before + text.length + 1) / ALIGNMENT) * ALIGNMENT;
  const head = Buffer.from(`${MAGIC}\x01\x00\0\0${text.padEnd(length - before - 1)}\n`, 'latin1');
  head.writeUInt16LE(length - before, MAGIC.length + 2);
  return [head, encodeElements('npy', dtype, data).bytes];
}

/**
 * Reads and checks the header.
 *
 * @param first the file's beginning: all of it, or {@link NPY_HEADER_BYTES}
 * @param size of the file
 */
export function parseNpyHeader(first: Uint8Array, where: string, size: number): NpyHeader {
  const bytes = Buffer.from(first.buffer, first.byteOffset, first.byteLength);
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) {
    throw new FileError(`${where}: does not begin as a NumPy file does; it is no .npy file or cut short`);
  }
  const wide = bytes[MAGIC.length] >= 2;
  const start = MAGIC.length + (wide ? 6 : 4);
  if (bytes.length < start) throw new FileError(`${where}: is cut short: ${size} bytes`);
  if (bytes[MAGIC.length] < 1 || bytes[MAGIC.length] > 3) {
    throw new FileError(`${where}: has version ${bytes[MAGIC.length]} of the format; versions 1 to 3 can be read`);
  }
  const length = wide ? bytes.readUInt32LE(MAGIC.length + 2) : bytes.readUInt16LE(MAGIC.length + 2);
  if (length > LONGEST_HEADER || start + length > bytes.length) {
    throw new FileError(
      `${where}: claims a header of ${length} bytes; ${length > LONGEST_HEADER ? `those of arrays of numbers have at most ${LONGEST_HEADER}` : 'the file is cut short'}`,
    );
  }
  const { descr, fortranOrder, shape } = parseDictionary(bytes.toString('latin1', start, start + length), where);
  const { stored, bigEndian } = parseType(descr, where);
  const total = start + length + sizeOf(shape) * ELEMENTS[stored].bytes;
  if (total !== size) {
    throw new FileError(
      `${where}: an array ${descr}${formatShape(shape)} makes a file of ${total} bytes, but this one has ${size}`,
    );
  }
  return { stored, bigEndian, fortranOrder, shape, dataStart: start + length, length: total };
}

const HEADER = /^\s*\{(.*)\}\s*$/s;
const ITEM = /\s*(['"])(\w+)\1\s*:\s*(?:(['"])([^'"]*)\3|(True|False)|\(([\dL,\s]*)\)|(\[[^\]]*\]))\s*(?:,|$)/y;

/** The dictionary of the header. Only what NumPy itself writes is understood; nothing is evaluated. */
function parseDictionary(text: string, where: string): { descr: string; fortranOrder: boolean; shape: number[] } {
  const bad = (what: string): FileError => new FileError(`${where}: the header ${JSON.stringify(text.trim())} ${what}`);
  const body = HEADER.exec(text)?.[1].trim();
  if (body === undefined) throw bad('is no dictionary');
  const found: { descr?: string; fortranOrder?: boolean; shape?: number[] } = {};
  ITEM.lastIndex = 0;
  while (ITEM.lastIndex < body.length) {
    const match = ITEM.exec(body);
    if (match === null) throw bad('is not one of an array of numbers');
    const [, , key, , quoted, flag, tuple, list] = match;
    if (key === 'descr' && list !== undefined)
      throw bad('is of records with several fields; save each as its own array');
    if (key === 'descr' && quoted !== undefined) found.descr = quoted;
    else if (key === 'fortran_order' && flag !== undefined) found.fortranOrder = flag === 'True';
    else if (key === 'shape' && tuple !== undefined) found.shape = parseShape(tuple, bad);
    else throw bad(`has an unexpected "${key}"`);
  }
  const { descr, fortranOrder, shape } = found;
  if (descr === undefined || fortranOrder === undefined || shape === undefined) {
    throw bad('lacks one of "descr", "fortran_order" and "shape"');
  }
  return { descr, fortranOrder, shape };
}

function parseShape(text: string, bad: (what: string) => FileError): number[] {
  const parts = text.split(',').map((part) => part.trim());
  if (parts[parts.length - 1] === '') parts.pop();
  const shape = parts.map((part) => (/^\d+L?$/.test(part) ? Number.parseInt(part, 10) : Number.NaN));
  if (!shape.every(Number.isSafeInteger)) throw bad('has a shape that is none');
  return shape;
}

function parseType(descr: string, where: string): { stored: StoredType; bigEndian: boolean } {
  const [, order = '', kind = '', width = ''] = /^([<>|=]?)([a-zA-Z?])(\d*)$/.exec(descr) ?? [];
  const name = kind === '?' ? 'b1' : kind + width;
  if (!Object.hasOwn(NUMPY_TYPES, name)) {
    const what = KINDS[kind];
    throw new FileError(
      `${where}: has elements of type "${descr}"${what === undefined ? '' : ` (${what})`}; numbers and truth values can be read: ${Object.keys(NUMPY_TYPES).join(', ')}`,
    );
  }
  return { stored: NUMPY_TYPES[name], bigEndian: order === '>' || (order === '=' && !LITTLE_ENDIAN) };
}

/** @param bytes the elements, aligned, in memory that may be kept */
export function decodeNpy(header: NpyHeader, bytes: Uint8Array, where: string): HostTensor {
  const { stored, bigEndian, fortranOrder, shape } = header;
  const width = ELEMENTS[stored].bytes;
  const ordered = width > 1 && bigEndian === LITTLE_ENDIAN ? swapped(bytes, width) : bytes;
  const data = decodeElements(where, stored, ordered);
  const { dtype } = ELEMENTS[stored];
  if (!fortranOrder || shape.length < 2) return { dtype, shape, data };
  // The first index runs fastest: the array with all axes reversed, in C order.
  const out = allocateArray(dtype, data.length);
  const strides = stridesOf([...shape].reverse()).reverse();
  const position = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = 0; i < out.length; i++) {
    out[i] = data[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++position[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
  return { dtype, shape, data: out };
}
