import { checkOptions, invariant } from '../../../tensor/errors.js';
import type { Assembler, FunctionId, FunctionOptions, Register, VectorMachine } from '../machine.js';
import { encodeModule, type WasmFunction } from './encoder.js';
import { FunctionBuilder } from './function.js';
import { listing } from './listing.js';
import { WASM_LANES, WASM_VECTOR_REGISTERS, WasmMachine, type WasmMachineOptions } from './machine.js';

export interface WasmOptions {
  /** Use relaxed SIMD (fused multiply-add); see `wasmFeatures().fused`. */
  readonly relaxed: boolean;
  /**
   * Import a shared memory (the default). Without it the program can only run on one thread: barriers are left out, and
   * engines or pages without shared memory can run it.
   */
  readonly shared?: boolean;
}

/**
 * Collects the functions of one program and writes them as one WebAssembly module.
 *
 * The module imports `env.memory` (32-bit addresses, up to 65536 pages, shared if `shared`) and exports one function, `run`.
 */
export class WasmAssembler implements Assembler {
  readonly lanes: number = WASM_LANES;
  readonly vectorRegisters: number = WASM_VECTOR_REGISTERS;
  readonly #options: WasmMachineOptions;
  readonly #functions: WasmFunction[] = [];
  readonly #ids: FunctionId[] = [];

  constructor(options: WasmOptions) {
    checkOptions('WasmAssembler', options, ['relaxed', 'shared']);
    this.#options = { relaxed: options.relaxed, shared: options.shared ?? true };
  }

  define(
    name: string,
    parameters: number,
    body: (m: VectorMachine, parameters: readonly Register[]) => void,
    { lanes = WASM_LANES }: FunctionOptions = {},
  ): FunctionId {
    invariant(lanes === WASM_LANES, () => `${name}: WebAssembly has ${WASM_LANES} lanes, not ${lanes}`);
    const builder = new FunctionBuilder(name, parameters);
    body(
      new WasmMachine(builder, this.#options, (callee) => this.#check(callee).parameters.length),
      builder.parameters,
    );
    const id: FunctionId = { name, index: this.#functions.length };
    this.#functions.push(builder.finish());
    this.#ids.push(id);
    return id;
  }

  /** The module with `entry` exported as `run`. */
  finish(entry: FunctionId): Uint8Array {
    this.#check(entry);
    return encodeModule({
      functions: this.#functions,
      memory: { shared: this.#options.shared },
      exports: [{ name: 'run', index: entry.index }],
    });
  }

  /** The instructions of a function, for snapshots and debugging. */
  listing(id: FunctionId): string {
    return listing(this.#check(id));
  }

  #check(id: FunctionId): WasmFunction {
    invariant(this.#ids[id.index] === id, () => `function "${id.name}" was not defined by this assembler`);
    return this.#functions[id.index];
  }
}
