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
  const [folder] = givenArguments(['FOLDER'], what);
  for (const name of inside) {
    const path = join(folder, name);
    if (!existsSync(path)) throw new OptionError(`${path} is not there.\n${what}`);
  }
  return folder;
}

/**
 * The program's arguments.
 *
 * @param names as the help calls them
 * @param what they are, and where to get the files
 * @throws OptionError where there are fewer or more.
 */
export function givenArguments(names: readonly string[], what: string): string[] {
  const [, program, ...given] = process.argv;
  if (given.length === names.length) return given;
  throw new OptionError(`npm run example ${program} ${names.join(' ')}\n${what}`);
}
