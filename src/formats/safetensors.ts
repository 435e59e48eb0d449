/**
 * The safetensors format (https://github.com/huggingface/safetensors, "Format"): eight bytes with the length of the header as a
 * little-endian number, the header as JSON, then the tensors' bytes, little-endian and row-major, without gaps:
 *
 *     {"__metadata__": {"key": "text"}, "NAME": {"dtype": "F32", "shape": [16, 3, 3, 3], "data_offsets": [BEGIN, END]}, …}
 */
import { DTYPES, isFloat } from '../tensor/dtype.js';
import { checkOptions, FileError, OptionError } from '../tensor/errors.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { formatShape, type Shape, sizeOf } from '../tensor/shape.js';
import { writeFileAtomic } from './atomic-write.js';
import { type ByteSource, withFile } from './byte-source.js';
import {
  decodeElements,
  ELEMENTS,
  encodeElements,
  type FloatStorage,
  LITTLE_ENDIAN,
  type StoredType,
  swapped,
} from './elements.js';
import { findDuplicateKey } from './json-keys.js';
import type { WeightSource } from './weight-source.js';

/** The content of a safetensors file. */
export interface Safetensors {
  readonly metadata: Readonly<Record<string, string>>;
  /**
   * By name, in the order of their data. F16, BF16, F32 and F64 are read as f32; I8, I16, U16, I32, U32, I64 and U64 as i32; U8 as
   * u8; BOOL as bool.
   */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** How safetensors are written. */
export interface SafetensorsOptions {
  /** What floating-point tensors are stored as, rounded to nearest; default `f32`. */
  readonly floats?: FloatStorage;
}

/** What the header says about one tensor. */
export interface SafetensorsEntry {
  readonly name: string;
  /** As in the file, for example `BF16`. */
  readonly dtype: StoredType;
  readonly shape: Shape;
  /** Relative to the end of the header. */
  readonly begin: number;
  readonly end: number;
}

interface Header {
  readonly metadata: Record<string, string>;
  readonly entries: SafetensorsEntry[];
}

/** The format's own limit. */
const LARGEST_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

/** Reads the header alone, validated against the file's size: names, shapes and metadata without the weights. */
export async function readSafetensorsHeader(
  path: string,
): Promise<{ metadata: Readonly<Record<string, string>>; entries: readonly SafetensorsEntry[] }> {
  return withFile(path, readHeader);
}

/**
 * Reads a safetensors file. Everything the header claims is checked against the file's size before memory is taken.
 *
 * @throws FileError saying which rule of the format is broken, and where.
 */
export async function readSafetensors(path: string): Promise<Safetensors> {
  return withFile(path, async (source) => {
    const { metadata, entries, dataStart } = await readHeader(source);
    const tensors = new Map<string, HostTensor>();
    for (const entry of entries) tensors.set(entry.name, await readEntry(source, dataStart, entry));
    return { metadata, tensors };
  });
}

/** The same for bytes in memory; `where` names them in messages. */
export function parseSafetensors(bytes: Uint8Array, where = 'safetensors'): Safetensors {
  const length = headerLength(where, bytes.subarray(0, LENGTH_BYTES), bytes.length);
  const dataStart = LENGTH_BYTES + length;
  const { metadata, entries } = parseHeader(where, bytes.subarray(LENGTH_BYTES, dataStart), bytes.length - dataStart);
  const tensors = new Map<string, HostTensor>();
  for (const entry of entries) {
    tensors.set(
      entry.name,
      decode(where, entry, new Uint8Array(bytes.subarray(dataStart + entry.begin, dataStart + entry.end))),
    );
  }
  return { metadata, tensors };
}

/**
 * Writes a safetensors file, as a whole or not at all (see {@link writeFileAtomic}). The same content gives the same bytes.
 *
 * @throws FileError when it cannot be written; a file that was there before is unchanged.
 */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
  options: SafetensorsOptions = {},
): Promise<void> {
  await writeFileAtomic(path, chunksOf(tensors, metadata, options));
}

/** The bytes of a safetensors file. */
export function serializeSafetensors(
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>> = {},
  options: SafetensorsOptions = {},
): Uint8Array {
  return Buffer.concat(chunksOf(tensors, metadata, options));
}

function chunksOf(
  tensors: Readonly<Record<string, HostTensor>>,
  metadata: Readonly<Record<string, string>>,
  options: SafetensorsOptions,
): Uint8Array[] {
  checkOptions('safetensors', options, ['floats']);
  const { floats = 'f32' } = options;
  if (!['f32', 'f16', 'bf16'].includes(floats)) {
    throw new OptionError(`safetensors: floats must be "f32", "f16" or "bf16", got ${JSON.stringify(floats)}`);
  }
  const names = Object.keys(tensors);
  if (names.includes('__metadata__'))
    throw new FileError('no tensor can be named "__metadata__" in a safetensors file');
  const bytesOf = (name: string): number => {
    const { dtype } = tensors[name];
    return isFloat(dtype) && floats !== 'f32' ? 2 : DTYPES[dtype].bytes;
  };
  // Wide elements first, then by name, so that every tensor is aligned for its element type.
  names.sort((a, b) => bytesOf(b) - bytesOf(a) || compareText(a, b));
  // Pairs as text, since an object would move names that look like whole numbers to the front.
  const pairs: string[] = [];
  if (Object.keys(metadata).length > 0) {
    const texts = Object.keys(metadata)
      .sort(compareText)
      .map((key) => `${JSON.stringify(key)}:${JSON.stringify(metadata[key])}`);
    pairs.push(`"__metadata__":{${texts.join(',')}}`);
  }
  const chunks: Uint8Array[] = [];
  let offset = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name];
    if (data.length !== sizeOf(shape)) {
      throw new FileError(`tensor "${name}": ${data.length} elements do not fill ${formatShape(shape)}`);
    }
    const { stored, bytes } = encodeElements(`tensor "${name}"`, dtype, data, floats);
    pairs.push(
      `${JSON.stringify(name)}:${JSON.stringify({ dtype: stored, shape, data_offsets: [offset, offset + bytes.length] })}`,
    );
    chunks.push(bytes);
    offset += bytes.length;
  }
  const text = new TextEncoder().encode(`{${pairs.join(',')}}`);
  const padded = Math.ceil(text.length / 8) * 8;
  const head = new Uint8Array(LENGTH_BYTES + padded).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(padded), true);
  head.set(text, LENGTH_BYTES);
  return [head, ...chunks];
}

/** By UTF-16 code unit, in no language's order. */
function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Opens the tensors of a safetensors file, to be read one at a time. */
export async function openSafetensors(source: ByteSource): Promise<WeightSource> {
  const { metadata, entries, dataStart } = await readHeader(source);
  return {
    where: source.where,
    metadata,
    entries: new Map(
      entries.map((entry) => [
        entry.name,
        {
          dtype: ELEMENTS[entry.dtype].dtype,
          shape: entry.shape,
          read: () => readEntry(source, dataStart, entry),
          ...(entry.dtype === 'F32' &&
            LITTLE_ENDIAN && {
              readInto: (bytes: Uint8Array) => source.readInto(dataStart + entry.begin, bytes),
            }),
        },
      ]),
    ),
    close: () => source.close(),
  };
}

async function readEntry(source: ByteSource, dataStart: number, entry: SafetensorsEntry): Promise<HostTensor> {
  return decode(source.where, entry, await source.read(dataStart + entry.begin, entry.end - entry.begin));
}

async function readHeader(source: ByteSource): Promise<Header & { dataStart: number }> {
  const { where, size } = source;
  const length = headerLength(where, await source.read(0, Math.min(LENGTH_BYTES, size)), size);
  const text = await source.read(LENGTH_BYTES, length);
  const dataStart = LENGTH_BYTES + length;
  return { ...parseHeader(where, text, size - dataStart), dataStart };
}

function headerLength(where: string, first: Uint8Array, size: number): number {
  if (first.length < LENGTH_BYTES) {
    throw new FileError(
      `${where}: is ${size} bytes long; a safetensors file begins with 8 bytes for the header's length`,
    );
  }
  const length = new DataView(first.buffer, first.byteOffset).getBigUint64(0, true);
  if (length > BigInt(size - LENGTH_BYTES)) {
    throw new FileError(
      `${where}: claims a header of ${length} bytes, but only ${size - LENGTH_BYTES} bytes follow; the file is cut short or not a safetensors file`,
    );
  }
  if (length > LARGEST_HEADER) {
    throw new FileError(`${where}: claims a header of ${length} bytes; the format allows ${LARGEST_HEADER}`);
  }
  return Number(length);
}

function parseHeader(where: string, bytes: Uint8Array, dataLength: number): Header {
  let text: string;
  let json: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    json = JSON.parse(text);
  } catch (error) {
    throw new FileError(
      `${where}: the header is not valid JSON (${(error as Error).message}); not a safetensors file?`,
      {
        cause: error,
      },
    );
  }
  if (!isRecord(json) || bytes[0] !== 0x7b) throw new FileError(`${where}: the header is not a JSON object`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined) throw new FileError(`${where}: the header has the key "${duplicate}" twice`);
  const metadata = parseMetadata(where, json.__metadata__);
  const entries: SafetensorsEntry[] = [];
  for (const [name, value] of Object.entries(json)) {
    if (name !== '__metadata__') entries.push(parseEntry(where, name, value, dataLength));
  }
  checkCoverage(where, entries, dataLength);
  return { metadata, entries };
}

function parseMetadata(where: string, value: unknown): Record<string, string> {
  if (value === undefined) return {};
  if (!isRecord(value)) throw new FileError(`${where}: "__metadata__" must be an object of texts`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string')
      throw new FileError(`${where}: the metadata "${key}" must be a text, got ${typeof text}`);
  }
  return value as Record<string, string>;
}

function parseEntry(where: string, name: string, value: unknown, dataLength: number): SafetensorsEntry {
  const tensor = `${where}: tensor "${name}"`;
  if (!isRecord(value)) throw new FileError(`${tensor} must be an object with dtype, shape and data_offsets`);
  const { dtype, shape, data_offsets: offsets } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(ELEMENTS, dtype)) {
    throw new FileError(
      `${tensor} has the element type ${JSON.stringify(dtype)}; supported are ${Object.keys(ELEMENTS).join(', ')}`,
    );
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new FileError(`${tensor}: the shape ${brief(shape)} must be a list of whole numbers ≥ 0`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount) || offsets[0] > offsets[1]) {
    throw new FileError(`${tensor}: data_offsets ${brief(offsets)} must be [begin, end] with begin ≤ end`);
  }
  const [begin, end] = offsets as [number, number];
  const stored = dtype as StoredType;
  const bytes = sizeOf(shape) * ELEMENTS[stored].bytes;
  if (bytes !== end - begin) {
    throw new FileError(
      `${tensor}: ${dtype}${formatShape(shape)} takes ${bytes} bytes, but data_offsets [${begin}, ${end}] hold ${end - begin}`,
    );
  }
  if (end > dataLength) {
    throw new FileError(
      `${tensor}: data_offsets [${begin}, ${end}] reach beyond the file's ${dataLength} bytes of data; the file is cut short`,
    );
  }
  return { name, dtype: stored, shape, begin, end };
}

/** Sorts the entries by position; together they must cover the data without holes or overlaps. */
function checkCoverage(where: string, entries: SafetensorsEntry[], dataLength: number): void {
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  let before = 'the beginning of the data';
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      throw new FileError(
        begin < position
          ? `${where}: tensor "${name}" begins at byte ${begin}, inside of ${before}, which ends at ${position}`
          : `${where}: bytes ${position} to ${begin} of the data, before tensor "${name}", belong to no tensor`,
      );
    }
    position = end;
    before = `tensor "${name}"`;
  }
  if (position !== dataLength) {
    throw new FileError(
      `${where}: the last ${dataLength - position} of ${dataLength} bytes of data belong to no tensor`,
    );
  }
}

function decode(where: string, entry: SafetensorsEntry, bytes: Uint8Array): HostTensor {
  const { dtype } = ELEMENTS[entry.dtype];
  const ordered = LITTLE_ENDIAN ? bytes : swapped(bytes, ELEMENTS[entry.dtype].bytes);
  return { dtype, shape: entry.shape, data: decodeElements(`${where}: tensor "${entry.name}"`, entry.dtype, ordered) };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Any JSON value, at most a line of it. */
function brief(value: unknown): string {
  const text = JSON.stringify(value) ?? 'undefined';
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
}
