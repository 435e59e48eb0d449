import { existsSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { FileError } from '../tensor/errors.js';
import { isRemote } from './remote/address.js';

/** Makes a folder with all folders above. (Node's own `recursive` never ends where the file system takes no folders, as in /proc.) */
export async function makeFolders(path: string): Promise<void> {
  if (path === '') throw new FileError('the name of a folder is empty');
  checkLocal(path);
  const parent = dirname(resolve(path));
  if (parent !== resolve(path) && !existsSync(parent)) await makeFolders(parent);
  if (!(await makeFolder(path)) && !statSync(path).isDirectory()) {
    throw new FileError(`${path}: cannot make this folder: there is a file of this name`);
  }
}

/** @throws FileError for addresses: what is written lies on this machine. */
export function checkLocal(path: string): void {
  if (isRemote(path)) throw new FileError(`cannot save ${path}: it is an address; give a path on this machine`);
}

/** Makes one folder; returns false where there is something of this name. */
export async function makeFolder(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw new FileError(`${path}: cannot make this folder: ${reasonOf(error)}`, { cause: error });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is used up',
  EFBIG: 'the file would be larger than the system allows',
  EACCES: 'no permission to write there',
  EPERM: 'no permission to write there',
  EROFS: 'the file system is read-only',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of the path is not a folder',
  EEXIST: 'a part of the path is not a folder',
  ENOENT: 'the folder does not exist',
  EMFILE: 'too many files are open',
};

const READING: Readonly<Record<string, string>> = {
  ...REASONS,
  EACCES: 'no permission to read it',
  EPERM: 'no permission to read it',
  ENOENT: 'there is no such file',
};

/** What went wrong with a file, in words, with the system's code. */
export function reasonOf(error: unknown, when: 'writing' | 'reading' = 'writing'): string {
  const { code, message } = error as { code?: string; message?: string };
  if (code === undefined) return message ?? String(error);
  const words = (when === 'writing' ? REASONS : READING)[code];
  return words === undefined ? (message ?? code) : `${words} (${code})`;
}
