import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { OptionError } from 'gabor';

/**
 * The folder with the data, which is the program's only argument.
 *
 * @param inside what must lie in it
 * @param what the data, and where to get it
 * @throws OptionError where the argument is missing or the folder is another one.
 */
export function dataFolder(inside: readonly string[], what: string): string {
  const [, program, folder, ...more] = process.argv;
  if (folder === undefined || more.length > 0) {
    throw new OptionError(`give the folder with the data: npm run example ${program} FOLDER\n${what}`);
  }
  for (const name of inside) {
    const path = join(folder, name);
    if (!existsSync(path)) throw new OptionError(`${path} is not there.\n${what}`);
  }
  return folder;
}
