import { realpath } from 'node:fs/promises';
import { dirname, isAbsolute, resolve, sep } from 'node:path';
import { FileError } from '../tensor/errors.js';
import { reasonOf } from './folders.js';

/**
 * The name by which a file names another one in its folder (or below).
 *
 * @param where in messages
 * @throws FileError for names that lead out of the folder
 */
export function safeName(where: string, name: string): string {
  const leadsOut = isAbsolute(name) || /^[a-z][a-z+.-]*:/i.test(name) || name.split(/[\\/]/).includes('..');
  if (name !== '' && !name.includes('\0') && !leadsOut) return name;
  throw new FileError(`${where}: names the file ${JSON.stringify(name)}, which is none in its folder; refused`);
}

/**
 * The path of a file that another one names, in whose folder (or below) it lies, also after all links are followed.
 *
 * @param where in messages
 * @param path of the file that names the other
 * @throws FileError for names that lead out of the folder, and for what is not there
 */
export async function pathBeside(where: string, path: string, name: string): Promise<string> {
  const folder = dirname(resolve(path));
  const wanted = resolve(folder, safeName(where, name));
  try {
    const real = await realpath(wanted);
    const inside = await realpath(folder);
    if (real.startsWith(inside.endsWith(sep) ? inside : inside + sep)) return real;
  } catch (error) {
    throw new FileError(`${where}: cannot read its data in ${JSON.stringify(name)}: ${reasonOf(error, 'reading')}`, {
      cause: error,
    });
  }
  throw new FileError(`${where}: ${JSON.stringify(name)} leads out of its folder; refused`);
}
