import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { resolve } from 'node:path';
import { FileError } from '../../tensor/errors.js';
import { pathBeside, safeName } from '../beside.js';
import { reasonOf } from '../folders.js';
import type { Siblings } from '../siblings.js';
import type { TensorProto } from './messages.js';
import { IN_THIS_FILE, readSkeleton } from './skeleton.js';
import { tensorHeader } from './tensor-proto.js';

/** Protocol Buffers count bytes in 32 bits with a sign. */
const LARGEST_FILE = 2 ** 31 - 1;
/** Bytes at once. */
const LARGEST_READ = 2 ** 30;
const SMALLEST_PART = 2 ** 22;
const PARTS = 4;

interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
}

/**
 * A model's file and those beside it that hold its large tensors. Only files in its folder (or below) are opened, also after all links are
 * followed.
 */
export class ExternalData implements AsyncDisposable {
  /** Several tensors are read at a time: the first one opens their file, the others wait for it. */
  readonly #handles = new Map<string, Promise<OpenFile>>();

  readonly #own: string;

  readonly #siblings: Siblings | undefined;

  /**
   * @param path of the model
   * @param siblings asked for each file before it is opened
   */
  constructor(path: string, siblings?: Siblings) {
    this.#siblings = siblings;
    this.#own = resolve(path);
  }

  /**
   * The bytes of a tensor, exactly as many as its type and shape take.
   *
   * @param into where they are to go; default: memory of their own
   */
  async read(proto: TensorProto, where: string, into?: Uint8Array): Promise<Uint8Array> {
    const entry = (key: string): string | undefined => proto.externalData.find((e) => e.key === key)?.value;
    const own = proto.dataLocation === IN_THIS_FILE;
    const location = own ? this.#own : (entry('location') ?? '');
    const { bytes } = tensorHeader(proto, where);
    const offset = wholeNumber(entry('offset'), 0, `${where}: offset`);
    const length = wholeNumber(entry('length'), bytes, `${where}: length`);
    if (length !== bytes)
      throw new FileError(`${where}: its elements take ${bytes} bytes, "${location}" claims to hold ${length}`);
    const { handle, size } = await this.#open(location, where, own);
    if (offset + length > size) {
      throw new FileError(`${where}: bytes ${offset} to ${offset + length} of "${location}", which has ${size}`);
    }
    const data = into ?? new Uint8Array(length);
    const read = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; ) {
        const { bytesRead } = await handle.read(data, at, to - at, offset + at);
        if (bytesRead === 0) throw new FileError(`${where}: "${location}" ends early`);
        at += bytesRead;
      }
    };
    // Parts of a large one at the same time.
    const part = Math.max(SMALLEST_PART, Math.min(LARGEST_READ, Math.ceil(length / PARTS)));
    const parts = Array.from({ length: Math.ceil(length / part) }, (_, i) => i * part);
    await Promise.all(parts.map((from) => read(from, Math.min(length, from + part))));
    return data;
  }

  #open(location: string, where: string, own: boolean): Promise<OpenFile> {
    const known = this.#handles.get(location);
    if (known !== undefined) return known;
    const opened = own ? this.#openOwn() : this.#openBeside(location, where);
    this.#handles.set(location, opened);
    return opened;
  }

  async #openBeside(location: string, where: string): Promise<OpenFile> {
    safeName(where, location);
    await this.#siblings?.(location);
    let handle: FileHandle | undefined;
    try {
      const real = await pathBeside(where, this.#own, location);
      // Opening a pipe would wait for its other end.
      handle = await open(real, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (!stats.isFile()) throw new FileError(`${where}: ${JSON.stringify(location)} is no file`);
      return { handle, size: stats.size };
    } catch (error) {
      await handle?.close();
      if (error instanceof FileError) throw error;
      throw new FileError(
        `${where}: cannot read its data in ${JSON.stringify(location)}: ${reasonOf(error, 'reading')}`,
        {
          cause: error,
        },
      );
    }
  }

  /** The message in the model's file, without its large tensors; these are read like those in other files. */
  async skeleton(where: string): Promise<Uint8Array> {
    const { handle, size } = await this.#open(this.#own, where, true);
    if (size === 0) throw new FileError(`${where}: the file is empty`);
    if (size > LARGEST_FILE) throw new FileError(`${where}: ${size} bytes; ONNX files have at most ${LARGEST_FILE}`);
    return readSkeleton(handle, size, where);
  }

  async #openOwn(): Promise<OpenFile> {
    let handle: FileHandle | undefined;
    try {
      handle = await open(this.#own, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (!stats.isFile()) throw new FileError(`${this.#own}: this is no file`);
      return { handle, size: stats.size };
    } catch (error) {
      await handle?.close();
      if (error instanceof FileError) throw error;
      throw new FileError(`${this.#own}: cannot read it: ${reasonOf(error, 'reading')}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const opened of await Promise.allSettled(this.#handles.values())) {
      if (opened.status === 'fulfilled') await opened.value.handle.close();
    }
    this.#handles.clear();
  }
}

function wholeNumber(text: string | undefined, otherwise: number, what: string): number {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new FileError(`${what} must be a whole number, got ${JSON.stringify(text)}`);
  return value;
}
