/**
 * How a team of worker threads is told what to do: words in one shared array, all accesses atomic. Each group that
 * different threads write has a cache line (16 words) of its own.
 *
 * A run: the pool sets PROGRAM, TABLE, ACTIVE, zeroes ACKNOWLEDGED, sets REMAINING to ACTIVE, and then stores the run's number
 * in the COMMAND word of each thread that takes part. Such a thread prepares the program, counts itself in ACKNOWLEDGED,
 * runs, and counts itself out of REMAINING; the last one stores the number in DONE.
 */

export const PROGRAM = 0;
export const TABLE = 1;
/** How many workers take part in the run. */
export const ACTIVE = 2;
export const ACKNOWLEDGED = 16;
export const REMAINING = 32;
/** Number of the last run that ended. */
export const DONE = 48;
/** 0, or 1 + the thread that failed first; its error was posted before. */
export const FAILED = 64;
/** 1 after a failure that may have left other threads in a barrier for ever. */
export const STUCK = 65;
/** 1 from when the threads are about to be ended: none of them begins to load anything native. */
export const ENDING = 66;

const THREADS = 80;
const STRIDE = 16;

/** Number of the last run that was given to `thread`. */
export const command = (thread: number): number => THREADS + thread * STRIDE;
/** 1 while the thread sleeps, so that it needs a notification. */
export const asleep = (thread: number): number => THREADS + thread * STRIDE + 1;
/** Messages posted to the thread so far. */
export const posted = (thread: number): number => THREADS + thread * STRIDE + 2;
/** 0 until the thread has started, then 1; -1: it ended. */
export const alive = (thread: number): number => THREADS + thread * STRIDE + 3;
/** 1 while the thread must not be ended, since it loads something native. */
export const loading = (thread: number): number => THREADS + thread * STRIDE + 4;

export type Control = Int32Array<SharedArrayBuffer>;

export function createControl(threads: number): Control {
  return new Int32Array(new SharedArrayBuffer(4 * (THREADS + threads * STRIDE)));
}

/** Back-to-back runs follow each other within this time; longer spinning only takes the core from others. */
const SPIN_MS = 0.05;

/** Returns true as soon as `control[index] !== value`, or false after a short time. */
export function spinWhile(control: Control, index: number, value: number): boolean {
  if (Atomics.load(control, index) !== value) return true;
  const end = performance.now() + SPIN_MS;
  do {
    for (let i = 0; i < 64; i++) if (Atomics.load(control, index) !== value) return true;
  } while (performance.now() < end);
  return false;
}

/** Sleeps, perhaps spins before, until `control[index] !== value`; false when that took longer than `timeout` milliseconds. */
export function waitWhile(control: Control, index: number, value: number, spin: boolean, timeout: number): boolean {
  if (spin && spinWhile(control, index, value)) return true;
  const end = performance.now() + timeout;
  while (Atomics.load(control, index) === value) {
    if (Atomics.wait(control, index, value, end - performance.now()) === 'timed-out') return false;
  }
  return true;
}
