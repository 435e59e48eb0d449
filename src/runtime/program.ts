import { GaborError } from '../tensor/errors.js';
import { type WasmBytes, type WasmMemory, type WasmModule, wasm } from './webassembly.js';

/** What the module of a program exports. */
export interface ProgramExports {
  /** Runs the share of one thread; all threads of a run execute it at the same time. */
  run(thread: number, threads: number, table: number): void;
  /**
   * Optional: makes every thread that waits in a barrier of `table`, or comes to one later, trap. With it a failed run
   * ends by itself, and the thread that calls `runSync` can be one of the threads of the run.
   */
  abort?(table: number): void;
}

/** @throws GaborError where `source` is not a module that imports nothing but `env.memory` and exports `run`. */
export function compileProgram(source: WasmModule | WasmBytes): WasmModule {
  let module: WasmModule;
  try {
    module = source instanceof Uint8Array || source instanceof ArrayBuffer ? new wasm.Module(source) : source;
  } catch (cause) {
    throw new GaborError(`this program is not a module that WebAssembly here accepts: ${(cause as Error).message}`, {
      cause,
    });
  }
  for (const { module: from, name, kind } of wasm.Module.imports(module)) {
    if (from !== 'env' || name !== 'memory' || kind !== 'memory') {
      throw new GaborError(
        `a program imports "env.memory" and nothing else; this one imports ${kind} "${from}.${name}"`,
      );
    }
  }
  if (!wasm.Module.exports(module).some(({ name, kind }) => name === 'run' && kind === 'function')) {
    throw new GaborError('a program exports a function run(thread, threads, table); this one does not');
  }
  return module;
}

export function instantiate(module: WasmModule, memory: WasmMemory): ProgramExports {
  return new wasm.Instance(module, { env: { memory } }).exports as unknown as ProgramExports;
}
