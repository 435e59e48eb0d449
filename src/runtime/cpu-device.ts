import { compileGraph, type Plan, workOf } from '../compiler/compile.js';
import type { MachineDescription } from '../compiler/machine.js';
import type { Device, Executable } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { OWN_SLOTS, scratchOf, TABLE_POINTERS, tableLayout } from '../targets/cpu/program.js';
import { DTYPES, type TypedArray } from '../tensor/dtype.js';
import { checkOptions, GaborError, invariant, OptionError } from '../tensor/errors.js';
import { formatType, sizeOf, type TensorType } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { ALIGNMENT } from './allocator.js';
import { type Backend, chooseBackend, type Instructions } from './backend.js';
import type { CompiledProgram } from './compiled-program.js';
import { DeviceMemory, SLACK } from './memory.js';
import { LargePages } from './native/large-pages.js';
import { type ProgramHandle, ThreadPool } from './pool.js';
import { keepsPrograms, ProgramCache, programFiles } from './program-cache.js';
import { checkThreads, defaultThreads } from './threads.js';
import { type TunedContraction, Tuner } from './tuner.js';
import { TuningCache } from './tuning-cache.js';
import { tuningKey } from './tuning-key.js';

/** Options of {@link cpuDevice}. */
export interface CpuOptions {
  /** Threads that run programs; default: the processors available, or GABOR_THREADS. Results do not depend on it. */
  readonly threads?: number;
  /**
   * What programs are compiled to: instructions of x64 processors (`avx512`, `avx2`) or WebAssembly (`wasm`). Default: what the
   * environment variable GABOR_NATIVE says (0 for WebAssembly), else the fastest that works here.
   */
  readonly instructions?: Instructions;
  /** WebAssembly only: fused multiply-add by relaxed SIMD where the engine has it; default true. */
  readonly relaxedSimd?: boolean;
  /**
   * Whether convolutions with three taps may use Winograd's algorithm where that is faster (docs/decisions/winograd.md); default true; 2, 3 or 4:
   * F(2, 3), F(3, 3) or F(4, 3) wherever it is possible. F(4, 3) loses about one decimal digit.
   */
  readonly winograd?: boolean | 2 | 3 | 4;
  /**
   * Whether programs take the fastest schedules of contractions that were measured on this processor, and measure those that are missing
   * when they are compiled (docs/decisions/tuning.md); default false. Results are rounded otherwise than without, and may be after the
   * cache was lost.
   */
  readonly tune?: boolean;
  /**
   * Whether compiled programs are kept on disk for other processes (docs/decisions/startup.md); default true, unless GABOR_CACHE is 0.
   * Results do not depend on it.
   */
  readonly cache?: boolean;
}

/** So many bytes of memory are asked for in large pages. */
const LARGE_PAGES = 2 ** 28;
/** Programs with less work than this run on the calling thread alone: waking the others would take longer. */
const PARALLEL_WORK = 200_000;
/** Programs that take one thread no more milliseconds than this are done by the calling one as long as it would wait for others to start. */
const LIGHT = 30;
/** Programs that take one thread no more milliseconds than this are done where they are called: to wake threads, and to be woken by them, takes longer. */
const TINY = 0.05;

function bytesOf({ shape, dtype }: TensorType): number {
  return sizeOf(shape) * DTYPES[dtype].bytes;
}

let contentsCount = 0;
/** Numbers of inputs that are written. */
const [NONE, FIRST]: readonly ReadonlySet<number>[] = [new Set(), new Set([0])];

class CpuStorage implements Storage {
  readonly type: TensorType;
  readonly #device: CpuDevice;
  #address: number;
  #contents: number = ++contentsCount;

  constructor(device: CpuDevice, type: TensorType, address: number) {
    this.#device = device;
    this.type = type;
    this.#address = address;
    // Views of memory that is not shared die when it grows.
    if (device.memory.shared) this.fill = (fill) => this.#fill(fill);
  }

  readonly fill?: Storage['fill'];

  async #fill(fill: (bytes: Uint8Array) => Promise<void>): Promise<void> {
    this.await(true);
    this.changed();
    await fill(this.#device.memory.view('u8', this.address, bytesOf(this.type)));
    this.changed();
  }

  get address(): number {
    if (this.#address === 0) throw new GaborError(`this ${formatType(this.type)} was disposed`);
    return this.#address;
  }

  get device(): CpuDevice {
    return this.#device;
  }

  /** A number that no other contents of any storage ever had. */
  get contents(): number {
    return this.#contents;
  }

  /** To be called by whoever writes to the memory: before, and again after it where others may read meanwhile. */
  changed(): void {
    this.#contents = ++contentsCount;
  }

  /** Blocks until those runs have ended that someone who reads it now, or writes to it, comes after. */
  await(toWrite: boolean): void {
    this.#device.finishRunsBefore([this], toWrite ? FIRST : NONE);
  }

  #view(): TypedArray {
    const { dtype, shape } = this.type;
    return this.#device.memory.view(dtype, this.address, sizeOf(shape));
  }

  read(): TypedArray {
    this.await(false);
    return this.#view().slice();
  }

  write(data: ArrayLike<number>): void {
    this.await(true);
    this.changed();
    this.#view().set(data);
  }

  clear(): void {
    this.await(true);
    this.changed();
    this.#view().fill(0);
  }

  dispose(): void {
    if (this.#address === 0) return;
    this.#device.release(this.#address);
    this.#address = 0;
  }
}

/** One kernel of a program; see {@link CpuDevice.profile}. */
export interface KernelTime {
  readonly name: string;
  /** The layer it came from. */
  readonly scope: string;
  readonly kernel: string;
  readonly milliseconds: number;
  /** Roughly: multiply-adds of contractions, elements of maps and reductions. */
  readonly operations: number;
  /** Whether a program runs it only when one of the inputs that it needs has changed since the last run, as parameters rarely do. */
  readonly prepared: boolean;
}

/** What a program needs at its peak, which is all of it together, in bytes. */
export interface ProgramMemory {
  /** Tensors that it reads: arguments, parameters and whatever else the function uses from outside. */
  readonly inputs: number;
  /** Tensors that each run makes. */
  readonly outputs: number;
  /** Intermediate results; those that are not needed at the same time share memory. */
  readonly arena: number;
  /** What the threads need for themselves. */
  readonly scratch: number;
  readonly peak: number;
}

/** Runs programs on worker threads, as machine code where that is possible, else as WebAssembly SIMD. */
export class CpuDevice implements Device {
  readonly name: string = 'cpu';
  readonly memory: DeviceMemory = new DeviceMemory();
  readonly #backend: Backend;
  readonly #tuner: Tuner | undefined;
  readonly #cache: ProgramCache | undefined;
  readonly #team: ThreadPool;
  readonly #solo: ThreadPool;
  readonly #largePages: LargePages | undefined;
  #running = 0;
  /** Runs happen in the order of the calls: one may read what an earlier one writes. */
  #last: Promise<void> = Promise.resolve();
  /** Runs that were asked for and have not ended, in the order of the calls. */
  readonly #pending = new Set<PendingRun>();
  #released: number[] = [];
  /** Programs in use, those first that did not run for longest. */
  readonly #programs = new Set<CpuExecutable>();

  constructor(options: CpuOptions = {}) {
    checkOptions('cpu device', options, ['threads', 'instructions', 'relaxedSimd', 'winograd', 'tune', 'cache']);
    this.#backend = chooseBackend({
      instructions: options.instructions,
      relaxedSimd: options.relaxedSimd,
      winograd: options.winograd,
      shared: this.memory.shared,
    });
    if (this.#backend.name !== 'wasm') {
      this.#largePages = new LargePages(this.memory.memory, Math.min(this.memory.limit, LARGE_PAGES));
    }
    const threads = options.threads ?? defaultThreads();
    checkThreads('cpu device: threads', threads);
    this.#team = new ThreadPool(this.memory, threads);
    this.#solo = new ThreadPool(this.memory, 1);
    if (options.tune) this.#tuner = this.#makeTuner(options);
    const files = (options.cache ?? keepsPrograms()) ? programFiles() : undefined;
    if (files !== undefined) this.#cache = new ProgramCache(this.#backend, files);
  }

  #makeTuner(options: CpuOptions): Tuner {
    const { machine } = this.#backend;
    // All threads, as for a contraction inside of a large program.
    const load = (plan: Plan): Executable => new CpuExecutable(this, this.#backend.emit(plan), true);
    const allocate = (type: TensorType): Storage => this.allocate(type);
    const touch = (storage: Storage): void => (storage as CpuStorage).changed();
    return new Tuner({ machine, allocate, load, touch }, new TuningCache(tuningKey(this.#backend, options)));
  }

  get #machine(): MachineDescription {
    return this.#tuner?.machine ?? this.#backend.machine;
  }

  get threads(): number {
    return this.#team.threads;
  }

  /** What programs are compiled to. */
  get instructions(): string {
    return this.#backend.name;
  }

  /** Roughly how many multiply-adds one thread does in a millisecond. */
  get speed(): number {
    return this.#backend.speed;
  }

  clearBarrier(words: Int32Array): void {
    this.#backend.clearBarrier(words);
  }

  allocate(type: TensorType): CpuStorage {
    if (type.dtype === 'f64') throw new GaborError('the cpu device has no f64; use a reference device');
    return new CpuStorage(this, type, this.reserve(bytesOf(type)));
  }

  /**
   * Memory for tensors and programs. Where there is none left, programs that are not running lose their intermediate and prepared
   * results, which their next run makes again: a network that ran with several batch sizes needs no more room than with one.
   */
  reserve(bytes: number): number {
    const least = Math.max(bytes, 1);
    try {
      return this.memory.allocate(least);
    } catch (error) {
      let failure = error;
      for (const program of this.#programs) {
        if (!program.yieldMemory()) continue;
        try {
          return this.memory.allocate(least);
        } catch (again) {
          failure = again;
        }
      }
      throw failure;
    }
  }

  /** Remembers that a program was made or ran. */
  used(program: CpuExecutable): void {
    this.#programs.delete(program);
    this.#programs.add(program);
  }

  /** Forgets a program. */
  unused(program: CpuExecutable): void {
    this.#programs.delete(program);
  }

  /** Frees memory, after the programs that may still use it. */
  release(address: number): void {
    if (this.#running === 0) this.memory.free(address);
    else this.#released.push(address);
  }

  compile(graph: Graph): Executable {
    const compiled = (): CompiledProgram => this.#backend.emit(compileGraph(graph, this.#machine));
    const choices = (): string => this.#tuner?.measurements ?? '';
    return new CpuExecutable(this, this.#cache?.program(graph, choices, compiled) ?? compiled());
  }

  /**
   * Measures the contractions of a graph that were not measured before, and says for all of them what is fastest.
   * @throws OptionError where the device was made without `tune: true`.
   */
  tune(graph: Graph): TunedContraction[] {
    if (this.#tuner === undefined) throw new OptionError('this cpu device does not tune; make it with { tune: true }');
    return this.#tuner.tune(graph);
  }

  /** The memory that the program of a graph would take. Plans it; nothing is allocated, nothing runs unless a tuning device has to measure. */
  memoryOf(graph: Graph): ProgramMemory {
    const plan = compileGraph(graph, this.#machine);
    const { threads } = this.pool(plan.work > PARALLEL_WORK);
    const total = (values: Graph['inputs']): number => values.reduce((sum, { type }) => sum + bytesOf(type), 0);
    const inputs = total(graph.inputs);
    const outputs = total(graph.outputs);
    const arena = plan.memory.arenaBytes;
    const scratch = scratchOf(plan, this.#backend.machine.lanes) * threads;
    return { inputs, outputs, arena, scratch, peak: inputs + outputs + arena + scratch };
  }

  /**
   * Times every kernel of a graph by itself, in milliseconds: the median of `repetitions` runs on all threads, prepared ones
   * included. Inputs that the graph updates change.
   */
  profile(graph: Graph, inputs: readonly Storage[], repetitions = 10): KernelTime[] {
    const plan = compileGraph(graph, this.#machine);
    const executables = plan.program.steps.map((_, i) => new CpuExecutable(this, this.#backend.emit(plan, i), true));
    const arena = this.reserve(plan.memory.arenaBytes);
    const times = executables.map(() => [] as number[]);
    for (let r = 0; r < repetitions; r++) {
      executables.forEach((executable, i) => {
        const start = performance.now();
        for (const output of executable.runSync(inputs, arena)) output.dispose();
        times[i].push(performance.now() - start);
      });
    }
    for (const executable of executables) executable.dispose();
    this.memory.free(arena);
    return plan.program.steps.map((step, i) => ({
      name: step.name,
      scope: step.scope,
      kernel: step.kernel.kind,
      milliseconds: times[i].sort((a, b) => a - b)[Math.floor(repetitions / 2)],
      operations: workOf(step),
      prepared: step.preparation !== undefined,
    }));
  }

  pool(parallel: boolean): ThreadPool {
    return parallel ? this.#team : this.#solo;
  }

  /** To be called after every run. */
  ran(): void {
    this.#largePages?.ran();
  }

  /** Whether no run was asked for that has not ended. */
  get idle(): boolean {
    return this.#running === 0;
  }

  /** Takes a place in the queue of runs. */
  enter(run: PendingRun): { readonly previous: Promise<void>; readonly done: () => void } {
    this.#running++;
    this.#pending.add(run);
    const previous = this.#last;
    let done: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => {
      done = () => {
        this.#pending.delete(run);
        resolve();
      };
    });
    return { previous, done };
  }

  /** Blocks until the runs have ended that were asked for and that overwrite what is to be read now, or read or overwrite what is to be written. */
  finishRunsBefore(inputs: readonly CpuStorage[], updated: ReadonlySet<number>): void {
    for (const run of this.#pending) {
      const meet = run.inputs.some((x, i) => inputs.some((y, j) => x === y && (run.updated.has(i) || updated.has(j))));
      if (!meet) continue;
      // All, in their order; those who wait for them hear of it later.
      for (const { finish } of this.#pending) finish();
      return;
    }
  }

  leave(): void {
    if (--this.#running > 0) return;
    const released = this.#released;
    this.#released = [];
    for (const address of released) this.memory.free(address);
  }

  /**
   * Ends the worker threads, after the runs that were asked for, and gives back the code of all programs: nothing can be computed on this
   * device any more. Tensors that lie on it keep their contents until they are disposed of.
   */
  async close(): Promise<void> {
    await this.#team.close();
    await this.#solo.close();
  }
}

/** A run that was asked for. */
interface PendingRun {
  readonly inputs: readonly CpuStorage[];
  /** Which of them it overwrites. */
  readonly updated: ReadonlySet<number>;
  /** Does it, and all before it, blocking. */
  readonly finish: () => void;
}

/** What a call gave to a program, and what it gets. */
interface Binding {
  readonly table: number;
  readonly arena: number;
  readonly inputs: readonly CpuStorage[];
  /** Where these lie, even if they are disposed of before the run. */
  readonly addresses: readonly number[];
  readonly outputs: readonly CpuStorage[];
}

interface Run {
  readonly number: number;
  /** What takes the place of some inputs. */
  readonly copies: ReadonlyMap<number, CpuStorage>;
}

const NO_COPIES: Run['copies'] = new Map();

/** Where the next part of a block may begin: aligned, behind what wide loads may touch. */
const behind = (bytes: number): number => Math.ceil((bytes + SLACK) / ALIGNMENT) * ALIGNMENT;

class CpuExecutable implements Executable {
  readonly #device: CpuDevice;
  readonly #outputs: readonly TensorType[];
  readonly #inputs: number;
  /** Which inputs the program overwrites. */
  readonly #updated: ReadonlySet<number>;
  /** For each group of prepared steps the inputs that it depends on. */
  readonly #preparations: CompiledProgram['preparations'];
  /** From which inputs anything is prepared. */
  readonly #prepares: ReadonlySet<number>;
  /** {@link CpuStorage.contents} of what every input was read from in the last run, */
  readonly #contents: number[];
  /** which is what the prepared results in the arena are of, if it succeeded. */
  #prepared = false;
  /** How many runs began. */
  #runs = 0;
  /** Words of the table behind its barrier. */
  readonly #words: number;
  readonly #pool: ThreadPool;
  readonly #light: boolean;
  readonly #tiny: boolean;
  readonly #program: ProgramHandle;
  /** Where its arena and the threads' own memory begin behind the table, and how much all three take. */
  readonly #layout: { readonly arena: number; readonly scratch: number; readonly bytes: number };
  /** The address of the table; undefined where others needed the memory: the next run takes it again. */
  #table: number | undefined;
  #waiting = 0;
  #disposed = false;

  /** @param together whether all threads run it, however little work it is. */
  constructor(device: CpuDevice, program: CompiledProgram, together = false) {
    const { inputs, outputs, updated, preparations, work, arenaBytes, scratch, code } = program;
    this.#device = device;
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#updated = new Set(updated);
    this.#preparations = preparations;
    this.#prepares = new Set(preparations.flat());
    this.#contents = new Array(inputs).fill(0);
    this.#pool = device.pool(together || work > PARALLEL_WORK);
    this.#light = !together && work <= LIGHT * device.speed;
    this.#tiny = work <= TINY * device.speed;
    const { bytes: tableBytes } = tableLayout(inputs, outputs.length, preparations.length);
    this.#words = (tableBytes - TABLE_POINTERS) / 4;
    const arenaAt = behind(tableBytes);
    const scratchAt = arenaAt + behind(arenaBytes);
    this.#layout = { arena: arenaAt, scratch: scratchAt, bytes: scratchAt + scratch * this.#pool.threads };
    this.#table = this.#place();
    try {
      this.#program = this.#pool.load(code, () => this.#clearBarrier());
    } catch (error) {
      device.memory.free(this.#table);
      throw error;
    }
    device.used(this);
  }

  /** One block for all that it needs: what others may take is whole again when it comes back. */
  #place(): number {
    const table = this.#device.reserve(this.#layout.bytes);
    this.#device.clearBarrier(this.#device.memory.view('i32', table, TABLE_POINTERS / 4));
    return table;
  }

  /** Gives up its memory, where no run needs it. Says whether there was any. */
  yieldMemory(): boolean {
    if (this.#waiting > 0 || this.#table === undefined) return false;
    this.#device.memory.free(this.#table);
    this.#table = undefined;
    this.#prepared = false;
    return true;
  }

  #clearBarrier(): void {
    if (this.#table === undefined) return;
    this.#device.clearBarrier(this.#device.memory.view('i32', this.#table, TABLE_POINTERS / 4));
  }

  /** Checks what is given and allocates the outputs. */
  #bind(given: readonly Storage[], arena?: number): Binding {
    if (this.#disposed) throw new GaborError('this program was disposed');
    invariant(given.length === this.#inputs, `the program takes ${this.#inputs} inputs, got ${given.length}`);
    const inputs: CpuStorage[] = [];
    const addresses: number[] = [];
    for (const input of given) {
      if (!(input instanceof CpuStorage) || input.device !== this.#device) {
        throw new GaborError('a tensor from another device was given to a cpu program; make it on the same device');
      }
      inputs.push(input);
      addresses.push(input.address);
    }
    const outputs: CpuStorage[] = [];
    // So that the outputs do not take its own memory.
    this.#waiting++;
    let table: number;
    try {
      table = this.#table ??= this.#place();
      for (const type of this.#outputs) outputs.push(this.#device.allocate(type));
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    } finally {
      this.#waiting--;
    }
    return { table, arena: arena ?? table + this.#layout.arena, inputs, addresses, outputs };
  }

  /**
   * Writes the table, right before a run. Networks have hundreds of inputs, most of which are as before: as little as possible happens for
   * each. Until {@link #finish} nothing counts as prepared: the run may fail anywhere.
   */
  #begin({ table: address, arena, inputs, addresses, outputs }: Binding): Run {
    const copies = this.#updated.size === 0 ? NO_COPIES : this.#copies(inputs, addresses);
    const contents = this.#contents;
    const { memory } = this.#device;
    const table = memory.view('i32', address + TABLE_POINTERS, this.#words);
    table[0] = arena;
    table[1] = address + this.#layout.scratch;
    const changed: number[] = [];
    let word = OWN_SLOTS;
    for (let i = 0; i < inputs.length; i++) {
      const copy = copies.get(i);
      table[word++] = copy?.address ?? addresses[i];
      const now = (copy ?? inputs[i]).contents;
      if (contents[i] === now) continue;
      contents[i] = now;
      if (this.#prepares.has(i)) changed.push(i);
    }
    for (const output of outputs) table[word++] = output.address;
    if (this.#preparations.length > 0) {
      const any = !this.#prepared || changed.length > 0;
      table[word++] = any ? 1 : 0;
      if (any)
        for (const needed of this.#preparations) {
          table[word++] = !this.#prepared || needed.some((input) => changed.includes(input)) ? 1 : 0;
        }
    }
    this.#prepared = false;
    this.#device.used(this);
    this.#written(inputs);
    return { number: ++this.#runs, copies };
  }

  /** Where a tensor is given twice and the program overwrites one of both inputs: for the other one, a copy of the old contents. */
  #copies(inputs: readonly CpuStorage[], addresses: readonly number[]): ReadonlyMap<number, CpuStorage> {
    const overwritten = new Set<CpuStorage>();
    for (const input of this.#updated) overwritten.add(inputs[input]);
    const copies = new Map<number, CpuStorage>();
    const { memory } = this.#device;
    for (const [i, input] of inputs.entries()) {
      if (this.#updated.has(i) || !overwritten.has(input)) continue;
      const copy = this.#device.allocate(input.type);
      copies.set(i, copy);
      const bytes = bytesOf(copy.type);
      memory.view('u8', copy.address, bytes).set(memory.view('u8', addresses[i], bytes));
    }
    return copies;
  }

  #finish({ number }: Run): void {
    this.#device.ran();
    // Another run may have begun, whose contents these are.
    if (number === this.#runs) this.#prepared = true;
  }

  /** Whether it succeeded or not. */
  #end({ inputs }: Binding, { copies }: Run): void {
    this.#written(inputs);
    for (const copy of copies.values()) copy.dispose();
  }

  /** Before a run and after it. */
  #written(inputs: readonly CpuStorage[]): void {
    for (const input of this.#updated) inputs[input].changed();
  }

  async run(inputs: readonly Storage[]): Promise<Storage[]> {
    if (this.#tiny && this.#device.idle) return this.runSync(inputs);
    const binding = this.#bind(inputs);
    const { inputs: given, outputs } = binding;
    let ran: Promise<void> | undefined;
    const run = (): Promise<void> => {
      ran ??= this.#execute(binding);
      return ran;
    };
    const finish = (): void => {
      // Its caller hears of errors.
      run().catch(() => undefined);
      this.#pool.finishRuns();
    };
    const { idle } = this.#device;
    const { previous, done } = this.#device.enter({ inputs: given, updated: this.#updated, finish });
    this.#waiting++;
    try {
      if (!idle) await previous;
      await run();
      return [...outputs];
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    } finally {
      if (--this.#waiting === 0 && this.#disposed) this.#free();
      this.#device.leave();
      done();
    }
  }

  async #execute(binding: Binding): Promise<void> {
    const run = this.#begin(binding);
    try {
      await this.#pool.run(this.#program, binding.table, this.#light);
      this.#finish(run);
    } finally {
      this.#end(binding, run);
    }
  }

  /** @param arena instead of the program's own, for a single step. */
  runSync(inputs: readonly Storage[], arena?: number): Storage[] {
    if (this.#waiting > 0) {
      throw new GaborError('this program is running: await the earlier call before a synchronous one');
    }
    const binding = this.#bind(inputs, arena);
    const { outputs } = binding;
    let run: Run | undefined;
    this.#waiting++;
    try {
      this.#device.finishRunsBefore(binding.inputs, this.#updated);
      run = this.#begin(binding);
      this.#pool.runSync(this.#program, binding.table, this.#light);
      this.#finish(run);
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    } finally {
      this.#waiting--;
      if (run !== undefined) this.#end(binding, run);
    }
    return [...outputs];
  }

  /** Frees the program, once the runs that were asked for before are over. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting === 0) this.#free();
  }

  #free(): void {
    this.#pool.unload(this.#program);
    if (this.#table !== undefined) this.#device.release(this.#table);
    this.#device.unused(this);
  }
}

/** A CPU device; see {@link CpuOptions}. */
export function cpuDevice(options: CpuOptions = {}): CpuDevice {
  return new CpuDevice(options);
}
