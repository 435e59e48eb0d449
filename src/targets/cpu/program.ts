import { type Plan, workOf } from '../../compiler/compile.js';
import { bytesOf, type Location } from '../../compiler/memory.js';
import {
  apart,
  type Buffer,
  type Preparation,
  preparationsOf,
  rootBuffer,
  type Step,
  stridesOf,
} from '../../compiler/steps.js';
import { Structures } from '../../compiler/structure.js';
import { InternalError } from '../../tensor/errors.js';
import type { KernelCode } from './kernel-code.js';
import type { View } from './loops.js';
import type { Assembler, FunctionId, Int, Register, VectorMachine } from './machine.js';
import { mixCode } from './mix.js';
import { nestCode } from './nest.js';
import { outerCode } from './outer.js';
import { tileCode } from './tile.js';

// A program's table: 64 bytes for its barrier; pointers to the arena, the threads' own memory, the inputs and the outputs; flags.
export const TABLE_POINTERS = 64;
const ARENA_SLOT = 0;
const SCRATCH_SLOT = 1;
/** Pointers before those to the inputs: arena, scratch. */
export const OWN_SLOTS = 2;

export interface TableLayout {
  readonly bytes: number;
  inputSlot(input: number): number;
  outputSlot(output: number): number;
  /**
   * Words behind the pointers, 1 or 0: whether any preparation is to run, then whether each of them is. None where a program has no
   * preparations.
   */
  readonly flags: number;
  /** The flag of a preparation; of any without a number. */
  flagSlot(preparation?: number): number;
}

/** The arguments are how many there are of each. */
export function tableLayout(inputs: number, outputs: number, preparations: number): TableLayout {
  const pointers = OWN_SLOTS + inputs + outputs;
  const flags = preparations === 0 ? 0 : 1 + preparations;
  return {
    bytes: TABLE_POINTERS + 4 * (pointers + flags),
    inputSlot: (input) => OWN_SLOTS + input,
    outputSlot: (output) => OWN_SLOTS + inputs + output,
    flags,
    flagSlot: (preparation = -1) => pointers + 1 + preparation,
  };
}

/**
 * Steps with less work than this, and than this part of the program's, run on the first thread alone: it needs no barriers between
 * them, each of which takes longer.
 */
const SOLO_WORK = 4096;
const SOLO_PART = 1 / 64;

/** Steps of a part of a long program. */
const PART = 128;

type StepRunner = (step: number, hazards: Hazards) => void;

/** What {@link emitProgram} made. */
export interface EmittedProgram {
  readonly run: FunctionId;
  /** Bytes of its own that each thread needs, a multiple of 64: the second pointer of the table is to as many for each thread. */
  readonly scratch: number;
}

/**
 * Emits all kernels of a plan and the function that runs them, `run(thread, threads, table)`. Prepared steps, at the front, run
 * when the flag of their preparation is not 0.
 *
 * @param only the one step to emit, for profiling: it always runs.
 */
export function emitProgram(
  { program: whole, memory, work }: Plan,
  assembler: Assembler,
  only?: number,
): EmittedProgram {
  const program = only === undefined ? whole : { ...whole, steps: [{ ...whole.steps[only], preparation: undefined }] };
  const preparations = preparationsOf(program.steps);
  const table = tableLayout(program.inputs.length, program.outputs.length, preparations.length);
  // Layers of one shape have the same kernels.
  const structures = new Structures();
  const emitted = new Map<number, EmittedKernel>();
  const kernels = program.steps.map((step, i) => {
    const what = structures.numberOf([step.kernel, step.operands.map(viewOf), step.results.map(viewOf)]);
    const kernel = emitted.get(what) ?? emitKernel(step, i, assembler);
    emitted.set(what, kernel);
    return kernel;
  });
  const scratch = Math.max(0, ...kernels.map((kernel) => Math.ceil(kernel.scratch / 64) * 64));
  const slot = (location: Location): number =>
    location.kind === 'arena'
      ? ARENA_SLOT
      : location.kind === 'input'
        ? table.inputSlot(location.input)
        : table.outputSlot(location.output);
  const ranges = new Map<Buffer, Range>();
  const range = (buffer: Buffer): Range => {
    let known = ranges.get(buffer);
    if (known === undefined) {
      const root = rootBuffer(buffer);
      const location = memory.location(root);
      const from = location.offset;
      known = { slot: slot(location), from, to: from + bytesOf(root), buffer };
      ranges.set(buffer, known);
    }
    return known;
  };
  /** Runs a step, within a function with the arguments of `run`. */
  const stepRunner = (m: VectorMachine, [thread, threads, tableAddress]: readonly Register[]): StepRunner => {
    const fromTable = fromTableOf(m, tableAddress);
    const ownMemory = (): Register => {
      return m.binary('add', fromTable(SCRATCH_SLOT), m.binary('mul', thread, m.constant('i32', scratch)));
    };
    const own = scratch > 0 ? [ownMemory()] : [];
    const arena = fromTable(ARENA_SLOT);
    const pointer = (buffer: Buffer): Register => {
      const location = memory.location(buffer);
      const base = location.kind === 'arena' ? arena : fromTable(slot(location));
      const { offset } = location;
      return offset === 0 ? base : m.binary('add', base, m.constant('i32', offset));
    };
    return (i, hazards) => {
      const step = program.steps[i];
      const { id, items, batch, scratch: needed } = kernels[i];
      if (items === 0) return;
      const solo = workOf(step) <= Math.min(SOLO_WORK, SOLO_PART * work);
      if (hazards.conflict(step, solo)) {
        m.barrier(tableAddress, threads);
        hazards.clear();
      }
      hazards.add(step, solo);
      // A call for each item: engines that compile twice (fast, then well) switch to the better code between calls.
      const call = (from: Int, to: Int): void => {
        const pointers = [...step.operands.map(pointer), ...step.results.map(pointer), ...(needed > 0 ? own : [])];
        const next = (n: Register): Register => m.binary('add', n, m.constant('i32', 1));
        if (batch === 1) {
          m.loop({ from, to }, (item) => m.call(id, [item, next(item), ...pointers]));
          return;
        }
        const start = (n: Register): Register => m.binary('mul', n, m.constant('i32', batch));
        const [first, end] = [from, to].map((n) => (typeof n === 'number' ? m.constant('i32', n) : n));
        const last = m.divide(m.binary('add', end, m.constant('i32', batch - 1)), batch);
        m.loop({ from: m.divide(first, batch), to: last }, (n) => {
          m.call(id, [m.binary('max', first, start(n)), m.binary('min', end, start(next(n))), ...pointers]);
        });
      };
      // What one thread does alone: all of a small step, or the one item that there is, which is the last thread's share.
      if (solo || items === 1) {
        const owner = solo ? m.constant('i32', 0) : m.binary('sub', threads, m.constant('i32', 1));
        m.when(m.compare('eq', thread, owner), () => call(0, items));
        return;
      }
      const share = (t: Register): Register => m.divide(m.binary('mul', t, m.constant('i32', items)), threads);
      call(share(thread), share(m.binary('add', thread, m.constant('i32', 1))));
    };
  };
  const groups = neighbours(program.steps);
  const everyTime = groups.flatMap(({ preparation, steps }) => (preparation === undefined ? steps : []));
  const hazards = new Hazards(range);
  // Long programs in parts: what engines need to compile a function grows faster than its length.
  const parts: FunctionId[] = [];
  for (let from = 0; everyTime.length > PART && from < everyTime.length; from += PART) {
    const part = everyTime.slice(from, from + PART);
    const emitPart = (m: VectorMachine, args: readonly Register[]): void => {
      const runStep = stepRunner(m, args);
      for (const i of part) runStep(i, hazards);
    };
    parts.push(assembler.define(`run.${parts.length}`, 3, emitPart));
  }
  const run = assembler.define('run', 3, (m, args) => {
    const [, threads, tableAddress] = args;
    const runStep = stepRunner(m, args);
    const fromTable = fromTableOf(m, tableAddress);
    const whenSet = (preparation: number | undefined, body: () => void): void => {
      const flag = fromTable(table.flagSlot(preparation));
      m.when(m.compare('ne', flag, m.constant('i32', 0)), body);
    };
    const prepared = groups.filter(({ preparation }) => preparation !== undefined);
    if (prepared.length > 0) {
      whenSet(undefined, () => {
        // Which groups run is known only then: barriers of one say nothing to the next.
        const before = new Hazards(range);
        for (const { preparation, steps } of prepared) {
          whenSet(preparations.indexOf(preparation as Preparation), () => {
            if (steps.some((i) => before.conflict(program.steps[i]))) m.barrier(tableAddress, threads);
            const hazards = new Hazards(range);
            for (const i of steps) runStep(i, hazards);
          });
          for (const i of steps) before.add(program.steps[i]);
        }
        m.barrier(tableAddress, threads);
      });
    }
    if (parts.length === 0) for (const i of everyTime) runStep(i, hazards);
    else for (const part of parts) m.call(part, args);
  });
  return { run, scratch };
}

/** Reads words of a program's table behind its barrier. */
function fromTableOf(m: VectorMachine, tableAddress: Register): (at: number) => Register {
  return (at) => m.load('i32', false, tableAddress, TABLE_POINTERS + 4 * at);
}

/** Numbers of steps, those together that follow each other and have the same preparation. */
function neighbours(steps: readonly Step[]): { preparation: Preparation | undefined; steps: number[] }[] {
  const groups: { preparation: Preparation | undefined; steps: number[] }[] = [];
  steps.forEach(({ preparation }, i) => {
    const last = groups.at(-1);
    if (last !== undefined && last.preparation === preparation) last.steps.push(i);
    else groups.push({ preparation, steps: [i] });
  });
  return groups;
}

/** {@link EmittedProgram.scratch} for vectors of so many lanes, without code. */
export function scratchOf(plan: Plan, lanes: number): number {
  let functions = 0;
  const nothing: Assembler = { lanes, vectorRegisters: 0, define: (name) => ({ name, index: functions++ }) };
  return emitProgram(plan, nothing).scratch;
}

interface EmittedKernel {
  readonly id: FunctionId;
  readonly items: number;
  readonly batch: number;
  readonly scratch: number;
}

function emitKernel(step: Step, index: number, assembler: Assembler): EmittedKernel {
  const lanes = lanesOf(step, assembler);
  const code = kernelCode(step, lanes);
  const { items, batch = 1, scratch = 0 } = code;
  const name = `${index}:${step.name}`;
  const pointerCount = step.operands.length + step.results.length + (scratch > 0 ? 1 : 0);
  const body = (m: VectorMachine, [begin, end, ...pointers]: readonly Register[]): void => {
    if (items > 0) code.emit(m, begin, end, pointers);
  };
  const id = assembler.define(name, 2 + pointerCount, body, { lanes });
  return { id, items, batch, scratch };
}

/** Elements of the vectors that a kernel works with. */
function lanesOf({ kernel }: Step, assembler: Assembler): number {
  return (kernel.kind === 'tile' || kernel.kind === 'outer' ? kernel.lanes : undefined) ?? assembler.lanes;
}

function kernelCode(step: Step, lanes: number): KernelCode {
  const operands = step.operands.map(viewOf);
  const results = step.results.map(viewOf);
  switch (step.kernel.kind) {
    case 'nest':
      return nestCode(step.kernel, lanes, operands, results);
    case 'tile':
      return tileCode(step.kernel, lanes, operands, results[0]);
    case 'mix':
      return mixCode(step.kernel, lanes);
    case 'outer':
      return outerCode(step.kernel, lanes, operands, results[0]);
    default:
      throw new InternalError(`a ${step.kernel.kind} was left unscheduled`);
  }
}

/** How the elements of a buffer lie in memory. */
export function viewOf(buffer: Buffer): View {
  return { dtype: buffer.type.dtype, strides: stridesOf(buffer) };
}

interface Range {
  readonly slot: number;
  /** Of all memory that the buffer shares with others. */
  readonly from: number;
  readonly to: number;
  readonly buffer: Buffer;
}

/** What was read or written since the last barrier, by the slot that it is in. */
class Accesses {
  readonly #slots = new Map<number, { readonly range: Range; readonly solo: boolean }[]>();

  add(range: Range, solo: boolean): void {
    const others = this.#slots.get(range.slot);
    if (others === undefined) this.#slots.set(range.slot, [{ range, solo }]);
    else others.push({ range, solo });
  }

  /** Whether one of them, that the first thread did not do alone where it does this alone, too, is of memory in `range`. */
  meet({ slot, from, to, buffer }: Range, solo: boolean): boolean {
    for (const { range, solo: wasSolo } of this.#slots.get(slot) ?? []) {
      if (solo && wasSolo) continue;
      if (from < range.to && range.from < to && !apart(buffer, range.buffer)) return true;
    }
    return false;
  }

  clear(): void {
    this.#slots.clear();
  }
}

/** Which memory was read and written since the last barrier, by all threads or by the first one alone. */
class Hazards {
  readonly #range: (buffer: Buffer) => Range;
  readonly #reads = new Accesses();
  readonly #writes = new Accesses();

  constructor(range: (buffer: Buffer) => Range) {
    this.#range = range;
  }

  /** Whether `step` must wait for other threads; what one thread does is in order. */
  conflict({ operands, results }: Step, solo = false): boolean {
    const meets = (buffers: readonly Buffer[], before: Accesses): boolean =>
      buffers.some((buffer) => before.meet(this.#range(buffer), solo));
    return meets(operands, this.#writes) || meets(results, this.#writes) || meets(results, this.#reads);
  }

  add({ operands, results }: Step, solo = false): void {
    for (const buffer of operands) this.#reads.add(this.#range(buffer), solo);
    for (const buffer of results) this.#writes.add(this.#range(buffer), solo);
  }

  clear(): void {
    this.#reads.clear();
    this.#writes.clear();
  }
}
