import { compileGraph, workOf } from '../compiler/compile.js';
import type { Device, Executable } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { OWN_SLOTS, TABLE_POINTERS, tableLayout } from '../targets/cpu/program.js';
import { DTYPES, type TypedArray } from '../tensor/dtype.js';
import { checkOptions, GaborError, invariant } from '../tensor/errors.js';
import { formatType, sizeOf, type TensorType } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { type Backend, chooseBackend, type EmittedCode, type Instructions } from './backend.js';
import { DeviceMemory } from './memory.js';
import { type ProgramHandle, ThreadPool } from './pool.js';
import { checkThreads, defaultThreads } from './threads.js';

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
   * Whether convolutions with three taps may use Winograd's algorithm where that is faster (docs/decisions/winograd.md); default true. Its
   * rounding errors are larger, by about 10 to 20 times with F(4×4, 3×3).
   */
  readonly winograd?: boolean;
}

/** Programs with less work than this run on the calling thread alone: waking the others would take longer. */
const PARALLEL_WORK = 200_000;

function bytesOf({ shape, dtype }: TensorType): number {
  return sizeOf(shape) * DTYPES[dtype].bytes;
}

class CpuStorage implements Storage {
  readonly type: TensorType;
  readonly #device: CpuDevice;
  #address: number;

  constructor(device: CpuDevice, type: TensorType, address: number) {
    this.#device = device;
    this.type = type;
    this.#address = address;
  }

  get address(): number {
    if (this.#address === 0) throw new GaborError(`this ${formatType(this.type)} was disposed`);
    return this.#address;
  }

  get device(): CpuDevice {
    return this.#device;
  }

  #view(): TypedArray {
    const { dtype, shape } = this.type;
    return this.#device.memory.view(dtype, this.address, sizeOf(shape));
  }

  read(): TypedArray {
    return this.#view().slice();
  }

  write(data: ArrayLike<number>): void {
    this.#view().set(data);
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
}

/** Runs programs on worker threads, as machine code where that is possible, else as WebAssembly SIMD. */
export class CpuDevice implements Device {
  readonly name: string = 'cpu';
  readonly memory: DeviceMemory = new DeviceMemory();
  readonly #backend: Backend;
  readonly #team: ThreadPool;
  readonly #solo: ThreadPool;
  #running = 0;
  /** Runs happen in the order of the calls: one may read what an earlier one writes. */
  #last: Promise<void> = Promise.resolve();
  #released: number[] = [];

  constructor(options: CpuOptions = {}) {
    checkOptions('cpu device', options, ['threads', 'instructions', 'relaxedSimd', 'winograd']);
    this.#backend = chooseBackend({
      instructions: options.instructions,
      relaxedSimd: options.relaxedSimd,
      winograd: options.winograd,
      shared: this.memory.shared,
    });
    const threads = options.threads ?? defaultThreads();
    checkThreads('cpu device: threads', threads);
    this.#team = new ThreadPool(this.memory, threads);
    this.#solo = new ThreadPool(this.memory, 1);
  }

  get threads(): number {
    return this.#team.threads;
  }

  /** What programs are compiled to. */
  get instructions(): string {
    return this.#backend.name;
  }

  clearBarrier(words: Int32Array): void {
    this.#backend.clearBarrier(words);
  }

  allocate(type: TensorType): CpuStorage {
    if (type.dtype === 'f64') throw new GaborError('the cpu device has no f64; use a reference device');
    return new CpuStorage(this, type, this.memory.allocate(Math.max(bytesOf(type), 1)));
  }

  /** Frees memory, after the programs that may still use it. */
  release(address: number): void {
    if (this.#running === 0) this.memory.free(address);
    else this.#released.push(address);
  }

  compile(graph: Graph): Executable {
    const plan = compileGraph(graph, this.#backend.machine);
    const parallel = plan.work > PARALLEL_WORK;
    return new CpuExecutable(this, graph, this.#backend.emit(plan), plan.memory.arenaBytes, parallel);
  }

  /**
   * Times every kernel of a graph by itself, in milliseconds: the median of `repetitions` runs on all threads. Inputs that the
   * graph updates change.
   */
  profile(graph: Graph, inputs: readonly Storage[], repetitions = 10): KernelTime[] {
    const plan = compileGraph(graph, this.#backend.machine);
    const count = plan.program.steps.length;
    const executables = Array.from(
      { length: count },
      (_, i) => new CpuExecutable(this, graph, this.#backend.emit(plan, i), 0, true),
    );
    const arena = this.memory.allocate(plan.memory.arenaBytes + 1);
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
    }));
  }

  pool(parallel: boolean): ThreadPool {
    return parallel ? this.#team : this.#solo;
  }

  /** Takes a place in the queue of runs. */
  enter(): { readonly previous: Promise<void>; readonly done: () => void } {
    this.#running++;
    const previous = this.#last;
    let done: () => void = () => undefined;
    this.#last = new Promise<void>((resolve) => {
      done = resolve;
    });
    return { previous, done };
  }

  leave(): void {
    if (--this.#running > 0) return;
    const released = this.#released;
    this.#released = [];
    for (const address of released) this.memory.free(address);
  }

  /** Ends the worker threads; the device can be used again, they then start anew. */
  async close(): Promise<void> {
    await this.#team.close();
    await this.#solo.close();
  }
}

class CpuExecutable implements Executable {
  readonly #device: CpuDevice;
  readonly #outputs: readonly TensorType[];
  readonly #inputs: number;
  /** Which inputs the program overwrites. */
  readonly #updated: ReadonlySet<number>;
  readonly #pool: ThreadPool;
  readonly #program: ProgramHandle;
  readonly #table: number;
  readonly #arena: number;
  /** Memory of the threads' own. */
  readonly #scratch: number;
  #waiting = 0;
  #disposed = false;

  constructor(device: CpuDevice, graph: Graph, code: EmittedCode, arenaBytes: number, parallel: boolean) {
    this.#device = device;
    this.#inputs = graph.inputs.length;
    this.#outputs = graph.outputs.map((value) => value.type);
    this.#updated = new Set(graph.updates.map(({ input }) => input.index));
    this.#pool = device.pool(parallel);
    const { memory } = device;
    this.#table = memory.allocate(tableLayout(this.#inputs, this.#outputs.length).bytes);
    this.#clearBarrier();
    this.#arena = memory.allocate(Math.max(arenaBytes, 1));
    this.#scratch = memory.allocate(Math.max(code.scratch * this.#pool.threads, 1));
    this.#program = this.#pool.load(code.source, () => this.#clearBarrier());
  }

  #clearBarrier(): void {
    this.#device.clearBarrier(this.#device.memory.view('i32', this.#table, TABLE_POINTERS / 4));
  }

  /** Allocates the outputs; the addresses are in the order of the pointer table. */
  #bind(inputs: readonly Storage[], arena = this.#arena): { addresses: number[]; outputs: CpuStorage[] } {
    if (this.#disposed) throw new GaborError('this program was disposed');
    invariant(inputs.length === this.#inputs, `the program takes ${this.#inputs} inputs, got ${inputs.length}`);
    const addresses = [arena, this.#scratch];
    for (const input of inputs) {
      if (!(input instanceof CpuStorage) || input.device !== this.#device) {
        throw new GaborError('a tensor from another device was given to a cpu program; make it on the same device');
      }
      addresses.push(input.address);
    }
    const outputs: CpuStorage[] = [];
    try {
      for (const type of this.#outputs) outputs.push(this.#device.allocate(type));
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    }
    return { addresses: [...addresses, ...outputs.map((output) => output.address)], outputs };
  }

  /**
   * Writes the table. Where a tensor is given twice and the program overwrites one of both inputs, the other one is a copy of the
   * old contents; the copies are returned.
   */
  #writeTable(addresses: readonly number[], inputs: readonly Storage[]): CpuStorage[] {
    const copies: CpuStorage[] = [];
    const { memory } = this.#device;
    const apart = addresses.map((address, slot) => {
      const input = slot - OWN_SLOTS;
      const isInput = input >= 0 && input < inputs.length;
      if (!isInput || this.#updated.has(input) || !this.#overwrites(address, addresses)) return address;
      const copy = this.#device.allocate(inputs[input].type);
      copies.push(copy);
      const bytes = bytesOf(copy.type);
      memory.view('u8', copy.address, bytes).set(memory.view('u8', address, bytes));
      return copy.address;
    });
    memory.view('i32', this.#table + TABLE_POINTERS, apart.length).set(apart);
    return copies;
  }

  #overwrites(address: number, addresses: readonly number[]): boolean {
    for (const input of this.#updated) if (addresses[OWN_SLOTS + input] === address) return true;
    return false;
  }

  async run(inputs: readonly Storage[]): Promise<Storage[]> {
    const { addresses, outputs } = this.#bind(inputs);
    const { previous, done } = this.#device.enter();
    this.#waiting++;
    let copies: CpuStorage[] = [];
    try {
      await previous;
      copies = this.#writeTable(addresses, inputs);
      await this.#pool.run(this.#program, this.#table);
      return outputs;
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    } finally {
      for (const copy of copies) copy.dispose();
      if (--this.#waiting === 0 && this.#disposed) this.#free();
      this.#device.leave();
      done();
    }
  }

  runSync(inputs: readonly Storage[], arena?: number): Storage[] {
    if (this.#waiting > 0) {
      throw new GaborError('this program is running: await the earlier call before a synchronous one');
    }
    const { addresses, outputs } = this.#bind(inputs, arena);
    let copies: CpuStorage[] = [];
    try {
      copies = this.#writeTable(addresses, inputs);
      this.#pool.runSync(this.#program, this.#table);
    } catch (error) {
      for (const output of outputs) output.dispose();
      throw error;
    } finally {
      for (const copy of copies) copy.dispose();
    }
    return outputs;
  }

  /** Frees the program, once the runs that were asked for before are over. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#waiting === 0) this.#free();
  }

  #free(): void {
    this.#pool.unload(this.#program);
    this.#device.release(this.#table);
    this.#device.release(this.#arena);
    this.#device.release(this.#scratch);
  }
}

/** A CPU device; see {@link CpuOptions}. */
export function cpuDevice(options: CpuOptions = {}): CpuDevice {
  return new CpuDevice(options);
}
