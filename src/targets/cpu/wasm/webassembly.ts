/**
 * The part of the WebAssembly JavaScript interface that Gabor uses. TypeScript describes it only as part of the DOM, which
 * this package does not depend on.
 */

export interface WasmMemory {
  readonly buffer: ArrayBuffer | SharedArrayBuffer;
  /** Adds pages of 64 KiB and returns the old number of pages. */
  grow(pages: number): number;
}

/** A compiled module; can be posted to workers. */
export type CompiledModule = object & { readonly __compiledModule?: never };

export interface WasmInstance {
  readonly exports: Readonly<Record<string, (...args: number[]) => number>>;
}

export interface WebAssemblyInterface {
  validate(bytes: Uint8Array): boolean;
  compile(bytes: Uint8Array): Promise<CompiledModule>;
  readonly Module: new (bytes: Uint8Array) => CompiledModule;
  readonly Instance: new (module: CompiledModule, imports?: Record<string, Record<string, unknown>>) => WasmInstance;
  readonly Memory: new (limits: { initial: number; maximum?: number; shared?: boolean }) => WasmMemory;
}

/** Undefined in the rare engine without WebAssembly. */
export const webAssembly: WebAssemblyInterface | undefined = (globalThis as { WebAssembly?: WebAssemblyInterface })
  .WebAssembly;
