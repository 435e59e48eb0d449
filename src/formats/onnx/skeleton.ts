import type { FileHandle } from 'node:fs/promises';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FileError } from '../../tensor/errors.js';

/** Marks tensors whose bytes are still in the model's own file; ONNX knows 0 (in the message) and 1 (in another file). */
export const IN_THIS_FILE = 2;

/** Tensors with fewer bytes come along. */
const LARGE = 1 << 16;
const WINDOW = 1 << 16;
/** A tag and the number behind it: at most ten bytes each. */
const FIELD_HEAD = 20;

// Numbers of fields in onnx.proto
const MODEL_GRAPH = 7;
const GRAPH_INITIALIZER = 5;
const TENSOR_RAW_DATA = 9;
const TENSOR_EXTERNAL_DATA = 13;
const TENSOR_DATA_LOCATION = 14;
const ENTRY_KEY = 1;
const ENTRY_VALUE = 2;

/**
 * The message in a model's file without the raw data of its large initialisers: these say in its place, as external data do, where it
 * begins in this very file, so that weights can be read one at a time. What is no such message comes back cut where it stops making
 * sense; decoding it says so.
 */
export async function readSkeleton(handle: FileHandle, size: number, where: string): Promise<Uint8Array> {
  const file = new WindowedFile(handle, size, where);
  return new Uint8Array(await copyMessage(file, 0, size, MODEL));
}

/** Which fields of a message are looked into, and what with. */
interface Level {
  readonly field: number;
  readonly least: number;
  readonly inner: Level | 'raw';
}

const TENSOR: Level = { field: TENSOR_RAW_DATA, least: LARGE, inner: 'raw' };
const GRAPH: Level = { field: GRAPH_INITIALIZER, least: LARGE, inner: TENSOR };
const MODEL: Level = { field: MODEL_GRAPH, least: LARGE, inner: GRAPH };

async function copyMessage(file: WindowedFile, start: number, end: number, level: Level): Promise<Uint8Array> {
  const writer = new BinaryWriter();
  let copied = start;
  let at = start;
  const copyUntil = async (until: number): Promise<void> => {
    if (until > copied) writer.raw(await file.bytes(copied, until - copied));
  };
  while (at < end) {
    const field = at;
    // Waiting for every number of a file takes longer than all else.
    if (!file.shows(at)) await file.show(at);
    const tag = file.varint(at, end);
    if (tag === undefined) break;
    at = tag.end;
    const wire = tag.value & 7;
    if (wire === WireType.Varint) {
      const value = file.varint(at, end);
      if (value === undefined) break;
      at = value.end;
    } else if (wire === WireType.Bit64) at += 8;
    else if (wire === WireType.Bit32) at += 4;
    else if (wire === WireType.LengthDelimited) {
      const length = file.varint(at, end);
      if (length === undefined || length.end + length.value > end) break;
      const [first, last] = [length.end, length.end + length.value];
      at = last;
      const number = Math.floor(tag.value / 8);
      if (number !== level.field || length.value < level.least) continue;
      await copyUntil(field);
      copied = last;
      if (level.inner === 'raw') writeReference(writer, first, length.value);
      else writer.tag(number, WireType.LengthDelimited).bytes(await copyMessage(file, first, last, level.inner));
    } else break;
  }
  await copyUntil(end);
  return writer.finish();
}

function writeReference(writer: BinaryWriter, offset: number, length: number): void {
  const entry = (key: string, value: string): void => {
    writer.tag(TENSOR_EXTERNAL_DATA, WireType.LengthDelimited).fork();
    writer.tag(ENTRY_KEY, WireType.LengthDelimited).string(key);
    writer.tag(ENTRY_VALUE, WireType.LengthDelimited).string(value);
    writer.join();
  };
  entry('offset', `${offset}`);
  entry('length', `${length}`);
  writer.tag(TENSOR_DATA_LOCATION, WireType.Varint).int32(IN_THIS_FILE);
}

/** A file, of which a window is in memory. */
class WindowedFile {
  readonly #handle: FileHandle;
  readonly #size: number;
  readonly #where: string;
  #start = 0;
  #window: Uint8Array = new Uint8Array(0);

  constructor(handle: FileHandle, size: number, where: string) {
    this.#handle = handle;
    this.#size = size;
    this.#where = where;
  }

  async bytes(start: number, length: number): Promise<Uint8Array> {
    const data = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const { bytesRead } = await this.#handle.read(data, at, length - at, start + at);
      if (bytesRead === 0)
        throw new FileError(`${this.#where}: ends at byte ${start + at} although it has ${this.#size}`);
      at += bytesRead;
    }
    return data;
  }

  /** Whether the window has the head of a field that begins at `at`. */
  shows(at: number): boolean {
    const end = this.#start + this.#window.length;
    return at >= this.#start && (at + FIELD_HEAD <= end || end === this.#size);
  }

  /** Lets the window begin at `at`. */
  async show(at: number): Promise<void> {
    this.#window = await this.bytes(at, Math.min(WINDOW, this.#size - at));
    this.#start = at;
  }

  /** The number that starts at `at`, within the head of a field, and where it ends; undefined where there is none before `end`. */
  varint(at: number, end: number): { readonly value: number; readonly end: number } | undefined {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      if (at + i >= end) return undefined;
      const byte = this.#window[at + i - this.#start];
      value += (byte & 0x7f) * 2 ** (7 * i);
      if (byte < 0x80) return { value, end: at + i + 1 };
    }
    return undefined;
  }
}
