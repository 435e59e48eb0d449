import { bug, invariant } from '../../../tensor/errors.js';
import { checkSame, describeRegister, isInt } from '../check-registers.js';
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
import type { Recording, ShiftOp, Value } from './ir.js';

/** Loops of at most this many trips are unrolled, if they are short. */
const UNROLLED_TRIPS = 8;

type PureOp = 'copy' | 'splat' | 'gather' | 'select' | 'maskToInt' | 'convert' | 'bitcast' | 'divide' | 'remainder';

const F32_BINARY: readonly BinaryOp[] = ['add', 'sub', 'mul', 'div', 'min', 'max'];
const I32_BINARY: readonly BinaryOp[] = ['add', 'sub', 'mul', 'min', 'max', 'and', 'or', 'xor'];
const MASK_BINARY: readonly BinaryOp[] = ['and', 'or'];
const BINARY: Readonly<Record<RegisterKind, readonly BinaryOp[]>> = {
  f32: F32_BINARY,
  i32: I32_BINARY,
  mask: MASK_BINARY,
};
const UNARY: Readonly<Record<RegisterKind, readonly UnaryOp[]>> = {
  f32: ['neg', 'abs', 'sqrt', 'floor', 'ceil', 'trunc', 'round'],
  i32: ['neg', 'abs'],
  mask: ['not'],
};

/** The vector machine for x86-64: checks and records what a kernel asks for; see `fold.ts` and `lower.ts` for what becomes of it. */
export class X64Machine implements VectorMachine {
  readonly lanes: number;
  readonly vectorRegisters: number;
  readonly fusedMultiplyAdd: boolean = true;
  readonly loadsFirst: boolean = false;
  readonly prefetches: boolean = true;
  readonly #f: Recording;
  readonly #parametersOf: (callee: FunctionId) => number;

  constructor(recording: Recording, vectorRegisters: number, parametersOf: (callee: FunctionId) => number) {
    this.#f = recording;
    this.lanes = recording.lanes;
    this.vectorRegisters = vectorRegisters;
    this.#parametersOf = parametersOf;
  }

  constant(kind: 'f32' | 'i32', value: number, wide = false): Register {
    const result = this.#f.value(kind, wide, kind === 'f32' ? Math.fround(value) : value | 0);
    this.#f.add('constant', result, []);
    return result;
  }

  copy(source: Register): Register {
    return this.#pure('copy', source.kind, source.wide, [source]);
  }

  set(target: Register, source: Register): void {
    checkSame('set', target, source);
    this.#f.add('set', this.#f.own(target), [this.#f.own(source)]);
  }

  splat(scalar: Register): Register {
    invariant(!scalar.wide, 'splat: expects a scalar register');
    return this.#pure('splat', scalar.kind, true, [scalar]);
  }

  lane(source: Register, index: number): Register {
    invariant(
      source.wide && Number.isInteger(index) && index >= 0 && index < this.lanes,
      () => `lane ${index}: expects a wide register and 0 … ${this.lanes - 1}`,
    );
    const result = this.#f.value(source.kind, false);
    this.#f.add('lane', result, [this.#f.own(source)]).index = index;
    return result;
  }

  gather(scalars: readonly Register[]): Register {
    const { kind } = scalars[0];
    invariant(
      scalars.length === this.lanes && scalars.every((s) => !s.wide && s.kind === kind) && kind !== 'mask',
      () => `gather: expects ${this.lanes} scalar registers of one kind (f32 or i32)`,
    );
    return this.#pure('gather', kind, true, scalars);
  }

  permute(source: Register, indices: readonly number[]): Register {
    const { lanes } = this;
    invariant(
      source.wide && source.kind !== 'mask' && indices.length === lanes && indices.every((i) => i >= 0 && i < lanes),
      () => `permute: expects a wide f32 or i32 and ${lanes} lanes of it, not [${indices}]`,
    );
    const result = this.#f.value(source.kind, true);
    this.#f.add('permute', result, [this.#f.own(source)]).indices = indices;
    return result;
  }

  shuffle(a: Register, b: Register, indices: readonly number[]): Register {
    const { lanes } = this;
    checkSame('shuffle', a, b);
    invariant(
      a.wide && a.kind !== 'mask' && indices.length === lanes && indices.every((i) => i >= 0 && i < 2 * lanes),
      () => `shuffle: expects wide f32 or i32 and ${lanes} lanes of both, not [${indices}]`,
    );
    const result = this.#f.value(a.kind, true);
    this.#f.add('shuffle', result, [this.#f.own(a), this.#f.own(b)]).indices = indices;
    return result;
  }

  iota(): Register {
    const result = this.#f.value('i32', true);
    this.#f.add('iota', result, []);
    return result;
  }

  load(kind: 'f32' | 'i32', wide: boolean, address: Register, offset = 0, count?: number): Register {
    return this.#load('load', kind, wide, address, offset, count ?? (wide ? this.lanes : 1));
  }

  loadBytes(wide: boolean, address: Register, offset = 0, count?: number): Register {
    return this.#load('loadBytes', 'i32', wide, address, offset, count ?? (wide ? this.lanes : 1));
  }

  loadSplat(kind: 'f32' | 'i32', address: Register, offset = 0): Register {
    return this.#load('loadSplat', kind, true, address, offset, this.lanes);
  }

  #load(
    op: 'load' | 'loadBytes' | 'loadSplat',
    kind: 'f32' | 'i32',
    wide: boolean,
    address: Register,
    offset: number,
    count: number,
  ): Register {
    this.#checkAccess(op, wide, address, offset, count);
    const result = this.#f.value(kind, wide);
    const operation = this.#f.add(op, result, [this.#f.own(address)]);
    operation.offset = offset | 0; // -0, too, is one of V8's small integers then
    operation.count = count;
    return result;
  }

  store(value: Register, address: Register, offset = 0, count: number = value.wide ? this.lanes : 1): void {
    invariant(value.kind !== 'mask', 'store: a mask has no representation in memory');
    this.#store('store', value, address, offset, count);
  }

  storeBytes(value: Register, address: Register, offset = 0, count: number = value.wide ? this.lanes : 1): void {
    invariant(value.kind === 'i32', () => `storeBytes: expects i32, not ${value.kind}`);
    this.#store('storeBytes', value, address, offset, count);
  }

  #store(op: 'store' | 'storeBytes', value: Register, address: Register, offset: number, count: number): void {
    this.#checkAccess(op, value.wide, address, offset, count);
    if (count === 0) return;
    const operation = this.#f.add(op, undefined, [this.#f.own(address), this.#f.own(value)]);
    operation.offset = offset | 0; // -0, too, is one of V8's small integers then
    operation.count = count;
  }

  prefetch(address: Register, offset = 0): void {
    this.#checkAccess('prefetch', false, address, offset, 1);
    this.#f.add('prefetch', undefined, [this.#f.own(address)]).offset = offset | 0;
  }

  #checkAccess(op: string, wide: boolean, address: Register, offset: number, count: number): void {
    // No closures: this is done for every access.
    if (!isInt(address)) throw bug(`${op}: a memory address is a scalar i32`);
    if (!(Number.isInteger(offset) && offset < 2 ** 31 - 64 && offset > 64 - 2 ** 31)) {
      throw bug(`${op}: offset ${offset} out of range`);
    }
    const most = wide ? this.lanes : 1;
    const least = wide ? 0 : 1;
    if (!(Number.isInteger(count) && count >= least && count <= most)) {
      throw bug(`${op}: ${count} elements, expected ${least} … ${most}`);
    }
  }

  unary(op: UnaryOp, a: Register): Register {
    invariant(UNARY[a.kind].includes(op), () => `${op}: not defined for ${describeRegister(a)}`);
    const result = this.#f.value(a.kind, a.wide);
    this.#f.add('unary', result, [this.#f.own(a)]).fn = op;
    return result;
  }

  binary(op: BinaryOp, a: Register, b: Register): Register {
    checkSame(op, a, b);
    if (!BINARY[a.kind].includes(op)) throw bug(`${op}: not defined for ${describeRegister(a)}`);
    const result = this.#f.value(a.kind, a.wide);
    this.#f.add('binary', result, [this.#f.own(a), this.#f.own(b)]).fn = op;
    return result;
  }

  shift(op: ShiftOp, a: Register, bits: number): Register {
    invariant(a.kind === 'i32', () => `${op}: expects i32, not ${a.kind}`);
    invariant(Number.isInteger(bits) && bits >= 0 && bits < 32, () => `${op}: ${bits} bits, expected 0 … 31`);
    const result = this.#f.value('i32', a.wide);
    const operation = this.#f.add('shift', result, [this.#f.own(a)]);
    operation.fn = op;
    operation.bits = bits;
    return result;
  }

  divide(a: Register, divisor: Int): Register {
    return this.#divide('divide', a, divisor);
  }

  remainder(a: Register, divisor: Int): Register {
    return this.#divide('remainder', a, divisor);
  }

  #divide(op: 'divide' | 'remainder', a: Register, divisor: Int): Register {
    invariant(isInt(a), () => `${op}: expects a scalar i32`);
    invariant(
      typeof divisor !== 'number' || (Number.isInteger(divisor) && divisor > 0 && divisor < 2 ** 31),
      () => `${op}: divisor ${String(divisor)}, expected a positive integer`,
    );
    return this.#pure(op, 'i32', false, [a, this.#int(divisor)]);
  }

  compare(op: Comparison, a: Register, b: Register): Register {
    checkSame(op, a, b);
    invariant(a.kind !== 'mask', () => `${op}: masks are not compared`);
    const result = this.#f.value('mask', a.wide);
    this.#f.add('compare', result, [this.#f.own(a), this.#f.own(b)]).fn = op;
    return result;
  }

  select(mask: Register, a: Register, b: Register): Register {
    checkSame('select', a, b);
    invariant(mask.kind === 'mask' && mask.wide === a.wide, 'select: expects a mask as wide as its operands');
    invariant(a.kind !== 'mask', 'select: masks are not selected');
    return this.#pure('select', a.kind, a.wide, [mask, a, b]);
  }

  maskToInt(mask: Register): Register {
    invariant(mask.kind === 'mask', () => `maskToInt: expects a mask, not ${mask.kind}`);
    return this.#pure('maskToInt', 'i32', mask.wide, [mask]);
  }

  convert(to: 'f32' | 'i32', a: Register): Register {
    invariant(a.kind !== 'mask', 'convert: use maskToInt for masks');
    return this.#pure(a.kind === to ? 'copy' : 'convert', to, a.wide, [a]);
  }

  bitcast(to: 'f32' | 'i32', a: Register): Register {
    invariant(a.kind !== 'mask', 'bitcast: use maskToInt for masks');
    return this.#pure(a.kind === to ? 'copy' : 'bitcast', to, a.wide, [a]);
  }

  multiplyAdd(accumulator: Register, a: Register, b: Register): void {
    checkSame('multiplyAdd', a, b);
    checkSame('multiplyAdd', accumulator, a);
    if (a.kind !== 'f32') throw bug(`multiplyAdd: expects f32, not ${a.kind}`);
    this.#f.add('multiplyAdd', this.#f.own(accumulator), [this.#f.own(a), this.#f.own(b)]);
  }

  bump(accumulator: Register, value: Int): void {
    invariant(isInt(accumulator), 'bump: expects a scalar i32');
    this.#f.add('bump', this.#f.own(accumulator), [this.#f.own(this.#int(value))]);
  }

  loop({ from = 0, to, step = 1 }: LoopRange, body: (i: Register) => void): void {
    invariant(Number.isInteger(step) && step > 0, () => `loop: step ${step}, expected a positive integer`);
    const known = typeof from === 'number' && typeof to === 'number';
    const trips = known ? Math.ceil((to - from) / step) : Number.POSITIVE_INFINITY;
    if (trips <= 0) return;
    if (known && trips === 1) {
      body(this.constant('i32', from));
      return;
    }
    const first = this.#f.own(this.#int(from));
    const limit = this.#f.own(this.#int(to));
    const i = this.#f.value('i32', false);
    const at = this.#f.operations.length;
    this.#f.add('loop', i, [first, limit]).step = step;
    body(i);
    this.#f.add('endLoop', undefined, []);
    if (known && trips <= UNROLLED_TRIPS) {
      this.#f.unroll(
        at,
        Array.from({ length: trips }, (_, trip) => from + trip * step),
      );
    }
  }

  when(condition: Register, then: () => void, otherwise?: () => void): void {
    invariant(condition.kind === 'mask' && !condition.wide, 'when: expects a scalar mask');
    this.#f.add('when', undefined, [this.#f.own(condition)]);
    then();
    if (otherwise) {
      this.#f.add('else', undefined, []);
      otherwise();
    }
    this.#f.add('endWhen', undefined, []);
  }

  call(callee: FunctionId, args: readonly Int[]): void {
    const expected = this.#parametersOf(callee);
    invariant(args.length === expected, () => `call ${callee.name}: ${args.length} arguments, expected ${expected}`);
    const values = args.map((arg) => this.#f.own(this.#int(arg)));
    this.#f.add('call', undefined, values).callee = callee;
  }

  barrier(address: Register, threads: Register): void {
    invariant(isInt(address) && isInt(threads), 'barrier: expects scalar i32 registers');
    this.#f.add('barrier', undefined, [this.#f.own(address), this.#f.own(threads)]);
  }

  #pure(op: PureOp, kind: RegisterKind, wide: boolean, args: readonly Register[]): Value {
    const result = this.#f.value(kind, wide);
    const values: Value[] = [];
    for (let i = 0; i < args.length; i++) values.push(this.#f.own(args[i]));
    this.#f.add(op, result, values);
    return result;
  }

  #int(value: Int): Register {
    if (typeof value !== 'number') {
      invariant(isInt(value), 'expects a scalar i32 or a number');
      return value;
    }
    if (!Number.isInteger(value)) throw bug(`${value} is not an integer`);
    return this.constant('i32', value);
  }
}
