import { readFloats } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { geometryOf } from '../suites/cases.mjs';

/** The three roles of a contraction and the kernels that they become. */
const KERNELS = { output: 'tile', input: 'tile', filter: 'outer' };

/**
 * One kernel of a convolution with a register tile of our choice: `check` runs the whole program, with padding and packing; what
 * is timed is the kernel alone, on what the program left in memory.
 */
export async function open({ threads }) {
  const { compileGraph } = await importGabor('compiler/compile.js');
  const { trace } = await importGabor('graph/trace.js');
  const { contractionShape, ROLE_OPERANDS } = await importGabor('kernel/contraction.js');
  const { contract } = await importGabor('ops/convolution.js');
  const { DeviceMemory } = await importGabor('runtime/memory.js');
  const { ThreadPool } = await importGabor('runtime/pool.js');
  const { wasmBackend } = await importGabor('runtime/backend.js');
  const { TABLE_POINTERS, tableLayout } = await importGabor('targets/cpu/program.js');
  const { enableRelaxedSimd, wasmFeatures } = await importGabor('targets/cpu/wasm/features.js');
  const { Tensor } = await importGabor('tensor/tensor.js');
  enableRelaxedSimd();
  const { fused: relaxed } = wasmFeatures();
  const memory = new DeviceMemory();
  const pool = new ThreadPool(memory, threads);
  const size = (shape) => shape.reduce((product, extent) => product * extent, 1);

  // Tasks run one at a time and share their memory: the tensors of a convolution, and one arena as large as the largest.
  const tensors = new Map();
  const tensor = (key, shape, data) => {
    if (!tensors.has(key)) {
      const address = memory.allocate(4 * size(shape));
      if (data !== undefined) memory.view('f32', address, size(shape)).set(data());
      tensors.set(key, address);
    }
    return tensors.get(key);
  };
  const arena = { address: 0, bytes: 0 };
  const growArena = (bytes) => {
    if (bytes <= arena.bytes) return;
    if (arena.bytes > 0) memory.free(arena.address);
    Object.assign(arena, { address: memory.allocate(bytes), bytes });
  };
  // At most the filter is prepared; its flags are set in every run.
  const layout = tableLayout(2, 1, 1);
  const table = memory.allocate(layout.bytes);

  return {
    version: relaxed ? 'relaxed multiply-add' : 'multiply, add',
    async prepare({ case: c, role, rows, vectors, files }) {
      await pool.ready();
      const geometry = geometryOf(c);
      const shapes = ROLE_OPERANDS[role].map((which) => contractionShape(geometry, which));
      const { graph } = trace((g) => {
        const [a, b] = shapes.slice(0, 2).map((shape) => Tensor.fromTraced(g.addInput({ dtype: 'f32', shape })));
        return [contract(role, a, b, geometry)];
      });
      const backend = wasmBackend({ shared: memory.shared, tile: { rows, vectors } });
      const plan = compileGraph(graph, backend.machine);
      const build = (only) => {
        const { source, scratch } = backend.emit(plan, only);
        growArena(plan.memory.arenaBytes + threads * scratch);
        return pool.load(source);
      };
      const found = plan.program.steps.flatMap(({ kernel }, i) => (kernel.kind === KERNELS[role] ? [i] : []));
      if (found.length !== 1) throw new Error(`expected one ${KERNELS[role]} kernel, found ${found.length}`);
      const whole = build();
      const alone = build(found[0]);
      const addresses = shapes.map((shape, i) => {
        const name = { X: 'x', W: 'w', Z: 'y' }[ROLE_OPERANDS[role][i]];
        return i < 2
          ? tensor(`${c.id} ${name}`, shape, () => readFloats(files[name]))
          : tensor(`${c.id} ${name} result`, shape);
      });
      const run = (program) => {
        const scratch = arena.address + plan.memory.arenaBytes;
        memory.view('i32', table + TABLE_POINTERS, 7).set([arena.address, scratch, ...addresses, 1, 1]);
        pool.runSync(program, table);
      };
      memory.view('i32', table, TABLE_POINTERS / 4).fill(0);
      return {
        run: () => run(alone),
        check() {
          const result = memory.view('f32', addresses[2], size(shapes[2]));
          result.fill(Number.NaN);
          run(whole);
          return result.slice();
        },
        release() {
          pool.unload(whole);
          pool.unload(alone);
        },
      };
    },
  };
}
