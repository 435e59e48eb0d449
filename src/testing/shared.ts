import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/**
 * Where real data and models for tests may lie: `GABOR_SHARED`, or a folder `shared` beside the checkout. Tests that
 * need one skip, with a message, where it is absent.
 */
const roots: string[] = process.env.GABOR_SHARED
  ? [process.env.GABOR_SHARED]
  : ['../../../shared', '../../../../shared'].map((path) => fileURLToPath(new URL(path, import.meta.url)));

/** The path of a shared file or folder, or undefined where it is not there. */
export function sharedPath(path: string): string | undefined {
  for (const root of roots) {
    const full = `${root}/${path}`;
    if (existsSync(full)) return full;
  }
  return undefined;
}
