import { importGabor } from '../harness/gabor.mjs';
import { Unsupported } from '../harness/protocol.mjs';

/** Multiply-adds per lane and accumulator in one run: milliseconds, so that other processes disturb it as much as a convolution. */
const STEPS = 4_000_000;
/** Forms of the loop: accumulators × times unrolled. Which one is fastest depends on the engine; the ceiling is the fastest. */
const FORMS = [
  [8, 1],
  [8, 4],
  [10, 2],
  [12, 1],
  [12, 2],
];

/**
 * What WebAssembly SIMD can reach on this machine at most: a loop of multiply-adds on registers alone, on as many threads
 * at once. `relaxed`: the fused instruction; else a multiplication and an addition.
 */
export async function open({ threads }) {
  const { WasmAssembler } = await importGabor('targets/cpu/wasm/emitter.js');
  const { enableRelaxedSimd, wasmFeatures } = await importGabor('targets/cpu/wasm/features.js');
  const { DeviceMemory } = await importGabor('runtime/memory.js');
  const { ThreadPool } = await importGabor('runtime/pool.js');
  enableRelaxedSimd();
  const { fused } = wasmFeatures();
  const memory = new DeviceMemory();
  const pool = new ThreadPool(memory, threads);
  const table = memory.allocate(64 * threads);

  const build = (relaxed, accumulators, unroll) => {
    const assembler = new WasmAssembler({ relaxed, shared: memory.shared });
    const entry = assembler.define('ceiling', 3, (m, [thread, _threads, address]) => {
      const factor = m.load('f32', true, address);
      const term = m.load('f32', true, address);
      const sums = Array.from({ length: accumulators }, () => m.load('f32', true, address));
      m.loop({ to: STEPS / unroll }, () => {
        for (let i = 0; i < unroll; i++) {
          for (const sum of sums) {
            if (relaxed) m.multiplyAdd(sum, factor, term);
            // Every product differs, so that none can be computed once for all.
            else m.set(sum, m.binary('add', m.binary('mul', sum, factor), term));
          }
        }
      });
      // The results must be used, or the engine may leave the loop out.
      const end = m.copy(address);
      m.bump(end, m.shift('shl', thread, 6));
      m.store(
        sums.reduce((a, b) => m.binary('add', a, b)),
        end,
        0,
      );
    });
    const program = pool.load(assembler.finish(entry));
    const flops = 2 * 4 * accumulators * STEPS * threads;
    return { flops, run: () => pool.runSync(program, table), unload: () => pool.unload(program) };
  };
  memory.view('f32', table, 4).fill(0);

  /** The fastest form, found once. */
  const choose = (relaxed) => {
    let best;
    for (const [accumulators, unroll] of FORMS) {
      const candidate = build(relaxed, accumulators, unroll);
      let seconds = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 8; i++) {
        const began = performance.now();
        candidate.run();
        seconds = Math.min(seconds, (performance.now() - began) / 1000);
      }
      const speed = candidate.flops / seconds;
      if (best === undefined || speed > best.speed) {
        best?.unload();
        best = { ...candidate, speed, form: `${accumulators} accumulators, unrolled ${unroll}` };
      } else candidate.unload();
    }
    return best;
  };
  const chosen = new Map();

  return {
    version: fused ? 'relaxed multiply-add' : 'multiply, add',
    async prepare({ kind, relaxed }) {
      if (kind !== 'ceiling') throw new Unsupported('only has a speed');
      if (relaxed && !fused) throw new Unsupported('no fused multiply-add here');
      await pool.ready();
      if (!chosen.has(relaxed)) chosen.set(relaxed, choose(relaxed));
      const { flops, run } = chosen.get(relaxed);
      return { run, check: () => [flops] };
    },
  };
}
