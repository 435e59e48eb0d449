import { invariant } from '../../../tensor/errors.js';
import { type Argument, frameArgument, type MachineFunction, type Place } from './code.js';
import type { Compare, Operation, Recording, Value } from './ir.js';
import { divideInteger, lowerInteger } from './lower-integer.js';
import { lowerMemory } from './lower-memory.js';
import { lowerVector } from './lower-vector.js';
import { Lowering } from './lowering.js';
import { def, EAX, EDX, mod, use } from './writer.js';

/** The jump that leaves when a signed comparison does not hold. */
const OPPOSITE = { eq: 'jne', ne: 'je', lt: 'jge', le: 'jg', gt: 'jle', ge: 'jl' } as const;

type Block =
  | { readonly kind: 'loop'; readonly top: Place; readonly end: Place; next: () => void; readonly exit: boolean }
  | { readonly kind: 'when'; otherwise: Place | undefined; readonly end: Place };

/** Turns the recorded operations of a function into machine instructions over virtual registers. */
export function lower(recording: Recording, avx512: boolean): MachineFunction {
  return new FunctionLowering(recording, avx512).run();
}

class FunctionLowering extends Lowering {
  readonly #blocks: Block[] = [];

  run(): MachineFunction {
    this.recording.parameters.forEach((parameter, i) => {
      if (parameter.uses + parameter.sets === 0) return;
      const register = this.target(parameter);
      this.w.emit('mov', def(register), frameArgument('incoming', i));
      if (parameter.sets === 0) register.again = this.w.instructions[this.w.instructions.length - 1];
    });
    const { operations } = this.recording;
    for (let i = 0; i < operations.length; i++) {
      if (!operations[i].skipped) this.#lower(operations[i]);
    }
    invariant(this.#blocks.length === 0, () => `${this.recording.name}: a block was left open`);
    return this.w.finish();
  }

  #lower(operation: Operation): void {
    const { w } = this;
    switch (operation.op) {
      case 'constant': {
        const { result } = operation;
        if (result.fixed === undefined) this.load(this.target(result), result, result.constant as number);
        return;
      }
      case 'copy':
      case 'set': {
        const from = operation.args[0];
        const fixed = this.fixed(from);
        const target = this.target(operation.result);
        if (fixed !== undefined) this.load(target, operation.result, fixed);
        else w.move(target, this.register(from));
        return;
      }
      case 'bump':
        w.emit('add', mod(this.target(operation.result)), this.integer(operation.args[0]));
        return;
      case 'loop':
        this.#loop(operation);
        return;
      case 'endLoop': {
        const block = this.#blocks.pop();
        invariant(block?.kind === 'loop', 'endLoop without loop');
        block.next();
        w.depth--;
        w.emit('endLoop');
        if (block.exit) w.bind(block.end);
        return;
      }
      case 'when':
        this.#when(operation.args[0]);
        return;
      case 'else': {
        const block = this.#blocks[this.#blocks.length - 1];
        invariant(block?.kind === 'when' && block.otherwise !== undefined, 'else without when');
        w.emit('jmp', block.end);
        w.bind(block.otherwise);
        block.otherwise = undefined;
        return;
      }
      case 'endWhen': {
        const block = this.#blocks.pop();
        invariant(block?.kind === 'when', 'endWhen without when');
        if (block.otherwise) w.bind(block.otherwise);
        w.bind(block.end);
        return;
      }
      case 'call':
        operation.args.forEach((arg, index) => {
          w.emit('mov', frameArgument('outgoing', index, 32), this.integer(arg));
        });
        w.call(operation.callee);
        return;
      case 'barrier':
        this.#barrier(operation.args[0], operation.args[1]);
        return;
      case 'load':
      case 'loadBytes':
      case 'loadSplat':
      case 'store':
      case 'storeBytes':
        lowerMemory(this, operation);
        return;
      case 'prefetch':
        // Into the second-level cache: what comes is more than the first one holds.
        w.emit('prefetcht1', this.memory(operation.args[0], operation.offset));
        return;
      case 'divide':
      case 'remainder':
        divideInteger(this, operation.op, operation.result, operation.args[0], operation.args[1]);
        return;
      default: {
        const general = !operation.result.wide && operation.result.kind !== 'f32';
        if (general && operation.args.every((arg) => this.w.classOf(arg) === 'general')) lowerInteger(this, operation);
        else lowerVector(this, operation);
      }
    }
  }

  #loop({ result, args: [from, to], step }: Extract<Operation, { op: 'loop' }>): void {
    const { w } = this;
    const top = w.place();
    const end = w.place();
    const first = this.fixed(from);
    const last = this.fixed(to);
    // Bounds may turn out to be known, and the loop empty, only after folding.
    const certain = first !== undefined && last !== undefined && first < last;
    if (certain && result.uses === 0) {
      // Nobody looks at the position: count the trips down.
      const left = w.integer(Math.ceil((last - first) / step));
      const next = (): void => {
        w.emit('sub', mod(left), 1);
        w.emit('jne', top);
      };
      this.#blocks.push({ kind: 'loop', top, end, next, exit: false });
    } else {
      const i = this.target(result);
      if (first !== undefined) this.load(i, result, first);
      else w.move(i, this.register(from));
      let limit: Argument;
      if (last !== undefined) {
        limit = last;
      } else if (this.root(to).sets > 0) {
        const copy = w.general(); // the body may change `to`
        w.move(copy, this.register(to));
        limit = use(copy);
      } else {
        limit = use(this.register(to));
      }
      const exit = !certain;
      if (exit) {
        w.emit('cmp', use(i), limit);
        w.emit('jge', end);
      }
      const next = (): void => {
        w.emit('add', mod(i), step);
        w.emit('cmp', use(i), limit);
        w.emit('jl', top);
      };
      this.#blocks.push({ kind: 'loop', top, end, next, exit });
    }
    w.emit('loop');
    w.depth++;
    w.bind(top);
  }

  #when(condition: Value): void {
    const { w } = this;
    const otherwise = w.place();
    const { conditions: compares } = condition;
    if (compares !== undefined) {
      this.#branch(compares, otherwise);
    } else {
      const mask = this.register(condition);
      w.emit('test', use(mask), use(mask));
      w.emit('je', otherwise);
    }
    this.#blocks.push({ kind: 'when', otherwise, end: w.place() });
  }

  /** Jumps to `otherwise` unless all hold. */
  #branch(compares: readonly Compare[], otherwise: Place): void {
    const { w } = this;
    for (let i = 0; i < compares.length; i++) {
      const { fn, args } = compares[i];
      const next = compares[i + 1];
      const a = this.register(args[0]);
      const bound = next === undefined ? undefined : this.fixed(next.args[1]);
      const range = fn === 'ge' && this.fixed(args[1]) === 0 && next?.fn === 'lt' && next.args[0] === args[0];
      if (range && bound !== undefined && bound >= 0) {
        // 0 ≤ a < bound: negative numbers are large ones without sign.
        w.emit('cmp', use(a), bound);
        w.emit('jae', otherwise);
        i++;
        continue;
      }
      w.emit('cmp', use(a), this.integer(args[1]));
      w.emit(OPPOSITE[fn], otherwise);
    }
  }

  #barrier(address: Value, threads: Value): void {
    const { w } = this;
    w.emit('mov', EAX, use(this.register(address)));
    w.emit('mov', EDX, use(this.register(threads)));
    w.emit('barrier');
  }
}
