import { invariant } from '../../../tensor/errors.js';
import type { Allocation } from './allocate.js';
import {
  clobbersVectors,
  type Instruction,
  type MachineFunction,
  type Place,
  type RegisterClass,
  type Virtual,
  visitRegisters,
} from './code.js';

/** Registers that the frame and the lowering use themselves: rax, rdx, rbx, rsp, rbp. */
const RESERVED = [0, 2, 3, 4, 5];

/** Which value every hardware register and spill slot holds at one place. */
type State = Map<string, Virtual>;

/**
 * Runs allocated code symbolically and checks that every instruction finds in its registers, and in the spill slots that it reads, the values
 * that were meant, on every path; so that no register held two live values at once.
 */
export function verify(f: MachineFunction, allocation: Allocation): void {
  const { instructions, registers, used } = allocation;
  for (const { class: registerClass, hardware } of registers) {
    if (registerClass !== 'general') continue;
    invariant(
      !RESERVED.includes(hardware) && used.includes(hardware),
      () => `${f.name}: general register ${hardware} is not saved`,
    );
  }
  const places = new Map<number, number>();
  instructions.forEach(({ name, args }, i) => {
    if (name === 'bind') places.set((args[0] as Place).number, i);
  });
  // States before instructions that are jumped to; paths that meet keep what they agree on.
  const entries = new Map<number, State>();
  const meet = (at: number, state: State): boolean => {
    const known = entries.get(at);
    if (known === undefined) {
      entries.set(at, new Map(state));
      return true;
    }
    let changed = false;
    for (const [place, value] of known) {
      if (state.get(place) === value) continue;
      known.delete(place);
      changed = true;
    }
    return changed;
  };
  for (let again = true; again; ) {
    again = false;
    let state: State | undefined = new Map();
    instructions.forEach((instruction, i) => {
      if (instruction.name === 'bind') {
        if (state !== undefined) meet(i, state);
        const entry = entries.get(i);
        state = entry && new Map(entry);
      }
      if (state === undefined) return; // after a jump
      step(f, allocation, instruction, i, state);
      const target = jumpOf(instruction);
      if (target === undefined) return;
      const at = places.get(target);
      invariant(at !== undefined, () => `${f.name}: a jump leads nowhere`);
      if (meet(at, state) && at <= i) again = true;
      if (instruction.name === 'jmp') state = undefined;
    });
  }
}

function jumpOf({ name, args }: Instruction): number | undefined {
  const [target] = args;
  return name !== 'bind' && typeof target === 'object' && target.kind === 'place' ? target.number : undefined;
}

const PREFIX: Readonly<Record<RegisterClass, string>> = { general: 'r', vector: 'v', mask: 'k' };

function step(f: MachineFunction, allocation: Allocation, instruction: Instruction, i: number, state: State): void {
  const { owners } = allocation;
  const placeOf = (register: Virtual): string => `${PREFIX[register.class]}${register.hardware}`;
  const identity = (register: Virtual): Virtual => register.standsFor ?? register;
  const expect = (place: string, value: Virtual): void => {
    const found = state.get(place);
    if (found === value) return;
    const what = found === undefined ? 'nothing' : `value ${found.id}`;
    invariant(
      false,
      () =>
        `${f.name}: instruction ${i} (${instruction.name}) expects value ${value.id} in ${place}, which holds ${what}`,
    );
  };
  visitRegisters(instruction, (register, role) => {
    if (role !== 'def') expect(placeOf(register), identity(register));
  });
  instruction.args.forEach((arg, position) => {
    if (typeof arg !== 'object' || arg.kind !== 'slot') return;
    const stored = position === 0 && instruction.name !== 'cmp';
    if (stored) state.set(`s${arg.number}`, owners[arg.number]);
    else expect(`s${arg.number}`, owners[arg.number]);
  });
  if (clobbersVectors(instruction)) {
    for (const place of state.keys()) if (place[0] === 'v' || place[0] === 'k') state.delete(place);
  }
  visitRegisters(instruction, (register, role) => {
    if (role === 'use') return;
    const value = identity(register);
    const [, source] = instruction.args;
    const reloaded = typeof source === 'object' && source.kind === 'slot' && owners[source.number] === value;
    // A new value: copies elsewhere are out of date.
    if ((role === 'mod' || !reloaded) && value.again === undefined) {
      for (const [place, other] of state) if (other === value) state.delete(place);
    }
    state.set(placeOf(register), value);
  });
}
