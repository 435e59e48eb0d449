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
  again: Instruction | undefined = undefined;
  /** The spilled register whose value this one holds for one instruction; such a register is not spilled itself. */
  readonly standsFor: Virtual | undefined;

  // Of the allocation that is under way (`allocate.ts`).
  /** From the definition to the last use; -1: not seen. Uses of instruction i are at 2i, definitions at 2i + 1. */
  start = -1;
  end = -1;
  weight = 0;
  /** Lives across a call or barrier. */
  crosses = false;
  /** Moved from this one. */
  hint: Virtual | undefined = undefined;
  /** The hardware register; -1 until there is one. */
  hardware = -1;
  spilled = false;
  /** Where it is while it is spilled; -1 until it needs to be anywhere. */
  slot = -1;

  constructor(id: number, registerClass: RegisterClass, standsFor?: Virtual) {
    this.id = id;
    this.class = registerClass;
    this.standsFor = standsFor;
  }
}

/** `mod` is read and written. */
export type Role = 'use' | 'def' | 'mod';

/** All arguments have these fields: objects of one shape. */
interface Fields {
  /** Of a register or of memory; 0 where the instruction says it. */
  readonly bits: number;
  readonly role: Role;
  /** The displacement of an address, the number of a place in the frame, of a fixed register, of a place in the code. */
  readonly number: number;
  /** Second register of a sum. */
  readonly index: Virtual | undefined;
  /** Write mask. */
  readonly mask: Virtual | undefined;
  /** What is masked becomes zero. */
  readonly zeroing: boolean;
  /** One word of memory in all lanes. */
  readonly broadcast: boolean;
  readonly words: readonly number[] | undefined;
}

export interface RegisterArgument extends Fields {
  readonly kind: 'register';
  readonly register: Virtual;
}

/** `[memory + register + number]`: an element of the program's memory. */
export interface TensorArgument extends Fields {
  readonly kind: 'tensor';
  readonly register: Virtual;
}

/** `register + index + number` as an address, for `lea`. */
export interface SumArgument extends Fields {
  readonly kind: 'sum';
  readonly register: Virtual;
}

/** A constant beside the code. */
export interface PoolArgument extends Fields {
  readonly kind: 'pool';
  readonly words: readonly number[];
}

/** A place in the stack frame: a spilled register, a parameter of this function, or an argument of the next call. */
export interface FrameArgument extends Fields {
  readonly kind: 'slot' | 'incoming' | 'outgoing';
}

/** A fixed register: eax and edx are never allocated. */
export interface FixedArgument extends Fields {
  readonly kind: 'fixed';
}

/** A place in the code. */
export interface Place extends Fields {
  readonly kind: 'place';
}

export type ArgumentObject =
  | RegisterArgument
  | TensorArgument
  | SumArgument
  | PoolArgument
  | FrameArgument
  | FixedArgument
  | Place;

/** A number is an immediate. */
export type Argument = ArgumentObject | number;

function make(
  kind: ArgumentObject['kind'],
  register: Virtual | undefined,
  bits: number,
  role: Role,
  number: number,
  index: Virtual | undefined,
  mask: Virtual | undefined,
  zeroing: boolean,
  broadcast: boolean,
  words: readonly number[] | undefined,
): ArgumentObject {
  return { kind, register, bits, role, number, index, mask, zeroing, broadcast, words } as ArgumentObject;
}

export function registerArgument(register: Virtual, bits: number, role: Role): RegisterArgument {
  return make('register', register, bits, role, 0, undefined, undefined, false, false, undefined) as RegisterArgument;
}

export function tensorArgument(address: Virtual, displacement: number, bits = 0): TensorArgument {
  return make(
    'tensor',
    address,
    bits,
    'use',
    displacement,
    undefined,
    undefined,
    false,
    false,
    undefined,
  ) as TensorArgument;
}

export function sumArgument(base: Virtual, index: Virtual | undefined, displacement: number): SumArgument {
  return make('sum', base, 0, 'use', displacement | 0, index, undefined, false, false, undefined) as SumArgument;
}

export function poolArgument(words: readonly number[], broadcast = false): PoolArgument {
  return make('pool', undefined, 0, 'use', 0, undefined, undefined, false, broadcast, words) as PoolArgument;
}

export function frameArgument(kind: FrameArgument['kind'], number: number, bits = 0): FrameArgument {
  return make(kind, undefined, bits, 'use', number, undefined, undefined, false, false, undefined) as FrameArgument;
}

export function fixedArgument(index: number, bits: GeneralBits): FixedArgument {
  return make('fixed', undefined, bits, 'use', index, undefined, undefined, false, false, undefined) as FixedArgument;
}

export function placeArgument(id: number): Place {
  return make('place', undefined, 0, 'use', id, undefined, undefined, false, false, undefined) as Place;
}

/** The same argument with other registers. */
export function withRegisters(
  arg: ArgumentObject,
  register: Virtual | undefined,
  index: Virtual | undefined,
  mask: Virtual | undefined,
): ArgumentObject {
  return make(arg.kind, register, arg.bits, arg.role, arg.number, index, mask, arg.zeroing, arg.broadcast, arg.words);
}

/** A destination of which only the elements in `mask` are written; with `zeroing` the others become zero. */
export function maskedBy(arg: RegisterArgument | TensorArgument, mask: Virtual, zeroing = false): ArgumentObject {
  const { kind, register, bits, role, number, broadcast } = arg;
  return make(kind, register, bits, role, number, undefined, mask, zeroing, broadcast, undefined);
}

/** One word of memory in all lanes (AVX-512). */
export function broadcastOf(arg: TensorArgument): TensorArgument {
  const { register, bits, role, number, mask } = arg;
  return make('tensor', register, bits, role, number, undefined, mask, false, true, undefined) as TensorArgument;
}

/**
 * A machine instruction, or one of: `loop`/`endLoop` around the instructions that repeat, `bind` a place, `zero` a vector
 * register, `call`, `barrier` (the address in eax, the number of threads in edx).
 */
export interface Instruction {
  readonly name: Mnemonic | 'loop' | 'endLoop' | 'bind' | 'zero' | 'call' | 'barrier';
  readonly args: readonly Argument[];
  readonly callee: FunctionId | undefined;
}

export function instruction(name: Instruction['name'], args: readonly Argument[], callee?: FunctionId): Instruction {
  return { name, args, callee };
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
export function clobbersVectors({ name }: Instruction): boolean {
  return name === 'call' || name === 'barrier';
}

/** Calls `visit` for every register of an instruction: those read first, written last. */
export function visitRegisters({ args }: Instruction, visit: (register: Virtual, role: Role) => void): void {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (typeof arg === 'number') continue;
    const { register, index, mask } = arg as RegisterArgument;
    if (register !== undefined && arg.role === 'use') visit(register, 'use');
    if (index !== undefined) visit(index, 'use');
    if (mask !== undefined) visit(mask, 'use');
  }
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (typeof arg !== 'number' && arg.role !== 'use') visit((arg as RegisterArgument).register, arg.role);
  }
}

/** A register-to-register move, which vanishes when both get the same register. */
export function isMove({ name, args }: Instruction): boolean {
  if (name !== 'mov' && name !== 'vmovaps' && name !== 'kmovw') return false;
  const to = args[0] as RegisterArgument;
  const from = args[1] as RegisterArgument;
  return (
    to.kind === 'register' &&
    to.role === 'def' &&
    to.mask === undefined &&
    from.kind === 'register' &&
    from.register.class === to.register.class
  );
}
