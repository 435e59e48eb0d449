import { importGabor } from '../harness/gabor.mjs';
import { Unsupported } from '../harness/protocol.mjs';

/** Multiply-adds per lane and accumulator in one run: milliseconds, so that other processes disturb it as much as a convolution. */
const STEPS = 4_000_000;
/** Forms of the loop: accumulators × times unrolled. Which one is fastest depends on engine and processor; the ceiling is the fastest. */
const FORMS = [
  [8, 1],
  [8, 4],
  [10, 2],
  [12, 1],
  [12, 2],
];
/** Copied in one run, read and written bytes together, by all threads together. */
const COPIED = 256 * 2 ** 20;

/**
 * What this machine can reach at most, by loops that Gabor's own assemblers wrote, on as many threads at once. Tasks of kind
 * `ceiling` have a `form`: `avx512`, `avx2`, `relaxed` (WebAssembly's fused instruction) or `wasm` (a multiplication and an addition) are multiply-adds on
 * registers alone; with `copy`, bytes, it copies that many from one array into another again and again instead, each thread its own share.
 */
export async function open({ threads }) {
  const { WasmAssembler } = await importGabor('targets/cpu/wasm/emitter.js');
  const { enableRelaxedSimd, wasmFeatures } = await importGabor('targets/cpu/wasm/features.js');
  const { X64Assembler } = await importGabor('targets/cpu/x64/emitter.js');
  const { DeviceMemory } = await importGabor('runtime/memory.js');
  const { ThreadPool } = await importGabor('runtime/pool.js');
  const { nativeProblem } = await importGabor('runtime/backend.js');
  const { nativeLibrary } = await importGabor('runtime/native/library.js');
  const { detectProcessor } = await importGabor('runtime/native/processor.js');
  enableRelaxedSimd();
  const { fused } = wasmFeatures();
  const memory = new DeviceMemory();
  const pool = new ThreadPool(memory, threads);
  const table = memory.allocate(64 * threads);

  const assemblerFor = (form) => {
    if (form === 'relaxed' || form === 'wasm') {
      if (form === 'relaxed' && !fused) throw new Unsupported('no fused multiply-add here');
      return new WasmAssembler({ relaxed: form === 'relaxed', shared: memory.shared });
    }
    const problem = nativeProblem(form);
    if (problem !== undefined) throw new Unsupported(problem);
    return new X64Assembler({ features: form, abi: nativeLibrary().abi });
  };

  const load = (work, assembler, entry) => {
    const program = pool.load(assembler.finish(entry));
    return { work, run: () => pool.runSync(program, table), unload: () => pool.unload(program) };
  };

  const multiplyAdds = (form, accumulators, unroll) => {
    const assembler = assemblerFor(form);
    const entry = assembler.define('ceiling', 3, (m, [thread, _threads, address]) => {
      const factor = m.load('f32', true, address);
      const term = m.load('f32', true, address);
      const sums = Array.from({ length: accumulators }, () => m.load('f32', true, address));
      m.loop({ to: STEPS / unroll }, () => {
        for (let i = 0; i < unroll; i++) {
          for (const sum of sums) {
            // Every product of the second form differs, so that none can be computed once for all.
            if (form === 'wasm') m.set(sum, m.binary('add', m.binary('mul', sum, factor), term));
            else m.multiplyAdd(sum, factor, term);
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
    return load(2 * assembler.lanes * accumulators * STEPS * threads, assembler, entry);
  };

  /** The fastest form, found once. */
  const ceiling = (form) => {
    let best;
    for (const [accumulators, unroll] of FORMS) {
      const candidate = multiplyAdds(form, accumulators, unroll);
      let seconds = Number.POSITIVE_INFINITY;
      for (let i = 0; i < 8; i++) {
        const began = performance.now();
        candidate.run();
        seconds = Math.min(seconds, (performance.now() - began) / 1000);
      }
      const speed = candidate.work / seconds;
      if (best === undefined || speed > best.speed) {
        best?.unload();
        best = { ...candidate, speed };
      } else candidate.unload();
    }
    return best;
  };

  const copying = (form, bytes) => {
    const assembler = assemblerFor(form);
    const width = 4 * assembler.lanes;
    const vectors = 8;
    const share = Math.floor(bytes / threads / (vectors * width)) * vectors * width;
    const source = memory.allocate(threads * share);
    const target = memory.allocate(threads * share);
    memory.view('f32', source, (threads * share) / 4).fill(1);
    memory.view('f32', target, (threads * share) / 4).fill(1);
    const times = Math.max(1, Math.round(COPIED / (2 * threads * share)));
    const entry = assembler.define('copy', 3, (m, [thread]) => {
      const offset = m.binary('mul', thread, m.constant('i32', share));
      m.loop({ to: times }, () => {
        const from = m.binary('add', offset, m.constant('i32', source));
        const to = m.binary('add', offset, m.constant('i32', target));
        m.loop({ to: share / (vectors * width) }, () => {
          const values = Array.from({ length: vectors }, (_, i) => m.load('f32', true, from, i * width));
          values.forEach((value, i) => {
            m.store(value, to, i * width);
          });
          m.bump(from, vectors * width);
          m.bump(to, vectors * width);
        });
      });
    });
    const program = load(2 * share * threads * times, assembler, entry);
    return {
      ...program,
      unload() {
        program.unload();
        memory.free(source);
        memory.free(target);
      },
    };
  };
  memory.view('f32', table, 4).fill(0);
  const library = nativeLibrary();
  const chosen = new Map();

  return {
    version: fused ? 'relaxed multiply-add' : 'multiply, add',
    async prepare({ kind, form, copy }) {
      if (kind !== 'ceiling') throw new Unsupported('only has a speed');
      await pool.ready();
      const key = `${form} ${copy}`;
      if (!chosen.has(key)) chosen.set(key, copy === undefined ? ceiling(form) : copying(form, copy));
      const { work, run, unload } = chosen.get(key);
      return {
        run,
        check: () => [work],
        release() {
          unload();
          chosen.delete(key);
        },
      };
    },
    /** Sizes of the caches of one core, in bytes; 0 where unknown. */
    caches: () => (typeof library === 'string' ? { l1: 0, l2: 0, l3: 0 } : detectProcessor(library).caches),
  };
}
