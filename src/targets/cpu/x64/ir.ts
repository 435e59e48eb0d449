import { invariant } from '../../../tensor/errors.js';
import type { BinaryOp, Comparison, FunctionId, Register, RegisterKind, UnaryOp } from '../machine.js';

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

export type ShiftOp = 'shl' | 'shr' | 'sar';

/** A recorded operation. `result` is defined by it or, for `set`, `bump` and `multiplyAdd`, changed. */
export type Operation =
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
  | { readonly op: 'when'; readonly result: undefined; readonly args: readonly [condition: Value] };

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
    invariant(
      register instanceof Value && register.owner === this,
      () => `${this.name}: a register belongs to another function`,
    );
    return register;
  }

  add(operation: Operation): void {
    this.#count(operation, 1);
    this.operations.push(operation);
  }

  #count(operation: Operation, by: 1 | -1): void {
    for (const arg of operation.args) arg.uses += by;
    if (CHANGES.has(operation.op)) {
      const target = operation.result as Value;
      target.sets += by;
    }
  }

  /**
   * Replaces the loop that begins at operation `at` and ends with the last one by a copy of its body for each trip, where
   * that is short: what depends on the position becomes constant. Bodies with loops or calls inside stay as they are.
   */
  unroll(at: number, positions: readonly number[]): void {
    const body = this.operations.slice(at + 1, -1);
    if (body.length * positions.length > UNROLLED || body.some(({ op }) => LONG.has(op))) return;
    const [loop] = this.operations.splice(at);
    for (const operation of [loop, ...body]) this.#count(operation, -1);
    positions.forEach((position, trip) => {
      const copies = new Map<Value, Value>();
      // What follows the loop sees the registers of the last trip.
      const last = trip === positions.length - 1;
      const i = this.value('i32', false, position);
      this.add({ op: 'constant', result: i, args: [] });
      copies.set(loop.result as Value, i);
      for (const operation of body) {
        const { result } = operation;
        if (result !== undefined && !last && !CHANGES.has(operation.op)) {
          copies.set(result, this.value(result.kind, result.wide, result.constant));
        }
        const copy = (value: Value): Value => copies.get(value) ?? value;
        this.add({ ...operation, result: result && copy(result), args: operation.args.map(copy) } as Operation);
      }
    });
  }
}

/** Operations that a loop may have after unrolling. */
const UNROLLED = 200;

/** What takes long enough that the loop around it does not matter. */
const LONG: ReadonlySet<string> = new Set(['loop', 'endLoop', 'call', 'barrier']);

/** Operations that change their result in place. */
export const CHANGES: ReadonlySet<Operation['op']> = new Set(['set', 'bump', 'multiplyAdd']);
