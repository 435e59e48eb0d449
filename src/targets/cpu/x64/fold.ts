import type { BinaryOp } from '../machine.js';
import { CHANGES, type Operation, type Recording, type Value } from './ir.js';

type Load = Extract<Operation, { op: 'load' | 'loadSplat' | 'loadBytes' }>;
type Compare = Extract<Operation, { op: 'compare' }>;

/** What is not computed by an instruction of its own. */
export interface Folding {
  readonly skipped: ReadonlySet<Operation>;
  /** Copies that are the same as what they copy, because neither changes. */
  readonly aliases: ReadonlyMap<Value, Value>;
  /** Values that are computed right into the register that they are assigned to. */
  readonly targets: ReadonlyMap<Value, Value>;
  /** Loads that become the memory operand of their one use. */
  readonly loads: ReadonlyMap<Value, Load>;
  /** Comparisons, all of which must hold, that become the branches after them. */
  readonly conditions: ReadonlyMap<Value, readonly Compare[]>;
}

/** How far a load may move down to its use. */
const REACH = 64;

/** Operations without effects: dropped when nobody uses their result. */
const EFFECTS: ReadonlySet<Operation['op']> = new Set([
  ...CHANGES,
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

export function plan(recording: Recording, avx512: boolean): Folding {
  const { operations } = recording;
  const skipped = new Set<Operation>();
  const aliases = new Map<Value, Value>();
  const targets = new Map<Value, Value>();
  const loads = new Map<Value, Load>();
  const conditions = new Map<Value, readonly Compare[]>();

  for (let i = operations.length - 1; i >= 0; i--) {
    const operation = operations[i];
    const { result } = operation;
    if (EFFECTS.has(operation.op) || result === undefined || result.uses > 0 || result.sets > 0) continue;
    skipped.add(operation);
    for (const arg of operation.args) arg.uses--;
  }
  operations.forEach((operation, i) => {
    if (skipped.has(operation)) return;
    const { op, result } = operation;
    const same = simplify(operation, recording, (value) => aliases.get(value) ?? value);
    if (same !== undefined) {
      aliases.set(operation.result as Value, same);
      same.uses += (operation.result as Value).uses - 1;
      skipped.add(operation);
    } else if (op === 'copy' && result.sets === 0 && operation.args[0].sets === 0) {
      const source = aliases.get(operation.args[0]) ?? operation.args[0];
      aliases.set(result, source);
      source.uses += result.uses - 1;
      skipped.add(operation);
    } else if (op === 'set') {
      const [source] = operation.args;
      const before = operations[i - 1];
      if (
        before?.result === source &&
        !EFFECTS.has(before.op) &&
        before.op !== 'copy' &&
        before.op !== 'constant' &&
        !skipped.has(before) &&
        source.uses === 1 &&
        source.sets === 0
      ) {
        targets.set(source, result);
        skipped.add(operation);
      }
    } else if (op === 'when') {
      const leaves = branches(operations, i, skipped);
      if (leaves === undefined) return;
      conditions.set(operation.args[0], leaves.filter(({ op: leaf }) => leaf === 'compare') as Compare[]);
      for (const leaf of leaves) skipped.add(leaf);
    }
  });
  operations.forEach((operation, i) => {
    const { op, result } = operation;
    if ((op !== 'load' && op !== 'loadSplat') || skipped.has(operation)) return;
    if (result.uses !== 1 || result.sets > 0 || targets.has(result)) return;
    if (op === 'loadSplat' && !avx512) return;
    if (op === 'load' && operation.result.wide && operation.count !== recording.lanes) return;
    const [address] = operation.args;
    for (let j = i + 1; j < operations.length && j <= i + REACH; j++) {
      const user = operations[j];
      if (user.args.includes(result as never)) {
        if (!skipped.has(user) && takesMemory(user, operation, loads)) {
          loads.set(result, operation);
          skipped.add(operation);
        }
        return;
      }
      if (FENCES.has(user.op) && !skipped.has(user)) return;
      if (CHANGES.has(user.op) && user.result === address) return;
    }
  });
  return { skipped, aliases, targets, loads, conditions };
}

/** The comparisons of scalar i32, and what joins them, that make the condition of the branch at `at` and nothing else. */
function branches(
  operations: readonly Operation[],
  at: number,
  skipped: ReadonlySet<Operation>,
): Operation[] | undefined {
  const wanted = new Set<Value>(operations[at].args);
  const found: Operation[] = [];
  for (let i = at - 1; i >= 0 && wanted.size > 0; i--) {
    const operation = operations[i];
    const { op, result } = operation;
    // What is compared must still be there at the branch.
    if (EFFECTS.has(op)) return undefined;
    if (result === undefined || !wanted.has(result)) continue;
    const joins = op === 'binary' && operation.fn === 'and';
    const compares = op === 'compare' && operation.args[0].kind === 'i32' && !operation.args[0].wide;
    if (skipped.has(operation) || result.uses !== 1 || result.sets > 0 || !(joins || compares)) return undefined;
    wanted.delete(result);
    if (joins) for (const arg of operation.args) wanted.add(arg);
    found.unshift(operation);
  }
  return wanted.size === 0 ? found : undefined;
}

/** What a scalar i32 operation is known to give: a constant, or one of its operands. */
function simplify(operation: Operation, recording: Recording, root: (value: Value) => Value): Value | undefined {
  const { result } = operation;
  if (result === undefined || result.sets > 0 || result.wide || result.kind !== 'i32') return undefined;
  const constant = (value: number): Value => recording.value('i32', false, value | 0);
  if (operation.op === 'shift') {
    const a = root(operation.args[0]).fixed;
    if (a === undefined) return undefined;
    const { fn, bits } = operation;
    return constant(fn === 'shl' ? a << bits : fn === 'shr' ? a >>> bits : a >> bits);
  }
  if (operation.op === 'divide' || operation.op === 'remainder') {
    const [a, b] = operation.args.map((arg) => root(arg).fixed);
    if (a === undefined || b === undefined || b === 0) return undefined;
    return constant(operation.op === 'divide' ? Math.trunc(a / b) : a % b);
  }
  if (operation.op !== 'binary') return undefined;
  const [x, y] = operation.args.map(root);
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
function takesMemory(user: Operation, load: Load, loads: ReadonlyMap<Value, Load>): boolean {
  const value = load.result;
  if (user.op === 'gather' || user.op === 'permute') return true;
  const vector = value.wide || value.kind === 'f32';
  if (!vector) return false;
  if (user.op === 'binary') {
    const [a, b] = user.args;
    if (a === b || loads.has(a) || loads.has(b)) return false;
    if (user.fn === 'add' || user.fn === 'mul') return true;
    if (load.result.kind === 'i32' && user.fn !== 'sub') return true;
    return (user.fn === 'sub' || user.fn === 'div') && b === value;
  }
  if (user.op === 'multiplyAdd') {
    const [a, b] = user.args;
    return a !== b && !loads.has(a) && !loads.has(b);
  }
  return false;
}
