import { type Mnemonic, mnemonics, rowsOf } from '../targets/cpu/x64/builder.js';
import { sizeIn } from '../targets/cpu/x64/match.js';
import type { Operand } from '../targets/cpu/x64/operands.js';
import {
  broadcast,
  k,
  type Label,
  type Memory,
  masked,
  memory,
  r8,
  r16,
  r32,
  r64,
  rax,
  rbp,
  rbx,
  rcx,
  rdi,
  rsi,
  rsp,
  sized,
  vector,
  zeroed,
} from '../targets/cpu/x64/operands.js';
import type { Pattern, Row } from '../targets/cpu/x64/row.js';

/** One instruction to encode. */
export interface X64Case {
  readonly name: Mnemonic;
  /** The row that the operands are made for. */
  readonly row: Row;
  readonly operands: readonly Operand[];
}

type Width = 128 | 256 | 512;

/** Register numbers by position; each set turns on other extension bits of REX, VEX or EVEX. */
const LOW = [
  [1, 2, 3, 4],
  [8, 2, 3, 5],
  [1, 9, 3, 12],
  [6, 2, 15, 7],
  [13, 12, 11, 10],
];
const HIGH = [
  [16, 2, 3],
  [1, 24, 3],
  [1, 2, 31],
  [30, 21, 10],
  [7, 9, 20],
];
const GENERAL = [
  [0, 1, 2],
  [9, 3, 2],
  [5, 10, 7],
  [3, 6, 12],
  [7, 4, 5],
];

/** Every special case of modrm and sib, and displacements around the limits of disp8 and disp8·N. `unit` is the size of the operand in bytes. */
function addresses(unit: number, label: Label, index: Operand | undefined): Memory[] {
  if (typeof index === 'object' && index.kind === 'vector') {
    return [
      memory(rax, 0, index, 4),
      memory(r64(13), 0, index, 1),
      memory(rsp, 64, index, 8),
      memory(undefined, 256, index, 2),
      memory(r64(12), -4 * 128, index, 4),
      memory(rdi, 4 * 127, index, 4),
      memory(rbp, 4 * 128, index, 4),
      memory(rbx, 3, index, 4),
    ];
  }
  return [
    memory(rax),
    memory(rbp),
    memory(rsp),
    memory(r64(12)),
    memory(r64(13)),
    memory(rbx, 127 * unit),
    memory(rcx, 128 * unit),
    memory(rsi, -128 * unit),
    memory(rdi, -129 * unit),
    memory(r64(8), unit + 1),
    memory(rsp, 3 * unit),
    memory(r64(12), 1_000_000),
    memory(rbx, 0, rcx, 4),
    memory(rbp, 0, r64(9), 1),
    memory(r64(13), 0, rbp, 2),
    memory(r64(10), -unit, r64(12), 8),
    memory(rsp, 2 * unit, r64(13), 4),
    memory(undefined, 64, rdi, 8),
    memory(label, 0),
    memory(label, 24),
  ];
}

const IMMEDIATES: Readonly<Record<NonNullable<Pattern['immediate']>, readonly (number | bigint)[]>> = {
  ib: [5, 228, -1],
  ibs: [5, -128, 127],
  iw: [1000, 32_767],
  id: [70_000, -5, 4_294_967_295],
  is: [-70_000, 2_147_483_647],
  iz: [1000, -1000, 20_000],
  iq: [0x123456789abcdef0n, -0x123456789abcdefn],
  one: [1],
};

function general(bits: number, index: number): Operand {
  return bits === 8 ? r8(index) : bits === 16 ? r16(index) : bits === 32 ? r32(index) : r64(index);
}

class Cases {
  readonly all: X64Case[] = [];
  readonly #label: Label;
  #turn = 0;

  constructor(label: Label) {
    this.#label = label;
  }

  addRow(name: Mnemonic, row: Row): void {
    if (row.operands.some((pattern) => pattern.relative)) return;
    const sizes = row.operands.some((p) => p.registerSize === 'r' || p.memorySize === 'r')
      ? row.vex || name === 'movnti'
        ? [32, 64]
        : [16, 32, 64]
      : [64];
    const widths = (row.byWidth ? [128, 256, 512] : [row.length]).filter(
      (width) => width >= row.minimum && (width < 512 || row.evex),
    ) as Width[];
    for (const size of sizes) for (const width of widths) this.#addSizes(name, row, width, size);
  }

  #addSizes(name: Mnemonic, row: Row, width: Width, size: number): void {
    const hasVectors = row.operands.some((p) => p.register === 'vector' || p.vectorIndex !== undefined);
    // `as` has a shorter xchg for the accumulator, which we leave out: for eax itself it would be a nop.
    const generals = name === 'xchg' ? GENERAL.filter((set) => !set.includes(0)) : GENERAL;
    const sets = hasVectors ? [...(row.vex || row.evex ? LOW : []), ...(row.evex ? HIGH : [])] : generals;
    const make = (form: 'register' | 'memory', set: readonly number[], address = 0): Operand[] =>
      row.operands.map((pattern, i) => this.#operand(row, pattern, i, set, form, address, width, size));
    const add = (operands: readonly Operand[]): void => {
      const withMask =
        row.mask === 'required'
          ? [masked(operands[0] as Memory, k((this.#turn % 7) + 1)), ...operands.slice(1)]
          : operands;
      this.all.push({ name, row, operands: withMask });
      this.#turn++;
    };
    const registerForm = row.operands.every((p) => p.register || p.immediate);
    const memoryAt = row.operands.findIndex((p) => p.memory);
    const addressCount = row.operands.some((p) => p.vectorIndex !== undefined) ? 8 : 20;

    if (row.operands.length === 0) add([]);
    else if (registerForm) {
      // With three widths each width takes its share of the sets.
      const share = row.byWidth && sets.length > 5 ? Math.log2(width / 128) : undefined;
      for (let i = 0; i < sets.length; i++) {
        if (share === undefined || i % 3 === share || i === sets.length - 1) add(make('register', sets[i]));
      }
    }
    if (memoryAt >= 0) {
      // Two primes to each other, so that all addresses meet all register sets over the table.
      for (let i = 0; i < (row.byWidth ? 3 : 5); i++)
        add(make('memory', sets[(this.#turn + i) % sets.length], (this.#turn * 5 + i) % addressCount));
    }
    if (!row.evex) return;
    const decorated = (operands: Operand[], zero: boolean): Operand[] => {
      const mask = k((this.#turn % 7) + 1);
      const first = operands[0] as Memory;
      return [zero ? zeroed(first as never, mask) : masked(first, mask), ...operands.slice(1)];
    };
    if (row.mask === 'merge' || row.mask === 'zero') {
      const form = registerForm ? 'register' : 'memory';
      add(decorated(make(form, sets[0]), false));
      add(decorated(make(form, sets[sets.length - 1], 7), false));
      if (row.mask === 'zero') add(decorated(make(form, sets[this.#turn % sets.length], 5), true));
    }
    if (row.broadcast) {
      for (let i = 0; i < 3; i++) {
        const operands = make('memory', sets[this.#turn % sets.length], (this.#turn * 4 + i) % addressCount);
        const one = { ...(operands[memoryAt] as Memory), bits: undefined };
        // Displacements in units of the element.
        const unit = row.broadcast / 8;
        const scaled =
          i === 0 ? { ...one, displacement: 127 * unit } : i === 1 ? { ...one, displacement: -129 * unit } : one;
        const whole = operands.map((operand, at) => (at === memoryAt ? broadcast(scaled) : operand));
        add(i === 2 && row.mask !== 'none' ? decorated(whole, row.mask === 'zero') : whole);
      }
    }
    if (row.rounding && (width === 512 || !row.byWidth)) {
      const modes = row.rounding === 'sae' ? (['sae'] as const) : (['rn-sae', 'rd-sae', 'ru-sae', 'rz-sae'] as const);
      for (const mode of modes) add([...make('register', sets[this.#turn % sets.length]), mode]);
    }
  }

  #operand(
    row: Row,
    pattern: Pattern,
    position: number,
    set: readonly number[],
    form: 'register' | 'memory',
    address: number,
    width: Width,
    size: number,
  ): Operand {
    if (pattern.immediate) {
      const values = IMMEDIATES[pattern.immediate];
      const value = values[this.#turn % values.length];
      return pattern.immediate === 'iz' && size === 16 ? Number(value) % 32_768 : value;
    }
    if (pattern.memory && (form === 'memory' || !pattern.register)) {
      const bits = sizeIn(pattern.memorySize, width, size);
      // A gather needs destination, index and mask to differ.
      const index =
        pattern.vectorIndex === undefined ? undefined : vector((set[position] + 2) % (row.vex ? 16 : 32), width);
      const place = addresses(Math.max(1, bits / 8), this.#label, index)[address % (index ? 8 : 20)];
      return index || bits === 0 ? place : sized(place, bits);
    }
    if (pattern.register === 'mask') return k(1 + ((set[position] + position) % 7));
    if (pattern.register === 'vector') {
      return vector(set[position], Math.max(128, sizeIn(pattern.registerSize, width, size)) as Width);
    }
    const bits = sizeIn(pattern.registerSize, width, size);
    return general(bits, pattern.fixed ?? set[position] % 16);
  }
}

/**
 * Instructions that together meet every row but jumps, with each kind of operand, register numbers that use every extension bit, every form of
 * address, masks, broadcasts, rounding and every vector width. The order is fixed.
 *
 * @param label bound somewhere; for rip-relative addresses.
 */
export function x64Cases(label: Label): readonly X64Case[] {
  const cases = new Cases(label);
  for (const name of mnemonics()) for (const row of rowsOf(name)) cases.addRow(name, row);
  return cases.all;
}
