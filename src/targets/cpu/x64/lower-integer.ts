import { InternalError, invariant } from '../../../tensor/errors.js';
import type { Comparison } from '../machine.js';
import { type Argument, type Instruction, sumArgument, type Virtual } from './code.js';
import type { Operation, Value } from './ir.js';
import type { Lowering } from './lowering.js';
import { def, EAX, EDX, mod, RAX, RDX, use, type Writer } from './writer.js';

const SET: Readonly<Record<Comparison, Instruction['name']>> = {
  eq: 'sete',
  ne: 'setne',
  lt: 'setl',
  le: 'setle',
  gt: 'setg',
  ge: 'setge',
};
const ALU = { add: 'add', sub: 'sub', and: 'and', or: 'or', xor: 'xor' } as const;

/** Operations on scalar i32 and scalar masks, which are 0 or 1 in general-purpose registers. */
export function lowerInteger(l: Lowering, operation: Operation): void {
  const { w } = l;
  const target = l.target(operation.result as Value);
  switch (operation.op) {
    case 'unary': {
      const a = l.register(operation.args[0]);
      if (operation.fn === 'neg') {
        twoOperands(w, target, a, (t) => w.emit('neg', mod(t)));
      } else if (operation.fn === 'not') {
        twoOperands(w, target, a, (t) => w.emit('xor', mod(t), 1));
      } else {
        // |a| = max(a, -a)
        const negative = w.general();
        w.move(negative, a);
        w.emit('neg', mod(negative));
        w.emit('cmovs', mod(negative), use(a));
        w.move(target, negative);
      }
      return;
    }
    case 'binary': {
      const a = operation.args[0];
      const b = operation.args[1];
      const { fn } = operation;
      if (fn === 'min' || fn === 'max') {
        const result = w.general();
        const other = l.register(b);
        copyInto(l, result, a);
        w.emit('cmp', use(other), use(result));
        w.emit(fn === 'min' ? 'cmovl' : 'cmovg', mod(result), use(other));
        w.move(target, result);
      } else if (fn === 'mul') {
        multiply(l, target, a, b);
      } else {
        invariant(fn !== 'div', 'div: not defined for i32');
        const swap = fn !== 'sub' && l.fixed(a) !== undefined;
        arithmetic(l, ALU[fn], target, swap ? b : a, l.integer(swap ? a : b), fn !== 'sub');
      }
      return;
    }
    case 'compare': {
      const [a, b] = operation.args;
      w.emit('cmp', use(l.register(a)), l.integer(b));
      const byte = w.general();
      w.emit(SET[operation.fn], def(byte, 8));
      w.emit('movzx', def(target), use(byte, 8));
      return;
    }
    case 'shift': {
      const { fn, bits } = operation;
      twoOperands(w, target, l.register(operation.args[0]), (t) => {
        if (bits > 0) w.emit(fn, mod(t), bits);
      });
      return;
    }
    case 'select': {
      const [mask, a, b] = operation.args.map((arg) => l.register(arg));
      const result = w.general();
      w.move(result, b);
      w.emit('test', use(mask), use(mask));
      w.emit('cmovne', mod(result), use(a));
      w.move(target, result);
      return;
    }
    case 'maskToInt':
      w.move(target, l.register(operation.args[0]));
      return;
    default:
      throw new InternalError(`${operation.op} of scalar integers`);
  }
}

function copyInto(l: Lowering, target: Virtual, value: Value): void {
  const fixed = l.fixed(value);
  if (fixed !== undefined) l.w.emit('mov', def(target), fixed);
  else l.w.move(target, l.register(value));
}

/** target = a, then changed in place. */
function twoOperands(w: Writer, target: Virtual, a: Virtual, change: (t: Virtual) => void): void {
  w.move(target, a);
  change(target);
}

/** target = a op b, where `b` may be the target's own register. */
function arithmetic(
  l: Lowering,
  name: 'add' | 'sub' | 'and' | 'or' | 'xor',
  target: Virtual,
  a: Value,
  b: Argument,
  commutes: boolean,
): void {
  const { w } = l;
  const other = typeof b === 'object' && b.kind === 'register' ? b.register : undefined;
  if (l.fixed(a) === undefined) {
    const first = l.register(a);
    if (other === target && commutes) {
      w.emit(name, mod(target), use(first));
      return;
    }
    if (name === 'add' && first !== target) {
      // Keeps `a`; the sum wraps around as it is cut to 32 bits.
      const displacement = typeof b === 'number' ? b : 0;
      w.emit('lea', def(target), sumArgument(first, other, displacement));
      return;
    }
  }
  const result = other === target ? w.general() : target;
  copyInto(l, result, a);
  w.emit(name, mod(result), b);
  w.move(target, result);
}

function multiply(l: Lowering, target: Virtual, a: Value, b: Value): void {
  const { w } = l;
  const [x, y] = l.fixed(a) !== undefined ? [b, a] : [a, b];
  const factor = l.fixed(y);
  if (factor === undefined) {
    const other = l.register(y);
    const result = other === target ? w.general() : target;
    w.move(result, l.register(x));
    w.emit('imul', mod(result), use(other));
    w.move(target, result);
  } else if (factor > 0 && (factor & (factor - 1)) === 0) {
    twoOperands(w, target, l.register(x), (t) => {
      if (factor > 1) w.emit('shl', mod(t), Math.log2(factor));
    });
  } else {
    w.emit('imul', def(target), use(l.register(x)), factor);
  }
}

/**
 * Signed division towards zero and its remainder. By a constant d: a shift, or ⌊a · m / 2^p⌋ + (a < 0) with p = 31 + ⌈log2 d⌉ and
 * m = ⌊2^p / d⌋ + 1 (Granlund and Montgomery, "Division by invariant integers using multiplication", PLDI 1994), whose
 * product fits 64 bits.
 */
export function divideInteger(l: Lowering, op: 'divide' | 'remainder', result: Value, a: Value, b: Value): void {
  const { w } = l;
  const target = l.target(result);
  const divisor = l.fixed(b);
  const dividend = l.register(a);
  if (divisor === undefined) {
    w.emit('mov', EAX, use(dividend));
    w.emit('cdq');
    w.emit('idiv', use(l.register(b)));
    w.emit('mov', def(target), op === 'divide' ? EAX : EDX);
    return;
  }
  if (divisor === 1) {
    if (op === 'divide') w.move(target, dividend);
    else w.emit('mov', def(target), 0);
    return;
  }
  const log = Math.ceil(Math.log2(divisor));
  if (2 ** log === divisor) {
    // Adding d - 1 to negative numbers makes the shift round up.
    w.emit('mov', EAX, use(dividend));
    if (log > 1) w.emit('sar', EAX, 31);
    w.emit('shr', EAX, 32 - log);
    w.emit('add', EAX, use(dividend));
    if (op === 'divide') {
      w.emit('sar', EAX, log);
      w.emit('mov', def(target), EAX);
      return;
    }
    w.emit('and', EAX, -divisor);
    w.emit('mov', EDX, use(dividend));
    w.emit('sub', EDX, EAX);
    w.emit('mov', def(target), EDX);
    return;
  }
  const power = 31 + log;
  const multiplier = (1n << BigInt(power)) / BigInt(divisor) + 1n;
  w.emit('movsxd', RAX, use(dividend));
  w.emit('mov', EDX, Number(BigInt.asIntN(32, multiplier))); // clears the upper half
  w.emit('imul', RAX, RDX);
  w.emit('sar', RAX, power);
  w.emit('mov', EDX, use(dividend));
  w.emit('shr', EDX, 31);
  w.emit('add', EAX, EDX);
  if (op === 'divide') {
    w.emit('mov', def(target), EAX);
    return;
  }
  w.emit('imul', EAX, EAX, divisor);
  w.emit('mov', EDX, use(dividend));
  w.emit('sub', EDX, EAX);
  w.emit('mov', def(target), EDX);
}
