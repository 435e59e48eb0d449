import assert from 'node:assert/strict';
import { compileGraph, type Plan } from '../compiler/compile.js';
import { preparationsOf } from '../compiler/steps.js';
import type { Graph } from '../graph/graph.js';
import { type Backend, wasmBackend } from '../runtime/backend.js';
import { DeviceMemory } from '../runtime/memory.js';
import { ThreadPool } from '../runtime/pool.js';
import { TABLE_POINTERS, tableLayout } from '../targets/cpu/program.js';
import { DTYPES, type TypedArray } from '../tensor/dtype.js';
import { sizeOf, type TensorType } from '../tensor/shape.js';

export interface PlanOptions {
  /** Default 1. */
  readonly threads?: number;
  /** Default: WebAssembly with what the engine has, and sums as they are written (no Winograd). */
  readonly backend?: Backend;
}

export interface PlanResult {
  readonly plan: Plan;
  readonly outputs: readonly TypedArray[];
  /** The contents of every input afterwards. */
  readonly inputs: readonly TypedArray[];
}

/**
 * Runs compiled graphs on the CPU in memory that is otherwise filled with NaN bits, whatever their size on as many threads as
 * asked for, and asserts that a program writes nothing but its arena, its outputs and the inputs that it updates.
 */
export class PlanRunner {
  readonly #memory: DeviceMemory = new DeviceMemory({ limit: 64 * 2 ** 20 });
  readonly #pools = new Map<number, ThreadPool>();

  run(graph: Graph, inputs: readonly TypedArray[], options: PlanOptions = {}): PlanResult {
    const memory = this.#memory;
    const { threads = 1, backend = wasmBackend({ shared: memory.shared, winograd: false }) } = options;
    const plan = compileGraph(graph, backend.machine);
    const compiled = backend.emit(plan);

    const blocks: number[] = [];
    const allocate = (size: number): number => {
      const address = memory.allocate(Math.max(1, size));
      blocks.push(address);
      return address;
    };
    const layout = tableLayout(graph.inputs.length, graph.outputs.length, preparationsOf(plan.program.steps).length);
    const table = allocate(layout.bytes);
    const arena = allocate(plan.memory.arenaBytes);
    const scratch = allocate(compiled.scratch * threads);
    const place = (type: TensorType): { address: number; bytes: number; view: () => TypedArray } => {
      const size = sizeOf(type.shape);
      const length = size * DTYPES[type.dtype].bytes;
      const address = allocate(length);
      return { address, bytes: length, view: () => memory.view(type.dtype, address, size) };
    };
    const ins = graph.inputs.map((value) => place(value.type));
    const outs = graph.outputs.map((value) => place(value.type));
    const pool = this.#pool(threads);
    const program = pool.load(compiled.code);
    try {
      const all = new Uint8Array(memory.memory.buffer);
      all.fill(255);
      ins.forEach(({ view }, i) => {
        view().set(inputs[i]);
      });
      backend.clearBarrier(memory.view('i32', table, TABLE_POINTERS / 4));
      const addresses = [arena, scratch, ...ins.map(({ address }) => address), ...outs.map(({ address }) => address)];
      const words = [...addresses, ...new Array<number>(layout.flags).fill(1)];
      memory.view('i32', table + TABLE_POINTERS, words.length).set(words);
      const before = all.slice();
      pool.runSync(program, table);
      // What may differ is made equal; all else must be.
      const updated = new Set(graph.updates.map(({ input }) => input.index));
      const written = [
        { address: table, bytes: layout.bytes },
        { address: arena, bytes: plan.memory.arenaBytes },
        { address: scratch, bytes: compiled.scratch * threads },
        ...outs,
      ];
      for (const { address, bytes } of [...written, ...ins.filter((_, i) => updated.has(i))]) {
        before.set(all.subarray(address, address + bytes), address);
      }
      if (Buffer.compare(before, all) !== 0) {
        const at = before.findIndex((byte, i) => byte !== all[i]);
        const near = [...ins, ...outs].find(({ address, bytes }) => at >= address && at < address + bytes + 128);
        assert.fail(
          `the program wrote at ${at}${near ? `, ${at - near.address} into a block of ${near.bytes} bytes` : ''}`,
        );
      }
      return {
        plan,
        outputs: outs.map(({ view }) => view().slice()),
        inputs: ins.map(({ view }) => view().slice()),
      };
    } finally {
      pool.unload(program);
      for (const address of blocks) memory.free(address);
    }
  }

  #pool(threads: number): ThreadPool {
    let pool = this.#pools.get(threads);
    if (pool === undefined) {
      pool = new ThreadPool(this.#memory, threads);
      this.#pools.set(threads, pool);
    }
    return pool;
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    for (const pool of this.#pools.values()) await pool.close();
    this.#pools.clear();
  }
}
