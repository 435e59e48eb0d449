import { invariant } from '../../../tensor/errors.js';
import { checkSame, isInt } from '../check-registers.js';
import type {
  BinaryOp,
  Comparison,
  FunctionId,
  Int,
  LoopRange,
  Register,
  RegisterKind,
  UnaryOp,
  VectorMachine,
} from '../machine.js';
import { emitBarrier } from './barrier.js';
import { signedLeb, unsignedLeb } from './encoder.js';
import type { FunctionBuilder, Item, WasmRegister } from './function.js';
import { EMPTY_BLOCK, Misc, Op, PREFIX_MISC, PREFIX_SIMD, Simd } from './opcodes.js';
import { wasmEngine } from './tiles.js';

/** f32 elements in a v128. */
export const WASM_LANES = 4;
/** WebAssembly has no registers; x64 and arm64 engines have at least these. */
export const WASM_VECTOR_REGISTERS = 16;

const SCALAR_F32: Partial<Record<BinaryOp | UnaryOp | Comparison, number>> = {
  add: Op.f32Add,
  sub: Op.f32Sub,
  mul: Op.f32Mul,
  div: Op.f32Div,
  min: Op.f32Min,
  max: Op.f32Max,
  neg: Op.f32Neg,
  abs: Op.f32Abs,
  sqrt: Op.f32Sqrt,
  floor: Op.f32Floor,
  ceil: Op.f32Ceil,
  trunc: Op.f32Trunc,
  round: Op.f32Nearest,
  eq: Op.f32Eq,
  ne: Op.f32Ne,
  lt: Op.f32Lt,
  le: Op.f32Le,
  gt: Op.f32Gt,
  ge: Op.f32Ge,
};
const WIDE_F32: Partial<Record<BinaryOp | UnaryOp | Comparison, number>> = {
  add: Simd.f32x4Add,
  sub: Simd.f32x4Sub,
  mul: Simd.f32x4Mul,
  div: Simd.f32x4Div,
  min: Simd.f32x4Min,
  max: Simd.f32x4Max,
  neg: Simd.f32x4Neg,
  abs: Simd.f32x4Abs,
  sqrt: Simd.f32x4Sqrt,
  floor: Simd.f32x4Floor,
  ceil: Simd.f32x4Ceil,
  trunc: Simd.f32x4Trunc,
  round: Simd.f32x4Nearest,
  eq: Simd.f32x4Eq,
  ne: Simd.f32x4Ne,
  lt: Simd.f32x4Lt,
  le: Simd.f32x4Le,
  gt: Simd.f32x4Gt,
  ge: Simd.f32x4Ge,
};
const SCALAR_I32: Partial<Record<BinaryOp | Comparison, number>> = {
  add: Op.i32Add,
  sub: Op.i32Sub,
  mul: Op.i32Mul,
  and: Op.i32And,
  or: Op.i32Or,
  xor: Op.i32Xor,
  eq: Op.i32Eq,
  ne: Op.i32Ne,
  lt: Op.i32LtS,
  le: Op.i32LeS,
  gt: Op.i32GtS,
  ge: Op.i32GeS,
};
const WIDE_I32: Partial<Record<BinaryOp | UnaryOp | Comparison, number>> = {
  add: Simd.i32x4Add,
  sub: Simd.i32x4Sub,
  mul: Simd.i32x4Mul,
  min: Simd.i32x4MinS,
  max: Simd.i32x4MaxS,
  and: Simd.v128And,
  or: Simd.v128Or,
  xor: Simd.v128Xor,
  neg: Simd.i32x4Neg,
  abs: Simd.i32x4Abs,
  eq: Simd.i32x4Eq,
  ne: Simd.i32x4Ne,
  lt: Simd.i32x4LtS,
  le: Simd.i32x4LeS,
  gt: Simd.i32x4GtS,
  ge: Simd.i32x4GeS,
};
const COMMUTES: readonly string[] = ['add', 'mul', 'and', 'or', 'xor'];
const SHIFT = {
  scalar: { shl: Op.i32Shl, shr: Op.i32ShrU, sar: Op.i32ShrS },
  wide: { shl: Simd.i32x4Shl, shr: Simd.i32x4ShrU, sar: Simd.i32x4ShrS },
} as const;

export interface WasmMachineOptions {
  readonly relaxed: boolean;
  readonly shared: boolean;
}

/**
 * The vector machine over one WebAssembly function. Registers are locals. A scalar mask is an i32 that is 0 or 1; a wide
 * mask has all or no bits of a lane set.
 */
export class WasmMachine implements VectorMachine {
  readonly lanes: number = WASM_LANES;
  readonly vectorRegisters: number = WASM_VECTOR_REGISTERS;
  readonly fusedMultiplyAdd: boolean;
  readonly loadsFirst: boolean = wasmEngine().loadsFirst;
  readonly prefetches: boolean = false;
  readonly #f: FunctionBuilder;
  readonly #options: WasmMachineOptions;
  readonly #parametersOf: (callee: FunctionId) => number;

  constructor(builder: FunctionBuilder, options: WasmMachineOptions, parametersOf: (callee: FunctionId) => number) {
    this.#f = builder;
    this.#options = options;
    this.fusedMultiplyAdd = options.relaxed;
    this.#parametersOf = parametersOf;
  }

  constant(kind: 'f32' | 'i32', value: number, wide = false): Register {
    return this.#f.constant(kind, kind === 'f32' ? Math.fround(value) : value | 0, wide);
  }

  copy(source: Register): Register {
    return this.#result(source.kind, source.wide, this.#f.get(source));
  }

  set(target: Register, source: Register): void {
    checkSame('set', target, source);
    this.#f.emit(this.#f.get(source));
    this.#f.set(target as WasmRegister);
  }

  splat(scalar: Register): Register {
    invariant(!scalar.wide, 'splat: expects a scalar register');
    if (scalar.kind === 'mask') {
      return this.#result('mask', true, Op.i32Const, 0, this.#f.get(scalar), Op.i32Sub, ...simd(Simd.i32x4Splat));
    }
    const op = scalar.kind === 'f32' ? Simd.f32x4Splat : Simd.i32x4Splat;
    return this.#result(scalar.kind, true, this.#f.get(scalar), ...simd(op));
  }

  lane(source: Register, index: number): Register {
    invariant(
      source.wide && index >= 0 && index < WASM_LANES,
      () => `lane ${index}: expects a wide register and 0 … 3`,
    );
    const op = source.kind === 'f32' ? Simd.f32x4ExtractLane : Simd.i32x4ExtractLane;
    const bit = source.kind === 'mask' ? [Op.i32Const, 1, Op.i32And] : [];
    return this.#result(source.kind, false, this.#f.get(source), ...simd(op), index, ...bit);
  }

  gather(scalars: readonly Register[]): Register {
    const { kind } = scalars[0];
    invariant(
      scalars.length === WASM_LANES && scalars.every((s) => !s.wide && s.kind === kind) && kind !== 'mask',
      () => `gather: expects ${WASM_LANES} scalar registers of one kind (f32 or i32)`,
    );
    const [splat, replace] =
      kind === 'f32' ? [Simd.f32x4Splat, Simd.f32x4ReplaceLane] : [Simd.i32x4Splat, Simd.i32x4ReplaceLane];
    this.#f.emit(this.#f.get(scalars[0]), ...simd(splat));
    for (let i = 1; i < WASM_LANES; i++) this.#f.emit(this.#f.get(scalars[i]), ...simd(replace), i);
    return this.#result(kind, true);
  }

  permute(source: Register, indices: readonly number[]): Register {
    invariant(
      indices.every((i) => i < WASM_LANES),
      () => `permute: expects ${WASM_LANES} lanes of a register, not [${indices}]`,
    );
    return this.shuffle(source, source, indices);
  }

  shuffle(a: Register, b: Register, indices: readonly number[]): Register {
    invariant(
      a.wide &&
        b.wide &&
        a.kind === b.kind &&
        a.kind !== 'mask' &&
        indices.length === WASM_LANES &&
        indices.every((i) => i >= 0 && i < 2 * WASM_LANES),
      () => `shuffle: expects wide f32 or i32 and ${WASM_LANES} lanes of both, not [${indices}]`,
    );
    const bytes = indices.flatMap((i) => [4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]);
    return this.#result(a.kind, true, this.#f.get(a), this.#f.get(b), ...simd(Simd.i8x16Shuffle), ...bytes);
  }

  iota(): Register {
    const bytes = [0, 1, 2, 3].flatMap((i) => [i, 0, 0, 0]);
    return this.#result('i32', true, ...simd(Simd.v128Const), ...bytes);
  }

  load(kind: 'f32' | 'i32', wide: boolean, address: Register, offset = 0): Register {
    const place = this.#address(address, offset);
    if (wide) return this.#result(kind, true, place.address, ...simd(Simd.v128Load), ...place.operand(2));
    const op = kind === 'f32' ? Op.f32Load : Op.i32Load;
    return this.#result(kind, false, place.address, op, ...place.operand(2));
  }

  loadBytes(wide: boolean, address: Register, offset = 0): Register {
    const place = this.#address(address, offset);
    if (!wide) return this.#result('i32', false, place.address, Op.i32Load8U, ...place.operand(0));
    this.#f.emit(place.address, ...simd(Simd.v128Load32Zero), ...place.operand(0));
    this.#f.emit(...simd(Simd.i16x8ExtendLowI8x16U), ...simd(Simd.i32x4ExtendLowI16x8U));
    return this.#result('i32', true);
  }

  loadSplat(kind: 'f32' | 'i32', address: Register, offset = 0): Register {
    const place = this.#address(address, offset);
    return this.#result(kind, true, place.address, ...simd(Simd.v128Load32Splat), ...place.operand(2));
  }

  prefetch(): void {}

  store(value: Register, address: Register, offset = 0, count: number = value.wide ? WASM_LANES : 1): void {
    invariant(value.kind !== 'mask', 'store: a mask has no representation in memory');
    const data = this.#f.get(value);
    if (!value.wide) {
      invariant(count === 1, () => `store: a scalar register has one element, not ${count}`);
      const place = this.#address(address, offset);
      this.#f.emit(place.address, data, value.kind === 'f32' ? Op.f32Store : Op.i32Store, ...place.operand(2));
      return;
    }
    if (count === WASM_LANES) {
      const place = this.#address(address, offset);
      this.#f.emit(place.address, data, ...simd(Simd.v128Store), ...place.operand(2));
      return;
    }
    this.#storePart(data, address, offset, count, [
      { op: Simd.v128Store64Lane, lanes: 2, size: 8 },
      { op: Simd.v128Store32Lane, lanes: 1, size: 4 },
    ]);
  }

  storeBytes(value: Register, address: Register, offset = 0, count: number = value.wide ? WASM_LANES : 1): void {
    invariant(value.kind === 'i32', () => `storeBytes: expects i32, not ${value.kind}`);
    if (!value.wide) {
      invariant(count === 1, () => `storeBytes: a scalar register has one element, not ${count}`);
      const place = this.#address(address, offset);
      this.#f.emit(place.address, this.#f.get(value), Op.i32Store8, ...place.operand(0));
      return;
    }
    const lowBytes = [0, 4, 8, 12, ...new Array<number>(12).fill(0)];
    const data = this.#f.get(value);
    const packed = this.#result('i32', true, data, data, ...simd(Simd.i8x16Shuffle), ...lowBytes);
    this.#storePart(this.#f.get(packed), address, offset, count, [
      { op: Simd.v128Store32Lane, lanes: 4, size: 4 },
      { op: Simd.v128Store16Lane, lanes: 2, size: 2 },
      { op: Simd.v128Store8Lane, lanes: 1, size: 1 },
    ]);
  }

  unary(op: UnaryOp, a: Register): Register {
    const x = this.#f.get(a);
    if (a.kind === 'mask') {
      invariant(op === 'not', () => `${op}: not defined for masks`);
      return this.#result('mask', a.wide, x, ...(a.wide ? simd(Simd.v128Not) : [Op.i32Eqz]));
    }
    if (a.kind === 'i32' && !a.wide) {
      if (op === 'neg') return this.#result('i32', false, Op.i32Const, 0, x, Op.i32Sub);
      invariant(op === 'abs', () => `${op}: not defined for i32`);
      const sign = this.shift('sar', a, 31);
      return this.binary('sub', this.binary('xor', sign, a), sign);
    }
    return this.#result(a.kind, a.wide, x, ...this.#opcode(op, a));
  }

  binary(op: BinaryOp, a: Register, b: Register): Register {
    checkSame(op, a, b);
    if (a.kind === 'mask') {
      invariant(op === 'and' || op === 'or', () => `${op}: not defined for masks`);
    } else if (a.kind === 'i32' && !a.wide && (op === 'min' || op === 'max')) {
      return this.select(this.compare(op === 'min' ? 'lt' : 'gt', a, b), a, b);
    } else if (a.kind === 'f32' && a.wide && (op === 'min' || op === 'max')) {
      return this.#extremum(op, a as WasmRegister, b as WasmRegister);
    }
    const swap = COMMUTES.includes(op) && this.#f.justSet(b) && a !== b;
    const [first, second] = swap ? [b, a] : [a, b];
    return this.#result(a.kind, a.wide, this.#f.get(first), this.#f.get(second), ...this.#opcode(op, a));
  }

  shift(op: 'shl' | 'shr' | 'sar', a: Register, bits: number): Register {
    invariant(a.kind === 'i32', () => `${op}: expects i32, not ${a.kind}`);
    invariant(bits >= 0 && bits < 32, () => `${op}: ${bits} bits, expected 0 … 31`);
    const opcode = a.wide ? simd(SHIFT.wide[op]) : [SHIFT.scalar[op]];
    return this.#result('i32', a.wide, this.#f.get(a), ...i32Const(bits), ...opcode);
  }

  divide(a: Register, divisor: Int): Register {
    return this.#divide(Op.i32DivS, a, divisor);
  }

  remainder(a: Register, divisor: Int): Register {
    return this.#divide(Op.i32RemS, a, divisor);
  }

  compare(op: Comparison, a: Register, b: Register): Register {
    checkSame(op, a, b);
    invariant(a.kind !== 'mask', () => `${op}: masks are not compared`);
    return this.#result('mask', a.wide, this.#f.get(a), this.#f.get(b), ...this.#opcode(op, a));
  }

  select(mask: Register, a: Register, b: Register): Register {
    checkSame('select', a, b);
    invariant(mask.kind === 'mask' && mask.wide === a.wide, 'select: expects a mask as wide as its operands');
    const items = [this.#f.get(a), this.#f.get(b), this.#f.get(mask)];
    if (!a.wide) return this.#result(a.kind, false, ...items, Op.select);
    // A lane of a mask is all ones or all zeros, so the relaxed form has one meaning only; it is one instruction on x64.
    const op = this.#options.relaxed ? Simd.i32x4RelaxedLaneselect : Simd.v128Bitselect;
    return this.#result(a.kind, true, ...items, ...simd(op));
  }

  maskToInt(mask: Register): Register {
    invariant(mask.kind === 'mask', () => `maskToInt: expects a mask, not ${mask.kind}`);
    const x = this.#f.get(mask);
    return this.#result('i32', mask.wide, x, ...(mask.wide ? [Op.i32Const, 31, ...simd(Simd.i32x4ShrU)] : []));
  }

  convert(to: 'f32' | 'i32', a: Register): Register {
    invariant(a.kind !== 'mask', 'convert: use maskToInt for masks');
    if (a.kind === to) return this.copy(a);
    const scalar = to === 'f32' ? [Op.f32ConvertI32S] : [PREFIX_MISC, Misc.i32TruncSatF32S];
    const wide = simd(to === 'f32' ? Simd.f32x4ConvertI32x4S : Simd.i32x4TruncSatF32x4S);
    return this.#result(to, a.wide, this.#f.get(a), ...(a.wide ? wide : scalar));
  }

  bitcast(to: 'f32' | 'i32', a: Register): Register {
    invariant(a.kind !== 'mask', 'bitcast: use maskToInt for masks');
    if (a.kind === to || a.wide) return this.#result(to, a.wide, this.#f.get(a));
    return this.#result(to, false, this.#f.get(a), to === 'f32' ? Op.f32ReinterpretI32 : Op.i32ReinterpretF32);
  }

  multiplyAdd(accumulator: Register, a: Register, b: Register): void {
    checkSame('multiplyAdd', a, b);
    checkSame('multiplyAdd', accumulator, a);
    invariant(a.kind === 'f32', () => `multiplyAdd: expects f32, not ${a.kind}`);
    const swap = this.#f.justSet(b) && a !== b;
    const factors = [this.#f.get(swap ? b : a), this.#f.get(swap ? a : b)];
    const sum = this.#f.get(accumulator);
    if (!this.#options.relaxed) {
      const [mul, add] = a.wide ? [simd(Simd.f32x4Mul), simd(Simd.f32x4Add)] : [[Op.f32Mul], [Op.f32Add]];
      this.#f.emit(...factors, ...mul, sum, ...add);
    } else if (a.wide) {
      this.#f.emit(...factors, sum, ...simd(Simd.f32x4RelaxedMadd));
    } else {
      // There is no scalar form; rounding must not depend on whether an element falls into a tail.
      for (const operand of [...factors, sum]) this.#f.emit(operand, ...simd(Simd.f32x4Splat));
      this.#f.emit(...simd(Simd.f32x4RelaxedMadd), ...simd(Simd.f32x4ExtractLane), 0);
    }
    this.#f.set(accumulator as WasmRegister);
  }

  bump(accumulator: Register, value: Int): void {
    invariant(isInt(accumulator), 'bump: expects a scalar i32');
    this.#f.emit(this.#f.get(accumulator), ...this.#int(value), Op.i32Add);
    this.#f.set(accumulator as WasmRegister);
  }

  loop({ from = 0, to, step = 1 }: LoopRange, body: (i: Register) => void): void {
    invariant(Number.isInteger(step) && step > 0, () => `loop: step ${step}, expected a positive integer`);
    const known = typeof from === 'number' && typeof to === 'number';
    const trips = known ? Math.ceil((to - from) / step) : undefined;
    if (trips !== undefined && trips <= 0) return;
    if (trips === 1) {
      body(this.constant('i32', from as number));
      return;
    }
    const f = this.#f;
    const i = f.register('i32', false);
    f.emit(...this.#int(from));
    f.set(i);
    let limit = to;
    if (typeof to !== 'number') limit = this.copy(to); // the body may change `to`
    if (trips === undefined) f.emit(f.get(i), ...this.#int(limit), Op.i32LtS, Op.if, EMPTY_BLOCK);
    f.emit(Op.loop, EMPTY_BLOCK);
    body(i);
    f.emit(f.get(i), ...i32Const(step), Op.i32Add);
    f.set(i);
    f.emit(f.get(i), ...this.#int(limit), Op.i32LtS, Op.brIf, 0, Op.end);
    if (trips === undefined) f.emit(Op.end);
  }

  when(condition: Register, then: () => void, otherwise?: () => void): void {
    invariant(condition.kind === 'mask' && !condition.wide, 'when: expects a scalar mask');
    this.#f.emit(this.#f.get(condition), Op.if, EMPTY_BLOCK);
    then();
    if (otherwise) {
      this.#f.emit(Op.else);
      otherwise();
    }
    this.#f.emit(Op.end);
  }

  call(callee: FunctionId, args: readonly Int[]): void {
    const expected = this.#parametersOf(callee);
    invariant(args.length === expected, () => `call ${callee.name}: ${args.length} arguments, expected ${expected}`);
    for (const arg of args) this.#f.emit(...this.#int(arg));
    this.#f.emit(Op.call, ...unsignedLeb(callee.index));
  }

  barrier(address: Register, threads: Register): void {
    invariant(isInt(address) && isInt(threads), 'barrier: expects scalar i32 registers');
    if (this.#options.shared) emitBarrier(this.#f, address, threads);
  }

  #result(kind: RegisterKind, wide: boolean, ...items: readonly Item[]): WasmRegister {
    const register = this.#f.register(kind, wide);
    this.#f.emit(...items);
    this.#f.set(register);
    return register;
  }

  /**
   * `f32x4.min` takes about eight instructions on x64, `f32x4.pmin(a, b) = b < a ? b : a` takes one. They agree when b
   * is a constant other than NaN, but for the sign of zero: -0 against +0 needs one more addition or the full form.
   */
  #extremum(op: 'min' | 'max', a: WasmRegister, b: WasmRegister): Register {
    const [x, y] = a.value !== undefined ? [b, a] : [a, b];
    const items = [this.#f.get(x), this.#f.get(y)];
    return this.#result('f32', true, () => {
      const bound = y.fixed;
      const full = [...items, ...simd(op === 'min' ? Simd.f32x4Min : Simd.f32x4Max)];
      if (bound === undefined || Number.isNaN(bound)) return full;
      if (op === 'min') return Object.is(bound, -0) ? full : [...items, ...simd(Simd.f32x4Pmin)];
      const short = [...items, ...simd(Simd.f32x4Pmax)];
      if (!Object.is(bound, 0)) return short;
      return [...short, items[1], ...simd(Simd.f32x4Add)]; // -0 + 0 = 0
    });
  }

  #divide(op: number, a: Register, divisor: Int): Register {
    invariant(isInt(a), 'divide, remainder: expects a scalar i32');
    if (typeof divisor !== 'number') return this.#result('i32', false, this.#f.get(a), this.#f.get(divisor), op);
    invariant(
      Number.isInteger(divisor) && divisor > 0 && divisor < 2 ** 31,
      () => `divide, remainder: divisor ${divisor}, expected a positive integer`,
    );
    return this.#result('i32', false, this.#f.get(a), ...i32Const(divisor), op);
  }

  /** Pieces of lane stores from the largest to the smallest that make up `count` lanes. */
  #storePart(
    data: Item,
    address: Register,
    offset: number,
    count: number,
    pieces: readonly { op: number; lanes: number; size: number }[],
  ): void {
    invariant(
      Number.isInteger(count) && count >= 0 && count <= WASM_LANES,
      () => `store: ${count} elements, expected 0 … 4`,
    );
    let done = 0;
    for (const { op, lanes, size } of pieces) {
      if (count - done < lanes) continue;
      const place = this.#address(address, offset + (done * size) / lanes);
      this.#f.emit(place.address, data, ...simd(op), ...place.operand(0), done / lanes);
      done += lanes;
    }
  }

  /** Memory operands have unsigned offsets; a negative one is added to the address. */
  #address(address: Register, offset: number): { address: Item; operand: (alignment: number) => number[] } {
    invariant(isInt(address), 'a memory address is a scalar i32');
    invariant(Number.isInteger(offset) && Math.abs(offset) < 2 ** 31, () => `offset ${offset} out of range`);
    if (offset >= 0)
      return { address: this.#f.get(address), operand: (alignment) => [alignment, ...unsignedLeb(offset)] };
    const base = this.#f.get(address);
    return { address: () => [base, ...i32Const(offset), Op.i32Add], operand: (alignment) => [alignment, 0] };
  }

  #int(value: Int): Item[] {
    if (typeof value === 'number') {
      invariant(Number.isInteger(value), () => `${value} is not an integer`);
      return i32Const(value);
    }
    invariant(isInt(value), 'expects a scalar i32 or a number');
    return [this.#f.get(value)];
  }

  #opcode(op: BinaryOp | UnaryOp | Comparison, a: Register): number[] {
    const table: Partial<Record<BinaryOp | UnaryOp | Comparison, number>> =
      a.kind === 'f32' ? (a.wide ? WIDE_F32 : SCALAR_F32) : a.wide ? WIDE_I32 : SCALAR_I32;
    const opcode = table[op];
    invariant(opcode !== undefined, () => `${op}: not defined for ${a.wide ? 'wide' : 'scalar'} ${a.kind}`);
    return a.wide ? simd(opcode) : [opcode];
  }
}

function simd(op: number): number[] {
  return op < 0x80 ? [PREFIX_SIMD, op] : [PREFIX_SIMD, (op & 0x7f) | 0x80, op >> 7];
}

function i32Const(value: number): number[] {
  return [Op.i32Const, ...signedLeb(value)];
}
