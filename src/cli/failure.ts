import { GaborError, OptionError } from '../tensor/errors.js';
import type { Output } from './output.js';

/** Exit statuses of the command line. */
export const EXIT = {
  ok: 0,
  /** Something the user can mend: data, files, shapes. */
  failure: 1,
  /** The command line itself is wrong. */
  usage: 2,
  /** Ctrl-C, as shells have it: 128 + SIGINT. */
  interrupted: 130,
} as const;

/** A command line that makes no sense, beyond what the parser of options sees. */
export class UsageError extends GaborError {
  override name = 'UsageError';
}

function debugging(word: string): boolean {
  return (process.env.GABOR_DEBUG ?? '').split(',').some((part) => part.trim() === word);
}

/** Names of options in code that are spelt otherwise on the command line. */
const SPELLING = /\b(?:batchSize|weightDecay|labelSmoothing|valSplit|testSplit|trainCount|testCount)\b/g;

/** Tells what went wrong and returns the exit status. Stack traces come with GABOR_DEBUG=stack, and for bugs of our own. */
export function report(error: unknown, output: Output): number {
  const known = error instanceof GaborError || isSystemError(error);
  const text = error instanceof Error ? error.message : String(error);
  const message = error instanceof OptionError ? text.replace(SPELLING, flagOf) : text;
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  if (known) {
    output.error(message);
    if (debugging('stack')) output.errors.write(`${stack}\n`);
  } else {
    output.error(`${message} — this is a bug in gabor, please report it with the lines below`);
    output.errors.write(`${stack}\n`);
  }
  return error instanceof UsageError ? EXIT.usage : EXIT.failure;
}

function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** What the operating system refuses (no space, no permission) is not a bug. */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'syscall' in error && 'code' in error;
}
