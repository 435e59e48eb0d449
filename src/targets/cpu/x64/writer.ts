import type { RegisterKind } from '../machine.js';
import {
  type Argument,
  type FixedArgument,
  type Instruction,
  type MachineFunction,
  type Place,
  type PoolArgument,
  type RegisterArgument,
  type RegisterClass,
  Virtual,
} from './code.js';
import type { VectorBits } from './operands.js';

export const EAX: FixedArgument = { kind: 'fixed', index: 0, bits: 32 };
export const EDX: FixedArgument = { kind: 'fixed', index: 2, bits: 32 };
export const RAX: FixedArgument = { ...EAX, bits: 64 };
export const RDX: FixedArgument = { ...EDX, bits: 64 };

export function use(register: Virtual, bits: RegisterArgument['bits'] = 32): RegisterArgument {
  return { kind: 'register', register, bits, role: 'use' };
}

export function def(register: Virtual, bits: RegisterArgument['bits'] = 32): RegisterArgument {
  return { kind: 'register', register, bits, role: 'def' };
}

export function mod(register: Virtual, bits: RegisterArgument['bits'] = 32): RegisterArgument {
  return { kind: 'register', register, bits, role: 'mod' };
}

/** Writes machine instructions over virtual registers. Constants used in loops are made once, before everything else. */
export class Writer implements MachineFunction {
  readonly name: string;
  readonly parameters: number;
  readonly vectorBits: VectorBits;
  readonly avx512: boolean;
  instructions: Instruction[] = [];
  registers = 0;
  /** Loops around the instruction being written. */
  depth = 0;
  readonly #constants = new Map<string, Virtual>();
  readonly #first: Instruction[] = [];
  #places = 0;

  constructor(name: string, parameters: number, vectorBits: VectorBits, avx512: boolean) {
    this.name = name;
    this.parameters = parameters;
    this.vectorBits = vectorBits;
    this.avx512 = avx512;
  }

  finish(): MachineFunction {
    this.instructions.unshift(...this.#first);
    return this;
  }

  emit(name: Instruction['name'], ...args: readonly Argument[]): void {
    this.instructions.push({ name, args });
  }

  fresh(registerClass: RegisterClass): Virtual {
    return new Virtual(this.registers++, registerClass);
  }

  general(): Virtual {
    return this.fresh('general');
  }

  vector(): Virtual {
    return this.fresh('vector');
  }

  place(): Place {
    return { kind: 'place', id: this.#places++ };
  }

  bind(place: Place): void {
    this.emit('bind', place);
  }

  classOf({ kind, wide }: { readonly kind: RegisterKind; readonly wide: boolean }): RegisterClass {
    if (kind === 'mask') return wide ? (this.avx512 ? 'mask' : 'vector') : 'general';
    return wide || kind === 'f32' ? 'vector' : 'general';
  }

  /** to = from, for registers of one class; nothing if they are the same. */
  move(to: Virtual, from: Virtual): void {
    if (to === from) return;
    if (to.class === 'general') this.emit('mov', def(to), use(from));
    else if (to.class === 'mask') this.emit('kmovw', def(to, 16), use(from, 16));
    else this.emit('vmovaps', def(to, this.vectorBits), use(from, this.vectorBits));
  }

  /** A constant of all lanes in memory, as the last operand of a packed instruction (or, with `bits` 32, of a scalar one). */
  pool(word: number, bits: VectorBits | 32): PoolArgument {
    if (bits === 32) return { kind: 'pool', words: [word] };
    if (this.avx512) return { kind: 'pool', words: [word], broadcast: true };
    return { kind: 'pool', words: new Array<number>(bits / 32).fill(word) };
  }

  /** A vector register with one 32-bit word in all lanes. */
  constant(word: number, bits: VectorBits): Virtual {
    return this.#constant(`${word}/${bits}`, 'vector', (target) => ({
      name: 'vbroadcastss',
      args: [def(target, bits), { kind: 'pool', words: [word] }],
    }));
  }

  /** A vector register with these 32-bit words. */
  words(words: readonly number[]): Virtual {
    const bits = (words.length * 32) as VectorBits;
    return this.#constant(`${words}`, 'vector', (target) => ({
      name: 'vmovups',
      args: [def(target, bits), { kind: 'pool', words }],
    }));
  }

  /** A mask register whose first `count` lanes are set (AVX-512). */
  firstLanes(count: number): Virtual {
    return this.#constant(`k${count}`, 'mask', (target) => ({
      name: 'kmovw',
      args: [def(target, 16), { kind: 'pool', words: [2 ** count - 1] }],
    }));
  }

  integer(value: number): Virtual {
    const target = this.general();
    this.emit('mov', def(target), value);
    return target;
  }

  #constant(key: string, registerClass: RegisterClass, make: (target: Virtual) => Instruction): Virtual {
    const hoist = this.depth > 0;
    const known = hoist ? this.#constants.get(key) : undefined;
    if (known !== undefined) return known;
    const target = this.fresh(registerClass);
    const instruction = make(target);
    target.again = instruction;
    if (hoist) {
      this.#constants.set(key, target);
      this.#first.push(instruction);
    } else {
      this.instructions.push(instruction);
    }
    return target;
  }
}

const floats = new Float32Array(1);
const words = new Int32Array(floats.buffer);

/** The 32 bits of an f32. */
export function bitsOfFloat(value: number): number {
  floats[0] = value;
  return words[0];
}
