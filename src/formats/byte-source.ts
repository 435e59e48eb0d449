import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { FileError } from '../tensor/errors.js';
import { reasonOf } from './folders.js';

/** Bytes that are read in parts: a file, or an array in memory. */
export interface ByteSource {
  /** Named in messages. */
  readonly where: string;
  /** In bytes. */
  readonly size: number;
  /**
   * Exactly `length` bytes from `position` on, in memory of their own.
   *
   * @throws FileError where there are fewer.
   */
  read(position: number, length: number): Promise<Uint8Array>;
  /** The same into `bytes`, as many as it has. */
  readInto(position: number, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/**
 * @param mayBeEmpty whether a file without bytes is one; no format of models has such files
 * @throws FileError for a path that is no file or cannot be read, and for an empty file.
 */
export async function openFile(path: string, mayBeEmpty = false): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  try {
    // Opening a pipe would wait for its other end.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const facts = await handle.stat();
    if (!facts.isFile()) throw new FileError(`${path}: is not a file`);
    if (facts.size === 0 && !mayBeEmpty) throw new FileError(`${path}: the file is empty`);
    return fileSource(path, handle, facts.size);
  } catch (error) {
    await handle?.close();
    throw readError(path, error);
  }
}

function readError(path: string, error: unknown): unknown {
  if (error instanceof FileError) return error;
  const missing = (error as { code?: string }).code === 'ENOENT';
  return new FileError(
    missing ? `${path}: there is no such file` : `cannot read ${path}: ${reasonOf(error, 'reading')}`,
    {
      cause: error,
    },
  );
}

function fileSource(path: string, handle: FileHandle, size: number): ByteSource {
  return {
    where: path,
    size,
    async read(position, length) {
      checkRange(path, size, position, length);
      const bytes = new Uint8Array(length);
      await this.readInto(position, bytes);
      return bytes;
    },
    async readInto(position, bytes) {
      const { length } = bytes;
      checkRange(path, size, position, length);
      try {
        for (let at = 0; at < length; ) {
          const { bytesRead } = await handle.read(bytes, at, Math.min(length - at, 2 ** 30), position + at);
          if (bytesRead === 0) throw new FileError(`${path}: ended while it was being read, at byte ${position + at}`);
          at += bytesRead;
        }
      } catch (error) {
        throw readError(path, error);
      }
    },
    close: () => handle.close(),
  };
}

/** Before memory is taken for what is not there. */
function checkRange(where: string, size: number, position: number, length: number): void {
  if (position >= 0 && length >= 0 && position + length <= size) return;
  throw new FileError(`${where}: is cut short: bytes ${position} to ${position + length} of ${size} are wanted`);
}

/** Bytes in memory as a source; what is read is copied. */
export function memorySource(bytes: Uint8Array, where: string): ByteSource {
  return {
    where,
    size: bytes.length,
    async read(position, length) {
      checkRange(where, bytes.length, position, length);
      return new Uint8Array(bytes.subarray(position, position + length));
    },
    async readInto(position, into) {
      checkRange(where, bytes.length, position, into.length);
      into.set(bytes.subarray(position, position + into.length));
    },
    close: async () => undefined,
  };
}

/** Opens a file for the time of `body`. */
export async function withFile<T>(path: string, body: (source: ByteSource) => Promise<T>): Promise<T> {
  const source = await openFile(path);
  try {
    return await body(source);
  } finally {
    await source.close();
  }
}
