import type { BinaryOp } from '../machine.js';
import { type Compare, changes, type Load, type Operation, type Recording, type Value } from './ir.js';

/** How far a load may move down to its use. */
const REACH = 64;

/** Over these no load is moved. */
const FENCES: ReadonlySet<Operation['op']> = new Set([
  'store',
  'storeBytes',
  'call',
  'barrier',
  'loop',
  'endLoop',
  'when',
  'else',
  'endWhen',
]);

/** Operations without effects are dropped when nobody uses their result. */
function hasEffects(op: Operation['op']): boolean {
  return changes(op) || FENCES.has(op);
}

/**
 * Decides what is not computed by an instruction of its own, and writes it to the operations and their values: see {@link Operation.skipped} and
 * the fields of {@link Value}.
 */
export function fold(recording: Recording, avx512: boolean): void {
  const { operations } = recording;
  for (let i = operations.length - 1; i >= 0; i--) {
    const operation = operations[i];
    const { result, args } = operation;
    if (result === undefined || result.uses > 0 || result.sets > 0 || hasEffects(operation.op)) continue;
    operation.skipped = true;
    for (let j = 0; j < args.length; j++) args[j].uses--;
  }
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i];
    if (operation.skipped) continue;
    const { op, result } = operation;
    const same = simplify(operation, recording);
    if (same !== undefined) {
      replace(operation, result as Value, same);
    } else if (op === 'copy') {
      const [from] = operation.args;
      if (operation.result.sets === 0 && from.sets === 0) replace(operation, operation.result, root(from));
    } else if (op === 'set') {
      const [source] = operation.args;
      const before = operations[i - 1];
      if (
        before?.result === source &&
        !hasEffects(before.op) &&
        before.op !== 'copy' &&
        before.op !== 'constant' &&
        !before.skipped &&
        source.uses === 1 &&
        source.sets === 0
      ) {
        source.target = operation.result;
        operation.skipped = true;
      }
    } else if (op === 'when') {
      const leaves = branches(operations, i);
      if (leaves === undefined) continue;
      operation.args[0].conditions = leaves.filter(({ op: leaf }) => leaf === 'compare') as Compare[];
      for (const leaf of leaves) leaf.skipped = true;
    }
  }
  foldLoads(recording, avx512);
}

function replace(operation: Operation, value: Value, same: Value): void {
  value.alias = same;
  same.uses += value.uses - 1;
  operation.skipped = true;
}

function root(value: Value): Value {
  return value.alias ?? value;
}

/** Makes loads memory operands of their one use, where nothing between changes the memory or the address. */
function foldLoads({ operations, lanes }: Recording, avx512: boolean): void {
  /** For each operation the next one from it on that is a fence. */
  const fences = new Int32Array(operations.length + 1);
  let fence = operations.length;
  for (let i = operations.length - 1; i >= 0; i--) {
    const { op, args, skipped } = operations[i];
    for (let j = 0; j < args.length; j++) args[j].firstUse = i;
    if (!skipped && FENCES.has(op)) fence = i;
    fences[i] = fence;
  }
  for (let i = 0; i < operations.length; i++) {
    const operation = operations[i];
    const { op } = operation;
    if ((op !== 'load' && op !== 'loadSplat') || operation.skipped) continue;
    const { result } = operation;
    if (result.uses !== 1 || result.sets > 0 || result.target !== undefined) continue;
    if (op === 'loadSplat' && !avx512) continue;
    if (op === 'load' && result.wide && operation.count !== lanes) continue;
    const at = result.firstUse;
    if (at <= i || at > i + REACH || fences[i + 1] < at) continue;
    const user = operations[at];
    if (user.skipped || !takesMemory(user, operation) || isChanged(operation.args[0], operations, i + 1, at)) continue;
    result.load = operation;
    operation.skipped = true;
  }
}

/** Whether one of the operations from `from` to before `to` changes a value. */
function isChanged(value: Value, operations: readonly Operation[], from: number, to: number): boolean {
  if (value.sets === 0) return false;
  for (let i = from; i < to; i++) if (operations[i].result === value && changes(operations[i].op)) return true;
  return false;
}

/** The comparisons of scalar i32, and what joins them, that make the condition of the branch at `at` and nothing else. */
function branches(operations: readonly Operation[], at: number): Operation[] | undefined {
  const wanted = new Set<Value>(operations[at].args);
  const found: Operation[] = [];
  for (let i = at - 1; i >= 0 && wanted.size > 0; i--) {
    const operation = operations[i];
    const { op, result } = operation;
    // What is compared must still be there at the branch.
    if (hasEffects(op)) return undefined;
    if (result === undefined || !wanted.has(result)) continue;
    const joins = op === 'binary' && operation.fn === 'and';
    const compares = op === 'compare' && operation.args[0].kind === 'i32' && !operation.args[0].wide;
    if (operation.skipped || result.uses !== 1 || result.sets > 0 || !(joins || compares)) return undefined;
    wanted.delete(result);
    if (joins) for (const arg of operation.args) wanted.add(arg);
    found.unshift(operation);
  }
  return wanted.size === 0 ? found : undefined;
}

/** What a scalar i32 operation is known to give: a constant, or one of its operands. */
function simplify(operation: Operation, recording: Recording): Value | undefined {
  const { result } = operation;
  if (result === undefined || result.kind !== 'i32' || result.wide || result.sets > 0) return undefined;
  const constant = (value: number): Value => recording.value('i32', false, value | 0);
  if (operation.op === 'shift') {
    const a = root(operation.args[0]).fixed;
    if (a === undefined) return undefined;
    const { fn, bits } = operation;
    return constant(fn === 'shl' ? a << bits : fn === 'shr' ? a >>> bits : a >> bits);
  }
  if (operation.op === 'divide' || operation.op === 'remainder') {
    const a = root(operation.args[0]).fixed;
    const b = root(operation.args[1]).fixed;
    if (a === undefined || b === undefined || b === 0) return undefined;
    return constant(operation.op === 'divide' ? Math.trunc(a / b) : a % b);
  }
  if (operation.op !== 'binary') return undefined;
  const x = root(operation.args[0]);
  const y = root(operation.args[1]);
  const { fn } = operation;
  if (x.fixed !== undefined && y.fixed !== undefined) {
    const fold = FOLD[fn];
    return fold && constant(fold(x.fixed, y.fixed));
  }
  if (fn === 'add' && x.fixed === 0 && y.sets === 0) return y;
  if ((fn === 'add' || fn === 'sub') && y.fixed === 0 && x.sets === 0) return x;
  if (fn === 'mul' && (x.fixed === 0 || y.fixed === 0)) return constant(0);
  if (fn === 'mul' && x.fixed === 1 && y.sets === 0) return y;
  if (fn === 'mul' && y.fixed === 1 && x.sets === 0) return x;
  return undefined;
}

const FOLD: Readonly<Partial<Record<BinaryOp, (a: number, b: number) => number>>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: Math.imul,
  min: Math.min,
  max: Math.max,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
};

/** Whether `user` has one place for a memory operand, and the load is (or can be swapped) there. */
function takesMemory(user: Operation, load: Load): boolean {
  const value = load.result;
  if (user.op === 'gather' || user.op === 'permute') return true;
  const vector = value.wide || value.kind === 'f32';
  if (!vector) return false;
  if (user.op === 'binary') {
    const a = user.args[0];
    const b = user.args[1];
    if (a === b || a.load !== undefined || b.load !== undefined) return false;
    if (user.fn === 'add' || user.fn === 'mul') return true;
    if (load.result.kind === 'i32' && user.fn !== 'sub') return true;
    return (user.fn === 'sub' || user.fn === 'div') && b === value;
  }
  if (user.op === 'multiplyAdd') {
    const a = user.args[0];
    const b = user.args[1];
    return a !== b && a.load === undefined && b.load === undefined;
  }
  return false;
}
