import type { FunctionId, RegisterKind } from '../machine.js';
import {
  type Argument,
  type FixedArgument,
  fixedArgument,
  type Instruction,
  instruction,
  type MachineFunction,
  type Place,
  type PoolArgument,
  placeArgument,
  poolArgument,
  type RegisterArgument,
  type RegisterClass,
  registerArgument,
  Virtual,
} from './code.js';
import type { VectorBits } from './operands.js';

export const EAX: FixedArgument = fixedArgument(0, 32);
export const EDX: FixedArgument = fixedArgument(2, 32);
export const RAX: FixedArgument = fixedArgument(0, 64);
export const RDX: FixedArgument = fixedArgument(2, 64);

export function use(register: Virtual, bits = 32): RegisterArgument {
  return registerArgument(register, bits, 'use');
}

export function def(register: Virtual, bits = 32): RegisterArgument {
  return registerArgument(register, bits, 'def');
}

export function mod(register: Virtual, bits = 32): RegisterArgument {
  return registerArgument(register, bits, 'mod');
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
    if (this.#first.length > 0) this.instructions = [...this.#first, ...this.instructions];
    return this;
  }

  emit(name: Instruction['name'], ...args: readonly Argument[]): void {
    this.instructions.push(instruction(name, args));
  }

  call(callee: FunctionId): void {
    this.instructions.push(instruction('call', [], callee));
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
    return placeArgument(this.#places++);
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
    if (bits === 32) return poolArgument([word]);
    if (this.avx512) return poolArgument([word], true);
    return poolArgument(new Array<number>(bits / 32).fill(word));
  }

  /** A vector register with one 32-bit word in all lanes. */
  constant(word: number, bits: VectorBits): Virtual {
    return this.#constant(`${word}/${bits}`, 'vector', (target) =>
      instruction('vbroadcastss', [def(target, bits), poolArgument([word])]),
    );
  }

  /** A vector register with these 32-bit words. */
  words(words: readonly number[]): Virtual {
    const bits = (words.length * 32) as VectorBits;
    return this.#constant(`${words}`, 'vector', (target) =>
      instruction('vmovups', [def(target, bits), poolArgument(words)]),
    );
  }

  /** A mask register whose first `count` lanes are set (AVX-512). */
  firstLanes(count: number): Virtual {
    return this.#constant(`k${count}`, 'mask', (target) =>
      instruction('kmovw', [def(target, 16), poolArgument([2 ** count - 1])]),
    );
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
    const made = make(target);
    target.again = made;
    if (hoist) {
      this.#constants.set(key, target);
      this.#first.push(made);
    } else {
      this.instructions.push(made);
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
