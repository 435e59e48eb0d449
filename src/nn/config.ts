import { OptionError } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';

/** What JSON can hold. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** A layer as plain data: its type and its constructor's arguments under PyTorch's names in camelCase. */
export interface LayerConfig {
  readonly type: string;
  readonly [argument: string]: Json;
}

/** Options of every layer with initial weights. */
export interface RandomOption {
  /** Where initial weights come from; default: the generator that `manualSeed` resets. Not part of the configuration. */
  readonly random?: Random;
}

/** Makes a module of its configuration; `build` makes its children. */
export type ModuleFactory<M> = (config: LayerConfig, build: (config: LayerConfig) => M) => M;

export function checkCount(where: string, name: string, value: unknown, least = 1): void {
  if (!Number.isInteger(value) || (value as number) < least) {
    throw new OptionError(`${where}: ${name} must be an integer ≥ ${least}, got ${JSON.stringify(value)}`);
  }
}

export function checkBoolean(where: string, name: string, value: unknown): void {
  if (typeof value !== 'boolean') {
    throw new OptionError(`${where}: ${name} must be true or false, got ${JSON.stringify(value)}`);
  }
}

export function checkNumber(where: string, name: string, value: unknown, low: number, high: number = Infinity): void {
  if (typeof value !== 'number' || !(value >= low && value <= high) || !Number.isFinite(value)) {
    const range = high === Infinity ? `≥ ${low}` : `between ${low} and ${high}`;
    throw new OptionError(`${where}: ${name} must be a number ${range}, got ${JSON.stringify(value)}`);
  }
}

/** Without keys whose value is undefined, as JSON would have it. */
export function defined(config: { readonly type: string; readonly [key: string]: Json | undefined }): LayerConfig {
  return Object.fromEntries(
    Object.entries(config).filter(([, value]) => value !== undefined),
  ) as unknown as LayerConfig;
}
