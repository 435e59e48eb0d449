import { invariant } from '../../../tensor/errors.js';
import type { Register, RegisterKind } from '../machine.js';
import { ByteWriter, signedLeb, ValueType, type WasmFunction } from './encoder.js';
import { Op, PREFIX_SIMD, Simd } from './opcodes.js';

/** A register of the vector machine: a local of the function, or a constant as long as nothing changes it. */
export class WasmRegister implements Register {
  readonly kind: RegisterKind;
  readonly wide: boolean;
  readonly owner: FunctionBuilder;
  /** Set for registers made by `constant`. */
  readonly value: number | undefined;
  sets = 0;

  constructor(owner: FunctionBuilder, kind: RegisterKind, wide: boolean, value?: number) {
    this.owner = owner;
    this.kind = kind;
    this.wide = wide;
    this.value = value;
  }

  get type(): ValueType {
    if (this.wide) return ValueType.v128;
    return this.kind === 'f32' ? ValueType.f32 : ValueType.i32;
  }

  /** The value if this register never holds anything else. Final only once the whole function has been recorded. */
  get fixed(): number | undefined {
    return this.sets === 0 ? this.value : undefined;
  }
}

class Access {
  readonly register: WasmRegister;
  readonly action: 'get' | 'set' | 'begin';

  constructor(register: WasmRegister, action: 'get' | 'set' | 'begin') {
    this.register = register;
    this.action = action;
  }
}

/** Code that depends on whether a register stays constant, which is known at the end of the function. */
type Deferred = () => readonly Item[];
/** A byte of an instruction, an access to a register, or deferred code. */
export type Item = number | Access | Deferred;

/**
 * Records the body of one function as bytes in which register accesses are still symbolic, and turns them into locals at
 * the end: a value used once, right after it was computed, stays on the stack; constants become immediate operands.
 */
export class FunctionBuilder {
  readonly name: string;
  readonly parameters: readonly WasmRegister[];
  #items: Item[] = [];

  constructor(name: string, parameterCount: number) {
    this.name = name;
    this.parameters = Array.from({ length: parameterCount }, () => this.register('i32', false));
  }

  register(kind: RegisterKind, wide: boolean): WasmRegister {
    return new WasmRegister(this, kind, wide);
  }

  constant(kind: RegisterKind, value: number, wide: boolean): WasmRegister {
    const register = new WasmRegister(this, kind, wide, value);
    this.#items.push(new Access(register, 'begin'));
    return register;
  }

  emit(...items: readonly Item[]): void {
    for (const item of items) this.#items.push(item);
  }

  get(register: Register): Item {
    invariant(
      register instanceof WasmRegister && register.owner === this,
      () => `${this.name}: register belongs to another function`,
    );
    return new Access(register, 'get');
  }

  /** Pops the stack into `register`. */
  set(register: WasmRegister): void {
    invariant(register.owner === this, () => `${this.name}: register belongs to another function`);
    register.sets++;
    this.#items.push(new Access(register, 'set'));
  }

  /** Whether the value on top of the stack was just written to `register`, so that reading it first costs nothing. */
  justSet(register: Register): boolean {
    let last = this.#items.length - 1;
    // A constant begun in between costs nothing either.
    for (let item = this.#items[last]; item instanceof Access && item.action === 'begin'; item = this.#items[last])
      last--;
    const item = this.#items[last];
    return item instanceof Access && item.action === 'set' && item.register === register;
  }

  finish(): WasmFunction {
    const items = expand(this.#items);
    const gets = new Map<WasmRegister, number>();
    for (const item of items) {
      if (item instanceof Access && item.action === 'get') {
        gets.set(item.register, (gets.get(item.register) ?? 0) + 1);
      }
    }
    const body = new LocalWriter(this.parameters);
    for (let i = 0; i < items.length; i++) {
      const item = items[i];
      if (typeof item === 'number') {
        body.code.push(item);
        continue;
      }
      const { register, action } = item;
      if (action === 'begin') {
        body.constant(register);
        body.access(Op.localSet, register);
      } else if (action === 'get') {
        if (register.fixed === undefined) body.access(Op.localGet, register);
        else body.constant(register);
      } else if (!gets.has(register)) {
        body.code.push(Op.drop);
      } else {
        const next = items[i + 1];
        const read = next instanceof Access && next.action === 'get' && next.register === register;
        if (!read) {
          body.access(Op.localSet, register);
        } else {
          i++;
          if (register.sets > 1 || gets.get(register)! > 1) body.access(Op.localTee, register);
        }
      }
    }
    return {
      name: this.name,
      parameters: this.parameters.map((parameter) => parameter.type),
      ...body.finish(),
    };
  }
}

function expand(items: readonly Item[], into: (number | Access)[] = []): (number | Access)[] {
  for (const item of items) {
    if (typeof item === 'function') expand(item(), into);
    else if (!isUnchangedConstant(item)) into.push(item);
  }
  return into;
}

/** Such a constant needs no code where it begins: it is an immediate operand wherever it is used. */
function isUnchangedConstant(item: number | Access): boolean {
  return item instanceof Access && item.action === 'begin' && item.register.sets === 0;
}

/** The four bytes of a constant. */
function wordOf({ kind, value }: WasmRegister): number[] {
  if (kind === 'f32') WORD.setFloat32(0, value!, true);
  else WORD.setInt32(0, value!, true);
  return [WORD.getUint8(0), WORD.getUint8(1), WORD.getUint8(2), WORD.getUint8(3)];
}

const WORD = new DataView(new ArrayBuffer(4));

/** The instructions that push a constant. */
function immediate(register: WasmRegister): number[] {
  const { kind, value, wide } = register;
  if (!wide && kind !== 'f32') return [Op.i32Const, ...signedLeb(value!)];
  const word = wordOf(register);
  return wide ? [PREFIX_SIMD, Simd.v128Const, ...word, ...word, ...word, ...word] : [Op.f32Const, ...word];
}

const ZERO = '0,0,0,0';

/** Gives registers their local index and orders locals by type. */
class LocalWriter {
  /** Bytes, and registers where the index of their local goes. */
  readonly code: (number | WasmRegister)[] = [];
  readonly #parameters: readonly WasmRegister[];
  readonly #locals = new Set<WasmRegister>();
  /** Wide constants by their bits, set once at the start of the function: engines don't move them out of loops. */
  readonly #pool = new Map<string, WasmRegister>();

  constructor(parameters: readonly WasmRegister[]) {
    this.#parameters = parameters;
  }

  access(op: number, register: WasmRegister): void {
    this.#locals.add(register);
    this.code.push(op, register);
  }

  constant(register: WasmRegister): void {
    // Zero costs nothing: engines make it from no operand.
    const key = register.wide ? wordOf(register).join() : ZERO;
    if (key === ZERO) {
      this.code.push(...immediate(register));
      return;
    }
    let pooled = this.#pool.get(key);
    if (pooled === undefined) {
      pooled = new WasmRegister(register.owner, register.kind, true, register.value);
      this.#pool.set(key, pooled);
    }
    this.access(Op.localGet, pooled);
  }

  finish(): { locals: ValueType[]; body: Uint8Array } {
    const index = new Map<WasmRegister, number>(this.#parameters.map((parameter, i) => [parameter, i]));
    const locals: ValueType[] = [];
    for (const type of [ValueType.i32, ValueType.f32, ValueType.v128]) {
      for (const register of this.#locals) {
        if (register.type !== type || index.has(register)) continue;
        index.set(register, index.size);
        locals.push(type);
      }
    }
    const writer = new ByteWriter();
    for (const register of this.#pool.values()) {
      writer.bytes(immediate(register));
      writer.byte(Op.localSet);
      writer.u32(index.get(register)!);
    }
    for (const item of this.code) {
      if (typeof item === 'number') writer.byte(item);
      else writer.u32(index.get(item)!);
    }
    return { locals, body: writer.finish() };
  }
}
