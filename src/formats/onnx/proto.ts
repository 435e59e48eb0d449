import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FileError } from '../../tensor/errors.js';

// Messages of Protocol Buffers by tables of their fields (https://protobuf.dev/programming-guides/encoding/): the library reads and
// writes what is on the wire, the tables say what it means. Bytes are views of the file, not copies.

type ScalarKind = 'int32' | 'int64' | 'uint64' | 'float' | 'double' | 'string' | 'bytes';

interface Field {
  readonly name: string;
  readonly kind: ScalarKind | (() => Schema);
  readonly repeated: boolean;
}

/** What fields a message has, by their numbers. */
export interface Schema {
  readonly name: string;
  readonly fields: ReadonlyMap<number, Field>;
}

/** Numbers of a repeated field: a plain array, or a typed one where there are many. */
export type NumberList = ArrayLike<number>;

type Row = readonly [number: number, kind: Field['kind'], repeated?: 'repeated'];

/** A table: field name → [number, kind, 'repeated']. */
export function schema(name: string, rows: Readonly<Record<string, Row>>): Schema {
  return {
    name,
    fields: new Map(
      Object.entries(rows).map(([field, [number, kind, repeated]]) => [
        number,
        { name: field, kind, repeated: repeated !== undefined },
      ]),
    ),
  };
}

/** A message being read: unset fields are absent, repeated ones are lists. */
type Message = Record<string, unknown>;

/** Beyond these a file is not a network but an attack on memory or stack. */
const MOST_MESSAGES = 1 << 21;
const DEEPEST = 64;
/** From so many numbers on, a list is a typed array. */
const MANY = 256;
const SMALL = 4096;

/**
 * Reads one message that fills `bytes`.
 *
 * @param where names the bytes in messages
 * @throws FileError where they are no such message
 */
export function decode<T extends object>(of: Schema, bytes: Uint8Array, where: string): T {
  try {
    return new Decoder(bytes).message(of, bytes.length, 0) as T;
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new FileError(`${where}: this is no ${of.name}, or it is broken: ${error.message}`, { cause: error });
  }
}

class Decoder {
  readonly #reader: BinaryReader;
  #messages = 0;

  constructor(bytes: Uint8Array) {
    // Not a Buffer, whose slices would not be copies.
    this.#reader = new BinaryReader(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  }

  message(of: Schema, end: number, depth: number): Message {
    if (depth > DEEPEST) throw new FileError(`${of.name}: more than ${DEEPEST} messages lie inside each other`);
    this.#count();
    const reader = this.#reader;
    const message: Message = {};
    for (const { name, repeated } of of.fields.values()) if (repeated) message[name] = NONE;
    while (reader.pos < end) {
      const [number, wire] = reader.tag();
      const field = of.fields.get(number);
      if (field === undefined) reader.skip(wire, number);
      else this.#field(message, of, field, wire, depth);
    }
    if (reader.pos !== end) throw new FileError(`${of.name}: a field reaches beyond the end of its message`);
    return message;
  }

  #count(): void {
    if (++this.#messages > MOST_MESSAGES) throw new FileError(`more than ${MOST_MESSAGES} messages and texts`);
  }

  #field(message: Message, of: Schema, { name, kind, repeated }: Field, wire: WireType, depth: number): void {
    if (typeof kind === 'function') {
      expectWire(of, name, wire, WireType.LengthDelimited);
      const value = this.message(kind(), this.#end(of, name), depth + 1);
      if (repeated) list(message, name).push(value);
      else message[name] = value;
    } else if (kind === 'string' || kind === 'bytes') {
      expectWire(of, name, wire, WireType.LengthDelimited);
      const value = kind === 'string' ? this.#reader.string() : owned(this.#reader.bytes());
      if (repeated) {
        this.#count();
        list(message, name).push(value);
      } else message[name] = value;
    } else if (!repeated) {
      expectWire(of, name, wire, WIRES[kind]);
      message[name] = this.#number(kind);
    } else if (wire === WireType.LengthDelimited) {
      message[name] = joined(message[name] as NumberList, this.#packed(of, name, kind));
    } else {
      expectWire(of, name, wire, WIRES[kind]);
      const value = this.#number(kind);
      const before: unknown = message[name];
      if (before !== NONE && Array.isArray(before)) before.push(value);
      else message[name] = [...Array.from(before as NumberList), value];
    }
  }

  /** Where the length-delimited field that starts here ends. */
  #end(of: Schema, name: string): number {
    const length = this.#reader.uint32();
    const end = this.#reader.pos + length;
    if (end > this.#reader.len) {
      throw new FileError(`${of.name}.${name} claims ${length} bytes, ${this.#reader.len - this.#reader.pos} are left`);
    }
    return end;
  }

  #packed(of: Schema, name: string, kind: NumberKind): NumberList {
    const bytes = this.#reader.bytes();
    const width = kind === 'float' ? 4 : kind === 'double' ? 8 : undefined;
    if (width !== undefined) {
      if (bytes.length % width !== 0)
        throw new FileError(`${of.name}.${name}: ${bytes.length} bytes are no whole numbers`);
      const copy = bytes.slice().buffer; // aligned
      return kind === 'float' ? new Float32Array(copy) : new Float64Array(copy);
    }
    let count = 0;
    for (const byte of bytes) if (byte < 0x80) count++;
    const values = count < MANY ? new Array<number>(count) : new Float64Array(count);
    const inner = new Decoder(bytes);
    for (let i = 0; i < count; i++) values[i] = inner.#number(kind);
    if (inner.#reader.pos !== bytes.length) throw new FileError(`${of.name}.${name}: the last number is cut short`);
    return values;
  }

  #number(kind: NumberKind): number {
    switch (kind) {
      case 'int32':
        return this.#reader.int32();
      case 'int64':
        return Number(this.#reader.int64());
      case 'uint64':
        return Number(this.#reader.uint64());
      case 'float':
        return this.#reader.float();
      case 'double':
        return this.#reader.double();
    }
  }
}

type NumberKind = Exclude<ScalarKind, 'string' | 'bytes'>;

const WIRES: Readonly<Record<NumberKind, WireType>> = {
  int32: WireType.Varint,
  int64: WireType.Varint,
  uint64: WireType.Varint,
  float: WireType.Bit32,
  double: WireType.Bit64,
};

/** Few bytes are copied, so that they do not keep the whole file in memory. */
function owned(bytes: Uint8Array): Uint8Array {
  return bytes.length < SMALL ? bytes.slice() : bytes;
}

/** Shared by all fields that hold nothing. */
const NONE: readonly never[] = Object.freeze([]);

function list(message: Message, name: string): unknown[] {
  if (message[name] === NONE) message[name] = [];
  return message[name] as unknown[];
}

function joined(before: NumberList, more: NumberList): NumberList {
  if (before.length === 0) return more;
  const all = new Float64Array(before.length + more.length);
  all.set(before);
  all.set(more, before.length);
  return all;
}

function expectWire(of: Schema, name: string, wire: WireType, expected: WireType): void {
  if (wire !== expected) throw new FileError(`${of.name}.${name} has wire type ${wire}, expected ${expected}`);
}

/** The bytes of a message; what is undefined or an empty list is left out. */
export function encode(of: Schema, message: object): Uint8Array {
  const writer = new BinaryWriter();
  write(writer, of, message as Message);
  return writer.finish();
}

function write(writer: BinaryWriter, of: Schema, message: Message): void {
  for (const [number, { name, kind, repeated }] of of.fields) {
    const value = message[name];
    if (value === undefined) continue;
    if (typeof kind === 'function') {
      for (const part of repeated ? (value as Message[]) : [value as Message]) {
        writer.tag(number, WireType.LengthDelimited).fork();
        write(writer, kind(), part);
        writer.join();
      }
    } else if (kind === 'string' || kind === 'bytes') {
      for (const part of repeated ? (value as unknown[]) : [value]) {
        writer.tag(number, WireType.LengthDelimited);
        if (kind === 'string') writer.string(part as string);
        else writer.bytes(part as Uint8Array);
      }
    } else if (!repeated) {
      writer.tag(number, WIRES[kind]);
      writeNumber(writer, kind, value as number);
    } else if ((value as NumberList).length > 0) {
      writer.tag(number, WireType.LengthDelimited).fork();
      const numbers = value as NumberList;
      for (let i = 0; i < numbers.length; i++) writeNumber(writer, kind, numbers[i]);
      writer.join();
    }
  }
}

function writeNumber(writer: BinaryWriter, kind: NumberKind, value: number): void {
  switch (kind) {
    case 'int32':
      writer.int32(value);
      break;
    case 'int64':
      writer.int64(clamped(value, -(2n ** 63n), 2n ** 63n - 1n));
      break;
    case 'uint64':
      writer.uint64(clamped(value, 0n, 2n ** 64n - 1n));
      break;
    case 'float':
      writer.float(value);
      break;
    case 'double':
      writer.double(value);
  }
}

/** Numbers read from the ends of the range were rounded beyond them. */
function clamped(value: number, least: bigint, most: bigint): bigint {
  const whole = BigInt(value);
  return whole < least ? least : whole > most ? most : whole;
}
