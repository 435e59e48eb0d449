/**
 * Reads zip archives (PKWARE's APPNOTE 6.3.10, with ZIP64) that nobody vouches for. Inflating is left to fflate; what is ours is
 * the directory with its checks, which libraries leave out: sizes and sums are compared with what is there before memory is
 * taken, entries must not overlap, names must not lead out of a folder, and what inflates out of all proportion is refused.
 */
import { Inflate, type Zippable, zipSync } from 'fflate';
import { FileError } from '../tensor/errors.js';
import type { ByteSource } from './byte-source.js';
import { crc32 } from './crc32.js';

export interface ZipEntry {
  readonly name: string;
  /** In bytes, unpacked. */
  readonly size: number;
  readonly compressed: boolean;
  /** All of it, or `length` bytes from `begin` on; sums are checked where all of it is read. */
  read(begin?: number, length?: number): Promise<Uint8Array>;
}

interface Row {
  readonly name: string;
  readonly method: number;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  /** Of the local header. */
  readonly offset: number;
}

const END = 0x06054b50;
const END_LENGTH = 22;
const LONGEST_COMMENT = 0xffff;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const LOCATOR64_LENGTH = 20;
const CENTRAL = 0x02014b50;
const CENTRAL_LENGTH = 46;
const LOCAL = 0x04034b50;
const LOCAL_LENGTH = 30;
const STORED = 0;
const DEFLATED = 8;
/** Deflate cannot do better. */
const BEST_RATIO = 1032;
/** Bytes to unpack at a time, at most to 1032 times as many: small enough that a claim that proves wrong costs no memory. */
const STEP = 1 << 13;
/** Unpacked sizes beyond this are refused where they are more than `BOMB_RATIO` times what lies in the file. */
const HARMLESS = 2 ** 28;
const BOMB_RATIO = 100;
const LARGEST_DIRECTORY = 2 ** 26;

/** Whether these bytes begin a zip archive. */
export function isZip(first: Uint8Array): boolean {
  return first.length >= 4 && first[0] === 0x50 && first[1] === 0x4b && (first[2] === 3 || first[2] === 5);
}

/**
 * The entries of an archive by name, without those for folders.
 *
 * @throws FileError that says what is wrong with the archive.
 */
export async function openZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const { where } = source;
  const { offset, length, count } = await findDirectory(source);
  if (length > LARGEST_DIRECTORY) throw new FileError(`${where}: claims a zip directory of ${length} bytes`);
  const rows = readDirectory(where, await source.read(offset, length), count);
  checkLayout(where, rows, offset);
  const entries = new Map<string, ZipEntry>();
  for (const row of rows) {
    if (entries.has(row.name)) throw new FileError(`${where}: has two entries named "${row.name}"`);
    if (!row.name.endsWith('/')) entries.set(row.name, entryOf(source, row, offset));
  }
  return entries;
}

function entryOf(source: ByteSource, row: Row, end: number): ZipEntry {
  const { name, size } = row;
  const where = `${source.where}, entry "${name}"`;
  return {
    name,
    size,
    compressed: row.method === DEFLATED,
    async read(begin = 0, length = size - begin) {
      if (begin < 0 || length < 0 || begin + length > size) {
        throw new FileError(`${where}: is cut short: bytes ${begin} to ${begin + length} of ${size} are wanted`);
      }
      const start = await dataStart(source, row, end, where);
      if (row.method !== DEFLATED) {
        const bytes = await source.read(start + begin, length);
        if (length === size) checkSum(where, row, bytes);
        return bytes;
      }
      const bytes = inflate(where, await source.read(start, row.packed), begin + length, begin + length === size);
      if (bytes.length === size) checkSum(where, row, bytes);
      return bytes.subarray(begin);
    },
  };
}

async function dataStart(source: ByteSource, row: Row, end: number, where: string): Promise<number> {
  const view = viewOf(await source.read(row.offset, LOCAL_LENGTH));
  if (view.getUint32(0, true) !== LOCAL) throw new FileError(`${where}: there is no entry at byte ${row.offset}`);
  const start = row.offset + LOCAL_LENGTH + view.getUint16(26, true) + view.getUint16(28, true);
  if (start + row.packed > end) throw new FileError(`${where}: reaches into the directory; the archive is damaged`);
  return start;
}

/** The first `length` bytes; stops as soon as there are more than `length` where that should be all. */
function inflate(where: string, packed: Uint8Array, length: number, all: boolean): Uint8Array {
  const out = new Uint8Array(length);
  let at = 0;
  let ended = false;
  const inflator = new Inflate((chunk, final) => {
    out.set(chunk.subarray(0, length - at), at);
    at += chunk.length;
    ended ||= final;
  });
  try {
    for (let i = 0; i < packed.length && at <= length && (all || at < length); i += STEP) {
      inflator.push(packed.subarray(i, i + STEP), i + STEP >= packed.length);
    }
  } catch (error) {
    throw new FileError(`${where}: cannot be unpacked: ${(error as Error).message}; the archive is damaged`, {
      cause: error,
    });
  }
  if (all ? at !== length || !ended : at < length) {
    const got = at > length ? `more than ${length}` : String(at);
    throw new FileError(`${where}: claims ${length} bytes, but unpacks to ${got}; the archive is damaged`);
  }
  return out;
}

function checkSum(where: string, row: Row, bytes: Uint8Array): void {
  if (crc32(bytes) !== row.crc) throw new FileError(`${where}: its checksum is wrong; the archive is damaged`);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

async function findDirectory(source: ByteSource): Promise<{ offset: number; length: number; count: number }> {
  const { where, size } = source;
  const tailStart = Math.max(0, size - END_LENGTH - LONGEST_COMMENT);
  const tail = await source.read(tailStart, size - tailStart);
  const view = viewOf(tail);
  let end = tail.length - END_LENGTH;
  while (
    end >= 0 &&
    !(view.getUint32(end, true) === END && end + END_LENGTH + view.getUint16(end + 20, true) === tail.length)
  )
    end--;
  if (end < 0) throw new FileError(`${where}: has no zip directory at its end; it is cut short or no zip archive`);
  if (view.getUint16(end + 4, true) !== view.getUint16(end + 6, true)) {
    throw new FileError(`${where}: is one part of several of an archive; join them first`);
  }
  const found = {
    count: view.getUint16(end + 10, true),
    length: view.getUint32(end + 12, true),
    offset: view.getUint32(end + 16, true),
  };
  let limit = tailStart + end;
  const locator = end - LOCATOR64_LENGTH;
  if (locator >= 0 && view.getUint32(locator, true) === LOCATOR64) {
    const at = number64(where, view, locator + 8);
    const record = viewOf(await source.read(at, 56));
    if (record.getUint32(0, true) !== END64)
      throw new FileError(`${where}: its ZIP64 directory is not where it is said to be`);
    found.count = number64(where, record, 32);
    found.length = number64(where, record, 40);
    found.offset = number64(where, record, 48);
    limit = at;
  }
  if (found.offset + found.length > limit || found.count * CENTRAL_LENGTH > found.length) {
    throw new FileError(
      `${where}: claims a zip directory of ${found.count} entries in ${found.length} bytes at byte ${found.offset} of ${size}; the archive is damaged`,
    );
  }
  return found;
}

function number64(where: string, view: DataView, at: number): number {
  const value = Number(view.getBigUint64(at, true));
  if (!Number.isSafeInteger(value)) throw new FileError(`${where}: a size of ${value} bytes in the zip directory`);
  return value;
}

function readDirectory(where: string, bytes: Uint8Array, count: number): Row[] {
  const view = viewOf(bytes);
  const rows: Row[] = [];
  for (let i = 0, at = 0; i < count; i++) {
    const broken = (): FileError => new FileError(`${where}: entry ${i} of its zip directory is damaged`);
    if (at + CENTRAL_LENGTH > bytes.length || view.getUint32(at, true) !== CENTRAL) throw broken();
    const [nameLength, extraLength, commentLength] = [28, 30, 32].map((field) => view.getUint16(at + field, true));
    const extra = at + CENTRAL_LENGTH + nameLength;
    const next = extra + extraLength + commentLength;
    if (next > bytes.length) throw broken();
    const name = nameOf(where, bytes.subarray(at + CENTRAL_LENGTH, extra));
    if (view.getUint16(at + 8, true) & 1) throw new FileError(`${where}, entry "${name}": is encrypted`);
    const method = view.getUint16(at + 10, true);
    if (method !== STORED && method !== DEFLATED) {
      throw new FileError(
        `${where}, entry "${name}": is packed with method ${method}; stored and deflated ones can be read`,
      );
    }
    const sizes = sizes64(where, view, at, extra, extraLength);
    rows.push({ name, method, crc: view.getUint32(at + 16, true), ...sizes });
    at = next;
  }
  return rows;
}

/** Sizes that do not fit into 32 bits are in an extra field, in this order. */
function sizes64(
  where: string,
  view: DataView,
  at: number,
  extra: number,
  extraLength: number,
): { size: number; packed: number; offset: number } {
  const result = {
    size: view.getUint32(at + 24, true),
    packed: view.getUint32(at + 20, true),
    offset: view.getUint32(at + 42, true),
  };
  for (let field = extra; field + 4 <= extra + extraLength; ) {
    const length = view.getUint16(field + 2, true);
    const end = field + 4 + length;
    if (end > extra + extraLength) break;
    if (view.getUint16(field, true) === 1) {
      let value = field + 4;
      for (const key of ['size', 'packed', 'offset'] as const) {
        if (result[key] !== 0xffffffff || value + 8 > end) continue;
        result[key] = number64(where, view, value);
        value += 8;
      }
    }
    field = end;
  }
  return result;
}

function nameOf(where: string, bytes: Uint8Array): string {
  const name = new TextDecoder().decode(bytes);
  const parts = name.split('/');
  if (name === '' || name.startsWith('/') || parts.includes('..') || /[\\\0:]/.test(name)) {
    throw new FileError(`${where}: the entry name ${JSON.stringify(name)} leads out of the archive; refused`);
  }
  return name;
}

/** Entries lie one behind the other in front of the directory, and their sizes are possible. */
function checkLayout(where: string, rows: readonly Row[], end: number): void {
  let [packed, size] = [0, 0];
  for (const row of rows) {
    const possible = row.method === STORED ? row.size === row.packed : row.size <= row.packed * BEST_RATIO;
    if (!possible) {
      throw new FileError(
        `${where}, entry "${row.name}": cannot hold ${row.size} bytes in ${row.packed}; the archive is damaged`,
      );
    }
    packed += row.packed;
    size += row.size;
  }
  if (size > HARMLESS && size > packed * BOMB_RATIO) {
    throw new FileError(`${where}: ${packed} bytes would unpack to ${size}; refused as a decompression bomb`);
  }
  const sorted = [...rows].sort((a, b) => a.offset - b.offset);
  sorted.forEach((row, i) => {
    const next = i + 1 < sorted.length ? sorted[i + 1].offset : end;
    if (row.offset + LOCAL_LENGTH + row.packed > next) {
      throw new FileError(`${where}, entry "${row.name}": overlaps with what follows it; the archive is damaged`);
    }
  });
}

/**
 * An archive of these entries, the same bytes at any time.
 *
 * @throws FileError for more than 4 GB.
 */
export function zip(entries: readonly (readonly [name: string, bytes: Uint8Array])[], compress: boolean): Uint8Array {
  const total = entries.reduce((sum, [, bytes]) => sum + bytes.length, 0);
  if (total > 0xffff_0000 || entries.length > 0xffff) {
    throw new FileError(`${entries.length} entries of ${total} bytes are too much for a zip archive without ZIP64`);
  }
  const files: Zippable = {};
  for (const [name, bytes] of entries) files[name] = bytes;
  return zipSync(files, { level: compress ? 6 : 0, mtime: new Date(1980, 0, 1) });
}
