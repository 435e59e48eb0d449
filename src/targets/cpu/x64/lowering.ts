import { invariant } from '../../../tensor/errors.js';
import type { Argument, TensorArgument, Virtual } from './code.js';
import { type Folding, plan } from './fold.js';
import type { Recording, Value } from './ir.js';
import type { VectorBits } from './operands.js';
import { bitsOfFloat, def, use, Writer } from './writer.js';

/** Where the values of a function are while its operations are turned into machine instructions. */
export class Lowering {
  readonly w: Writer;
  readonly lanes: number;
  protected readonly recording: Recording;
  protected readonly folding: Folding;
  readonly #registers = new Map<Value, Virtual>();

  constructor(recording: Recording, avx512: boolean) {
    this.recording = recording;
    this.lanes = recording.lanes;
    const bits = (32 * recording.lanes) as VectorBits;
    this.w = new Writer(recording.name, recording.parameters.length, bits, avx512);
    this.folding = plan(recording, avx512);
  }

  /** Bits of the vector register that holds a value; scalars use the first element of an xmm register. */
  bits(value: { readonly wide: boolean }): VectorBits {
    return value.wide ? this.w.vectorBits : 128;
  }

  /** The register that a value's definition writes. */
  target(value: Value): Virtual {
    const actual = this.folding.targets.get(value) ?? value;
    let register = this.#registers.get(actual);
    if (register === undefined) {
      register = this.w.fresh(this.w.classOf(actual));
      this.#registers.set(actual, register);
    }
    return register;
  }

  root(value: Value): Value {
    return this.folding.aliases.get(value) ?? value;
  }

  /** The number a value is known to hold. */
  fixed(value: Value): number | undefined {
    return this.root(value).fixed;
  }

  /** The register that holds a value; constants get one. */
  register(argument: Value): Virtual {
    const value = this.root(argument);
    const fixed = value.fixed;
    if (fixed === undefined) {
      const register = this.#registers.get(this.folding.targets.get(value) ?? value);
      invariant(register !== undefined, () => `${this.recording.name}: a register is read before it is written`);
      return register;
    }
    if (this.w.classOf(value) === 'general') return this.w.integer(fixed);
    return this.w.constant(wordOf(value, fixed), this.bits(value));
  }

  /** As the last operand of a packed instruction, or a scalar one: a register, memory or a constant in memory. */
  operand(argument: Value, scalar: boolean): Argument {
    const value = this.root(argument);
    const load = this.folding.loads.get(value);
    if (load !== undefined) return this.memory(load.args[0], load.offset, { broadcast: load.op === 'loadSplat' });
    const fixed = value.fixed;
    if (fixed !== undefined && this.w.depth === 0) {
      return this.w.pool(wordOf(value, fixed), scalar ? 32 : this.bits(value));
    }
    return use(this.register(value), this.bits(value));
  }

  isMemory(argument: Value): boolean {
    return this.folding.loads.has(this.root(argument));
  }

  /** An i32 as an immediate or a register. */
  integer(argument: Value): Argument {
    return this.fixed(argument) ?? use(this.register(argument));
  }

  memory(
    address: Value,
    displacement: number,
    more: { readonly bits?: number; readonly broadcast?: boolean; readonly mask?: Virtual } = {},
  ): TensorArgument {
    return { kind: 'tensor', address: this.register(address), displacement, ...more };
  }

  /** Puts a constant into a register of its own, to be changed later. */
  load(target: Virtual, value: Value, number: number): void {
    if (target.class === 'general') {
      this.w.emit('mov', def(target), number);
      return;
    }
    const word = wordOf(value, number);
    if (word === 0) this.w.emit('zero', def(target, this.bits(value)));
    else this.w.emit('vbroadcastss', def(target, this.bits(value)), { kind: 'pool', words: [word] });
  }
}

/** The 32 bits of a constant in a vector register. */
function wordOf(value: Value, number: number): number {
  return value.kind === 'f32' ? bitsOfFloat(number) : number | 0;
}
