import { cacheFolder, isCachingOff } from './cache-files.js';
import { joinPath, readText, replaceText, sha256, warn } from './host.js';

/** What decides how fast schedules are. Measurements hold for exactly one combination. */
export interface TuningKey {
  /** A hash of the code that generates code. */
  readonly code: string;
  readonly processor: string;
  readonly instructions: string;
}

/** What was measured of one problem. */
export interface Measurement {
  /** The name of the fastest candidate; null: the model's choice is. */
  readonly choice: string | null;
  /** Schedules of the model and of the fastest candidate, for people. */
  readonly model: string;
  readonly best: string;
  readonly modelMilliseconds: number;
  readonly milliseconds: number;
}

const FORMAT = 'gabor tuning 1';

/**
 * Measurements in one JSON file per {@link TuningKey}. A file that is no such file, or is for another key, is ignored with a warning and
 * replaced. Where nothing can be written, measurements last as long as the process, also with a warning.
 */
export class TuningCache {
  /** Undefined where caches are switched off. */
  readonly path: string | undefined;
  readonly #key: TuningKey;
  #entries: Map<string, Measurement> | undefined;
  #warned = false;

  /** @param folder default: GABOR_CACHE or the system's place for caches. */
  constructor(key: TuningKey, folder: string | undefined = isCachingOff() ? undefined : cacheFolder()) {
    this.#key = key;
    const { code, processor, instructions } = key;
    const name = sha256(JSON.stringify([FORMAT, code, processor, instructions])).slice(0, 24);
    this.path = folder && joinPath(folder, 'tuning', `${name}.json`);
  }

  get(problem: string): Measurement | undefined {
    this.#entries ??= this.#read();
    return this.#entries.get(problem);
  }

  /** Keeps a measurement, together with those that other processes have written meanwhile. */
  set(problem: string, measurement: Measurement): void {
    this.#entries = new Map([...(this.#entries ?? []), ...this.#read(), [problem, measurement]]);
    const content = { format: FORMAT, ...this.#key, entries: Object.fromEntries(this.#entries) };
    if (this.path === undefined) return;
    try {
      replaceText(this.path, `${JSON.stringify(content, undefined, 1)}\n`);
    } catch (error) {
      this.#warn(`cannot be written, so measurements last as long as this process: ${reasonOf(error)}`);
    }
  }

  /** Identifies all that was measured. */
  get text(): string {
    this.#entries ??= this.#read();
    return JSON.stringify([...this.#entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #read(): Map<string, Measurement> {
    if (this.path === undefined) return new Map(this.#entries);
    try {
      const text = readText(this.path);
      if (text === undefined) return new Map();
      const content: unknown = JSON.parse(text);
      const fits =
        isRecord(content) &&
        content.format === FORMAT &&
        content.code === this.#key.code &&
        content.processor === this.#key.processor &&
        content.instructions === this.#key.instructions &&
        isRecord(content.entries);
      if (!fits) throw new Error('it does not hold measurements of this version on this processor');
      const entries = Object.entries(content.entries as Record<string, unknown>);
      return new Map(
        entries.map(([problem, entry]) => {
          if (!isMeasurement(entry)) throw new Error(`"${problem}" is no measurement`);
          return [problem, entry];
        }),
      );
    } catch (error) {
      this.#warn(`is ignored and will be replaced: ${reasonOf(error)}`);
      return new Map();
    }
  }

  #warn(what: string): void {
    if (this.#warned) return;
    this.#warned = true;
    warn(`the tuning cache ${this.path} ${what}`);
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isMeasurement(value: unknown): value is Measurement {
  if (!isRecord(value)) return false;
  const { choice, model, best, modelMilliseconds, milliseconds } = value;
  const time = (t: unknown): boolean => typeof t === 'number' && t >= 0 && Number.isFinite(t);
  return (
    (choice === null || typeof choice === 'string') &&
    typeof model === 'string' &&
    typeof best === 'string' &&
    time(modelMilliseconds) &&
    time(milliseconds)
  );
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
