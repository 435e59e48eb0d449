import type { WasmModule } from './webassembly.js';

/** What a program offers to the thread that runs it. */
export interface ProgramExports {
  /** Runs the share of one thread; all threads of a run execute it at the same time. */
  run(thread: number, threads: number, table: number): void;
  /**
   * Optional: makes every thread that waits in a barrier of `table`, or comes to one later, trap. With it a failed run
   * ends by itself, and the thread that calls `runSync` can be one of the threads of the run.
   */
  abort?(table: number): void;
}

/** Where a thread finds machine code that was loaded: addresses in this process. */
export interface LoadedMachineCode {
  readonly invoke: bigint;
  readonly entry: bigint;
  /** Of the memory that the program works on; shared memory grows in place. */
  readonly memory: bigint;
}

/** A program in the form that is sent to threads. */
export type ProgramCode = { readonly module: WasmModule } | { readonly machine: LoadedMachineCode };
