import { readFile } from 'node:fs/promises';
import { reasonOf } from '../formats/folders.js';
import { FileError } from '../tensor/errors.js';

/** What a file holds that the command line names. @throws FileError that says why it cannot be read */
export async function readWhole(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw fileError(path, 'cannot be read', error);
  }
}

/** A message for what the operating system refused. */
export function fileError(path: string, what: string, error: unknown): FileError {
  const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
  return new FileError(missing ? `${path}: there is no such file` : `${path}: ${what}: ${reasonOf(error)}`, {
    cause: error,
  });
}
