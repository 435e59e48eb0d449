import { invariant } from '../../../tensor/errors.js';
import {
  type Argument,
  clobbersVectors,
  type Instruction,
  isMove,
  type MachineFunction,
  type RegisterArgument,
  type RegisterClass,
  type Role,
  Virtual,
  visitRegisters,
} from './code.js';

/** What a register is worth grows by this factor with every loop around it. */
const LOOP_WEIGHT = 8;

/** Hardware numbers that may be handed out, in order of preference. */
export type RegisterFiles = Readonly<Record<RegisterClass, readonly number[]>>;

export interface Allocation {
  /** The function's code with spills, and the hardware register of every register in it. */
  readonly instructions: readonly Instruction[];
  readonly registers: ReadonlyMap<Virtual, number>;
  /** The register that each spill slot stands for. */
  readonly owners: readonly Virtual[];
  /** General-purpose registers that are written. */
  readonly used: readonly number[];
}

/** From the definition to the last use, extended over every loop that it is alive around; uses of instruction i are at 2i, definitions at 2i + 1. */
interface Interval {
  readonly register: Virtual;
  readonly start: number;
  end: number;
  weight: number;
  /** Lives across a call or barrier. */
  crosses: boolean;
  /** Moved from this one. */
  hint: Interval | undefined;
  /** The hardware register; -1 until there is one. */
  index: number;
}

/**
 * Linear scan (Poletto and Sarkar, "Linear scan register allocation", TOPLAS 1999) that spills the register of least
 * weight. Spilled registers become memory operands or brief registers around each use, and the scan runs again, so no
 * register needs to be kept back for spilling.
 */
export function allocate(f: MachineFunction, files: RegisterFiles): Allocation {
  const slots = new Slots();
  let registers = f.registers;
  const fresh = (spilled: Virtual): Virtual => new Virtual(registers++, spilled.class, spilled);
  let instructions = f.instructions;
  for (let round = 0; ; round++) {
    invariant(round < 50, () => `${f.name}: register allocation does not end`);
    const intervals = liveIntervals(instructions, registers);
    const spilled = scan(intervals, files, f.name);
    if (spilled.size === 0) {
      f.registers = registers;
      const assigned = new Map<Virtual, number>();
      const used = new Set<number>();
      for (const { register, index } of intervals) {
        assigned.set(register, index);
        if (register.class === 'general') used.add(index);
      }
      return { instructions, registers: assigned, owners: slots.owners, used: [...used].sort((a, b) => a - b) };
    }
    instructions = rewrite(instructions, spilled, slots, fresh, f);
  }
}

/** @param registers how many there are. */
function liveIntervals(instructions: readonly Instruction[], registers: number): Interval[] {
  const loopEnds = new Int32Array(instructions.length);
  const loops: number[] = [];
  for (let i = 0; i < instructions.length; i++) {
    const { name } = instructions[i];
    if (name === 'loop') loops.push(i);
    else if (name === 'endLoop') loopEnds[loops.pop() as number] = i;
  }
  const intervals = new Array<Interval | undefined>(registers).fill(undefined);
  const all: Interval[] = [];
  const clobbers: number[] = [];
  let at = 0;
  let weight = 1;
  const visit = (register: Virtual, role: Role): void => {
    let interval = intervals[register.id];
    if (interval === undefined) {
      invariant(role === 'def', () => `register ${register.id} is used before it is defined`);
      interval = { register, start: at + 1, end: at + 1, weight: 0, crosses: false, hint: undefined, index: -1 };
      intervals[register.id] = interval;
      all.push(interval);
    }
    interval.weight += role === 'mod' ? 2 * weight : weight;
    const end = role === 'use' ? at : at + 1;
    if (end > interval.end) interval.end = end;
    for (let j = 0; j < loops.length; j++) {
      const begin = loops[j];
      if (2 * begin > interval.start) {
        interval.end = Math.max(interval.end, 2 * loopEnds[begin]);
        break;
      }
    }
  };
  for (let i = 0; i < instructions.length; i++) {
    const instruction = instructions[i];
    at = 2 * i;
    if (instruction.name === 'loop') loops.push(i);
    else if (instruction.name === 'endLoop') loops.pop();
    else if (clobbersVectors(instruction)) clobbers.push(at);
    weight = LOOP_WEIGHT ** Math.min(loops.length, 8);
    visitRegisters(instruction, visit);
    if (isMove(instruction)) {
      const [to, from] = instruction.args as RegisterArgument[];
      const interval = intervals[to.register.id] as Interval;
      interval.hint ??= intervals[from.register.id];
    }
  }
  if (clobbers.length > 0) {
    for (const interval of all) {
      if (interval.register.class === 'general') continue;
      interval.crosses = clobbers.some((clobber) => interval.start < clobber && clobber < interval.end);
    }
  }
  return all.sort((a, b) => a.start - b.start);
}

/** The registers of one class during the scan. */
class File {
  readonly order: readonly number[];
  readonly free: boolean[] = [];
  freeCount: number;
  readonly active: Interval[] = [];
  /** No active interval ends before. */
  #firstEnd = Number.POSITIVE_INFINITY;

  constructor(order: readonly number[]) {
    this.order = order;
    this.freeCount = order.length;
    for (const index of order) this.free[index] = true;
  }

  /** Takes a free register. */
  take(interval: Interval): void {
    const wanted = interval.hint?.index ?? -1;
    let index = wanted;
    if (wanted < 0 || !this.free[wanted]) {
      let i = 0;
      while (!this.free[this.order[i]]) i++;
      index = this.order[i];
    }
    this.free[index] = false;
    this.freeCount--;
    interval.index = index;
    this.active.push(interval);
    this.#firstEnd = Math.min(this.#firstEnd, interval.end);
  }

  replace(victim: Interval, interval: Interval): void {
    interval.index = victim.index;
    this.active[this.active.indexOf(victim)] = interval;
    this.#firstEnd = Math.min(this.#firstEnd, interval.end);
  }

  /** Takes back the registers of what ended before. */
  expire(start: number): void {
    if (this.#firstEnd >= start) return;
    const { active } = this;
    let first = Number.POSITIVE_INFINITY;
    let kept = 0;
    for (const interval of active) {
      if (interval.end >= start) {
        active[kept++] = interval;
        if (interval.end < first) first = interval.end;
      } else {
        this.free[interval.index] = true;
        this.freeCount++;
      }
    }
    active.length = kept;
    this.#firstEnd = first;
  }
}

/** Gives every interval its {@link Interval.index}, or spills its register. */
function scan(intervals: readonly Interval[], files: RegisterFiles, name: string): Set<Virtual> {
  const spilled = new Set<Virtual>();
  const classes: Readonly<Record<RegisterClass, File>> = {
    general: new File(files.general),
    vector: new File(files.vector),
    mask: new File(files.mask),
  };
  for (const interval of intervals) {
    const { register } = interval;
    if (interval.crosses) {
      spilled.add(register);
      continue;
    }
    const file = classes[register.class];
    file.expire(interval.start);
    if (file.freeCount > 0) {
      file.take(interval);
      continue;
    }
    let victim = interval;
    for (const other of file.active) {
      if (other.register.standsFor) continue;
      if (
        victim.register.standsFor ||
        other.weight < victim.weight ||
        (other.weight === victim.weight && other.end > victim.end)
      ) {
        victim = other;
      }
    }
    invariant(
      victim.register.standsFor === undefined,
      () => `${name}: an instruction needs more ${register.class} registers than there are`,
    );
    spilled.add(victim.register);
    if (victim === interval) continue;
    file.replace(victim, interval);
  }
  return spilled;
}

class Slots {
  readonly owners: Virtual[] = [];
  readonly #of = new Map<Virtual, number>();

  of(register: Virtual): number {
    let slot = this.#of.get(register);
    if (slot === undefined) {
      slot = this.owners.length;
      this.owners.push(register);
      this.#of.set(register, slot);
    }
    return slot;
  }
}

/** Instructions whose last register may as well be memory of its full size; true: or one word in all lanes (AVX-512). */
const FOLDS: ReadonlyMap<string, boolean> = new Map<string, boolean>([
  ...['add', 'sub', 'mul', 'div', 'min', 'max'].map((op): [string, boolean] => [`v${op}ps`, true]),
  ...['vfmadd231ps', 'vsqrtps', 'vcmpps', 'vcvtdq2ps', 'vcvttps2dq', 'vblendmps'].map((op): [string, boolean] => [
    op,
    true,
  ]),
  ...['vpaddd', 'vpsubd', 'vpmulld', 'vpminsd', 'vpmaxsd', 'vpcmpd', 'vpabsd'].map((op): [string, boolean] => [
    op,
    true,
  ]),
  ...['vpand', 'vpor', 'vpxor', 'vpandn'].map((op): [string, boolean] => [op, true]),
  ...['vpcmpeqd', 'vpcmpgtd'].map((op): [string, boolean] => [op, false]),
  ...['add', 'sub', 'mul', 'div', 'min', 'max'].map((op): [string, boolean] => [`v${op}ss`, false]),
  ['vfmadd231ss', false],
  ...['add', 'sub', 'and', 'or', 'xor', 'cmp', 'imul', 'cmovne'].map((op): [string, boolean] => [op, false]),
]);

/** The argument that may become memory: the last register, only read, if nothing else is memory. */
function foldable({ name, args }: Instruction): RegisterArgument | undefined {
  if (!FOLDS.has(name)) return undefined;
  let last: RegisterArgument | undefined;
  for (const arg of args) {
    if (typeof arg === 'number') continue;
    if (arg.kind !== 'register') return undefined;
    last = arg;
  }
  return last?.role === 'use' && (name !== 'cmp' || args.length === 2) ? last : undefined;
}

function rewrite(
  instructions: readonly Instruction[],
  spilled: ReadonlySet<Virtual>,
  slots: Slots,
  fresh: (spilled: Virtual) => Virtual,
  f: MachineFunction,
): Instruction[] {
  const result: Instruction[] = [];
  const memoryOf = (register: Virtual, name: string, bits: number): Argument | undefined => {
    const size = register.class === 'general' ? bits : undefined;
    if (register.again === undefined) return { kind: 'slot', index: slots.of(register), bits: size };
    const [, source] = register.again.args;
    if (typeof source !== 'object') return undefined;
    if (source.kind === 'incoming') return { ...source, bits: size };
    if (source.kind !== 'pool') return undefined;
    if (name.endsWith('ss')) return { kind: 'pool', words: [source.words[0]] };
    if (source.words.length === 1) {
      if (f.avx512 && FOLDS.get(name)) return { ...source, broadcast: true };
      return { kind: 'pool', words: new Array<number>(bits / 32).fill(source.words[0]) };
    }
    return source.words.length * 32 === bits ? source : undefined;
  };
  let touched = false;
  const touch = (register: Virtual): void => {
    touched ||= spilled.has(register);
  };
  for (const instruction of instructions) {
    touched = false;
    visitRegisters(instruction, touch);
    if (!touched) {
      result.push(instruction);
      continue;
    }
    const { name, args } = instruction;
    const [first, second] = args;
    if (typeof first === 'object' && first.kind === 'register' && spilled.has(first.register)) {
      if (first.register.again === instruction) continue; // made again wherever it is used
      // A move to or from memory is one instruction.
      if (isMove(instruction) && !spilled.has((second as RegisterArgument).register)) {
        result.push(save((second as RegisterArgument).register, slots.of(first.register), f));
        continue;
      }
    }
    if (isMove(instruction) && spilled.has((second as RegisterArgument).register)) {
      const to = first as RegisterArgument;
      const from = (second as RegisterArgument).register;
      if (!spilled.has(to.register)) {
        result.push(restore(from, to.register, slots, f));
        continue;
      }
    }
    const folded = foldable(instruction);
    const memory =
      folded !== undefined && spilled.has(folded.register) ? memoryOf(folded.register, name, folded.bits) : undefined;
    const brief = new Map<Virtual, Virtual>();
    const roles = new Map<Virtual, { read: boolean; written: boolean }>();
    const renamed = (register: Virtual): Virtual => {
      if (!spilled.has(register)) return register;
      let stand = brief.get(register);
      if (stand === undefined) {
        stand = fresh(register);
        brief.set(register, stand);
        roles.set(register, { read: false, written: false });
      }
      return stand;
    };
    const note = (register: Virtual, read: boolean, written: boolean): void => {
      const role = roles.get(register);
      if (role === undefined) return;
      role.read ||= read;
      role.written ||= written;
    };
    const newArgs = args.map((arg): Argument => {
      if (typeof arg === 'number') return arg;
      if (memory !== undefined && arg === folded) return memory;
      if (arg.kind === 'tensor') {
        const address = renamed(arg.address);
        note(arg.address, true, false);
        const mask = arg.mask && renamed(arg.mask);
        if (arg.mask) note(arg.mask, true, false);
        return { ...arg, address, mask };
      }
      if (arg.kind === 'sum') {
        const base = renamed(arg.base);
        note(arg.base, true, false);
        const index = arg.index && renamed(arg.index);
        if (arg.index) note(arg.index, true, false);
        return { ...arg, base, index };
      }
      if (arg.kind !== 'register') return arg;
      const register = renamed(arg.register);
      note(arg.register, arg.role !== 'def', arg.role !== 'use');
      const mask = arg.mask && renamed(arg.mask);
      if (arg.mask) note(arg.mask, true, false);
      return { ...arg, register, mask };
    });
    for (const [register, stand] of brief) {
      if (roles.get(register)?.read) result.push(restore(register, stand, slots, f));
    }
    result.push({ ...instruction, args: newArgs });
    for (const [register, stand] of brief) {
      if (roles.get(register)?.written) result.push(save(stand, slots.of(register), f));
    }
  }
  return result;
}

function save(register: Virtual, slot: number, f: MachineFunction): Instruction {
  const from: RegisterArgument = { kind: 'register', register, bits: sizeIn(f, register.class), role: 'use' };
  return {
    name: moveOf(register.class),
    args: [{ kind: 'slot', index: slot }, from],
  };
}

function restore(register: Virtual, to: Virtual, slots: Slots, f: MachineFunction): Instruction {
  const target: RegisterArgument = { kind: 'register', register: to, bits: sizeIn(f, to.class), role: 'def' };
  if (register.again !== undefined) {
    const [old, ...rest] = register.again.args;
    return { ...register.again, args: [{ ...(old as RegisterArgument), register: to }, ...rest] };
  }
  return {
    name: moveOf(to.class),
    args: [target, { kind: 'slot', index: slots.of(register) }],
  };
}

function moveOf(registerClass: RegisterClass): 'mov' | 'vmovups' | 'kmovw' {
  return registerClass === 'general' ? 'mov' : registerClass === 'vector' ? 'vmovups' : 'kmovw';
}

function sizeIn(f: MachineFunction, registerClass: RegisterClass): RegisterArgument['bits'] {
  return registerClass === 'general' ? 64 : registerClass === 'vector' ? f.vectorBits : 16;
}
