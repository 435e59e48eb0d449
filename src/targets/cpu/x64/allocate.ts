import { bug, invariant } from '../../../tensor/errors.js';
import {
  type Argument,
  type ArgumentObject,
  clobbersVectors,
  frameArgument,
  type Instruction,
  instruction,
  isMove,
  type MachineFunction,
  poolArgument,
  type RegisterArgument,
  type RegisterClass,
  registerArgument,
  Virtual,
  withRegisters,
} from './code.js';

/** What a register is worth grows by this factor with every loop around it. */
const LOOP_WEIGHT = 8;

/** Hardware numbers that may be handed out, in order of preference. */
export type RegisterFiles = Readonly<Record<RegisterClass, readonly number[]>>;

export interface Allocation {
  /** The function's code with spills; every register in it has its {@link Virtual.hardware}. */
  readonly instructions: readonly Instruction[];
  /** The registers in it. */
  readonly registers: readonly Virtual[];
  /** The register that each spill slot stands for. */
  readonly owners: readonly Virtual[];
  /** General-purpose registers that are written. */
  readonly used: readonly number[];
}

/**
 * Linear scan (Poletto and Sarkar, "Linear scan register allocation", TOPLAS 1999) that spills the register of least
 * weight. Spilled registers become memory operands or brief registers around each use, and the scan runs again, so no
 * register needs to be kept back for spilling.
 */
export function allocate(f: MachineFunction, files: RegisterFiles): Allocation {
  const spills = new Spills(f);
  let instructions = f.instructions;
  let registers: readonly Virtual[] = [];
  for (let round = 0; ; round++) {
    invariant(round < 50, () => `${f.name}: register allocation does not end`);
    for (let i = 0; i < registers.length; i++) registers[i].start = -1;
    registers = liveRegisters(instructions);
    if (!scan(registers, files, f.name)) {
      const used = new Set<number>();
      for (const register of registers) if (register.class === 'general') used.add(register.hardware);
      return { instructions, registers, owners: spills.owners, used: [...used].sort((a, b) => a - b) };
    }
    instructions = spills.rewrite(instructions);
  }
}

/** All registers in the order of their definitions, with the interval in which they live: extended over every loop that they are alive around. */
function liveRegisters(instructions: readonly Instruction[]): Virtual[] {
  const loopEnds = new Int32Array(instructions.length);
  const loops: number[] = [];
  for (let i = 0; i < instructions.length; i++) {
    const { name } = instructions[i];
    if (name === 'loop') loops.push(i);
    else if (name === 'endLoop') loopEnds[loops.pop() as number] = i;
  }
  const all: Virtual[] = [];
  const clobbers: number[] = [];
  let weight = 1;
  const visit = (register: Virtual, role: RegisterArgument['role'], at: number): void => {
    if (register.start < 0) {
      if (role !== 'def') throw bug(`register ${register.id} is used before it is defined`);
      register.start = at + 1;
      register.end = at + 1;
      register.weight = 0;
      register.crosses = false;
      register.hint = undefined;
      register.hardware = -1;
      register.spilled = false;
      all.push(register);
    }
    register.weight += role === 'mod' ? 2 * weight : weight;
    const end = role === 'use' ? at : at + 1;
    if (end > register.end) register.end = end;
    for (let j = 0; j < loops.length; j++) {
      const begin = loops[j];
      if (2 * begin > register.start) {
        const last = 2 * loopEnds[begin];
        if (last > register.end) register.end = last;
        break;
      }
    }
  };
  for (let i = 0; i < instructions.length; i++) {
    const one = instructions[i];
    const { name, args } = one;
    const at = 2 * i;
    if (name === 'loop' || name === 'endLoop') {
      if (name === 'loop') loops.push(i);
      else loops.pop();
      weight = LOOP_WEIGHT ** Math.min(loops.length, 8);
      continue;
    }
    if (clobbersVectors(one)) clobbers.push(at);
    let written = false;
    for (let j = 0; j < args.length; j++) {
      const arg = args[j];
      if (typeof arg === 'number') continue;
      const { register, index, mask, role } = arg as RegisterArgument;
      if (register !== undefined) {
        if (role === 'use') visit(register, 'use', at);
        else written = true;
      }
      if (index !== undefined) visit(index, 'use', at);
      if (mask !== undefined) visit(mask, 'use', at);
    }
    if (!written) continue;
    for (let j = 0; j < args.length; j++) {
      const arg = args[j];
      if (typeof arg !== 'number' && arg.role !== 'use') visit((arg as RegisterArgument).register, arg.role, at);
    }
    if (isMove(one)) {
      const to = (args[0] as RegisterArgument).register;
      to.hint ??= (args[1] as RegisterArgument).register;
    }
  }
  if (clobbers.length > 0) {
    for (const register of all) {
      if (register.class === 'general') continue;
      register.crosses = clobbers.some((clobber) => register.start < clobber && clobber < register.end);
    }
  }
  return all;
}

/** The registers of one class during the scan. */
class File {
  readonly order: readonly number[];
  readonly free: boolean[] = [];
  freeCount: number;
  readonly active: Virtual[] = [];
  /** Nothing active ends before. */
  #firstEnd = Number.POSITIVE_INFINITY;

  constructor(order: readonly number[]) {
    this.order = order;
    this.freeCount = order.length;
    for (let i = 0; i < 32; i++) this.free.push(false);
    for (const index of order) this.free[index] = true;
  }

  /** Takes a free register. */
  take(register: Virtual): void {
    const wanted = register.hint === undefined ? -1 : register.hint.hardware;
    let index = wanted;
    if (wanted < 0 || !this.free[wanted]) {
      let i = 0;
      while (!this.free[this.order[i]]) i++;
      index = this.order[i];
    }
    this.free[index] = false;
    this.freeCount--;
    register.hardware = index;
    this.active.push(register);
    if (register.end < this.#firstEnd) this.#firstEnd = register.end;
  }

  replace(victim: Virtual, register: Virtual): void {
    register.hardware = victim.hardware;
    this.active[this.active.indexOf(victim)] = register;
    if (register.end < this.#firstEnd) this.#firstEnd = register.end;
  }

  /** Takes back the registers of what ended before. */
  expire(start: number): void {
    if (this.#firstEnd >= start) return;
    const { active } = this;
    let first = Number.POSITIVE_INFINITY;
    let kept = 0;
    for (let i = 0; i < active.length; i++) {
      const register = active[i];
      if (register.end >= start) {
        active[kept++] = register;
        if (register.end < first) first = register.end;
      } else {
        this.free[register.hardware] = true;
        this.freeCount++;
      }
    }
    active.length = kept;
    this.#firstEnd = first;
  }
}

/** Gives every register its {@link Virtual.hardware}, or marks it as spilled. Whether any is. */
function scan(registers: readonly Virtual[], files: RegisterFiles, name: string): boolean {
  let spilled = false;
  const general = new File(files.general);
  const vector = new File(files.vector);
  const mask = new File(files.mask);
  for (let i = 0; i < registers.length; i++) {
    const register = registers[i];
    if (register.crosses) {
      register.spilled = true;
      spilled = true;
      continue;
    }
    const file = register.class === 'general' ? general : register.class === 'vector' ? vector : mask;
    file.expire(register.start);
    if (file.freeCount > 0) {
      file.take(register);
      continue;
    }
    let victim = register;
    const { active } = file;
    for (let j = 0; j < active.length; j++) {
      const other = active[j];
      if (other.standsFor) continue;
      if (
        victim.standsFor ||
        other.weight < victim.weight ||
        (other.weight === victim.weight && other.end > victim.end)
      ) {
        victim = other;
      }
    }
    if (victim.standsFor !== undefined) {
      throw bug(`${name}: an instruction needs more ${register.class} registers than there are`);
    }
    victim.spilled = true;
    spilled = true;
    if (victim !== register) file.replace(victim, register);
  }
  return spilled;
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

/** Which argument may become memory: the last register, only read, if nothing else is memory; -1: none. */
function foldable({ name, args }: Instruction): number {
  if (!FOLDS.has(name)) return -1;
  let last = -1;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (typeof arg === 'number') continue;
    if (arg.kind !== 'register') return -1;
    last = i;
  }
  if (last < 0 || (args[last] as RegisterArgument).role !== 'use') return -1;
  return name !== 'cmp' || args.length === 2 ? last : -1;
}

/** A register that stands for a spilled one around one instruction. */
interface Stand {
  readonly spilled: Virtual;
  readonly register: Virtual;
  read: boolean;
  written: boolean;
}

/** Puts spilled registers into the frame. */
class Spills {
  readonly #f: MachineFunction;
  /** The register that each slot stands for. */
  readonly owners: Virtual[] = [];
  /** Of the instruction that is being rewritten. */
  #stands: Stand[] = [];

  constructor(f: MachineFunction) {
    this.#f = f;
  }

  rewrite(instructions: readonly Instruction[]): Instruction[] {
    const result: Instruction[] = [];
    for (let i = 0; i < instructions.length; i++) {
      const one = instructions[i];
      if (touches(one)) this.#rewrite(one, result);
      else result.push(one);
    }
    return result;
  }

  #rewrite(one: Instruction, result: Instruction[]): void {
    const { name, args, callee } = one;
    const move = isMove(one);
    const first = args[0] as RegisterArgument;
    if (first.kind === 'register' && first.register.spilled) {
      if (first.register.again === one) return; // made again wherever it is used
      // A move to or from memory is one instruction.
      const second = args[1] as RegisterArgument;
      if (move && !second.register.spilled) {
        result.push(this.#save(second.register, first.register));
        return;
      }
    }
    if (move && !first.register.spilled) {
      result.push(this.#restore((args[1] as RegisterArgument).register, first.register));
      return;
    }
    const folded = foldable(one);
    const memory = folded < 0 ? undefined : this.#memoryOf(args[folded] as RegisterArgument, name);
    this.#stands = [];
    const changed: Argument[] = [];
    for (let i = 0; i < args.length; i++) {
      const arg = args[i];
      if (i === folded && memory !== undefined) changed.push(memory);
      else changed.push(typeof arg === 'number' ? arg : this.#renamed(arg));
    }
    const stands = this.#stands;
    for (const { spilled, register, read } of stands) if (read) result.push(this.#restore(spilled, register));
    result.push(instruction(name, changed, callee));
    for (const { spilled, register, written } of stands) if (written) result.push(this.#save(register, spilled));
  }

  /** The argument with registers that stand for those that are spilled. */
  #renamed(arg: ArgumentObject): ArgumentObject {
    const { register, index, mask, role } = arg as RegisterArgument;
    const touched = register?.spilled || index?.spilled || mask?.spilled;
    if (!touched) return arg;
    return withRegisters(
      arg,
      register && this.#stand(register, role !== 'def', role !== 'use'),
      index && this.#stand(index, true, false),
      mask && this.#stand(mask, true, false),
    );
  }

  #stand(register: Virtual, read: boolean, written: boolean): Virtual {
    if (!register.spilled) return register;
    let stand = this.#stands.find(({ spilled }) => spilled === register);
    if (stand === undefined) {
      const fresh = new Virtual(this.#f.registers++, register.class, register);
      stand = { spilled: register, register: fresh, read: false, written: false };
      this.#stands.push(stand);
    }
    stand.read ||= read;
    stand.written ||= written;
    return stand.register;
  }

  /** The memory that an instruction may read in place of a spilled register. */
  #memoryOf({ register, bits }: RegisterArgument, name: string): Argument | undefined {
    if (!register.spilled) return undefined;
    const size = register.class === 'general' ? bits : 0;
    if (register.again === undefined) return frameArgument('slot', this.#slot(register), size);
    const source = register.again.args[1];
    if (typeof source === 'number') return undefined;
    if (source.kind === 'incoming') return frameArgument('incoming', source.number, size);
    if (source.kind !== 'pool') return undefined;
    const { words } = source;
    if (name.endsWith('ss')) return poolArgument([words[0]]);
    if (words.length === 1) {
      if (this.#f.avx512 && FOLDS.get(name)) return poolArgument(words, true);
      return poolArgument(new Array<number>(bits / 32).fill(words[0]));
    }
    return words.length * 32 === bits ? source : undefined;
  }

  #slot(register: Virtual): number {
    if (register.slot < 0) {
      register.slot = this.owners.length;
      this.owners.push(register);
    }
    return register.slot;
  }

  #save(register: Virtual, spilled: Virtual): Instruction {
    const slot = frameArgument('slot', this.#slot(spilled));
    return instruction(moveOf(register.class), [slot, registerArgument(register, this.#bits(register), 'use')]);
  }

  #restore(spilled: Virtual, to: Virtual): Instruction {
    const { again } = spilled;
    if (again !== undefined) {
      const [old, ...rest] = again.args as readonly RegisterArgument[];
      return instruction(again.name, [registerArgument(to, old.bits, 'def'), ...rest]);
    }
    const slot = frameArgument('slot', this.#slot(spilled));
    return instruction(moveOf(to.class), [registerArgument(to, this.#bits(to), 'def'), slot]);
  }

  #bits(register: Virtual): number {
    return register.class === 'general' ? 64 : register.class === 'vector' ? this.#f.vectorBits : 16;
  }
}

function touches({ args }: Instruction): boolean {
  for (let i = 0; i < args.length; i++) {
    const arg = args[i];
    if (typeof arg === 'number') continue;
    const { register, index, mask } = arg as RegisterArgument;
    if (register?.spilled || index?.spilled || mask?.spilled) return true;
  }
  return false;
}

function moveOf(registerClass: RegisterClass): 'mov' | 'vmovups' | 'kmovw' {
  return registerClass === 'general' ? 'mov' : registerClass === 'vector' ? 'vmovups' : 'kmovw';
}
