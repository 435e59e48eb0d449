/** Chooses the row and the form (legacy, VEX, EVEX) of an instruction from its operands. */

import { invariant } from '../../../tensor/errors.js';
import type { Immediate, Memory, Operand, Rounding } from './operands.js';
import type { Pattern, Row, Size } from './row.js';

export type Form = 'legacy' | 'vex' | 'evex';

/** How instructions with operands of certain kinds and sizes are encoded. */
export interface Selection {
  readonly row: Row;
  readonly form: Form;
  /** Of the vectors; 128, 256, 512. */
  readonly width: number;
  /** Operand size of general registers: 8, 16, 32, 64. */
  readonly operandSize: number;
}

/** An instruction whose row and sizes are decided. */
export interface Choice extends Selection {
  /** Without the rounding. */
  readonly operands: readonly Operand[];
  readonly rounding?: Rounding;
}

/** @returns bits, or undefined where the operands do not say. */
export function sizeIn(size: Size | undefined, width: number, operandSize: number): number {
  if (size === 'v') return width;
  if (size === 'h') return width / 2;
  if (size === 'q') return width / 4;
  if (size === 'r') return operandSize;
  return size ?? 0;
}

/** The immediate as the signed number of `bits` bits with the same bits, or undefined if it has more. */
function wrapImmediate(value: Immediate, bits: number): Immediate | undefined {
  if (typeof value === 'number' && bits <= 32) {
    const half = 2 ** (bits - 1);
    if (value < -half || value >= 2 * half) return undefined;
    return value >= half ? value - 2 * half : value;
  }
  const big = BigInt(value);
  if (big < -(1n << BigInt(bits - 1)) || big >= 1n << BigInt(bits)) return undefined;
  return BigInt.asIntN(bits, big);
}

function immediateFits(kind: NonNullable<Pattern['immediate']>, value: Immediate, operandSize: number): boolean {
  if (typeof value === 'number' && !Number.isInteger(value)) return false;
  if (kind === 'one') return Number(value) === 1;
  if (kind === 'ib') return wrapImmediate(value, 8) !== undefined;
  if (kind === 'iw') return wrapImmediate(value, 16) !== undefined;
  if (kind === 'id') return wrapImmediate(value, 32) !== undefined;
  const wrapped = wrapImmediate(value, operandSize);
  if (wrapped === undefined) return false;
  if (kind === 'ibs') return wrapped >= -128 && wrapped <= 127;
  if (kind === 'is' || kind === 'iz') return wrapped >= -0x80000000 && wrapped <= 0x7fffffff;
  return true;
}

function memoryFits(pattern: Pattern, memory: Memory, row: Row, width: number, operandSize: number): boolean {
  if (!pattern.memory || (pattern.sizeNeeded && memory.bits === undefined)) return false;
  if ((memory.index?.kind === 'vector') !== (pattern.vectorIndex !== undefined)) return false;
  if (pattern.vectorIndex !== undefined && memory.index) {
    if (memory.index.bits !== Math.max(128, sizeIn(pattern.vectorIndex, width, operandSize))) return false;
  }
  if (memory.broadcast) return row.broadcast !== undefined;
  const bits = sizeIn(pattern.memorySize, width, operandSize);
  return memory.bits === undefined || bits === 0 || memory.bits === bits;
}

function operandFits(
  pattern: Pattern,
  operand: Operand,
  row: Row,
  width: number,
  operandSize: number,
  reach: (label: Operand) => boolean,
): boolean {
  if (typeof operand === 'number' || typeof operand === 'bigint') {
    return pattern.immediate !== undefined && immediateFits(pattern.immediate, operand, operandSize);
  }
  if (typeof operand === 'string') return false;
  if (operand.kind === 'label') return pattern.relative === 32 || (pattern.relative === 8 && reach(operand));
  if (operand.kind === 'memory') return memoryFits(pattern, operand, row, width, operandSize);
  if (operand.kind !== pattern.register) return false;
  if (operand.kind === 'mask') return true;
  if (pattern.fixed !== undefined && operand.index !== pattern.fixed) return false;
  const bits = sizeIn(pattern.registerSize, width, operandSize);
  return operand.bits === (operand.kind === 'vector' ? Math.max(128, bits) : bits);
}

/** The size of an operand whose size the pattern writes as `symbol`. */
function sizeFrom(row: Row, operands: readonly Operand[], symbol: Size): number | undefined {
  let fromMemory: number | undefined;
  for (let i = 0; i < operands.length; i++) {
    const operand = operands[i];
    const pattern = row.operands[i];
    if (typeof operand !== 'object') continue;
    if (operand.kind === 'memory') {
      if (pattern.vectorIndex === symbol && operand.index) return operand.index.bits;
      if (pattern.memorySize === symbol && pattern.memory) fromMemory ??= operand.bits;
    } else if ((operand.kind === 'general' || operand.kind === 'vector') && pattern.registerSize === symbol) {
      return operand.bits;
    }
  }
  return fromMemory;
}

function matchRow(
  row: Row,
  operands: readonly Operand[],
  rounding: Rounding | undefined,
  reach: (label: Operand) => boolean,
): Choice | undefined {
  if (operands.length !== row.operands.length) return undefined;
  const width = row.byWidth ? sizeFrom(row, operands, 'v') : row.length;
  if (width === undefined || width < row.minimum) return undefined;
  const operandSize = row.bySize ? sizeFrom(row, operands, 'r') : row.fixedSize;
  if (operandSize === undefined) return undefined;
  if (row.bySize && (operandSize === 8 || (operandSize === 16 && row.vex))) return undefined;

  let needsEvex = width === 512 || rounding !== undefined;
  let mask = false;
  for (let i = 0; i < operands.length; i++) {
    const operand = operands[i];
    if (!operandFits(row.operands[i], operand, row, width, operandSize, reach)) return undefined;
    if (typeof operand !== 'object' || operand.kind === 'label' || operand.kind === 'general') continue;
    if (operand.mask !== undefined) {
      if (i > 0) return undefined;
      mask = true;
      if (operand.kind === 'vector' && operand.zeroing && row.mask !== 'zero') return undefined;
    }
    if (operand.kind === 'memory') {
      if (operand.broadcast) needsEvex = true;
      if (operand.index?.kind === 'vector' && operand.index.index > 15) needsEvex = true;
    }
    if (operand.kind === 'vector' && operand.index > 15) needsEvex = true;
  }
  if (mask ? row.mask === 'none' : row.mask === 'required') return undefined;
  if (mask) needsEvex = true;
  if (rounding !== undefined) {
    if (row.rounding === undefined || (rounding === 'sae') !== (row.rounding === 'sae')) return undefined;
    if (row.byWidth && width !== 512) return undefined;
    if (operands.some((o) => typeof o === 'object' && o.kind === 'memory')) return undefined;
  }
  const form: Form | undefined =
    row.vex && !needsEvex ? 'vex' : row.evex ? 'evex' : row.vex || needsEvex ? undefined : 'legacy';
  return form && { row, form, operands, rounding, width, operandSize };
}

export function isRounding(operand: Operand | undefined): operand is Rounding {
  return typeof operand === 'string';
}

const ROUNDINGS: readonly Rounding[] = ['sae', 'rn-sae', 'rd-sae', 'ru-sae', 'rz-sae'];

/** The interval of numbers among which {@link immediateFits} makes no difference; -1 where each counts by itself. */
function immediateClass(value: number): number {
  if (value === 1) return 0;
  if (value !== (value | 0)) return -1;
  if (value >= -128 && value < 128) return 1;
  if (value < 0) return value >= -0x8000 ? 2 : 3;
  if (value < 256) return 4;
  if (value < 0x8000) return 5;
  // From 0xff80 on, 16 bits are a sign-extended byte.
  return value < 0xff80 ? 6 : value > 0xffff ? 7 : -1;
}

/** Of one operand, in 11 bits; -1 where its value matters. */
function operandClass(operand: Operand, reach: (label: Operand) => boolean): number {
  if (typeof operand === 'number') {
    const numbers = immediateClass(operand);
    return numbers < 0 ? -1 : 0x10 | numbers;
  }
  if (typeof operand === 'bigint') return -1;
  if (typeof operand === 'string') return 0x20 | ROUNDINGS.indexOf(operand);
  switch (operand.kind) {
    // Some rows take al, ax, eax, rax or cl only.
    case 'general':
      return 0x100 | (operand.bits << 1) /* 16 to 128 */ | Math.min(operand.index, 2);
    case 'vector': {
      const decorated = operand.mask === undefined ? 0 : operand.zeroing ? 2 : 1;
      return 0x200 | (operand.bits >> 5) /* 4 to 16 */ | (operand.index > 15 ? 0x20 : 0) | (decorated << 6);
    }
    case 'mask':
      return 0x40 | (operand.mask === undefined ? 0 : 1);
    case 'label':
      return 0x80 | (reach(operand) ? 1 : 0);
    case 'memory': {
      const { bits = 0, index, broadcast, mask } = operand;
      if (bits !== 0 && (bits < 8 || bits > 512 || (bits & (bits - 1)) !== 0)) return -1;
      const indexed = index?.kind === 'vector' ? (index.bits >> 7) * 2 + (index.index > 15 ? 1 : 0) : 0;
      return (
        0x400 |
        (bits === 0 ? 0 : 29 - Math.clz32(bits)) |
        (broadcast ? 8 : 0) |
        (mask === undefined ? 0 : 16) |
        (indexed << 5)
      );
    }
  }
}

/** Numbers from 2 on of the classes of operands that were seen; 0: not yet. */
const classNumbers = new Uint8Array(0x800);
let classCount = 1;

/** The same number for operands that {@link chooseRow} encodes alike; 0 where that is hard to tell. A byte for each operand, behind a 1. */
export function signatureOf(operands: readonly Operand[], reach: (label: Operand) => boolean): number {
  if (operands.length > 4) return 0;
  let signature = 1; // pushed out by four operands, the first of which has another number
  for (let i = 0; i < operands.length; i++) {
    const found = operandClass(operands[i], reach);
    if (found < 0) return 0;
    let number = classNumbers[found];
    if (number === 0) {
      if (classCount === 255) return 0;
      number = ++classCount;
      classNumbers[found] = number;
    }
    signature = (signature << 8) | number;
  }
  return signature;
}

/**
 * The first row, in the order of the table, that takes the operands in VEX where that is possible and else in EVEX.
 *
 * @param reach whether a short jump reaches a label.
 * @throws InternalError if no row fits.
 */
export function chooseRow(
  rows: Iterable<Row>,
  given: readonly Operand[],
  reach: (label: Operand) => boolean,
  describe: () => string,
): Choice {
  const last = given[given.length - 1];
  const rounding = isRounding(last) ? last : undefined;
  const operands = rounding === undefined ? given : given.slice(0, -1);
  for (const row of rows) {
    const choice = matchRow(row, operands, rounding, reach);
    if (choice) return choice;
  }
  invariant(
    false,
    () => `no encoding of "${describe()}"; there are: ${Array.from(rows, (row) => row.text).join('; ')}`,
  );
}
