/** Bytes of one instruction whose row is chosen. Source: Intel SDM volume 2, chapter 2. */

import { invariant } from '../../../tensor/errors.js';
import { type Selection, sizeIn } from './match.js';
import type { Label, Memory, Operand, Rounding } from './operands.js';
import type { Pattern } from './row.js';

/** No instruction is longer. */
const LONGEST = 15;
const ROUNDING_CONTROL = { sae: 0, 'rn-sae': 0, 'rd-sae': 1, 'ru-sae': 2, 'rz-sae': 3 } as const;

/** Appends instructions to memory that grows. */
export class Encoder {
  /** The first {@link size} of them are written. */
  bytes: Uint8Array = new Uint8Array(16384);
  size = 0;
  /**
   * Set by an instruction that names a label: where `label + addend − end of the instruction` has to be written, little-endian,
   * once the label is known.
   */
  label: Label | undefined;
  position = 0;
  fieldBytes: 1 | 4 = 4;
  addend = 0;

  // Operands sorted to the fields of the encoding.
  #reg = 0;
  #vvvv = 0;
  /** General, vector or mask register in modrm.rm. */
  #rm = 0;
  #memory: Memory | undefined;
  #opcodeRegister = 0;
  #hasModrm = false;
  #needsRex = false;
  #is4 = -1;
  #relative: Label | undefined;

  reserve(bytes: number): void {
    if (this.size + bytes <= this.bytes.length) return;
    const larger = new Uint8Array(2 * (this.size + bytes));
    larger.set(this.bytes);
    this.bytes = larger;
  }

  /** @param operands without the rounding. */
  encode(selection: Selection, operands: readonly Operand[], rounding: Rounding | undefined): void {
    this.reserve(LONGEST);
    const { row, form, operandSize } = selection;
    this.#reg = 0;
    this.#vvvv = 0;
    this.#rm = 0;
    this.#memory = undefined;
    this.#opcodeRegister = 0;
    this.#hasModrm = row.extension !== undefined;
    this.#needsRex = false;
    this.#is4 = -1;
    this.#relative = undefined;
    this.label = undefined;
    for (let i = 0; i < operands.length; i++) this.#place(row.places[i], row.operands[i], operands[i]);
    if (row.extension !== undefined) this.#reg = row.extension;

    let { opcode } = row;
    if (row.back !== undefined && form === 'vex' && !this.#memory && this.#rm > 7 && this.#reg < 8) {
      const reg = this.#reg;
      this.#reg = this.#rm;
      this.#rm = reg;
      opcode = row.back;
    }
    const w = row.vexW ?? (operandSize === 64 && row.sizeInW ? 1 : 0);
    if (form === 'evex') this.#evexPrefix(selection, operands[0], rounding);
    else if (form === 'vex') this.#vexPrefix(selection, w);
    else this.#legacyPrefix(selection, w);
    this.bytes[this.size++] = opcode | (this.#opcodeRegister & 7);
    if (row.suffix !== undefined) this.#byte(row.suffix);

    if (this.#hasModrm) {
      const memory = this.#memory;
      if (memory === undefined) this.#byte(0xc0 | ((this.#reg & 7) << 3) | (this.#rm & 7));
      else this.#address(memory, form === 'evex' ? displacementUnit(selection, operands, memory) : 1);
    }
    if (this.#is4 >= 0) this.#byte(this.#is4 << 4);
    for (let i = 0; i < operands.length; i++) {
      const operand = operands[i];
      if (typeof operand === 'number' || typeof operand === 'bigint') {
        if (row.places[i] !== 'X') this.#immediate(row.operands[i], operand, operandSize);
      }
    }
    if (this.#relative !== undefined) {
      this.label = this.#relative;
      this.position = this.size;
      this.addend = 0;
      this.#number(0, this.fieldBytes);
    }
  }

  #byte(value: number): void {
    this.bytes[this.size++] = value;
  }

  /** Little-endian. */
  #number(value: number, bytes: number): void {
    for (let i = 0; i < bytes; i++) this.bytes[this.size + i] = value >> (8 * i);
    this.size += bytes;
  }

  #place(where: string, pattern: Pattern, operand: Operand): void {
    if (where === 'X' || typeof operand === 'number' || typeof operand === 'bigint') return;
    invariant(typeof operand === 'object', 'rounding is no field');
    if (operand.kind === 'label') {
      this.#relative = operand;
      this.fieldBytes = pattern.relative === 8 ? 1 : 4;
      return;
    }
    if (operand.kind === 'memory') {
      this.#memory = operand;
      this.#hasModrm = true;
      return;
    }
    const { index } = operand;
    // spl, bpl, sil, dil exist with a REX prefix only; without it these numbers mean ah, ch, dh, bh.
    if (operand.kind === 'general' && operand.bits === 8 && index >= 4) this.#needsRex = true;
    if (where === 'R') {
      this.#reg = index;
      this.#hasModrm = true;
    } else if (where === 'M') {
      this.#rm = index;
      this.#hasModrm = true;
    } else if (where === 'V') this.#vvvv = index;
    else if (where === 'S') this.#is4 = index;
    else if (where === 'O') this.#opcodeRegister = index;
  }

  /** An immediate whose range is checked. */
  #immediate(pattern: Pattern, operand: number | bigint, operandSize: number): void {
    const kind = pattern.immediate;
    if (kind === 'iq') {
      const bits = BigInt.asUintN(64, BigInt(operand));
      this.#number(Number(bits & 0xffffffffn) | 0, 4);
      this.#number(Number(bits >> 32n) | 0, 4);
      return;
    }
    if (kind === 'one') return;
    const value = typeof operand === 'number' ? operand | 0 : Number(BigInt.asIntN(32, operand));
    if (kind === 'ib' || kind === 'ibs') this.#byte(value);
    else this.#number(value, kind === 'iw' || (kind === 'iz' && operandSize === 16) ? 2 : 4);
  }

  /** modrm, sib and displacement. `unit` is N of disp8*N, 1 outside EVEX. */
  #address(memory: Memory, unit: number): void {
    const field = (this.#reg & 7) << 3;
    const { base, index, displacement } = memory;
    if (memory.label) {
      this.#byte(field | 5);
      this.label = memory.label;
      this.position = this.size;
      this.fieldBytes = 4;
      this.addend = displacement;
      this.#number(0, 4);
      return;
    }
    const scale = (31 - Math.clz32(memory.scale)) << 6;
    const indexField = (index ? index.index & 7 : 4) << 3;
    if (!base) {
      this.#byte(field | 4);
      this.#byte(scale | indexField | 5);
      this.#number(displacement, 4);
      return;
    }
    // rbp and r13 without displacement would mean "no base"; rsp and r12 as base need a sib byte.
    const low = base.index & 7;
    const short = displacement % unit === 0 && displacement / unit >= -128 && displacement / unit <= 127;
    const none = displacement === 0 && low !== 5;
    const mode = none ? 0 : short ? 0x40 : 0x80;
    if (!index && low !== 4) {
      this.#byte(mode | field | low);
    } else {
      this.#byte(mode | field | 4);
      this.#byte(scale | indexField | low);
    }
    if (none) return;
    if (short) this.#byte(displacement / unit);
    else this.#number(displacement, 4);
  }

  #vexPrefix({ row, width }: Selection, w: number): void {
    const memory = this.#memory;
    const r = (this.#reg >> 3) & 1;
    const x = memory ? ((memory.index?.index ?? 0) >> 3) & 1 : 0;
    const b = ((memory ? (memory.base?.index ?? 0) : this.#rm) >> 3) & 1;
    const tail = ((~this.#vvvv & 15) << 3) | (width === 256 ? 4 : 0) | prefixField(row.prefix);
    if (x === 0 && b === 0 && w === 0 && row.map === 1) {
      this.#byte(0xc5);
      this.#byte(((r ^ 1) << 7) | tail);
      return;
    }
    this.#byte(0xc4);
    this.#byte(((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | row.map);
    this.#byte((w << 7) | tail);
  }

  #evexPrefix({ row, width }: Selection, first: Operand, rounding: Rounding | undefined): void {
    const memory = this.#memory;
    const index = memory?.index;
    const x = memory ? inverse(index?.index ?? 0, 3) : inverse(this.#rm, 4);
    const b = memory ? inverse(memory.base?.index ?? 0, 3) : inverse(this.#rm, 3);
    const v4 = index?.kind === 'vector' ? inverse(index.index, 4) : inverse(this.#vvvv, 4);
    const mask =
      typeof first === 'object' && first.kind !== 'label' && first.kind !== 'general' ? (first.mask ?? 0) : 0;
    const zeroing = typeof first === 'object' && first.kind === 'vector' && first.zeroing ? 1 : 0;
    // The rounding takes the place of the length, which is then 512 or that of a scalar; `as` leaves it 0 for {sae}.
    const length = rounding === undefined ? width >> 8 : ROUNDING_CONTROL[rounding];
    const special = rounding !== undefined || memory?.broadcast ? 1 : 0;
    const { bytes, size } = this;
    bytes[size] = 0x62;
    bytes[size + 1] = (inverse(this.#reg, 3) << 7) | (x << 6) | (b << 5) | (inverse(this.#reg, 4) << 4) | row.map;
    bytes[size + 2] = (row.evexW << 7) | ((~this.#vvvv & 15) << 3) | 4 | prefixField(row.prefix);
    bytes[size + 3] = (zeroing << 7) | (length << 5) | (special << 4) | (v4 << 3) | mask;
    this.size = size + 4;
  }

  #legacyPrefix({ row, operandSize }: Selection, w: number): void {
    const memory = this.#memory;
    if (operandSize === 16 && row.operands.length > 0) this.#byte(0x66);
    if (row.lock) this.#byte(0xf0);
    if (row.prefix) this.#byte(row.prefix);
    const r = (this.#reg >> 3) & 1;
    const x = ((memory?.index?.index ?? 0) >> 3) & 1;
    const b = ((memory ? (memory.base?.index ?? 0) : this.#rm | this.#opcodeRegister) >> 3) & 1;
    const rex = (w << 3) | (r << 2) | (x << 1) | b;
    if (rex || this.#needsRex) this.#byte(0x40 | rex);
    if (row.map > 0) this.#byte(0x0f);
    if (row.map > 1) this.#byte(row.map === 2 ? 0x38 : 0x3a);
  }
}

function prefixField(prefix: number): number {
  return prefix === 0 ? 0 : prefix === 0x66 ? 1 : prefix === 0xf3 ? 2 : 3;
}

function inverse(value: number, bit: number): number {
  return ((value >> bit) & 1) ^ 1;
}

/** N of the compressed displacement: bytes of the memory operand, or of the element that is broadcast. */
function displacementUnit(
  { row, width, operandSize }: Selection,
  operands: readonly Operand[],
  memory: Memory,
): number {
  if (memory.broadcast) return row.broadcast! / 8;
  return sizeIn(row.operands[operands.indexOf(memory)].memorySize, width, operandSize) / 8;
}
