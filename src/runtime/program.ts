import { GaborError } from '../tensor/errors.js';
import { loadMachineCode, type MachineCode, machineCodeExports } from './native/program.js';
import type { ProgramCode, ProgramExports } from './program-code.js';
import { type WasmBytes, type WasmMemory, type WasmModule, wasm } from './webassembly.js';

/** A program as an emitter writes it: a WebAssembly module or its bytes, or machine code of this processor. */
export type ProgramSource = WasmModule | WasmBytes | MachineCode;

export interface LoadedProgram {
  readonly code: ProgramCode;
  /** Gives back what the program holds outside of JavaScript; no thread runs it then or later. */
  free(): void;
}

/** @throws GaborError where `source` is not a program or cannot run here. */
export function loadProgram(source: ProgramSource, memory: WasmMemory): LoadedProgram {
  if ('entry' in source) {
    const { machine, free } = loadMachineCode(source, memory);
    return { code: { machine }, free };
  }
  return { code: { module: compileModule(source) }, free: () => undefined };
}

/** @throws GaborError where `source` is not a module that imports nothing but `env.memory` and exports `run`. */
function compileModule(source: WasmModule | WasmBytes): WasmModule {
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

/** The program for the calling thread. */
export function instantiate(code: ProgramCode, memory: WasmMemory): ProgramExports {
  if ('machine' in code) return machineCodeExports(code.machine, memory);
  return new wasm.Instance(code.module, { env: { memory } }).exports as unknown as ProgramExports;
}
