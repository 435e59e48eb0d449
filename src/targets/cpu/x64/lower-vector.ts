import { InternalError, invariant } from '../../../tensor/errors.js';
import type { Comparison } from '../machine.js';
import { type Argument, type Instruction, maskedBy, poolArgument, type Virtual } from './code.js';
import type { Operation, Value } from './ir.js';
import type { Lowering } from './lowering.js';
import type { VectorBits } from './operands.js';
import { bitsOfFloat, def, mod, use } from './writer.js';

type Name = Instruction['name'];

/** Immediates of vcmpps; ordered, but for `ne`. */
const FLOAT_PREDICATE: Readonly<Record<Comparison, number>> = { eq: 0, lt: 1, le: 2, ne: 4, ge: 13, gt: 14 };
const ORDERED = 7;
/** Immediates of vpcmpd. */
const INTEGER_PREDICATE: Readonly<Record<Comparison, number>> = { eq: 0, lt: 1, le: 2, ne: 4, ge: 5, gt: 6 };
/** Immediates of vroundps and vrndscaleps, without the inexact exception. */
const ROUNDING = { round: 8, floor: 9, ceil: 10, trunc: 11 } as const;
const I32_BINARY: Readonly<Partial<Record<string, Name>>> = {
  add: 'vpaddd',
  sub: 'vpsubd',
  mul: 'vpmulld',
  min: 'vpminsd',
  max: 'vpmaxsd',
  and: 'vpand',
  or: 'vpor',
  xor: 'vpxor',
};
const SHIFT = { shl: 'vpslld', shr: 'vpsrld', sar: 'vpsrad' } as const;
const SIGN = -(2 ** 31);

/**
 * Operations on vector registers: everything wide, and f32 scalars. In sequences only the last instruction writes the
 * target, which may be one of the operands.
 */
export function lowerVector(l: Lowering, operation: Operation): void {
  const { w } = l;
  switch (operation.op) {
    case 'iota': {
      const words = w.words(Array.from({ length: l.lanes }, (_, i) => i));
      w.move(l.target(operation.result), words);
      return;
    }
    case 'splat':
      splat(l, l.target(operation.result), operation.args[0]);
      return;
    case 'lane':
      lane(l, operation.result, operation.args[0], operation.index);
      return;
    case 'permute':
      permute(l, l.target(operation.result), operation.args[0], operation.indices);
      return;
    case 'shuffle':
      shuffle(l, l.target(operation.result), operation.args, operation.indices);
      return;
    case 'gather':
      gather(l, l.target(operation.result), operation.args);
      return;
    case 'unary':
      unary(l, operation);
      return;
    case 'binary':
      binary(l, operation);
      return;
    case 'shift': {
      const { fn, bits } = operation;
      const [a] = operation.args;
      w.emit(SHIFT[fn], def(l.target(operation.result), w.vectorBits), use(l.register(a), w.vectorBits), bits);
      return;
    }
    case 'compare':
      compare(l, operation);
      return;
    case 'select':
      select(l, operation.result, operation.args);
      return;
    case 'maskToInt': {
      const target = l.target(operation.result);
      const mask = l.register(operation.args[0]);
      if (w.avx512) {
        w.emit('vpbroadcastd', maskedBy(def(target, w.vectorBits), mask, true), poolArgument([1]));
      } else {
        w.emit('vpsrld', def(target, w.vectorBits), use(mask, w.vectorBits), 31);
      }
      return;
    }
    case 'convert':
      convert(l, operation.result, operation.args[0]);
      return;
    case 'bitcast': {
      const target = l.target(operation.result);
      const source = l.register(operation.args[0]);
      if (target.class === source.class) w.move(target, source);
      else if (target.class === 'vector') w.emit('vmovd', def(target, 128), use(source));
      else w.emit('vmovd', def(target), use(source, 128));
      return;
    }
    case 'multiplyAdd': {
      const a = operation.args[0];
      const b = operation.args[1];
      const bits = l.bits(a);
      const swap = l.isMemory(a) || (l.fixed(a) !== undefined && !l.isMemory(b));
      const x = swap ? b : a;
      const y = swap ? a : b;
      const name = a.wide ? 'vfmadd231ps' : 'vfmadd231ss';
      w.emit(name, mod(l.target(operation.result), bits), use(l.register(x), bits), l.operand(y, !a.wide));
      return;
    }
    default:
      throw new InternalError(`${operation.op} of vectors`);
  }
}

function splat(l: Lowering, target: Virtual, scalar: Value): void {
  const { w } = l;
  if (scalar.kind === 'f32') {
    const fixed = l.fixed(scalar);
    if (fixed !== undefined) w.emit('vbroadcastss', def(target, w.vectorBits), poolArgument([bitsOfFloat(fixed)]));
    else w.emit('vbroadcastss', def(target, w.vectorBits), use(l.register(scalar), 128));
    return;
  }
  let source = l.register(scalar);
  if (scalar.kind === 'mask') {
    const all = w.general(); // 0 or 1 becomes no or all bits
    w.move(all, source);
    w.emit('neg', mod(all));
    source = all;
    if (w.avx512) {
      w.emit('kmovw', def(target, 16), use(all));
      return;
    }
  }
  if (w.avx512) {
    w.emit('vpbroadcastd', def(target, w.vectorBits), use(source));
    return;
  }
  const first = w.vector();
  w.emit('vmovd', def(first, 128), use(source));
  w.emit('vpbroadcastd', def(target, w.vectorBits), use(first, 128));
}

function lane(l: Lowering, result: Value, from: Value, index: number): void {
  const { w } = l;
  const target = l.target(result);
  const source = l.register(from);
  if (from.kind === 'mask' && w.avx512) {
    const bits = w.general();
    w.emit('kmovw', def(bits), use(source, 16));
    if (index > 0) w.emit('shr', mod(bits), index);
    w.emit('and', mod(bits), 1);
    w.move(target, bits);
    return;
  }
  let quarter = source;
  if (index >= 4) {
    quarter = w.vector();
    const part = Math.floor(index / 4);
    w.emit(w.avx512 ? 'vextractf32x4' : 'vextractf128', def(quarter, 128), use(source, w.vectorBits), part);
  }
  const at = index % 4;
  if (from.kind === 'f32') {
    if (at === 0) w.emit('vmovaps', def(target, 128), use(quarter, 128));
    else w.emit('vpermilps', def(target, 128), use(quarter, 128), at);
    return;
  }
  if (at === 0) w.emit('vmovd', def(target), use(quarter, 128));
  else w.emit('vpextrd', def(target), use(quarter, 128), at);
  if (from.kind === 'mask') w.emit('and', mod(target), 1);
}

/** Which lanes of every four, 0 … 3 of the first register and 4 … 7 of the second, these instructions take. */
const UNPACKED: Readonly<Record<string, Name>> = {
  '0,4,1,5': 'vunpcklps',
  '2,6,3,7': 'vunpckhps',
  '0,1,4,5': 'vunpcklpd',
  '2,3,6,7': 'vunpckhpd',
};

function shuffle(l: Lowering, target: Virtual, [a, b]: readonly Value[], indices: readonly number[]): void {
  const { w } = l;
  const lanes = indices.length;
  const out = def(target, w.vectorBits);
  const first = use(l.register(a), w.vectorBits);
  const second = use(l.register(b), w.vectorBits);
  // Alike in all quarters, from the same quarter of both.
  const quarter = indices.slice(0, 4).map((i) => (i < lanes ? i : i - lanes + 4));
  const from = (i: number, q: number): number => (i < 4 ? i : i - 4 + lanes) + 4 * q;
  const unpack = UNPACKED[`${quarter}`];
  if (unpack !== undefined && indices.every((index, i) => index === from(quarter[i % 4], Math.floor(i / 4)))) {
    w.emit(unpack, out, first, second);
    return;
  }
  const blocks = Array.from({ length: lanes / 4 }, (_, q) => indices[4 * q] / 4);
  const whole = lanes > 4 && indices.every((index, i) => index === 4 * blocks[Math.floor(i / 4)] + (i % 4));
  if (whole && !w.avx512) {
    w.emit('vperm2f128', out, first, second, blocks[0] | (blocks[1] << 4));
    return;
  }
  if (whole && blocks.every((block, q) => block >= blocks.length === q >= blocks.length / 2)) {
    const bits = blocks.length / 2;
    const immediate = blocks.reduce((all, block, q) => all | ((block % blocks.length) << (bits * q)), 0);
    w.emit('vshuff32x4', out, first, second, immediate);
    return;
  }
  if (w.avx512) {
    w.move(target, l.register(a));
    w.emit('vpermt2ps', mod(target, w.vectorBits), use(w.words(indices), w.vectorBits), second);
    return;
  }
  const [fromA, fromB] = [w.vector(), w.vector()];
  permuteTo(
    l,
    fromA,
    first,
    indices.map((i) => i % lanes),
  );
  permuteTo(
    l,
    fromB,
    second,
    indices.map((i) => i % lanes),
  );
  const mask = indices.reduce((bits, index, i) => bits | (index >= lanes ? 1 << i : 0), 0);
  w.emit('vblendps', out, use(fromA, w.vectorBits), use(fromB, w.vectorBits), mask);
}

function permute(l: Lowering, target: Virtual, from: Value, indices: readonly number[]): void {
  permuteTo(l, target, l.operand(from, false), indices);
}

function permuteTo({ w }: Lowering, target: Virtual, source: Argument, indices: readonly number[]): void {
  // Within quarters, all alike, an immediate says it; otherwise a register of indices.
  if (indices.every((index, i) => index - (i - (i % 4)) === indices[i % 4])) {
    const immediate = indices.slice(0, 4).reduce((bits, index, i) => bits | (index << (2 * i)), 0);
    w.emit('vpermilps', def(target, w.vectorBits), source, immediate);
  } else {
    w.emit('vpermps', def(target, w.vectorBits), use(w.words(indices), w.vectorBits), source);
  }
}

function gather(l: Lowering, target: Virtual, scalars: readonly Value[]): void {
  const { w } = l;
  const float = scalars[0].kind === 'f32';
  const element = (value: Value): Argument => {
    if (l.isMemory(value)) return l.operand(value, true);
    return float ? use(l.register(value), 128) : use(l.register(value));
  };
  const quarters: Virtual[] = [];
  for (let q = 0; q < scalars.length; q += 4) {
    let sum = w.vector();
    const first = element(scalars[q]);
    if (!float) w.emit('vmovd', def(sum, 128), first);
    else if (l.isMemory(scalars[q])) w.emit('vmovss', def(sum, 128), first);
    else w.emit('vmovaps', def(sum, 128), first);
    for (let i = 1; i < 4; i++) {
      const next = w.vector();
      const name = float ? 'vinsertps' : 'vpinsrd';
      w.emit(name, def(next, 128), use(sum, 128), element(scalars[q + i]), float ? i << 4 : i);
      sum = next;
    }
    quarters.push(sum);
  }
  let whole = quarters[0];
  quarters.slice(1).forEach((quarter, i) => {
    const next = w.vector();
    w.emit(
      w.avx512 ? 'vinsertf32x4' : 'vinsertf128',
      def(next, w.vectorBits),
      use(whole, w.vectorBits),
      use(quarter, 128),
      i + 1,
    );
    whole = next;
  });
  w.move(target, whole);
}

function unary(l: Lowering, { result, args: [a], fn }: Extract<Operation, { op: 'unary' }>): void {
  const { w } = l;
  const target = l.target(result);
  const bits = l.bits(a);
  const source = l.register(a);
  if (a.kind === 'mask') {
    if (w.avx512) w.emit('knotw', def(target, 16), use(source, 16));
    else w.emit('vpxor', def(target, bits), use(source, bits), w.pool(-1, bits));
    return;
  }
  if (a.kind === 'i32') {
    if (fn === 'abs') {
      w.emit('vpabsd', def(target, bits), use(source, bits));
      return;
    }
    const zero = w.vector();
    w.emit('zero', def(zero, bits));
    w.emit('vpsubd', def(target, bits), use(zero, bits), use(source, bits));
    return;
  }
  switch (fn) {
    case 'neg':
      w.emit('vpxor', def(target, bits), use(source, bits), packed(l, SIGN, bits));
      return;
    case 'abs':
      w.emit('vpand', def(target, bits), use(source, bits), packed(l, ~SIGN, bits));
      return;
    case 'sqrt':
      if (a.wide) w.emit('vsqrtps', def(target, bits), use(source, bits));
      else w.emit('vsqrtss', def(target, bits), use(source, bits), use(source, bits));
      return;
    case 'floor':
    case 'ceil':
    case 'trunc':
    case 'round':
      if (a.wide) w.emit('vroundps', def(target, bits), use(source, bits), ROUNDING[fn]);
      else w.emit('vroundss', def(target, bits), use(source, bits), use(source, bits), ROUNDING[fn]);
      return;
    default:
      throw new InternalError(`${fn} of f32`);
  }
}

/** A constant of all lanes as an operand: from a register in loops, else from memory. */
function packed(l: Lowering, word: number, bits: VectorBits): Argument {
  return l.w.depth > 0 ? use(l.w.constant(word, bits), bits) : l.w.pool(word, bits);
}

function binary(l: Lowering, { result, args, fn }: Extract<Operation, { op: 'binary' }>): void {
  const { w } = l;
  const a = args[0];
  const b = args[1];
  const bits = l.bits(a);
  if (a.kind === 'mask') {
    const target = l.target(result);
    const [x, y] = [l.register(a), l.register(b)];
    if (w.avx512) w.emit(fn === 'and' ? 'kandw' : 'korw', def(target, 16), use(x, 16), use(y, 16));
    else w.emit(fn === 'and' ? 'vpand' : 'vpor', def(target, bits), use(x, bits), use(y, bits));
    return;
  }
  if (a.kind === 'f32' && (fn === 'min' || fn === 'max')) {
    extremum(l, fn, l.target(result), a, b);
    return;
  }
  const commutes = fn !== 'sub' && fn !== 'div';
  const swap = commutes && (l.isMemory(a) || (l.fixed(a) !== undefined && !l.isMemory(b)));
  const x = swap ? b : a;
  const y = swap ? a : b;
  const name = a.kind === 'f32' ? (`v${fn}${a.wide ? 'ps' : 'ss'}` as Name) : I32_BINARY[fn];
  invariant(name !== undefined, () => `${fn}: not defined for i32`);
  const first = use(l.register(x), bits);
  const second = l.operand(y, !a.wide);
  w.emit(name, def(l.target(result), bits), first, second);
}

/**
 * vminps gives its second operand if either is NaN or both are zeros. Against a constant that is enough, as long as the sign of zero
 * comes out right; else both orders are combined, as in V8's code for f32x4.min and f32x4.max.
 */
function extremum(l: Lowering, fn: 'min' | 'max', target: Virtual, a: Value, b: Value): void {
  const { w } = l;
  const bits = l.bits(a);
  const suffix = a.wide ? 'ps' : 'ss';
  const name = `v${fn}${suffix}` as Name;
  const [x, y] = l.fixed(a) !== undefined ? [b, a] : [a, b];
  const bound = l.fixed(y);
  const first = use(l.register(x), bits);
  if (bound !== undefined && !Number.isNaN(bound) && !(fn === 'min' && Object.is(bound, -0))) {
    const limit = use(l.register(y), bits);
    if (fn === 'min' || !Object.is(bound, 0)) {
      w.emit(name, def(target, bits), limit, first);
      return;
    }
    const zeros = w.vector();
    w.emit(name, def(zeros, bits), limit, first);
    w.emit(`vadd${suffix}`, def(target, bits), use(zeros, bits), limit); // -0 + 0 = 0
    return;
  }
  const second = use(l.register(y), bits);
  const one = w.vector();
  const other = w.vector();
  w.emit(name, def(one, bits), first, second);
  w.emit(name, def(other, bits), second, first);
  if (fn === 'min') {
    w.emit('vpor', def(target, bits), use(one, bits), use(other, bits));
    return;
  }
  const differ = w.vector();
  const both = w.vector();
  w.emit('vpxor', def(differ, bits), use(one, bits), use(other, bits));
  w.emit('vpor', def(both, bits), use(one, bits), use(other, bits));
  w.emit(`vsub${suffix}`, def(target, bits), use(both, bits), use(differ, bits)); // -0 - -0 = 0
}

function compare(l: Lowering, { result, args: [a, b], fn }: Extract<Operation, { op: 'compare' }>): void {
  const { w } = l;
  const target = l.target(result);
  const bits = l.bits(a);
  const [x, y] = [use(l.register(a), bits), use(l.register(b), bits)];
  if (a.kind === 'f32') {
    if (a.wide) {
      const to = w.avx512 ? def(target, 16) : def(target, bits);
      w.emit('vcmpps', to, x, y, FLOAT_PREDICATE[fn]);
      return;
    }
    // A scalar mask lives in a general-purpose register.
    if (w.avx512) {
      const mask = w.fresh('mask');
      w.emit('vcmpss', def(mask, 16), x, y, FLOAT_PREDICATE[fn]);
      w.emit('kmovw', def(target), use(mask, 16));
      return;
    }
    const mask = w.vector();
    w.emit('vcmpss', def(mask, 128), x, y, FLOAT_PREDICATE[fn]);
    w.emit('vmovd', def(target), use(mask, 128));
    w.emit('and', mod(target), 1);
    return;
  }
  if (w.avx512) {
    w.emit('vpcmpd', def(target, 16), x, y, INTEGER_PREDICATE[fn]);
    return;
  }
  const equal = fn === 'eq' || fn === 'ne';
  const invert = fn === 'ne' || fn === 'le' || fn === 'ge';
  const swap = fn === 'lt' || fn === 'ge';
  const name = equal ? 'vpcmpeqd' : 'vpcmpgtd';
  const found = invert ? w.vector() : target;
  w.emit(name, def(found, bits), swap ? y : x, swap ? x : y);
  if (invert) w.emit('vpxor', def(target, bits), use(found, bits), packed(l, -1, bits));
}

function select(l: Lowering, result: Value, [mask, a, b]: readonly Value[]): void {
  const { w } = l;
  const target = l.target(result);
  const bits = l.bits(a);
  let chosen = l.register(mask);
  if (!mask.wide) {
    if (w.avx512) {
      const first = w.fresh('mask');
      w.emit('kmovw', def(first, 16), use(chosen));
      chosen = first;
    } else {
      const all = w.general();
      w.move(all, chosen);
      w.emit('neg', mod(all));
      chosen = w.vector();
      w.emit('vmovd', def(chosen, 128), use(all));
    }
  }
  const [x, y] = [use(l.register(a), bits), use(l.register(b), bits)];
  if (w.avx512) w.emit('vblendmps', maskedBy(def(target, bits), chosen), y, x);
  else w.emit('vblendvps', def(target, bits), y, x, use(chosen, bits));
}

/** Conversion gives 0x80000000 for NaN and beyond the range, which is right only for large negative numbers. */
function convert(l: Lowering, result: Value, a: Value): void {
  const { w } = l;
  const bits = l.bits(a);
  const target = l.target(result);
  const source = l.register(a);
  if (result.kind === 'f32') {
    let from = source;
    if (!a.wide) {
      from = w.vector();
      w.emit('vmovd', def(from, 128), use(source));
    }
    w.emit('vcvtdq2ps', def(target, bits), use(from, bits));
    return;
  }
  const converted = w.vector();
  w.emit('vcvttps2dq', def(converted, bits), use(source, bits));
  const limit = use(w.constant(bitsOfFloat(2 ** 31), bits), bits);
  const whole = w.vector();
  const last = a.wide ? target : w.vector();
  if (w.avx512) {
    const large = w.fresh('mask');
    const ordered = w.fresh('mask');
    const most = use(w.constant(2 ** 31 - 1, bits), bits);
    w.emit('vcmpps', def(large, 16), use(source, bits), limit, FLOAT_PREDICATE.ge);
    w.emit('vcmpps', def(ordered, 16), use(source, bits), use(source, bits), ORDERED);
    w.emit('vblendmps', maskedBy(def(whole, bits), large), use(converted, bits), most);
    w.emit('vmovaps', maskedBy(def(last, bits), ordered, true), use(whole, bits));
  } else {
    const large = w.vector();
    const ordered = w.vector();
    w.emit('vcmpps', def(large, bits), use(source, bits), limit, FLOAT_PREDICATE.ge);
    w.emit('vpxor', def(whole, bits), use(converted, bits), use(large, bits));
    w.emit('vcmpps', def(ordered, bits), use(source, bits), use(source, bits), ORDERED);
    w.emit('vpand', def(last, bits), use(whole, bits), use(ordered, bits));
  }
  if (!a.wide) w.emit('vmovd', def(target), use(last, 128));
}
