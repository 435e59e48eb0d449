/**
 * The vector machine: the one interface that CPU kernels are written against. An emitter (`wasm/`, `x64/`) implements
 * it; kernels ask it for the number of lanes and registers and never know which one runs.
 *
 * Registers are unlimited and typed. A register is scalar, or `wide` with `lanes` elements. Every operation that
 * returns a register returns a fresh one; only `set` and `multiplyAdd` change one in place, which is what accumulators,
 * pointers and counters use.
 */

/** `mask` holds the result of a comparison; it only goes into `select`, `when`, mask logic and `maskToInt`. */
export type RegisterKind = 'f32' | 'i32' | 'mask';

export interface Register {
  readonly kind: RegisterKind;
  readonly wide: boolean;
}

export type Comparison = 'eq' | 'ne' | 'lt' | 'le' | 'gt' | 'ge';

/** Operations on two f32, two i32 or two masks (`and`, `or` only), both scalar or both wide. */
export type BinaryOp =
  | 'add'
  | 'sub'
  | 'mul'
  /** f32 only */
  | 'div'
  /** f32: as in IEEE 754-2019 `minimum`/`maximum`, NaN if either is NaN; i32: signed */
  | 'min'
  | 'max'
  /** i32 and mask only */
  | 'and'
  | 'or'
  /** i32 only */
  | 'xor';

/** f32: all; i32: `neg`, `abs`; mask: `not`. `sqrt`, `floor`, `ceil`, `trunc` and `round` (half to even) are exact. */
export type UnaryOp = 'neg' | 'abs' | 'sqrt' | 'floor' | 'ceil' | 'trunc' | 'round' | 'not';

/** An i32 scalar, or a number known when code is generated. */
export type Int = Register | number;

export interface LoopRange {
  /** default 0 */
  readonly from?: Int;
  /** exclusive */
  readonly to: Int;
  /** default 1; a positive constant */
  readonly step?: number;
}

export interface VectorMachine {
  /** f32 elements of a wide register. */
  readonly lanes: number;
  /** Wide registers of the hardware: a tile that needs more spills. */
  readonly vectorRegisters: number;
  /** Whether `multiplyAdd` rounds once. */
  readonly fusedMultiplyAdd: boolean;
  /** Whether all loads of an iteration of a loop come before its arithmetic, so that everything loaded needs a register at once. */
  readonly loadsFirst: boolean;
  /** Whether `prefetch` does anything. */
  readonly prefetches: boolean;

  constant(kind: 'f32' | 'i32', value: number, wide?: boolean): Register;
  /** A fresh register with the same contents, to be changed by `set` later. */
  copy(source: Register): Register;
  set(target: Register, source: Register): void;
  /** All lanes equal to the scalar. */
  splat(scalar: Register): Register;
  /** One lane as a scalar; `index` is known when code is generated. */
  lane(source: Register, index: number): Register;
  /** A wide register from `lanes` scalars. */
  gather(scalars: readonly Register[]): Register;
  /** Lane i of the result is lane `indices[i]` of a wide f32 or i32; the indices are known when code is generated. */
  permute(source: Register, indices: readonly number[]): Register;
  /** As {@link permute}, out of the lanes of `a` and then those of `b`; fastest for what `transpose.ts` asks for. */
  shuffle(a: Register, b: Register, indices: readonly number[]): Register;
  /** 0, 1, 2, … as wide i32. */
  iota(): Register;

  /**
   * Loads `lanes` elements (wide) or one, from `address + offset` bytes; no alignment needed. Of a wide register only the
   * first `count` lanes (default: all) are needed, the others hold anything: machines that can leave their memory alone; for
   * the others allocations have slack.
   */
  load(kind: 'f32' | 'i32', wide: boolean, address: Register, offset?: number, count?: number): Register;
  /** As `load`, from bytes, zero-extended to i32 (used for the dtypes u8 and bool). */
  loadBytes(wide: boolean, address: Register, offset?: number, count?: number): Register;
  /** One element from memory in all lanes. */
  loadSplat(kind: 'f32' | 'i32', address: Register, offset?: number): Register;
  /** Stores a scalar, or the first `count` (default: all) lanes of a wide register, and nothing beyond. */
  store(value: Register, address: Register, offset?: number, count?: number): void;
  /** As `store`, each i32 as one byte (the low eight bits). */
  storeBytes(value: Register, address: Register, offset?: number, count?: number): void;

  /** Asks for the cache line at `address + offset`, which need not be memory of the program, to come nearer. */
  prefetch(address: Register, offset?: number): void;

  unary(op: UnaryOp, a: Register): Register;
  binary(op: BinaryOp, a: Register, b: Register): Register;
  /** i32 shifts by a constant; `shr` is logical, `sar` arithmetic. */
  shift(op: 'shl' | 'shr' | 'sar', a: Register, bits: number): Register;
  /** Signed, towards zero; scalar i32 only; the divisor is positive. */
  divide(a: Register, divisor: Int): Register;
  remainder(a: Register, divisor: Int): Register;
  compare(op: Comparison, a: Register, b: Register): Register;
  /** `mask ? a : b`, lane by lane. */
  select(mask: Register, a: Register, b: Register): Register;
  /** 0 or 1 as i32. */
  maskToInt(mask: Register): Register;
  /** f32 → i32 truncates and saturates, NaN gives 0; i32 → f32 rounds to nearest. */
  convert(to: 'f32' | 'i32', a: Register): Register;
  /** Same bits, other kind. */
  bitcast(to: 'f32' | 'i32', a: Register): Register;
  /** `accumulator += a · b` in place; f32. */
  multiplyAdd(accumulator: Register, a: Register, b: Register): void;
  /** `accumulator += value` in place for scalar i32: pointer bumps and counters. */
  bump(accumulator: Register, value: Int): void;

  /** Runs `body` for from ≤ i < to; the body must not change `i`. */
  loop(range: LoopRange, body: (i: Register) => void): void;
  /** `condition` is a scalar mask. */
  when(condition: Register, then: () => void, otherwise?: () => void): void;

  call(callee: FunctionId, args: readonly Int[]): void;
  /**
   * All `threads` (scalar i32) threads of a program meet here; spins shortly, then sleeps. `address` points to 64 zeroed
   * bytes that belong to the barrier alone; they are zero-initialised once and reused by every barrier of the program.
   */
  barrier(address: Register, threads: Register): void;
}

/** A function of the program under construction. */
export interface FunctionId {
  readonly name: string;
  readonly index: number;
}

export interface FunctionOptions {
  /** Elements of wide registers in this function, where the machine has several; default: {@link Assembler.lanes}. */
  readonly lanes?: number;
}

/** Collects the functions of one program. Parameters are scalar i32; functions return nothing. */
export interface Assembler {
  readonly lanes: number;
  readonly vectorRegisters: number;
  define(
    name: string,
    parameters: number,
    body: (m: VectorMachine, parameters: readonly Register[]) => void,
    options?: FunctionOptions,
  ): FunctionId;
}
