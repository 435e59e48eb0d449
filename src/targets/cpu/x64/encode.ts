/** Bytes of one instruction whose row is chosen. Source: Intel SDM volume 2, chapter 2. */

import { invariant } from '../../../tensor/errors.js';
import { type Choice, sizeIn } from './match.js';
import type { Label, Memory, Operand } from './operands.js';
import type { Pattern } from './row.js';

/** A field to be filled in when the label is known: `label + addend − end`, little-endian. */
export interface Fixup {
  readonly label: Label;
  /** Offset of the field from the start of the instruction. */
  readonly offset: number;
  readonly bytes: 1 | 4;
  readonly addend: number;
}

export interface Encoded {
  readonly bytes: number[];
  readonly fixup?: Fixup;
}

const ROUNDING_CONTROL = { sae: 0, 'rn-sae': 0, 'rd-sae': 1, 'ru-sae': 2, 'rz-sae': 3 } as const;

/** Operands sorted to the fields of the encoding. */
interface Fields {
  reg: number;
  vvvv: number;
  /** General, vector or mask register in modrm.rm. */
  rm: number;
  memory?: Memory;
  opcodeRegister: number;
  hasModrm: boolean;
  needsRex: boolean;
  is4: number;
  immediates: number[];
  relative?: { label: Label; bytes: 1 | 4 };
}

function littleEndian(value: number, bytes: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < bytes; i++) result.push((value >> (8 * i)) & 0xff);
  return result;
}

/** Bytes of an immediate whose range is checked. */
function immediateBytes(pattern: Pattern, operand: number | bigint, operandSize: number): number[] {
  const kind = pattern.immediate;
  if (kind === 'iq') {
    const bits = BigInt.asUintN(64, BigInt(operand));
    return [...littleEndian(Number(bits & 0xffffffffn) | 0, 4), ...littleEndian(Number(bits >> 32n) | 0, 4)];
  }
  if (kind === 'one') return [];
  const value = typeof operand === 'number' ? operand | 0 : Number(BigInt.asIntN(32, operand));
  if (kind === 'ib' || kind === 'ibs') return littleEndian(value, 1);
  return littleEndian(value, kind === 'iw' || (kind === 'iz' && operandSize === 16) ? 2 : 4);
}

function place(fields: Fields, where: string, pattern: Pattern, operand: Operand, operandSize: number): void {
  if (where === 'X') return;
  if (typeof operand === 'number' || typeof operand === 'bigint') {
    fields.immediates.push(...immediateBytes(pattern, operand, operandSize));
    return;
  }
  invariant(typeof operand === 'object', 'rounding is no field');
  if (operand.kind === 'label') {
    fields.relative = { label: operand, bytes: pattern.relative === 8 ? 1 : 4 };
    return;
  }
  if (operand.kind === 'memory') {
    fields.memory = operand;
    fields.hasModrm = true;
    return;
  }
  // spl, bpl, sil, dil exist with a REX prefix only; without it these numbers mean ah, ch, dh, bh.
  if (operand.kind === 'general' && operand.bits === 8 && operand.index >= 4) fields.needsRex = true;
  if (where === 'R') fields.reg = operand.index;
  else if (where === 'V') fields.vvvv = operand.index;
  else if (where === 'M') fields.rm = operand.index;
  else if (where === 'S') fields.is4 = operand.index;
  else if (where === 'O') fields.opcodeRegister = operand.index;
  if (where === 'R' || where === 'M') fields.hasModrm = true;
}

/** modrm, sib and displacement. `unit` is N of disp8*N, 1 outside EVEX. */
function addressBytes(reg: number, memory: Memory, unit: number): { bytes: number[]; label?: Label } {
  const field = (reg & 7) << 3;
  const { base, index, displacement } = memory;
  if (memory.label) return { bytes: [field | 5, 0, 0, 0, 0], label: memory.label };
  const scale = Math.log2(memory.scale) << 6;
  const wide = littleEndian(displacement, 4);
  if (!base) return { bytes: [field | 4, scale | ((index ? index.index & 7 : 4) << 3) | 5, ...wide] };
  // rbp and r13 without displacement would mean "no base"; rsp and r12 as base need a sib byte.
  const short = displacement % unit === 0 && displacement / unit >= -128 && displacement / unit <= 127;
  const none = displacement === 0 && (base.index & 7) !== 5;
  const mode = none ? 0 : short ? 0x40 : 0x80;
  const tail = none ? [] : short ? [(displacement / unit) & 0xff] : wide;
  if (!index && (base.index & 7) !== 4) return { bytes: [mode | field | (base.index & 7), ...tail] };
  const sib = scale | ((index ? index.index & 7 : 4) << 3) | (base.index & 7);
  return { bytes: [mode | field | 4, sib, ...tail] };
}

function vexPrefix(choice: Choice, fields: Fields, w: number): number[] {
  const { row } = choice;
  const { memory } = fields;
  const pp = row.prefix === 0 ? 0 : row.prefix === 0x66 ? 1 : row.prefix === 0xf3 ? 2 : 3;
  const r = (fields.reg >> 3) & 1;
  const x = memory ? ((memory.index?.index ?? 0) >> 3) & 1 : 0;
  const b = ((memory ? (memory.base?.index ?? 0) : fields.rm) >> 3) & 1;
  const tail = ((~fields.vvvv & 15) << 3) | (choice.width === 256 ? 4 : 0) | pp;
  if (x === 0 && b === 0 && w === 0 && row.map === 1) return [0xc5, ((r ^ 1) << 7) | tail];
  return [0xc4, ((r ^ 1) << 7) | ((x ^ 1) << 6) | ((b ^ 1) << 5) | row.map, (w << 7) | tail];
}

function evexPrefix(choice: Choice, fields: Fields): number[] {
  const { row, rounding, operands } = choice;
  const { memory, reg, rm, vvvv } = fields;
  const bit = (value: number, position: number): number => ((value >> position) & 1) ^ 1;
  const index = memory?.index;
  const pp = row.prefix === 0 ? 0 : row.prefix === 0x66 ? 1 : row.prefix === 0xf3 ? 2 : 3;
  const x = memory ? bit(index?.index ?? 0, 3) : bit(rm, 4);
  const b = memory ? bit(memory.base?.index ?? 0, 3) : bit(rm, 3);
  const v4 = index?.kind === 'vector' ? bit(index.index, 4) : bit(vvvv, 4);
  const first = operands[0];
  const mask = typeof first === 'object' && first.kind !== 'label' && first.kind !== 'general' ? (first.mask ?? 0) : 0;
  const zeroing = typeof first === 'object' && first.kind === 'vector' && first.zeroing ? 1 : 0;
  // The rounding takes the place of the length, which is then 512 or that of a scalar; `as` leaves it 0 for {sae}.
  const length = rounding === undefined ? Math.log2(choice.width / 128) : ROUNDING_CONTROL[rounding];
  const special = rounding !== undefined || memory?.broadcast ? 1 : 0;
  return [
    0x62,
    (bit(reg, 3) << 7) | (x << 6) | (b << 5) | (bit(reg, 4) << 4) | row.map,
    (row.evexW << 7) | ((~vvvv & 15) << 3) | 4 | pp,
    (zeroing << 7) | (length << 5) | (special << 4) | (v4 << 3) | mask,
  ];
}

function legacyPrefix(choice: Choice, fields: Fields, w: number): number[] {
  const { row, operandSize } = choice;
  const { memory } = fields;
  const bytes: number[] = [];
  if (operandSize === 16 && row.operands.length > 0) bytes.push(0x66);
  if (row.lock) bytes.push(0xf0);
  if (row.prefix) bytes.push(row.prefix);
  const r = (fields.reg >> 3) & 1;
  const x = ((memory?.index?.index ?? 0) >> 3) & 1;
  const b = ((memory ? (memory.base?.index ?? 0) : fields.rm | fields.opcodeRegister) >> 3) & 1;
  const rex = (w << 3) | (r << 2) | (x << 1) | b;
  if (rex || fields.needsRex) bytes.push(0x40 | rex);
  if (row.map > 0) bytes.push(0x0f);
  if (row.map > 1) bytes.push(row.map === 2 ? 0x38 : 0x3a);
  return bytes;
}

/** N of the compressed displacement: bytes of the memory operand, or of the element that is broadcast. */
function displacementUnit(choice: Choice, memory: Memory): number {
  if (choice.form !== 'evex') return 1;
  if (memory.broadcast) return choice.row.broadcast! / 8;
  const pattern = choice.row.operands[choice.operands.indexOf(memory)];
  return sizeIn(pattern.memorySize, choice.width, choice.operandSize) / 8;
}

export function encode(choice: Choice): Encoded {
  const { row, form, operands } = choice;
  const fields: Fields = {
    reg: 0,
    vvvv: 0,
    rm: 0,
    opcodeRegister: 0,
    hasModrm: row.extension !== undefined,
    needsRex: false,
    is4: -1,
    immediates: [],
  };
  operands.forEach((operand, i) => {
    place(fields, row.places[i], row.operands[i], operand, choice.operandSize);
  });
  if (row.extension !== undefined) fields.reg = row.extension;

  let { opcode } = row;
  if (row.back !== undefined && form === 'vex' && !fields.memory && fields.rm > 7 && fields.reg < 8) {
    [fields.reg, fields.rm] = [fields.rm, fields.reg];
    opcode = row.back;
  }
  const w = row.vexW ?? (choice.operandSize === 64 && row.sizeInW ? 1 : 0);
  const bytes =
    form === 'evex'
      ? evexPrefix(choice, fields)
      : form === 'vex'
        ? vexPrefix(choice, fields, w)
        : legacyPrefix(choice, fields, w);
  bytes.push(opcode | (fields.opcodeRegister & 7));
  if (row.suffix !== undefined) bytes.push(row.suffix);

  let label: Label | undefined;
  let offset = 0;
  if (fields.hasModrm) {
    if (fields.memory) {
      const address = addressBytes(fields.reg, fields.memory, displacementUnit(choice, fields.memory));
      label = address.label;
      offset = bytes.length + 1;
      bytes.push(...address.bytes);
    } else {
      bytes.push(0xc0 | ((fields.reg & 7) << 3) | (fields.rm & 7));
    }
  }
  if (fields.is4 >= 0) bytes.push(fields.is4 << 4);
  bytes.push(...fields.immediates);
  if (label) {
    return { bytes, fixup: { label, offset, bytes: 4, addend: fields.memory!.displacement } };
  }
  if (fields.relative) {
    const fixup = { label: fields.relative.label, offset: bytes.length, bytes: fields.relative.bytes, addend: 0 };
    bytes.push(...new Array<number>(fixup.bytes).fill(0));
    return { bytes, fixup };
  }
  return { bytes };
}
