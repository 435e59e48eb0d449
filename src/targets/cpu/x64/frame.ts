import { invariant } from '../../../tensor/errors.js';
import type { FunctionId } from '../machine.js';
import type { Allocation } from './allocate.js';
import type { CodeBuilder } from './builder.js';
import {
  type Argument,
  clobbersVectors,
  type Instruction,
  isMove,
  type MachineFunction,
  type RegisterArgument,
} from './code.js';
import {
  broadcast,
  type GeneralBits,
  general,
  k,
  type Label,
  masked,
  memory,
  type Operand,
  plainMemory,
  r32,
  r64,
  rbx,
  rsp,
  type VectorBits,
  vector,
  zeroed,
} from './operands.js';

/** Frames are multiples of a cache line, so that spilled vectors never straddle two. */
const LINE = 64;
const PAGE = 4096;

export interface FunctionContext {
  readonly labelOf: (callee: FunctionId) => Label;
  /** Of `emitBarrier`'s function. */
  readonly barrier: () => Label;
}

/**
 * Writes an allocated function. The frame, from the stack pointer up: arguments of calls, spilled registers, the caller's
 * registers, the return address, this function's parameters (8 bytes each).
 */
export function emitFunction(
  f: MachineFunction,
  { instructions, owners, used }: Allocation,
  code: CodeBuilder,
  context: FunctionContext,
): void {
  let outgoing = 0;
  let calls = false;
  for (let i = 0; i < instructions.length; i++) {
    const { args } = instructions[i];
    const first = args[0];
    // They are only written.
    if (typeof first === 'object' && first.kind === 'outgoing') outgoing = Math.max(outgoing, first.number + 1);
    calls ||= clobbersVectors(instructions[i]);
  }
  const vectorBytes = f.vectorBits / 8;
  let at = Math.ceil((8 * outgoing) / LINE) * LINE;
  const places: number[] = [];
  owners.forEach((own, i) => {
    if (own.class !== 'vector') return;
    places[i] = at;
    at += vectorBytes;
  });
  owners.forEach((own, i) => {
    if (own.class === 'vector') return;
    places[i] = at;
    at += 8;
  });
  const saved = 8 * (used.length + 1);
  const size = at === 0 && !calls ? 0 : Math.ceil((at + saved) / LINE) * LINE - saved;
  const operands = new Operands(code, places, size + saved);

  for (const register of used) code.emit('push', r64(register));
  // Windows extends the stack a page at a time, by whoever touches the next one.
  for (let at = PAGE; at < size; at += PAGE) code.emit('test', memory(rsp, -at), r32(0));
  if (size > 0) code.emit('sub', rsp, size);
  for (let i = 0; i < instructions.length; i++) {
    const instruction = instructions[i];
    const { name, args } = instruction;
    switch (name) {
      case 'loop':
        code.align(32);
        break;
      case 'endLoop':
        break;
      case 'bind':
        code.bind(operands.of(args[0]) as Label);
        break;
      case 'zero':
        zero(code, operands.of(args[0]));
        break;
      case 'call':
        code.emit('call', context.labelOf(instruction.callee as FunctionId));
        break;
      case 'barrier':
        code.emit('call', context.barrier());
        break;
      default: {
        if (vanishes(instruction)) break;
        const list: Operand[] = [];
        for (let j = 0; j < args.length; j++) list.push(operands.of(args[j]));
        code.emitAll(name, list);
      }
    }
  }
  if (size > 0) code.emit('add', rsp, size);
  for (const register of [...used].reverse()) code.emit('pop', r64(register));
  code.emit('ret');
}

/** Arguments of allocated instructions as operands. */
class Operands {
  readonly #code: CodeBuilder;
  /** Of the slots, from the stack pointer. */
  readonly #places: readonly number[];
  /** Bytes from the stack pointer to this function's parameters. */
  readonly #parameters: number;
  readonly #labels: Label[] = [];

  constructor(code: CodeBuilder, places: readonly number[], parameters: number) {
    this.#code = code;
    this.#places = places;
    this.#parameters = parameters;
  }

  of(arg: Argument): Operand {
    if (typeof arg === 'number') return arg;
    const { bits, number } = arg;
    switch (arg.kind) {
      case 'register': {
        const { register, mask } = arg;
        const index = register.hardware;
        if (register.class === 'general') return general(bits as GeneralBits, index);
        if (register.class === 'mask') return k(index);
        const plain = vector(index, bits as VectorBits);
        if (mask === undefined) return plain;
        return arg.zeroing ? zeroed(plain, k(mask.hardware)) : masked(plain, k(mask.hardware));
      }
      case 'tensor': {
        const mask = arg.mask?.hardware;
        return plainMemory(rbx, r64(arg.register.hardware), number, bits || undefined, arg.broadcast, mask);
      }
      case 'sum':
        return plainMemory(r64(arg.register.hardware), arg.index && r64(arg.index.hardware), number);
      case 'pool': {
        const { words } = arg;
        const label = words.length === 1 ? this.#code.constantWord(words[0]) : this.#code.constantI32(padded(words));
        const result = memory(label);
        return arg.broadcast ? broadcast(result) : result;
      }
      case 'slot':
        return plainMemory(rsp, undefined, this.#places[number], bits || undefined);
      case 'incoming':
        return plainMemory(rsp, undefined, this.#parameters + 8 * number, bits || undefined);
      case 'outgoing':
        return plainMemory(rsp, undefined, 8 * number, bits || undefined);
      case 'fixed':
        return general(bits as GeneralBits, number);
      case 'place':
        this.#labels[number] ??= this.#code.label();
        return this.#labels[number];
    }
  }
}

/** A move from a register to itself. */
function vanishes(instruction: Instruction): boolean {
  if (!isMove(instruction)) return false;
  const { args } = instruction;
  return (args[0] as RegisterArgument).register.hardware === (args[1] as RegisterArgument).register.hardware;
}

function zero(code: CodeBuilder, target: Operand): void {
  invariant(typeof target === 'object' && target.kind === 'vector', 'zero: expects a vector register');
  // A write to xmm clears the rest of the register.
  const low = vector(target.index, 128);
  code.emit('vpxor', low, low, low);
}

/** The pool holds sizes that are powers of two. */
function padded(words: readonly number[]): readonly number[] {
  const size = 2 ** Math.ceil(Math.log2(words.length));
  return size === words.length ? words : [...words, ...new Array<number>(size - words.length).fill(0)];
}
