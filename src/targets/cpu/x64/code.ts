import type { FunctionId } from '../machine.js';
import type { Mnemonic } from './builder.js';
import type { GeneralBits, VectorBits } from './operands.js';

/** Which register file: general-purpose, xmm/ymm/zmm, or k. */
export type RegisterClass = 'general' | 'vector' | 'mask';

/** A register before allocation. */
export class Virtual {
  readonly id: number;
  readonly class: RegisterClass;
  /** The instruction that makes the value again from nothing, for constants and parameters; it defines this register only. */
  again: Instruction | undefined;
  /** The spilled register whose value this one holds for one instruction; such a register is not spilled itself. */
  readonly standsFor: Virtual | undefined;

  constructor(id: number, registerClass: RegisterClass, standsFor?: Virtual) {
    this.id = id;
    this.class = registerClass;
    this.standsFor = standsFor;
  }
}

/** `mod` is read and written. */
export type Role = 'use' | 'def' | 'mod';

export interface RegisterArgument {
  readonly kind: 'register';
  readonly register: Virtual;
  readonly bits: GeneralBits | VectorBits;
  readonly role: Role;
  /** Write mask of a destination. */
  readonly mask?: Virtual;
  readonly zeroing?: boolean;
}

/** `[memory + address + displacement]`: an element of the program's memory. */
export interface TensorArgument {
  readonly kind: 'tensor';
  readonly address: Virtual;
  readonly displacement: number;
  readonly bits?: number;
  readonly broadcast?: boolean;
  readonly mask?: Virtual;
}

/** `base + index + displacement` as an address, for `lea`. */
export interface SumArgument {
  readonly kind: 'sum';
  readonly base: Virtual;
  readonly index?: Virtual;
  readonly displacement: number;
}

/** A constant beside the code; with `broadcast`, one word for all lanes. */
export interface PoolArgument {
  readonly kind: 'pool';
  readonly words: readonly number[];
  readonly broadcast?: boolean;
}

/** A place in the stack frame: a spilled register, a parameter of this function, or an argument of the next call. */
export interface FrameArgument {
  readonly kind: 'slot' | 'incoming' | 'outgoing';
  readonly index: number;
  readonly bits?: number;
}

/** A fixed register: eax and edx are never allocated. */
export interface FixedArgument {
  readonly kind: 'fixed';
  readonly index: number;
  readonly bits: GeneralBits;
}

export interface Place {
  readonly kind: 'place';
  readonly id: number;
}

export type Argument =
  | RegisterArgument
  | TensorArgument
  | SumArgument
  | PoolArgument
  | FrameArgument
  | FixedArgument
  | Place
  | number;

/**
 * A machine instruction, or one of: `loop`/`endLoop` around the instructions that repeat, `bind` a place, `zero` a vector
 * register, `call`, `barrier` (address, generation, threads).
 */
export interface Instruction {
  readonly name: Mnemonic | 'loop' | 'endLoop' | 'bind' | 'zero' | 'call' | 'barrier';
  readonly args: readonly Argument[];
  readonly callee?: FunctionId;
}

/** One function in machine instructions. */
export interface MachineFunction {
  readonly name: string;
  readonly parameters: number;
  instructions: Instruction[];
  /** Number of virtual registers so far. */
  registers: number;
  /** Bits of the vectors in this function, the size of a spilled one. */
  readonly vectorBits: VectorBits;
  readonly avx512: boolean;
}

/** Vectors and masks do not survive these; general-purpose registers do. */
export function clobbersVectors(instruction: Instruction): boolean {
  return instruction.name === 'call' || instruction.name === 'barrier';
}

/** Calls `visit` for every register of an instruction: those read first, written last. */
export function visitRegisters(instruction: Instruction, visit: (register: Virtual, role: Role) => void): void {
  for (const arg of instruction.args) {
    if (typeof arg === 'number') continue;
    if (arg.kind === 'tensor') {
      visit(arg.address, 'use');
      if (arg.mask) visit(arg.mask, 'use');
    } else if (arg.kind === 'sum') {
      visit(arg.base, 'use');
      if (arg.index) visit(arg.index, 'use');
    } else if (arg.kind === 'register') {
      if (arg.mask) visit(arg.mask, 'use');
      if (arg.role === 'use') visit(arg.register, 'use');
    }
  }
  for (const arg of instruction.args) {
    if (typeof arg !== 'number' && arg.kind === 'register' && arg.role !== 'use') visit(arg.register, arg.role);
  }
}

/** Register-to-register moves, which vanish when both get the same register. */
export const MOVES: ReadonlySet<string> = new Set(['mov', 'vmovaps', 'kmovw']);

export function isMove({ name, args: [to, from] }: Instruction): boolean {
  return (
    MOVES.has(name) &&
    typeof to === 'object' &&
    to.kind === 'register' &&
    to.role === 'def' &&
    to.mask === undefined &&
    typeof from === 'object' &&
    from.kind === 'register' &&
    from.register.class === to.register.class
  );
}
