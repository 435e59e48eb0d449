/**
 * Files that can be made again. What lies in them may be run, so they are read only where nobody else can have written them, and only whole.
 * Loaded before anything else of the package: imports nothing of it.
 */
import {
  accessSync,
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
  writevSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import * as zlib from 'node:zlib';

/**
 * Makes a folder with all folders above where they are missing. (Node's own `recursive` never ends where the file system takes no
 * folders, as in /proc.)
 */
export function makeFolders(path: string, mode?: number): void {
  if (existsSync(path)) return;
  const parent = dirname(resolve(path));
  if (parent !== resolve(path)) makeFolders(parent, mode);
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    // Another process was faster.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** Where caches lie: GABOR_CACHE, or where this system wants them. */
export function cacheFolder(): string {
  const { GABOR_CACHE, XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (GABOR_CACHE && !isCachingOff()) return GABOR_CACHE;
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'gabor', 'cache');
  return join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'gabor');
}

/** GABOR_CACHE=0: what this package computes again is not kept. */
export function isCachingOff(): boolean {
  return process.env.GABOR_CACHE === '0';
}

/** Files of one kind in {@link cacheFolder}: `programs` that were compiled, `scripts` of the package as V8 compiled them. */
export function cacheFiles(kind: 'programs' | 'scripts'): CacheFiles {
  return new CacheFiles(join(cacheFolder(), kind));
}

/** All entries together take at most so much; then those that were not used for longest go. */
const LARGEST = 256 * 2 ** 20;
/** Bytes at the start of each entry, and what every part is aligned to. */
const MAGIC = 'GABOR c1';
const ALIGNMENT = 16;
/** Others' files in the making that are older than this, in milliseconds, are left over from processes that ended. */
const LEFT_OVER = 3_600_000;
const READ = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0);

/** Since Node 20.15; before, nothing is kept. */
const crc32 = (zlib as { crc32?: (data: Uint8Array, before?: number) => number }).crc32;

/** What a folder holds. */
export interface CacheUsage {
  readonly files: number;
  readonly bytes: number;
  /** Why nothing is read from there, where it exists. */
  readonly problem?: string;
}

interface Entry {
  readonly file: string;
  readonly bytes: number;
  /** In milliseconds since 1970. */
  readonly used: number;
}

const bytesOf = (entries: readonly Entry[]): number => entries.reduce((sum, { bytes }) => sum + bytes, 0);

/**
 * Entries of bytes under a text as their key, each in a file of its own, in a folder that nobody else can write to. Everything that
 * goes wrong means that there is no such entry.
 */
export class CacheFiles {
  readonly path: string;
  readonly #limit: number;
  #trusted: boolean | undefined;
  /** Of all entries; undefined before the first was written. */
  #bytes: number | undefined;

  /** @param limit bytes of all entries together */
  constructor(path: string, limit: number = LARGEST) {
    this.path = path;
    this.#limit = limit;
  }

  /** The parts of an entry. */
  read(key: string): Uint8Array[] | undefined {
    if (crc32 === undefined) return undefined;
    const bytes = new TextEncoder().encode(key);
    const file = this.#file(bytes);
    let descriptor: number | undefined;
    try {
      if (!this.#isTrusted()) return undefined;
      descriptor = openSync(file, READ);
      const stats = fstatSync(descriptor);
      if (!stats.isFile() || !isOwn(stats)) return undefined;
      const content = Buffer.allocUnsafeSlow(stats.size);
      for (let at = 0; at < content.length; ) {
        const count = readSync(descriptor, content, at, content.length - at, at);
        if (count === 0) return undefined;
        at += count;
      }
      const parts = unpack(content);
      if (parts === undefined || Buffer.compare(parts[0], bytes) !== 0) return undefined;
      const now = Date.now();
      // Often enough to know which entries are in use.
      if (now - stats.mtimeMs > LEFT_OVER) utimesSync(file, now / 1000, now / 1000);
      return parts.slice(1);
    } catch {
      return undefined;
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  }

  /** Replaces an entry as a whole, without waiting for the disk. Says whether it is there now. */
  write(key: string, parts: readonly Uint8Array[]): boolean {
    if (crc32 === undefined) return false;
    const bytes = new TextEncoder().encode(key);
    const file = this.#file(bytes);
    const temporary = `${file}.${process.pid}.${Math.random().toString(36).slice(2)}.tmp`;
    let descriptor: number | undefined;
    let made = false;
    try {
      makeFolders(this.path, 0o700);
      this.#trusted = undefined;
      if (!this.#isTrusted()) return false;
      descriptor = openSync(temporary, 'wx', 0o600);
      made = true;
      const content = pack([bytes, ...parts]);
      const total = content.reduce((sum, { length }) => sum + length, 0);
      if (writevSync(descriptor, content) !== total) throw new Error('no room');
      closeSync(descriptor);
      descriptor = undefined;
      renameSync(temporary, file);
      made = false;
      this.#bytes = this.#bytes === undefined ? bytesOf(this.#entries()) : this.#bytes + total;
      if (this.#bytes > this.#limit) this.#shrink(file);
      return true;
    } catch {
      if (descriptor !== undefined) closeSync(descriptor);
      if (made) rmSync(temporary, { force: true });
      return false;
    }
  }

  usage(): CacheUsage {
    try {
      const entries = this.#list();
      if (this.#isTrusted()) return { files: entries.length, bytes: bytesOf(entries) };
      return { files: 0, bytes: 0, problem: 'it belongs to others, or others may write to it' };
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const problem = code === 'ENOENT' ? this.#notMade() : message;
      return { files: 0, bytes: 0, ...(problem === undefined ? {} : { problem }) };
    }
  }

  /** Why a folder that is not there yet cannot be made; undefined where it can. */
  #notMade(): string | undefined {
    let above = resolve(this.path);
    while (!existsSync(above) && dirname(above) !== above) above = dirname(above);
    try {
      accessSync(above, constants.W_OK);
      return undefined;
    } catch {
      return `cannot be made: no permission to write to ${above}`;
    }
  }

  #file(key: Uint8Array): string {
    return join(this.path, `${(crc32?.(key) ?? 0).toString(16).padStart(8, '0')}-${key.length}`);
  }

  #list(): Entry[] {
    return readdirSync(this.path).flatMap((name) => {
      const file = join(this.path, name);
      const stats = lstatSync(file, { throwIfNoEntry: false });
      return stats?.isFile() ? [{ file, bytes: stats.size, used: stats.mtimeMs }] : [];
    });
  }

  #entries(): Entry[] {
    try {
      return this.#list();
    } catch {
      return [];
    }
  }

  /** Makes room, and for some more, without the entry that was just written. */
  #shrink(written: string): void {
    const entries = this.#entries().sort((a, b) => a.used - b.used);
    let bytes = bytesOf(entries);
    const now = Date.now();
    for (const { file, bytes: own, used } of entries) {
      const leftOver = file.endsWith('.tmp') && now - used > LEFT_OVER;
      if (file === written || (bytes <= 0.75 * this.#limit && !leftOver)) continue;
      if (file.endsWith('.tmp') && !leftOver) continue;
      rmSync(file, { force: true });
      bytes -= own;
    }
    this.#bytes = bytes;
  }

  #isTrusted(): boolean {
    if (this.#trusted === undefined) {
      const stats = lstatSync(this.path, { throwIfNoEntry: false });
      if (stats === undefined) return false;
      this.#trusted = stats.isDirectory() && isOwn(stats);
      // Others may not have written here, but need not look either.
      if (this.#trusted && process.platform !== 'win32' && (stats.mode & 0o77) !== 0) chmodSync(this.path, 0o700);
    }
    return this.#trusted;
  }
}

/** Whether nobody but this user can have written it. Windows keeps the folders of users apart by itself. */
function isOwn({ uid, mode }: Stats): boolean {
  return process.getuid === undefined || (uid === process.getuid() && (mode & 0o22) === 0);
}

const aligned = (length: number): number => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** Magic, checksum of all that follows, the number of parts and their lengths; then the parts. */
function pack(parts: readonly Uint8Array[]): Uint8Array[] {
  const head = Buffer.alloc(aligned(16 + 4 * parts.length));
  head.write(MAGIC, 'latin1');
  head.writeUInt32LE(parts.length, 12);
  parts.forEach(({ length }, i) => {
    head.writeUInt32LE(length, 16 + 4 * i);
  });
  const padded = parts.flatMap((part) => [part, new Uint8Array(aligned(part.length) - part.length)]);
  // zlib takes an empty array for none, and begins anew.
  const all = [head, ...padded.filter(({ length }) => length > 0)];
  const sum = all.slice(1).reduce((before, part) => crc32?.(part, before) ?? 0, crc32?.(head.subarray(12)) ?? 0);
  head.writeUInt32LE(sum, 8);
  return all;
}

function unpack(content: Buffer): Uint8Array[] | undefined {
  if (content.length < 16 || content.toString('latin1', 0, 8) !== MAGIC) return undefined;
  if (content.readUInt32LE(8) !== crc32?.(content.subarray(12))) return undefined;
  const count = content.readUInt32LE(12);
  let at = aligned(16 + 4 * count);
  const parts: Uint8Array[] = [];
  for (let i = 0; i < count; i++) {
    const length = content.readUInt32LE(16 + 4 * i);
    if (at + length > content.length) return undefined;
    parts.push(new Uint8Array(content.buffer, content.byteOffset + at, length));
    at += aligned(length);
  }
  return at === content.length && count > 0 ? parts : undefined;
}
