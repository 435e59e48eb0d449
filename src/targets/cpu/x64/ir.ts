import { bug } from '../../../tensor/errors.js';
import type { BinaryOp, Comparison, FunctionId, Register, RegisterKind, UnaryOp } from '../machine.js';
import type { Virtual } from './code.js';

/** A register of the vector machine while code is recorded. */
export class Value implements Register {
  readonly kind: RegisterKind;
  readonly wide: boolean;
  readonly owner: Recording;
  readonly id: number;
  /** Set for registers made by `constant`. */
  readonly constant: number | undefined;
  /** How often the register is changed after its definition. */
  sets = 0;
  uses = 0;

  // What `fold.ts` finds.
  /** What is the same, because neither changes. */
  alias: Value | undefined = undefined;
  /** What this is assigned to at once, and computed right into the register of. */
  target: Value | undefined = undefined;
  /** The load that is the memory operand of the one use. */
  load: Load | undefined = undefined;
  /** Comparisons, all of which must hold, that are the branch on this mask. */
  conditions: readonly Compare[] | undefined = undefined;
  /** Which operation reads it first; -1: none. */
  firstUse = -1;
  /** Where it is, once it is lowered. */
  register: Virtual | undefined = undefined;

  constructor(owner: Recording, id: number, kind: RegisterKind, wide: boolean, constant?: number) {
    this.owner = owner;
    this.id = id;
    this.kind = kind;
    this.wide = wide;
    this.constant = constant;
  }

  /** The value of a constant that nothing changes; final once the whole function is recorded. */
  get fixed(): number | undefined {
    return this.sets === 0 ? this.constant : undefined;
  }
}

export type Load = Extract<Operation, { op: 'load' | 'loadSplat' | 'loadBytes' }>;
export type Compare = Extract<Operation, { op: 'compare' }>;
export type ShiftOp = 'shl' | 'shr' | 'sar';

/** A recorded operation. `result` is defined by it or, for `set`, `bump` and `multiplyAdd`, changed. */
export type Operation = {
  /** Needs no instruction of its own (`fold.ts`). */
  skipped: boolean;
} & (
  | { readonly op: 'constant' | 'iota'; readonly result: Value; readonly args: readonly [] }
  | {
      readonly op: 'copy' | 'set' | 'splat' | 'gather' | 'select' | 'maskToInt' | 'convert' | 'bitcast';
      readonly result: Value;
      readonly args: readonly Value[];
    }
  | {
      readonly op: 'bump' | 'multiplyAdd' | 'divide' | 'remainder';
      readonly result: Value;
      readonly args: readonly Value[];
    }
  | { readonly op: 'lane'; readonly result: Value; readonly args: readonly [Value]; readonly index: number }
  | {
      readonly op: 'permute';
      readonly result: Value;
      readonly args: readonly [Value];
      readonly indices: readonly number[];
    }
  | {
      readonly op: 'shuffle';
      readonly result: Value;
      readonly args: readonly [Value, Value];
      readonly indices: readonly number[];
    }
  | {
      readonly op: 'load' | 'loadBytes' | 'loadSplat';
      readonly result: Value;
      readonly args: readonly [Value];
      readonly offset: number;
      readonly count: number;
    }
  | {
      readonly op: 'store' | 'storeBytes';
      readonly result: undefined;
      readonly args: readonly [address: Value, value: Value];
      readonly offset: number;
      readonly count: number;
    }
  | {
      readonly op: 'prefetch';
      readonly result: undefined;
      readonly args: readonly [address: Value];
      readonly offset: number;
    }
  | { readonly op: 'unary'; readonly result: Value; readonly args: readonly [Value]; readonly fn: UnaryOp }
  | { readonly op: 'binary'; readonly result: Value; readonly args: readonly [Value, Value]; readonly fn: BinaryOp }
  | { readonly op: 'compare'; readonly result: Value; readonly args: readonly [Value, Value]; readonly fn: Comparison }
  | {
      readonly op: 'shift';
      readonly result: Value;
      readonly args: readonly [Value];
      readonly fn: ShiftOp;
      readonly bits: number;
    }
  | { readonly op: 'call'; readonly result: undefined; readonly args: readonly Value[]; readonly callee: FunctionId }
  | { readonly op: 'barrier'; readonly result: undefined; readonly args: readonly [address: Value, threads: Value] }
  | {
      /** `result` counts from `args[0]` below `args[1]`. */
      readonly op: 'loop';
      readonly result: Value;
      readonly args: readonly [from: Value, to: Value];
      readonly step: number;
    }
  | { readonly op: 'endLoop' | 'else' | 'endWhen'; readonly result: undefined; readonly args: readonly [] }
  | { readonly op: 'when'; readonly result: undefined; readonly args: readonly [condition: Value] }
);

/**
 * What all operations are made as: objects of one shape, which V8 compiles the code that sees many kinds of them for once and well. Which
 * fields mean something, {@link Operation} says.
 */
export class Recorded {
  readonly op: Operation['op'];
  readonly result: Value | undefined;
  readonly args: readonly Value[];
  skipped = false;
  fn: UnaryOp | BinaryOp | Comparison | ShiftOp | undefined = undefined;
  offset = 0;
  count = 0;
  index = 0;
  bits = 0;
  step = 0;
  indices: readonly number[] | undefined = undefined;
  callee: FunctionId | undefined = undefined;

  constructor(op: Operation['op'], result: Value | undefined, args: readonly Value[]) {
    this.op = op;
    this.result = result;
    this.args = args;
  }
}

/** The operations of one function in the order they were called; structured by `loop … endLoop`, `when … else … endWhen`. */
export class Recording {
  readonly name: string;
  readonly lanes: number;
  readonly parameters: readonly Value[];
  readonly operations: Operation[] = [];
  #values = 0;

  constructor(name: string, parameters: number, lanes: number) {
    this.name = name;
    this.lanes = lanes;
    this.parameters = Array.from({ length: parameters }, () => this.value('i32', false));
  }

  value(kind: RegisterKind, wide: boolean, constant?: number): Value {
    return new Value(this, this.#values++, kind, wide, constant);
  }

  /** Checks that a register was made by this function. */
  own(register: Register): Value {
    if ((register as Value).owner !== this) throw bug(`${this.name}: a register belongs to another function`);
    return register as Value;
  }

  /** Appends an operation; what it has beyond operands is to be set by the caller. */
  add(op: Operation['op'], result: Value | undefined, args: readonly Value[]): Recorded {
    const operation = new Recorded(op, result, args);
    this.#count(op, result, args, 1);
    this.operations.push(operation as unknown as Operation);
    return operation;
  }

  #count(op: Operation['op'], result: Value | undefined, args: readonly Value[], by: 1 | -1): void {
    for (let i = 0; i < args.length; i++) args[i].uses += by;
    if (changes(op)) (result as Value).sets += by;
  }

  /**
   * Replaces the loop that begins at operation `at` and ends with the last one by a copy of its body for each trip, where
   * that is short: what depends on the position becomes constant. Bodies with loops or calls inside stay as they are.
   */
  unroll(at: number, positions: readonly number[]): void {
    const length = this.operations.length - at - 2;
    if (length * positions.length > UNROLLED) return;
    const body = this.operations.slice(at + 1, -1);
    if (body.some(({ op }) => LONG.has(op))) return;
    const [loop] = this.operations.splice(at);
    for (const { op, result, args } of [loop, ...body]) this.#count(op, result, args, -1);
    positions.forEach((position, trip) => {
      const copies = new Map<Value, Value>();
      // What follows the loop sees the registers of the last trip.
      const last = trip === positions.length - 1;
      const i = this.value('i32', false, position);
      this.add('constant', i, []);
      copies.set(loop.result as Value, i);
      for (const operation of body) {
        const { op, result } = operation;
        if (result !== undefined && !last && !changes(op)) {
          copies.set(result, this.value(result.kind, result.wide, result.constant));
        }
        const copy = (value: Value): Value => copies.get(value) ?? value;
        const { fn, offset, count, index, bits, step, indices } = operation as unknown as Recorded;
        const added = this.add(op, result && copy(result), operation.args.map(copy));
        Object.assign(added, { fn, offset, count, index, bits, step, indices });
      }
    });
  }
}

/** Operations that a loop may have after unrolling. */
const UNROLLED = 200;

/** What takes long enough that the loop around it does not matter. */
const LONG: ReadonlySet<string> = new Set(['loop', 'endLoop', 'call', 'barrier']);

/** Whether an operation changes its result in place. */
export function changes(op: Operation['op']): boolean {
  return op === 'multiplyAdd' || op === 'bump' || op === 'set';
}
