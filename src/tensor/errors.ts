import { nearest } from './suggest.js';

/**
 * Base of every error that Gabor raises for something the user can mend: a wrong shape, an unknown option, a broken
 * file. The message says what was wrong, where, what was expected and what to do. The command line prints it without a
 * stack trace.
 */
export class GaborError extends Error {
  override name = 'GaborError';
}

/** Shapes, dtypes or geometry that do not fit together. */
export class ShapeError extends GaborError {
  override name = 'ShapeError';
}

/** An option, argument or configuration value that is unknown or out of its range. */
export class OptionError extends GaborError {
  override name = 'OptionError';
}

/** A file (data, model, checkpoint) that is missing, cut short or not what it claims to be. */
export class FileError extends GaborError {
  override name = 'FileError';
}

/** Broken invariant inside Gabor itself; never the user's fault. */
export class InternalError extends Error {
  override name = 'InternalError';
}

/**
 * Throws {@link InternalError} unless `condition` holds.
 *
 * @param message as a function where it is put together from parts and the check is made often
 */
export function invariant(condition: unknown, message: string | (() => string)): asserts condition {
  if (!condition) throw bug(typeof message === 'string' ? message : message());
}

/** The error of {@link invariant}, for checks that are made too often to have a message each. */
export function bug(message: string): InternalError {
  return new InternalError(`${message} (this is a bug in Gabor)`);
}

/**
 * Rejects option objects with keys that nobody reads, so that a typing mistake is never silently ignored.
 *
 * @param where named in the message, for example `Conv2d`.
 */
export function checkOptions(where: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const got = Array.isArray(options) ? 'an array' : String(options);
    throw new OptionError(`${where}: options go by name, { ${known.join(', ')} }; got ${got} in their place`);
  }
  for (const key of Object.keys(options)) {
    if (!known.includes(key)) {
      const near = nearest(key, known, 1).map((name) => `. Did you mean "${name}"?`);
      throw new OptionError(`${where}: unknown option "${key}"; known options are ${known.join(', ')}${near.join('')}`);
    }
  }
}
