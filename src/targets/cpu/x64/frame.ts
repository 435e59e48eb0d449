import { invariant } from '../../../tensor/errors.js';
import type { FunctionId } from '../machine.js';
import type { Allocation } from './allocate.js';
import { emitBarrier } from './barrier.js';
import type { CodeBuilder, Mnemonic } from './builder.js';
import {
  type Argument,
  clobbersVectors,
  type Instruction,
  isMove,
  type MachineFunction,
  type Virtual,
} from './code.js';
import {
  broadcast,
  k,
  type Label,
  type Memory,
  masked,
  memory,
  type Operand,
  r8,
  r16,
  r32,
  r64,
  rbx,
  rsp,
  sized,
  type VectorBits,
  vector,
  zeroed,
} from './operands.js';

/** Frames are multiples of a cache line, so that spilled vectors never straddle two. */
const LINE = 64;
const PAGE = 4096;

export interface FunctionContext {
  readonly labelOf: (callee: FunctionId) => Label;
  readonly abort: Label;
  readonly abi: 'sysv' | 'win64';
}

/**
 * Writes an allocated function. The frame, from the stack pointer up: arguments of calls, spilled registers, the caller's
 * registers, the return address, this function's parameters (8 bytes each).
 */
export function emitFunction(
  f: MachineFunction,
  allocation: Allocation,
  code: CodeBuilder,
  context: FunctionContext,
): void {
  const { instructions, registers, owners, used } = allocation;
  const outgoing = instructions.reduce(
    (most, { args }) =>
      args.reduce<number>(
        (m, arg) => (typeof arg === 'object' && arg.kind === 'outgoing' ? Math.max(m, arg.index + 1) : m),
        most,
      ),
    0,
  );
  const vectorBytes = f.vectorBits / 8;
  let at = Math.ceil((8 * outgoing) / LINE) * LINE;
  const place: number[] = [];
  owners.forEach((own, i) => {
    if (own.class !== 'vector') return;
    place[i] = at;
    at += vectorBytes;
  });
  owners.forEach((own, i) => {
    if (own.class === 'vector') return;
    place[i] = at;
    at += 8;
  });
  const saved = 8 * (used.length + 1);
  const calls = instructions.some(clobbersVectors);
  const size = at === 0 && !calls ? 0 : Math.ceil((at + saved) / LINE) * LINE - saved;

  const labels = new Map<number, Label>();
  const labelOf = (id: number): Label => {
    let label = labels.get(id);
    if (label === undefined) {
      label = code.label();
      labels.set(id, label);
    }
    return label;
  };
  const index = (register: Virtual): number => {
    const number = registers.get(register);
    invariant(number !== undefined, () => `${f.name}: register ${register.id} was not allocated`);
    return number;
  };
  const withBits = (operand: Memory, bits: number | undefined): Memory =>
    bits === undefined ? operand : sized(operand, bits);
  const operand = (arg: Argument): Operand => {
    if (typeof arg === 'number') return arg;
    switch (arg.kind) {
      case 'register': {
        const number = index(arg.register);
        if (arg.register.class === 'general') return general(number, arg.bits);
        if (arg.register.class === 'mask') return k(number);
        const plain = vector(number, arg.bits as VectorBits);
        if (arg.mask === undefined) return plain;
        return arg.zeroing ? zeroed(plain, k(index(arg.mask))) : masked(plain, k(index(arg.mask)));
      }
      case 'tensor': {
        let result = memory(rbx, arg.displacement, r64(index(arg.address)));
        if (arg.broadcast) result = broadcast(result);
        if (arg.mask) result = masked(result, k(index(arg.mask)));
        return withBits(result, arg.bits);
      }
      case 'sum':
        return memory(r64(index(arg.base)), arg.displacement, arg.index && r64(index(arg.index)));
      case 'pool': {
        const result = memory(code.constantI32(padded(arg.words)));
        return arg.broadcast ? broadcast(result) : result;
      }
      case 'slot':
        return withBits(memory(rsp, place[arg.index]), arg.bits);
      case 'incoming':
        return withBits(memory(rsp, size + saved + 8 * arg.index), arg.bits);
      case 'outgoing':
        return withBits(memory(rsp, 8 * arg.index), arg.bits);
      case 'fixed':
        return general(arg.index, arg.bits);
      case 'place':
        return labelOf(arg.id);
    }
  };

  for (const register of used) code.emit('push', r64(register));
  // Windows extends the stack a page at a time, by whoever touches the next one.
  for (let at = PAGE; at < size; at += PAGE) code.emit('test', memory(rsp, -at), r32(0));
  if (size > 0) code.emit('sub', rsp, size);
  for (const instruction of instructions) {
    const { name, args } = instruction;
    switch (name) {
      case 'loop':
        code.align(32);
        break;
      case 'endLoop':
        break;
      case 'bind':
        code.bind(operand(args[0]) as Label);
        break;
      case 'zero':
        zero(code, operand(args[0]));
        break;
      case 'call':
        code.emit('call', context.labelOf(instruction.callee as FunctionId));
        break;
      case 'barrier': {
        const [address, threads, generation, pointer] = args.map((arg) =>
          index((arg as { readonly register: Virtual }).register),
        );
        emitBarrier(code, { address, threads, generation, pointer }, context);
        break;
      }
      default: {
        if (vanishes(instruction, registers)) break;
        code.emit(name as Mnemonic, ...args.map(operand));
      }
    }
  }
  if (size > 0) code.emit('add', rsp, size);
  for (const register of [...used].reverse()) code.emit('pop', r64(register));
  code.emit('ret');
}

function general(index: number, bits: number): Operand {
  return bits === 64 ? r64(index) : bits === 8 ? r8(index) : bits === 16 ? r16(index) : r32(index);
}

/** A move from a register to itself. */
function vanishes(instruction: Instruction, registers: ReadonlyMap<Virtual, number>): boolean {
  if (!isMove(instruction)) return false;
  const [to, from] = instruction.args as readonly { readonly register: Virtual }[];
  return registers.get(to.register) === registers.get(from.register);
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
