/** Operands of x86-64 instructions, in Intel's order and terms: registers, memory, immediates, labels. */

import { bug, invariant } from '../../../tensor/errors.js';

export type GeneralBits = 8 | 16 | 32 | 64;
export type VectorBits = 128 | 256 | 512;

/** One of the 16 general-purpose registers, seen with an operand size. `index` is the hardware number: 0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, 5 rbp, 6 rsi, 7 rdi, 8–15. */
export interface GeneralRegister {
  readonly kind: 'general';
  readonly index: number;
  readonly bits: GeneralBits;
}

/** xmm, ymm or zmm 0–31. `mask` and `zeroing` decorate a destination (see {@link masked}, {@link zeroed}). */
export interface VectorRegister {
  readonly kind: 'vector';
  readonly index: number;
  readonly bits: VectorBits;
  readonly mask?: number;
  readonly zeroing?: boolean;
}

/** k0–k7. As the destination of a comparison it can itself be masked. */
export interface MaskRegister {
  readonly kind: 'mask';
  readonly index: number;
  readonly mask?: number;
}

/** A place in the code or in the constant pool; made by `CodeBuilder.label` and `CodeBuilder.constant`. */
export interface Label {
  readonly kind: 'label';
  readonly name: string;
  /** Unique within one CodeBuilder. */
  readonly id: number;
}

/** `[base + index·scale + displacement]`, or `[rip + label + displacement]` when `label` is set. */
export interface Memory {
  readonly kind: 'memory';
  readonly base?: GeneralRegister;
  readonly label?: Label;
  /** A vector register for gathers. */
  readonly index?: GeneralRegister | VectorRegister;
  readonly scale: 1 | 2 | 4 | 8;
  readonly displacement: number;
  /** Needed only where no register says the size: `inc [rax]`, `movzx eax, [rcx]`. */
  readonly bits?: number;
  /** One element, repeated in all lanes ({1toN}; AVX-512). */
  readonly broadcast?: boolean;
  readonly mask?: number;
}

/** Static rounding with exceptions suppressed, or only the latter; the last operand of a register form with 512 bits or of a scalar. */
export type Rounding = 'rn-sae' | 'rd-sae' | 'ru-sae' | 'rz-sae' | 'sae';

export type Immediate = number | bigint;

export type Operand = GeneralRegister | VectorRegister | MaskRegister | Memory | Label | Rounding | Immediate;

/** All registers have the same fields, whatever they mean for them, and there is one object of each: code that sees them often is fast so. */
function register(
  kind: 'general' | 'vector' | 'mask',
  index: number,
  bits: number,
  mask?: number,
  zeroing = false,
): GeneralRegister | VectorRegister | MaskRegister {
  return { kind, index, bits, mask, zeroing } as GeneralRegister | VectorRegister | MaskRegister;
}

function file<T>(kind: 'general' | 'vector' | 'mask', size: number, bits: number): readonly T[] {
  return Array.from({ length: size }, (_, index) => register(kind, index, bits) as T);
}

const GENERAL: Readonly<Record<GeneralBits, readonly GeneralRegister[]>> = {
  8: file('general', 16, 8),
  16: file('general', 16, 16),
  32: file('general', 16, 32),
  64: file('general', 16, 64),
};
const VECTOR: Readonly<Record<VectorBits, readonly VectorRegister[]>> = {
  128: file('vector', 32, 128),
  256: file('vector', 32, 256),
  512: file('vector', 32, 512),
};
const MASK: readonly MaskRegister[] = file('mask', 8, 64);

/** General-purpose register by number and operand size. */
export function general(bits: GeneralBits, index: number): GeneralRegister {
  const found = GENERAL[bits][index];
  if (found === undefined) throw bug(`no general-purpose register ${index}`);
  return found;
}

export function r64(index: number): GeneralRegister {
  return general(64, index);
}
export function r32(index: number): GeneralRegister {
  return general(32, index);
}
export function r16(index: number): GeneralRegister {
  return general(16, index);
}
/** The low byte (al, cl, …, sil, dil, r8b, …; never ah). */
export function r8(index: number): GeneralRegister {
  return general(8, index);
}

export const rax: GeneralRegister = r64(0);
export const rcx: GeneralRegister = r64(1);
export const rdx: GeneralRegister = r64(2);
export const rbx: GeneralRegister = r64(3);
export const rsp: GeneralRegister = r64(4);
export const rbp: GeneralRegister = r64(5);
export const rsi: GeneralRegister = r64(6);
export const rdi: GeneralRegister = r64(7);
export const eax: GeneralRegister = r32(0);
export const ecx: GeneralRegister = r32(1);
export const edx: GeneralRegister = r32(2);
export const ebx: GeneralRegister = r32(3);
export const al: GeneralRegister = r8(0);
export const cl: GeneralRegister = r8(1);

/** Vector register by number and width in bits. */
export function vector(index: number, bits: VectorBits): VectorRegister {
  const found = VECTOR[bits][index];
  if (found === undefined) throw bug(`no vector register ${index}`);
  return found;
}
export function xmm(index: number): VectorRegister {
  return vector(index, 128);
}
export function ymm(index: number): VectorRegister {
  return vector(index, 256);
}
export function zmm(index: number): VectorRegister {
  return vector(index, 512);
}

export function k(index: number): MaskRegister {
  const found = MASK[index];
  if (found === undefined) throw bug(`no mask register ${index}`);
  return found;
}

/**
 * `[base + index·scale + displacement]`; with a {@link Label} as base `[rip + label + displacement]`; without a base
 * `[index·scale + displacement]`. `base` and `index` are 64-bit registers; the displacement has 32 bits.
 */
export function memory(
  base: GeneralRegister | Label | undefined,
  displacement = 0,
  index?: GeneralRegister | VectorRegister,
  scale: 1 | 2 | 4 | 8 = 1,
): Memory {
  invariant(displacement === (displacement | 0), () => `displacement ${displacement} does not fit 32 bits`);
  if (base?.kind === 'label') {
    invariant(index === undefined, 'rip-relative addresses have no index');
    return address(undefined, base, undefined, 1, displacement, undefined, undefined, undefined);
  }
  invariant(base !== undefined || index !== undefined, 'an address has a base, an index or a label');
  invariant(base === undefined || base.bits === 64, 'the base of an address is a 64-bit register');
  if (index?.kind === 'general') {
    invariant(index.bits === 64, 'the index of an address is a 64-bit register');
    invariant(index.index !== 4, 'rsp cannot be an index');
  }
  return address(base, undefined, index, scale, displacement | 0, undefined, undefined, undefined);
}

function address(
  base: GeneralRegister | undefined,
  label: Label | undefined,
  index: GeneralRegister | VectorRegister | undefined,
  scale: 1 | 2 | 4 | 8,
  displacement: number,
  bits: number | undefined,
  broadcast: boolean | undefined,
  mask: number | undefined,
): Memory {
  return { kind: 'memory', base, label, index, scale, displacement, bits, broadcast, mask };
}

// V8 learns from these that some fields hold numbers or nothing, before it compiles anything that relies on the one or the other.
address(undefined, undefined, undefined, 1, 0, 32, true, 1);
register('vector', 0, 128, 1, true);

/** `[base + index + displacement]`, sized, repeated and masked at once; 64-bit registers, not checked. */
export function plainMemory(
  base: GeneralRegister,
  index: GeneralRegister | undefined,
  displacement: number,
  bits?: number,
  broadcast?: boolean,
  mask?: number,
): Memory {
  return address(base, undefined, index, 1, displacement, bits, broadcast, mask);
}

/** The same memory, read or written with this many bits. */
export function sized(operand: Memory, bits: number): Memory {
  const { base, label, index, scale, displacement, broadcast, mask } = operand;
  return address(base, label, index, scale, displacement, bits, broadcast, mask);
}

/** One element of memory in all lanes ({1toN}). */
export function broadcast(operand: Memory): Memory {
  const { base, label, index, scale, displacement, bits, mask } = operand;
  return address(base, label, index, scale, displacement, bits, true, mask);
}

/** Lanes whose mask bit is 0 keep their value (or are not stored, or are not compared). `mask` is k1–k7. */
export function masked<T extends VectorRegister | Memory | MaskRegister>(operand: T, mask: MaskRegister): T {
  invariant(mask.index > 0, 'k0 cannot be a write mask');
  if (operand.kind !== 'memory') {
    return register(operand.kind, operand.index, (operand as VectorRegister).bits, mask.index) as T;
  }
  const { base, label, index, scale, displacement, bits, broadcast } = operand;
  return address(base, label, index, scale, displacement, bits, broadcast, mask.index) as T;
}

/** Lanes whose mask bit is 0 become zero. `mask` is k1–k7. */
export function zeroed(operand: VectorRegister, mask: MaskRegister): VectorRegister {
  invariant(mask.index > 0, 'k0 cannot be a write mask');
  return register('vector', operand.index, operand.bits, mask.index, true) as VectorRegister;
}
