import { invariant } from '../../../tensor/errors.js';
import { type Argument, broadcastOf, poolArgument, type TensorArgument, tensorArgument, type Virtual } from './code.js';
import { fold } from './fold.js';
import type { Recording, Value } from './ir.js';
import type { VectorBits } from './operands.js';
import { bitsOfFloat, def, use, Writer } from './writer.js';

/** Where the values of a function are while its operations are turned into machine instructions. */
export class Lowering {
  readonly w: Writer;
  readonly lanes: number;
  protected readonly recording: Recording;

  constructor(recording: Recording, avx512: boolean) {
    this.recording = recording;
    this.lanes = recording.lanes;
    const bits = (32 * recording.lanes) as VectorBits;
    this.w = new Writer(recording.name, recording.parameters.length, bits, avx512);
    fold(recording, avx512);
  }

  /** Bits of the vector register that holds a value; scalars use the first element of an xmm register. */
  bits(value: { readonly wide: boolean }): VectorBits {
    return value.wide ? this.w.vectorBits : 128;
  }

  /** The register that a value's definition writes. */
  target(value: Value): Virtual {
    const actual = value.target ?? value;
    actual.register ??= this.w.fresh(this.w.classOf(actual));
    return actual.register;
  }

  root(value: Value): Value {
    return value.alias ?? value;
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
      const { register } = value.target ?? value;
      invariant(register !== undefined, () => `${this.recording.name}: a register is read before it is written`);
      return register;
    }
    if (this.w.classOf(value) === 'general') return this.w.integer(fixed);
    return this.w.constant(wordOf(value, fixed), this.bits(value));
  }

  /** As the last operand of a packed instruction, or a scalar one: a register, memory or a constant in memory. */
  operand(argument: Value, scalar: boolean): Argument {
    const value = this.root(argument);
    const { load } = value;
    if (load !== undefined) {
      const memory = this.memory(load.args[0], load.offset);
      return load.op === 'loadSplat' ? broadcastOf(memory) : memory;
    }
    const fixed = value.fixed;
    if (fixed !== undefined && this.w.depth === 0) {
      return this.w.pool(wordOf(value, fixed), scalar ? 32 : this.bits(value));
    }
    return use(this.register(value), this.bits(value));
  }

  isMemory(argument: Value): boolean {
    return this.root(argument).load !== undefined;
  }

  /** An i32 as an immediate or a register. */
  integer(argument: Value): Argument {
    return this.fixed(argument) ?? use(this.register(argument));
  }

  /** @param bits its size where the instruction does not say it. */
  memory(address: Value, displacement: number, bits = 0): TensorArgument {
    return tensorArgument(this.register(address), displacement, bits);
  }

  /** Puts a constant into a register of its own, to be changed later. */
  load(target: Virtual, value: Value, number: number): void {
    if (target.class === 'general') {
      this.w.emit('mov', def(target), number);
      return;
    }
    const word = wordOf(value, number);
    if (word === 0) this.w.emit('zero', def(target, this.bits(value)));
    else this.w.emit('vbroadcastss', def(target, this.bits(value)), poolArgument([word]));
  }
}

/** The 32 bits of a constant in a vector register. */
function wordOf(value: Value, number: number): number {
  return value.kind === 'f32' ? bitsOfFloat(number) : number | 0;
}
