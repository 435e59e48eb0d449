import { execFile } from 'node:child_process';
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

/** The Chromium on this machine, or undefined. */
export function findChromium(): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not here
      }
    }
  }
  return undefined;
}

/** Runs Chromium without a window and without a network, in a profile of its own; returns what it printed. */
export async function chromium(path: string, args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const profile = mkdtempSync(join(tmpdir(), 'gabor-chromium-'));
  const quiet = ['quic', 'background-networking', 'component-update', 'sync', 'gpu'].map((part) => `--disable-${part}`);
  try {
    return await promisify(execFile)(
      path,
      [
        '--headless',
        '--no-sandbox',
        '--no-first-run',
        ...quiet,
        '--host-resolver-rules=MAP * ~NOTFOUND',
        '--enable-logging=stderr',
        `--user-data-dir=${profile}`,
        ...args,
      ],
      { maxBuffer: 2 ** 26, timeout: 60_000 },
    );
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 3 });
  }
}
