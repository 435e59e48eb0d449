import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** Where the built package is: GABOR_BUILD, or `dist` beside this folder. */
export const build = resolve(process.env.GABOR_BUILD ?? fileURLToPath(new URL('../../dist', import.meta.url)));

/** A module of the built package; the public one by default. */
export function importGabor(module = 'index.js') {
  const file = resolve(build, module);
  if (!existsSync(file)) throw new Error(`${file} is missing; run \`npm run build\` first`);
  return import(pathToFileURL(file).href);
}
