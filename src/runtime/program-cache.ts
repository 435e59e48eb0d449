import type { Graph } from '../graph/graph.js';
import { graphSignature } from '../graph/print.js';
import type { Backend } from './backend.js';
import { type CacheFiles, cacheFiles, isCachingOff } from './cache-files.js';
import { type CompiledProgram, parseProgram, serializeProgram } from './compiled-program.js';
import { codeVersion, environmentVariable, isPackaged } from './host.js';
import { processorIdentity } from './tuning-key.js';

/** Programs that were compiled in so many milliseconds are not worth a file. */
const QUICK = 2;

/** Where compiled programs are kept; undefined where none are. */
export function programFiles(): CacheFiles | undefined {
  return isCachingOff() ? undefined : cacheFiles('programs');
}

/** Whether programs are kept where nothing else was said: in the package as it is installed, unless someone looks into the compiler. */
export function keepsPrograms(): boolean {
  return isPackaged() && !environmentVariable('GABOR_DEBUG');
}

/**
 * Compiled programs on disk, for other processes (docs/decisions/startup.md). What a program depends on is its key: the graph with all
 * shapes, types and attributes, the machine as the compiler sees it, and the code of the compiler.
 */
export class ProgramCache {
  readonly #files: CacheFiles;
  readonly #base: string;

  constructor({ name, machine, codeOptions }: Backend, files: CacheFiles, version: string = codeVersion()) {
    this.#files = files;
    const { choices: _, ...description } = machine;
    this.#base = ['program 1', version, processorIdentity(), name, codeOptions, JSON.stringify(description)].join('\n');
  }

  /**
   * The program of a graph: from a file, or compiled, and then kept.
   *
   * @param choices identifies choices of schedules that were measured; they may have changed after `compile`
   */
  program(graph: Graph, choices: () => string, compile: () => CompiledProgram): CompiledProgram {
    const signature = graphSignature(graph);
    const key = (): string => `${this.#base}\n${choices()}\n${signature}`;
    const parts = this.#files.read(key());
    const known = parts?.length === 2 ? parseProgram(parts[0], parts[1]) : undefined;
    if (known !== undefined) return known;
    const began = performance.now();
    const program = compile();
    if (performance.now() - began >= QUICK) {
      const { facts, code } = serializeProgram(program);
      this.#files.write(key(), [facts, code]);
    }
    return program;
  }
}
