/**
 * How the package starts: all of it is one script (scripts/bundle.mjs), which V8 keeps in compiled form between processes, so that neither its
 * text is parsed again nor the functions that it needs first are compiled again (docs/decisions/startup.md).
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Script } from 'node:vm';
import { isMainThread } from 'node:worker_threads';
import { cacheFiles, isCachingOff } from './cache-files.js';

/** What the bundle writes here: a hash of the script. */
declare const BUNDLED_SCRIPT: string;

type Entries = Readonly<Record<string, () => Readonly<Record<string, unknown>>>>;

/** How many processes may replace what is kept by more: the functions that were compiled differ with what a process did. */
const GENERATIONS = 4;
/** More by this factor is worth it. */
const MORE = 1.02;

/** This module is one of CommonJS in the bundle. */
declare const __dirname: string;
declare const __filename: string;

let entries: Entries | undefined;

/** The exports of an entry of the package. Modules are run when the first entry needs them. */
export function load(entry: string): Readonly<Record<string, unknown>> {
  entries ??= start(entry);
  return entries[entry]();
}

function start(entry: string): Entries {
  const filename = join(__dirname, 'library.cjs');
  // ASCII: one byte for each character.
  const source = readFileSync(filename, 'latin1');
  const files = isCachingOff() ? undefined : cacheFiles('scripts');
  // What V8 accepts depends on its version and its flags. Commands need other functions than the library.
  const flags = [...process.execArgv, process.env.NODE_OPTIONS ?? ''];
  const key = ['script 1', BUNDLED_SCRIPT, process.version, process.arch, ...flags, entry].join('\n');
  const [cachedData, about] = files?.read(key) ?? [];
  const compiled = new Script(source, { filename, ...(cachedData && { cachedData }) });
  const kept = compiled.cachedDataRejected === false ? cachedData : undefined;
  const generation = kept === undefined ? 0 : (about?.[0] ?? GENERATIONS) + 1;
  if (files !== undefined && generation < GENERATIONS && isMainThread) {
    const before = flagsOfEngine();
    process.once('exit', () => {
      // The only flag that this package changes (targets/cpu/wasm/features.ts); with others than at the start V8 would accept nothing there.
      if (before.compare(flagsOfEngine()) !== 0) setFlags('--no-experimental-wasm-relaxed-simd');
      if (before.compare(flagsOfEngine()) !== 0) return;
      const data = compiled.createCachedData();
      if (data.length > MORE * (kept?.length ?? 0)) files.write(key, [data, Uint8Array.of(generation)]);
    });
  }
  const module: { exports: Entries } = { exports: {} };
  compiled.runInThisContext()(createRequire(filename), module, pathToFileURL(filename).href);
  return module.exports;
}

/** Differs with V8's flags as they are now. */
function flagsOfEngine(): Buffer {
  return new Script('0').createCachedData();
}

/** `node:v8` takes milliseconds. */
function setFlags(flags: string): void {
  (createRequire(__filename)('node:v8') as typeof import('node:v8')).setFlagsFromString(flags);
}
