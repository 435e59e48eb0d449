import { readFileSync } from 'node:fs';

/** The package's version, from the package.json above the compiled files. */
export function packageVersion(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(up, import.meta.url), 'utf8')) as Record<
        string,
        string
      >;
      if (name === 'gabor') return version;
    } catch {
      // not there: one further up
    }
  }
  return 'unknown';
}
