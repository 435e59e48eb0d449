import { randomBytes } from 'node:crypto';
import { type FileHandle, open, realpath, rename, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { FileError } from '../tensor/errors.js';
import { checkLocal, makeFolders, reasonOf } from './folders.js';

/**
 * Replaces a file as a whole or not at all: writes a temporary file in the same folder, syncs it to disk, renames it over
 * `path`, and syncs the folder. Whatever fails on the way, a file that was there before is still there, unchanged, and the
 * temporary file is gone. Makes missing folders.
 *
 * @throws FileError that says why (disk full, no permission, …).
 */
export async function writeFileAtomic(path: string, content: Uint8Array | Iterable<Uint8Array>): Promise<void> {
  checkLocal(path);
  let temporary: string | undefined;
  let handle: FileHandle | undefined;
  try {
    await makeFolders(dirname(resolve(path)));
    // Through a symbolic link, the file it points to is replaced, not the link.
    const target = await realpath(path).catch(() => resolve(path));
    temporary = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}.tmp`);
    handle = await open(temporary, 'wx');
    for (const chunk of content instanceof Uint8Array ? [content] : content) await writeAll(handle, chunk);
    await handle.sync();
    await handle.close();
    handle = undefined;
    await rename(temporary, target);
    temporary = undefined;
    await syncFolder(dirname(target));
  } catch (error) {
    await handle?.close().catch(() => undefined);
    if (temporary !== undefined) await unlink(temporary).catch(() => undefined);
    if (error instanceof FileError) throw error;
    throw new FileError(
      `cannot save ${path}: ${reasonOf(error)}; ${temporary === undefined ? 'nothing was written' : 'a file that was there before is unchanged'}`,
      { cause: error },
    );
  }
}

/** Of an open file, what {@link writeAll} needs: declarations of the package name no types of Node. */
export interface WritableFile {
  write(
    chunk: Uint8Array,
    offset: number,
    length: number,
    position: number | null,
  ): Promise<{ readonly bytesWritten: number }>;
}

/**
 * Writes all bytes, although the operating system may take fewer than it is given.
 *
 * @param position in the file; default: behind what was written before
 */
export async function writeAll(handle: WritableFile, chunk: Uint8Array, position?: number): Promise<void> {
  for (let at = 0; at < chunk.length; ) {
    const to = position === undefined ? null : position + at;
    const { bytesWritten } = await handle.write(chunk, at, Math.min(chunk.length - at, 2 ** 30), to);
    if (bytesWritten === 0) throw new Error('the system accepts no more bytes');
    at += bytesWritten;
  }
}

/** Makes the rename last through a power failure. Not every system lets folders be opened or synced. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close().catch(() => undefined);
}
