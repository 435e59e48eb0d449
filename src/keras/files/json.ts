import { FileError } from '../../tensor/errors.js';

/** An object of a file, of which nothing is known. */
export type Fields = Readonly<Record<string, unknown>>;

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** @throws FileError that begins with `where` */
export function parseJson(where: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileError(`${where}: is not valid JSON (${(error as Error).message})`, { cause: error });
  }
}

const LONGEST = 80;

/** A value for a message, cut short. */
export function show(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text;
}

export function asFields(where: string, what: string, value: unknown): Fields {
  if (isFields(value)) return value;
  throw new FileError(`${where}: ${what} must be an object, got ${show(value)}`);
}

export function asArray(where: string, what: string, value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  throw new FileError(`${where}: ${what} must be a list, got ${show(value)}`);
}

export function asText(where: string, what: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw new FileError(`${where}: ${what} must be a text, got ${show(value)}`);
}

/** An integer of at least `least`. */
export function asCount(where: string, what: string, value: unknown, least = 0): number {
  if (Number.isSafeInteger(value) && (value as number) >= least) return value as number;
  throw new FileError(`${where}: ${what} must be an integer ≥ ${least}, got ${show(value)}`);
}
