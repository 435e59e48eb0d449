import { maskedBy, tensorArgument, type Virtual } from './code.js';
import type { Operation, Value } from './ir.js';
import type { Lowering } from './lowering.js';
import type { VectorBits } from './operands.js';
import { def, mod, use } from './writer.js';

type Access = Extract<Operation, { readonly count: number }>;

/** Loads and stores. Lanes beyond `count` are neither read nor written. */
export function lowerMemory(l: Lowering, operation: Access): void {
  const { w } = l;
  const { offset, count } = operation;
  if (operation.result === undefined) {
    const lowered = operation.op === 'store' ? store : storeBytes;
    lowered(l, operation.args[0], operation.args[1], offset, count);
    return;
  }
  const { op, result } = operation;
  const target = l.target(result);
  const address = operation.args[0];
  if (op === 'loadSplat') {
    const name = result.kind === 'f32' ? 'vbroadcastss' : 'vpbroadcastd';
    w.emit(name, def(target, w.vectorBits), l.memory(address, offset));
  } else if (op === 'loadBytes') {
    if (result.wide) loadBytes(l, target, address, offset, count);
    else w.emit('movzx', def(target), l.memory(address, offset, 8));
  } else if (result.wide) {
    load(l, target, address, offset, count);
  } else if (result.kind === 'f32') {
    w.emit('vmovss', def(target, 128), l.memory(address, offset));
  } else {
    w.emit('mov', def(target), l.memory(address, offset));
  }
}

/** A vector register of exactly this many elements, if there is one. */
function wholeVector(count: number): VectorBits | undefined {
  return count === 4 || count === 8 || count === 16 ? ((32 * count) as VectorBits) : undefined;
}

/** All bits of the first `count` lanes: the mask of AVX2's masked moves. */
function laneMask(l: Lowering, count: number): Virtual {
  return l.w.words(Array.from({ length: l.lanes }, (_, i) => (i < count ? -1 : 0)));
}

function load(l: Lowering, target: Virtual, address: Value, offset: number, count: number): void {
  const { w } = l;
  const memory = l.memory(address, offset);
  const bits = wholeVector(count);
  if (count === 0) w.emit('zero', def(target, w.vectorBits));
  else if (bits !== undefined) w.emit('vmovups', def(target, bits), memory);
  else if (count === 1) w.emit('vmovss', def(target, 128), memory);
  else if (w.avx512) {
    w.emit('vmovups', maskedBy(def(target, w.vectorBits), w.firstLanes(count), true), memory);
  } else w.emit('vmaskmovps', def(target, w.vectorBits), use(laneMask(l, count), w.vectorBits), memory);
}

function loadBytes(l: Lowering, target: Virtual, address: Value, offset: number, count: number): void {
  const { w } = l;
  if (count === l.lanes) {
    w.emit('vpmovzxbd', def(target, w.vectorBits), l.memory(address, offset));
  } else if (count === 0) {
    w.emit('zero', def(target, w.vectorBits));
  } else if (w.avx512) {
    const masked = maskedBy(def(target, w.vectorBits), w.firstLanes(count), true);
    w.emit('vpmovzxbd', masked, l.memory(address, offset));
  } else {
    const bytes = w.vector();
    w.emit('zero', def(bytes, 128));
    pieces(count, (size, done) => {
      const name = size === 4 ? 'vpinsrd' : 'vpinsrb';
      const next = use(bytes, 128);
      w.emit(name, mod(bytes, 128), next, l.memory(address, offset + done), done / size);
    });
    w.emit('vpmovzxbd', def(target, w.vectorBits), use(bytes, 128));
  }
}

function store(l: Lowering, address: Value, value: Value, offset: number, count: number): void {
  const { w } = l;
  const memory = l.memory(address, offset);
  if (!value.wide) {
    if (value.kind === 'f32') w.emit('vmovss', memory, use(l.register(value), 128));
    else w.emit('mov', tensorArgument(memory.register, offset, 32), l.integer(value));
    return;
  }
  const register = l.register(value);
  const bits = wholeVector(count);
  if (bits !== undefined) w.emit('vmovups', memory, use(register, bits));
  else if (count === 1) w.emit('vmovss', memory, use(register, 128));
  else if (w.avx512) w.emit('vmovups', maskedBy(memory, w.firstLanes(count)), use(register, w.vectorBits));
  else w.emit('vmaskmovps', memory, use(laneMask(l, count), w.vectorBits), use(register, w.vectorBits));
}

/** The low byte of every lane, as consecutive bytes. */
function storeBytes(l: Lowering, address: Value, value: Value, offset: number, count: number): void {
  const { w } = l;
  if (!value.wide) {
    w.emit('mov', l.memory(address, offset, 8), use(l.register(value), 8));
    return;
  }
  const register = l.register(value);
  if (w.avx512) {
    const memory = l.memory(address, offset);
    const place = count === l.lanes ? memory : maskedBy(memory, w.firstLanes(count));
    w.emit('vpmovdb', place, use(register, w.vectorBits));
    return;
  }
  const low = w.words(Array.from({ length: l.lanes }, (_, i) => (i % 4 === 0 ? 0x0c080400 : -1)));
  const packed = w.vector();
  w.emit('vpshufb', def(packed, w.vectorBits), use(register, w.vectorBits), use(low, w.vectorBits));
  if (l.lanes === 8) {
    const upper = w.vector();
    w.emit('vextracti128', def(upper, 128), use(packed, 256), 1);
    w.emit('vpunpckldq', mod(packed, 128), use(packed, 128), use(upper, 128));
  }
  if (count === 8) {
    w.emit('vmovq', l.memory(address, offset), use(packed, 128));
    return;
  }
  pieces(count, (size, done) => {
    const memory = l.memory(address, offset + done);
    const name = size === 4 ? 'vpextrd' : 'vpextrb';
    w.emit(name, memory, use(packed, 128), done / size);
  });
}

/** `count` bytes below 8 as a piece of 4 and single ones. */
function pieces(count: number, piece: (size: 4 | 1, done: number) => void): void {
  let done = 0;
  while (done < count) {
    const size = count - done >= 4 ? 4 : 1;
    piece(size, done);
    done += size;
  }
}
