import { checkOptions, invariant } from '../../../tensor/errors.js';
import type { Assembler, FunctionId, FunctionOptions, Register, VectorMachine } from '../machine.js';
import { type Allocation, allocate, type RegisterFiles } from './allocate.js';
import { CodeBuilder, type FinishedCode } from './builder.js';
import type { MachineFunction } from './code.js';
import { emitEntry } from './entry.js';
import { emitFunction } from './frame.js';
import { Recording } from './ir.js';
import { lower } from './lower.js';
import { X64Machine } from './machine.js';
import type { Label } from './operands.js';
import { verify } from './verify.js';

export interface X64Options {
  /** `avx2`: AVX2 and FMA. `avx512`: also AVX-512 F, BW, DQ and VL. */
  readonly features: 'avx2' | 'avx512';
  /** Calling convention of the entry: System V, or Windows. */
  readonly abi: 'sysv' | 'win64';
  /** Checks the allocation of every function; default: whether GABOR_DEBUG is set. */
  readonly verify?: boolean;
}

/** Machine code that holds no absolute addresses, to be loaded at a multiple of 64 bytes. */
export interface X64Code {
  readonly code: Uint8Array;
  /** Where the entry begins; see {@link X64Assembler.finish}. */
  readonly entry: number;
  /** The instructions as source of GNU `as`. */
  listing(): string;
}

// rsp, rbx (memory), rbp (frame of the entry), rax and rdx (division, barriers) are not handed out.
const GENERAL = [1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const FILES: Readonly<Record<X64Options['features'], RegisterFiles>> = {
  avx2: { general: GENERAL, vector: [...new Array(16).keys()], mask: [] },
  avx512: { general: GENERAL, vector: [...new Array(32).keys()], mask: [1, 2, 3, 4, 5, 6, 7] },
};

/** Collects the functions of one program and writes them as x86-64 machine code. */
export class X64Assembler implements Assembler {
  readonly lanes: number;
  readonly vectorRegisters: number;
  readonly #options: X64Options;
  readonly #functions: { readonly f: MachineFunction; readonly allocation: Allocation }[] = [];
  readonly #ids: FunctionId[] = [];

  constructor(options: X64Options) {
    checkOptions('X64Assembler', options, ['features', 'abi', 'verify']);
    this.#options = options;
    this.lanes = options.features === 'avx512' ? 16 : 8;
    this.vectorRegisters = FILES[options.features].vector.length;
  }

  define(
    name: string,
    parameters: number,
    body: (m: VectorMachine, parameters: readonly Register[]) => void,
    { lanes = this.lanes }: FunctionOptions = {},
  ): FunctionId {
    invariant([4, 8, 16].includes(lanes) && lanes <= this.lanes, () => `${name}: no vectors of ${lanes} elements`);
    const recording = new Recording(name, parameters, lanes);
    const parametersOf = (callee: FunctionId): number => this.#check(callee).f.parameters;
    body(new X64Machine(recording, this.vectorRegisters, parametersOf), recording.parameters);
    const { features } = this.#options;
    const f = lower(recording, features === 'avx512');
    const allocation = allocate(f, FILES[features]);
    if (this.#options.verify ?? globalThis.process?.env.GABOR_DEBUG) verify(f, allocation);
    const id: FunctionId = { name, index: this.#functions.length };
    this.#functions.push({ f, allocation });
    this.#ids.push(id);
    return id;
  }

  /**
   * The code, with a C function `int32_t run(void *memory, int32_t a, int32_t b, int32_t c)` that calls `entry` with as many of
   * a, b, c as it has parameters (at most three). It returns 0, or 1 when the barrier's abort word was set.
   */
  finish(entry: FunctionId): X64Code {
    const { code, evex, start } = this.#write(entry, false);
    invariant(this.#options.features === 'avx512' || !evex, 'code for AVX2 contains an instruction of AVX-512');
    return { code, entry: start, listing: () => this.#write(entry, true).listing() };
  }

  #write(entry: FunctionId, listing: boolean): FinishedCode & { readonly start: number } {
    const { abi } = this.#options;
    const code = new CodeBuilder(listing);
    const labels = new Map<number, Label>(this.#ids.map(({ name, index }) => [index, code.label(name)]));
    const labelOf = (id: FunctionId): Label => labels.get(id.index) as Label;
    const start = code.label('run');
    const abort = code.label('abort');
    code.bind(start);
    emitEntry(code, { abi, target: labelOf(entry), parameters: this.#check(entry).f.parameters, abort });
    this.#functions.forEach(({ f, allocation }, i) => {
      code.align(64);
      code.comment(f.name);
      code.bind(labels.get(i) as Label);
      emitFunction(f, allocation, code, { labelOf, abort, abi });
    });
    const finished = code.finish();
    return { ...finished, start: finished.offset(start) };
  }

  #check(id: FunctionId): { readonly f: MachineFunction; readonly allocation: Allocation } {
    invariant(this.#ids[id.index] === id, () => `function "${id.name}" was not defined by this assembler`);
    return this.#functions[id.index];
  }
}
