/** Text of an instruction as GNU `as` reads it with `.intel_syntax noprefix`. */

import { type Choice, sizeIn } from './match.js';
import type { GeneralRegister, Memory, Operand } from './operands.js';

const LEGACY_NAMES: readonly string[] = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];
const VECTOR_LETTERS: Readonly<Record<number, string>> = { 128: 'x', 256: 'y', 512: 'z' };
const POINTERS: Readonly<Record<number, string>> = {
  8: 'byte',
  16: 'word',
  32: 'dword',
  64: 'qword',
  128: 'xmmword',
  256: 'ymmword',
  512: 'zmmword',
};

function generalName({ index, bits }: GeneralRegister): string {
  if (index >= 8) return `r${index}${{ 8: 'b', 16: 'w', 32: 'd', 64: '' }[bits]}`;
  const name = LEGACY_NAMES[index];
  if (bits === 8) return index < 4 ? `${name[0]}l` : `${name}l`;
  return `${{ 16: '', 32: 'e', 64: 'r' }[bits]}${name}`;
}

function maskText(mask: number | undefined, zeroing = false): string {
  return mask === undefined ? '' : `{k${mask}}${zeroing ? '{z}' : ''}`;
}

function addressText({ base, label, index, scale, displacement }: Memory): string {
  const parts: string[] = [];
  if (label) parts.push('rip', label.name);
  if (base) parts.push(generalName(base));
  if (index) {
    const name = index.kind === 'vector' ? `${VECTOR_LETTERS[index.bits]}mm${index.index}` : generalName(index);
    parts.push(scale === 1 && base && index.kind === 'general' ? name : `${name}*${scale}`);
  }
  const sum = parts.join('+');
  if (displacement === 0 && sum) return `[${sum}]`;
  return `[${sum}${displacement < 0 ? '-' : sum ? '+' : ''}${Math.abs(displacement)}]`;
}

/** `bits` is the size of the memory operand, 0 for none; `lanes` of a broadcast. */
function operandText(operand: Operand, bits = 0, lanes = 0): string {
  if (typeof operand === 'string') return `{${operand}}`;
  if (typeof operand !== 'object') return String(operand);
  switch (operand.kind) {
    case 'general':
      return generalName(operand);
    case 'vector':
      return `${VECTOR_LETTERS[operand.bits]}mm${operand.index}${maskText(operand.mask, operand.zeroing)}`;
    case 'mask':
      return `k${operand.index}${maskText(operand.mask)}`;
    case 'label':
      return operand.name;
    case 'memory': {
      const size = bits in POINTERS ? `${POINTERS[bits]} ptr ` : '';
      const repeat = operand.broadcast ? `{1to${lanes || '?'}}` : '';
      return `${size}${addressText(operand)}${repeat}${maskText(operand.mask)}`;
    }
  }
}

/** A chosen instruction with its name, or only the operands where none was found. */
export function instructionText(instruction: Choice | readonly Operand[]): string {
  if (!('row' in instruction)) return instruction.map((operand) => operandText(operand)).join(', ');
  const { row, form, operands, rounding, width, operandSize } = instruction;
  const texts = operands.map((operand, i) => {
    if (typeof operand !== 'object' || operand.kind !== 'memory') return operandText(operand);
    const pattern = row.operands[i];
    const whole = sizeIn(pattern.memorySize, width, operandSize);
    if (pattern.vectorIndex !== undefined) return operandText(operand);
    return operand.broadcast
      ? operandText(operand, row.broadcast, whole / row.broadcast!)
      : operandText(operand, whole);
  });
  if (rounding !== undefined) {
    // `as` wants it before an immediate.
    const last = operands[operands.length - 1];
    texts.splice(
      typeof last === 'number' || typeof last === 'bigint' ? texts.length - 1 : texts.length,
      0,
      `{${rounding}}`,
    );
  }
  // Else `as` would take the short form of a jump ahead.
  const near = row.operands[0]?.relative === 32 && row.name !== 'call' ? '{disp32} ' : '';
  const name = near + (form === 'evex' ? row.evexName : row.name);
  return texts.length ? `${name} ${texts.join(', ')}` : name;
}
