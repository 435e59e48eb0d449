import type { Register } from '../machine.js';
import type { FunctionBuilder, Item } from './function.js';
import { Atomic, EMPTY_BLOCK, Op, PREFIX_ATOMIC } from './opcodes.js';

/** Words of the barrier's memory, in bytes. */
const ARRIVED = 0;
const GENERATION = 4;
const SLEEPERS = 8;
/**
 * Reads of the generation before a thread goes to sleep, about 7 µs. Sleeping and waking costs some ten, so waiting
 * about as long before is never worse than twice the best choice (Karlin et al., "Competitive randomized algorithms for
 * nonuniform problems", 1990).
 */
const SPINS = 20000;

/**
 * A central barrier with a generation counter (Mellor-Crummey and Scott, "Algorithms for scalable synchronization on
 * shared-memory multiprocessors", TOCS 1991, algorithm 7, with a counter in place of the sense flag so that it needs no
 * memory per thread). All accesses are sequentially consistent.
 *
 *     if threads > 1:
 *       g = generation
 *       if fetch_add(arrived, 1) == threads - 1:       the last one
 *         arrived = 0; generation += 1
 *         if sleepers != 0: notify all
 *       else:
 *         repeat SPINS times: if generation != g: done
 *         sleepers += 1
 *         repeat: wait while generation == g           checks and sleeps in one step, so no wake-up is lost
 *         sleepers -= 1
 */
export function emitBarrier(f: FunctionBuilder, address: Register, threads: Register): void {
  const generation = f.register('i32', false);
  const spins = f.register('i32', false);
  const at = f.get(address);
  const load = (word: number): Item[] => [at, PREFIX_ATOMIC, Atomic.i32Load, 2, word];
  const add = (word: number, value: 1 | -1): Item[] => [
    at,
    Op.i32Const,
    value & 0x7f,
    PREFIX_ATOMIC,
    Atomic.i32RmwAdd,
    2,
    word,
  ];

  f.emit(f.get(threads), Op.i32Const, 1, Op.i32GtS, Op.if, EMPTY_BLOCK);
  f.emit(...load(GENERATION));
  f.set(generation);
  f.emit(...add(ARRIVED, 1), f.get(threads), Op.i32Const, 1, Op.i32Sub, Op.i32Eq, Op.if, EMPTY_BLOCK);
  f.emit(at, Op.i32Const, 0, PREFIX_ATOMIC, Atomic.i32Store, 2, ARRIVED);
  f.emit(...add(GENERATION, 1), Op.drop);
  f.emit(...load(SLEEPERS), Op.if, EMPTY_BLOCK);
  f.emit(at, Op.i32Const, 0x7f, PREFIX_ATOMIC, Atomic.notify, 2, GENERATION, Op.drop, Op.end);
  f.emit(Op.else);
  {
    const spinning = f.constant('i32', SPINS, false);
    f.emit(f.get(spinning));
    f.set(spins);
    f.emit(Op.block, EMPTY_BLOCK, Op.loop, EMPTY_BLOCK);
    f.emit(...load(GENERATION), f.get(generation), Op.i32Ne, Op.brIf, 1);
    f.emit(f.get(spins), Op.i32Const, 1, Op.i32Sub);
    f.set(spins);
    f.emit(f.get(spins), Op.brIf, 0, Op.end);

    f.emit(...add(SLEEPERS, 1), Op.drop, Op.loop, EMPTY_BLOCK);
    f.emit(at, f.get(generation), 0x42, 0x7f, PREFIX_ATOMIC, Atomic.wait32, 2, GENERATION, Op.drop); // no time limit
    f.emit(...load(GENERATION), f.get(generation), Op.i32Eq, Op.brIf, 0, Op.end);
    f.emit(...add(SLEEPERS, -1), Op.drop, Op.end);
  }
  f.emit(Op.end, Op.end);
}
