import { OptionError } from '../tensor/errors.js';
import { environmentVariable, hardwareThreads } from './host.js';

/** More would only wait for each other. */
const MAX_THREADS = 256;

/** Throws unless `threads` is an integer from 1 to {@link MAX_THREADS}. */
export function checkThreads(where: string, threads: number): void {
  if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS) {
    throw new OptionError(
      `${where}: the number of threads must be an integer from 1 to ${MAX_THREADS}, got ${threads}`,
    );
  }
}

/** The environment variable GABOR_THREADS where it is set, else the number of processors this process may use. */
export function defaultThreads(): number {
  const text = environmentVariable('GABOR_THREADS')?.trim();
  if (!text) return Math.min(hardwareThreads(), MAX_THREADS);
  const threads = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(threads >= 1 && threads <= MAX_THREADS)) {
    throw new OptionError(
      `environment variable GABOR_THREADS: the number of threads must be an integer from 1 to ${MAX_THREADS}, got "${text}"`,
    );
  }
  return threads;
}
