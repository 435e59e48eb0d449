import type { CodeBuilder } from './builder.js';
import { eax, edx, type Label, memory, r32, r64, rax, rbx, rcx, rsp, sized } from './operands.js';

/** Words of the 64 bytes at the start of a program's table, in bytes; the first two as in `wasm/barrier.ts`. */
export const BARRIER_ARRIVED = 0;
export const BARRIER_GENERATION = 4;
/** A thread that finds this word set, when it arrives or while it waits, leaves the program at once: `run` returns 1. */
export const BARRIER_ABORT = 12;
/** 64-bit address of a function `void yield(void)` that gives the processor to another thread; 0: threads spin. */
export const BARRIER_YIELD = 16;
/** Reads of the generation before a thread yields, some 75 cycles each on Zen 4: about 7 µs. */
const SPINS = 250;

/** General-purpose registers that a C function may change, without rax and rdx. */
const C_CLOBBERS = [1, 6, 7, 8, 9, 10, 11];
/** What the barrier itself changes of them. */
const SAVED = [1, 6, 7];

/**
 * A central barrier with a generation counter (Mellor-Crummey and Scott, "Algorithms for scalable synchronization on
 * shared-memory multiprocessors", TOCS 1991, algorithm 7, with a counter in place of the sense flag). Threads that wait long
 * yield the processor between their reads. One function for a whole program, which may meet at hundreds of places: called with the address of
 * the words in eax and the number of threads in edx, it keeps all other general-purpose registers.
 */
export function emitBarrier(
  code: CodeBuilder,
  { abort, abi }: { readonly abort: Label; readonly abi: 'sysv' | 'win64' },
): void {
  const pointer = rcx;
  const generation = r32(6);
  const threads = r32(7);
  const word = (offset: number): ReturnType<typeof sized> => sized(memory(pointer, offset), 32);
  const [wait, spin, again, done] = [code.label(), code.label(), code.label(), code.label()];

  for (const index of SAVED) code.emit('push', r64(index));
  code.emit('mov', threads, edx);
  code.emit('lea', pointer, memory(rbx, 0, rax));
  code.emit('cmp', word(BARRIER_ABORT), 0);
  code.emit('jne', abort);
  code.emit('cmp', threads, 1);
  code.emit('jle', done);
  code.emit('mov', generation, memory(pointer, BARRIER_GENERATION));
  code.emit('mov', eax, 1);
  code.emit('lock xadd', memory(pointer, BARRIER_ARRIVED), eax);
  code.emit('inc', eax);
  code.emit('cmp', eax, threads);
  code.emit('jne', wait);
  // The last one resets the count before it lets the others go.
  code.emit('mov', word(BARRIER_ARRIVED), 0);
  code.emit('lock add', word(BARRIER_GENERATION), 1);
  code.emit('jmp', done);

  code.bind(wait);
  code.emit('mov', edx, SPINS);
  code.bind(spin);
  code.emit('cmp', memory(pointer, BARRIER_GENERATION), generation);
  code.emit('jne', done);
  code.emit('cmp', word(BARRIER_ABORT), 0);
  code.emit('jne', abort);
  code.emit('pause');
  code.emit('dec', edx);
  code.emit('jne', spin);

  code.bind(again);
  code.emit('mov', rax, memory(pointer, BARRIER_YIELD));
  code.emit('test', rax, rax);
  code.emit('je', wait);
  code.emit('vzeroupper');
  for (const index of C_CLOBBERS) code.emit('push', r64(index));
  // The saved pointer lies above the 32 bytes that a Windows function may use.
  code.emit('mov', r64(2), rsp);
  code.emit('and', rsp, -64);
  code.emit('sub', rsp, 64);
  code.emit('mov', memory(rsp, abi === 'win64' ? 32 : 0), r64(2));
  code.emit('call', rax);
  code.emit('mov', rsp, memory(rsp, abi === 'win64' ? 32 : 0));
  for (const index of [...C_CLOBBERS].reverse()) code.emit('pop', r64(index));
  code.emit('cmp', memory(pointer, BARRIER_GENERATION), generation);
  code.emit('jne', done);
  code.emit('cmp', word(BARRIER_ABORT), 0);
  code.emit('jne', abort);
  code.emit('jmp', again);
  code.bind(done);
  for (const index of [...SAVED].reverse()) code.emit('pop', r64(index));
  code.emit('ret');
}
