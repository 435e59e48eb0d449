import { readFile } from 'node:fs/promises';
import { reasonOf } from '../formats/folders.js';
import { FileError } from '../tensor/errors.js';

/** What a file holds that the command line names. @throws FileError that says why it cannot be read */
export async function readWhole(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const problem = missing ? 'there is no such file' : `cannot be read: ${reasonOf(error, 'reading')}`;
    throw new FileError(`${path}: ${problem}`, { cause: error });
  }
}

/** A message for what the operating system refused to write. */
export function fileError(path: string, what: string, error: unknown): FileError {
  return new FileError(`${path}: ${what}: ${reasonOf(error)}`, { cause: error });
}
