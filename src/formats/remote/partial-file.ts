import { createHash, type Hash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { writeAll } from '../atomic-write.js';
import { makeFolders } from '../folders.js';
import type { Version } from './cache.js';

const CONTENT = 'content';
const VERSION = 'version.json';
const FREE = 'free';
/** What nobody went on with for so long goes. */
const FORGOTTEN = 7 * 24 * 3600 * 1000;

/**
 * A file that is arriving: a folder `KEY.OWNER.RANDOM` with its first bytes and which version they are of. The owner is a process, or
 * `free`. To go on with what another has left, a process gives the folder its own name: renaming is atomic, so one alone succeeds, and
 * no locks are needed that a killed process would hold for ever. Two that fetch the same file at once do so into folders of their own.
 */
export class PartialFile {
  readonly #parent: string;
  readonly #key: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #version: Version;
  #hash: Hash;
  #size: number;

  private constructor(
    parent: string,
    key: string,
    path: string,
    handle: FileHandle,
    version: Version,
    hash: Hash,
    size: number,
  ) {
    this.#parent = parent;
    this.#key = key;
    this.#path = path;
    this.#handle = handle;
    this.#version = version;
    this.#hash = hash;
    this.#size = size;
  }

  /** Goes on with what was left of this file; undefined where nothing was. Removes what was forgotten. */
  static async take(parent: string, key: string): Promise<PartialFile | undefined> {
    for (const name of await readdir(parent).catch(() => [])) {
      const [itsKey, owner = ''] = name.split('.');
      if (!isLeft(owner) || !(itsKey === key || (await isForgotten(join(parent, name))))) continue;
      const own = join(parent, ownName(itsKey));
      try {
        await rename(join(parent, name), own);
      } catch {
        continue; // another process was faster
      }
      const partial = itsKey === key ? await PartialFile.#open(parent, key, own) : undefined;
      if (partial !== undefined) return partial;
      await rm(own, { recursive: true, force: true });
    }
    return undefined;
  }

  static async #open(parent: string, key: string, path: string): Promise<PartialFile | undefined> {
    let handle: FileHandle | undefined;
    try {
      const version = JSON.parse(await readFile(join(path, VERSION), 'utf8')) as Version;
      handle = await open(join(path, CONTENT), 'r+');
      const hash = createHash('sha256');
      let size = 0;
      for await (const chunk of createReadStream(join(path, CONTENT))) {
        hash.update(chunk as Buffer);
        size += (chunk as Buffer).length;
      }
      if (size > 0) return new PartialFile(parent, key, path, handle, version, hash, size);
    } catch {
      // it cannot be used
    }
    await handle?.close();
    return undefined;
  }

  /** Begins a file. */
  static async create(parent: string, key: string, version: Version): Promise<PartialFile> {
    const path = join(parent, ownName(key));
    await makeFolders(path);
    await writeFile(join(path, VERSION), JSON.stringify(version));
    const handle = await open(join(path, CONTENT), 'wx+');
    return new PartialFile(parent, key, path, handle, version, createHash('sha256'), 0);
  }

  /** Of which the bytes are. */
  get version(): Version {
    return this.#version;
  }

  /** How many bytes have arrived. */
  get size(): number {
    return this.#size;
  }

  /** Begins again, with another version. */
  async restart(version: Version): Promise<void> {
    await this.#handle.truncate(0);
    await writeFile(join(this.#path, VERSION), JSON.stringify(version));
    this.#version = version;
    this.#hash = createHash('sha256');
    this.#size = 0;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await writeAll(this.#handle, chunk, this.#size);
    this.#hash.update(chunk);
    this.#size += chunk.length;
  }

  /** The sha256 of what has arrived. */
  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  /** The first bytes. */
  async head(length: number): Promise<Buffer> {
    const bytes = Buffer.alloc(Math.min(length, this.#size));
    await this.#handle.read(bytes, 0, bytes.length, 0);
    return bytes;
  }

  /** Leaves it for the next one who wants the file. */
  async release(): Promise<void> {
    await this.#handle.close();
    await rename(this.#path, join(this.#parent, `${this.#key}.${FREE}.${randomBytes(6).toString('hex')}`));
  }

  /** Hands the whole file to `keep`, which moves it away, and goes. */
  async finish<T>(keep: (path: string) => Promise<T>): Promise<T> {
    await this.#handle.sync();
    await this.#handle.close();
    try {
      return await keep(join(this.#path, CONTENT));
    } finally {
      await this.#remove();
    }
  }

  async discard(): Promise<void> {
    await this.#handle.close();
    await this.#remove();
  }

  async #remove(): Promise<void> {
    await rm(this.#path, { recursive: true, force: true });
  }
}

function machine(): string {
  return createHash('sha256').update(hostname()).digest('hex').slice(0, 12);
}

/** What this process calls a folder of its own. */
function ownName(key: string): string {
  return `${key}.${machine()}-${process.pid}.${randomBytes(6).toString('hex')}`;
}

async function isForgotten(path: string): Promise<boolean> {
  const facts = await stat(join(path, CONTENT)).catch(() => undefined);
  return facts !== undefined && Date.now() - facts.mtimeMs > FORGOTTEN;
}

/** Whether nobody works on it. What belongs to other machines that share a folder is left alone. */
function isLeft(owner: string): boolean {
  if (owner === FREE) return true;
  const [where, pid] = owner.split('-');
  if (where !== machine() || !/^\d+$/.test(pid ?? '')) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
