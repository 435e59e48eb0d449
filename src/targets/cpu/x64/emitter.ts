import { checkOptions, invariant } from '../../../tensor/errors.js';
import type { Assembler, FunctionId, FunctionOptions, Register, VectorMachine } from '../machine.js';
import { allocate, type RegisterFiles } from './allocate.js';
import { emitBarrier } from './barrier.js';
import { CodeBuilder } from './builder.js';
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
  /** Whether to remember what a listing needs; default false. */
  readonly listing?: boolean;
}

/** Machine code that holds no absolute addresses, to be loaded at a multiple of 64 bytes. */
export interface X64Code {
  readonly code: Uint8Array;
  /** Where the entry begins; see {@link X64Assembler.finish}. */
  readonly entry: number;
  /** The instructions as source of GNU `as`, where the assembler was made with `listing`. */
  listing(): string;
}

// rsp, rbx (memory), rbp (frame of the entry), rax and rdx (division, barriers) are not handed out.
const GENERAL = [1, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const FILES: Readonly<Record<X64Options['features'], RegisterFiles>> = {
  avx2: { general: GENERAL, vector: [...new Array(16).keys()], mask: [] },
  avx512: { general: GENERAL, vector: [...new Array(32).keys()], mask: [1, 2, 3, 4, 5, 6, 7] },
};

interface Defined {
  readonly id: FunctionId;
  readonly label: Label;
  readonly parameters: number;
}

/**
 * Writes the functions of one program as x86-64 machine code, each when it is defined: what it is made from on the way then dies young, which
 * saves the collector a third of the time that all of this takes.
 */
export class X64Assembler implements Assembler {
  readonly lanes: number;
  readonly vectorRegisters: number;
  readonly #options: X64Options;
  readonly #code: CodeBuilder;
  /** Where threads meet, if they do. */
  #barrier: Label | undefined;
  readonly #functions: Defined[] = [];

  constructor(options: X64Options) {
    checkOptions('X64Assembler', options, ['features', 'abi', 'verify', 'listing']);
    this.#options = options;
    this.lanes = options.features === 'avx512' ? 16 : 8;
    this.vectorRegisters = FILES[options.features].vector.length;
    this.#code = new CodeBuilder(options.listing ?? false);
  }

  define(
    name: string,
    parameters: number,
    body: (m: VectorMachine, parameters: readonly Register[]) => void,
    { lanes = this.lanes }: FunctionOptions = {},
  ): FunctionId {
    invariant([4, 8, 16].includes(lanes) && lanes <= this.lanes, () => `${name}: no vectors of ${lanes} elements`);
    const recording = new Recording(name, parameters, lanes);
    const parametersOf = (callee: FunctionId): number => this.#check(callee).parameters;
    body(new X64Machine(recording, this.vectorRegisters, parametersOf), recording.parameters);
    const { features } = this.#options;
    const f = lower(recording, features === 'avx512');
    const allocation = allocate(f, FILES[features]);
    if (this.#options.verify ?? globalThis.process?.env.GABOR_DEBUG) verify(f, allocation);
    const id: FunctionId = { name, index: this.#functions.length };
    const code = this.#code;
    const label = code.label(name);
    code.align(64);
    code.comment(name);
    code.bind(label);
    const labelOf = (callee: FunctionId): Label => this.#check(callee).label;
    emitFunction(f, allocation, code, { labelOf, barrier: () => this.#barrierLabel() });
    this.#functions.push({ id, label, parameters });
    return id;
  }

  /**
   * The code, with a C function `int32_t run(void *memory, int32_t a, int32_t b, int32_t c)` that calls `entry` with as many of
   * a, b, c as it has parameters (at most three). It returns 0, or 1 when the barrier's abort word was set. Nothing can be defined afterwards.
   */
  finish(entry: FunctionId): X64Code {
    const builder = this.#code;
    const { label: target, parameters } = this.#check(entry);
    const { abi } = this.#options;
    const abort = builder.label('abort');
    if (this.#barrier !== undefined) {
      builder.align(64);
      builder.bind(this.#barrier);
      emitBarrier(builder, { abort, abi });
    }
    const start = builder.label('run');
    builder.align(64);
    builder.bind(start);
    emitEntry(builder, { abi, target, parameters, abort });
    const { code, evex, offset, listing } = builder.finish();
    invariant(this.#options.features === 'avx512' || !evex, 'code for AVX2 contains an instruction of AVX-512');
    return { code, entry: offset(start), listing };
  }

  #barrierLabel(): Label {
    this.#barrier ??= this.#code.label('barrier');
    return this.#barrier;
  }

  #check(id: FunctionId): Defined {
    const found = this.#functions[id.index];
    invariant(found?.id === id, () => `function "${id.name}" was not defined by this assembler`);
    return found;
  }
}
