import { GaborError } from '../tensor/errors.js';
import {
  ACKNOWLEDGED,
  ACTIVE,
  alive,
  asleep,
  type Control,
  command,
  createControl,
  DONE,
  ENDING,
  FAILED,
  loading,
  PROGRAM,
  posted,
  REMAINING,
  STUCK,
  TABLE,
  waitWhile,
} from './control.js';
import { nextTurn, onProcessExit, spawnThread, type ThreadHandle } from './host.js';
import type { ProgramCode } from './program-code.js';
import type { WasmMemory } from './webassembly.js';

/** How long a blocked caller waits for threads to start or to react; a machine under load takes seconds, not minutes. */
const RESPONSE_MS = 60_000;
/** After so many runs in a row that ended before anyone could wait for them, other events get a turn. */
const RUNS_PER_TURN = 32;

/** How long the end of the process waits for threads that load something native. */
const LOADING_MS = 10_000;

/** Teams with threads; the process ends only when none of these is in machine code any more. */
const living = new Set<Team>();
onProcessExit(() => {
  for (const team of living) team.beforeExit();
});

/**
 * The worker threads of a pool from their start to the first failure: they share one block of control words, and when one of
 * them is lost all of them are. Worker `i` is thread `i` of every run.
 */
export class Team {
  readonly #control: Control;
  readonly #memory: WasmMemory;
  readonly #onLoss: (team: Team) => void;
  readonly #handles: (ThreadHandle | undefined)[];
  /** Programs that a thread was sent. */
  readonly #known: Set<number>[];
  readonly #native: boolean;
  #run = 0;
  #quick = 0;
  #loss: GaborError | undefined;
  #stopped: Promise<void> | undefined;
  /** Makes the threads of the current run leave its barriers. */
  #abort: (() => void) | undefined;

  /**
   * @param native whether the threads will run machine code.
   * @param onLoss called when a thread has ended without being asked to.
   */
  constructor(memory: WasmMemory, threads: number, native: boolean, onLoss: (team: Team) => void) {
    this.#memory = memory;
    this.#native = native;
    this.#onLoss = onLoss;
    this.#control = createControl(threads);
    this.#handles = new Array(threads).fill(undefined);
    this.#known = Array.from({ length: threads }, () => new Set());
  }

  /** Spawns what is missing of the threads `first`, `first + 1`, …; returns whether all of them are already up. */
  start(first: number): boolean {
    let up = true;
    living.add(this);
    const threads = this.#handles.length;
    for (let thread = first; thread < threads; thread++) {
      this.#handles[thread] ??= spawnThread(
        { control: this.#control, memory: this.#memory, thread, threads, native: this.#native },
        (what, cause) => this.#lose(thread, what, cause),
      );
      if (Atomics.load(this.#control, alive(thread)) !== 1) up = false;
    }
    return up;
  }

  /** Waits until the threads from `first` on are up; rejects when one does not come up. */
  async whenUp(first: number): Promise<void> {
    for (let thread = first; thread < this.#handles.length; thread++) {
      await waitAsync(this.#control, alive(thread), 0);
      if (this.#loss !== undefined) throw this.#loss;
      if (Atomics.load(this.#control, alive(thread)) !== 1) throw new GaborError('this thread pool was closed');
    }
  }

  /** As {@link whenUp}, blocking. */
  waitUp(first: number): void {
    for (let thread = first; thread < this.#handles.length; thread++) {
      if (!waitWhile(this.#control, alive(thread), 0, false, RESPONSE_MS)) {
        throw new GaborError(`worker thread ${thread} did not start within ${RESPONSE_MS / 1000} s`);
      }
      if (this.#loss !== undefined) throw this.#loss;
    }
  }

  /**
   * Gives a run to the threads from `first` on, which are up and idle; returns its number.
   * @param abort makes threads leave the barriers of the run: machine code is not interrupted by anything else.
   */
  begin(id: number, code: ProgramCode, table: number, first: number, abort?: () => void): number {
    const control = this.#control;
    this.#abort = abort;
    const threads = this.#handles.length;
    for (let thread = first; thread < threads; thread++) {
      if (this.#known[thread].has(id)) continue;
      this.#known[thread].add(id);
      this.#handles[thread]!.post({ id, code });
      Atomics.add(control, posted(thread), 1);
    }
    Atomics.store(control, PROGRAM, id);
    Atomics.store(control, TABLE, table);
    Atomics.store(control, ACTIVE, threads - first);
    Atomics.store(control, ACKNOWLEDGED, 0);
    Atomics.store(control, REMAINING, threads - first);
    this.#run = (this.#run + 1) | 0;
    for (let thread = first; thread < threads; thread++) {
      Atomics.store(control, command(thread), this.#run);
      // The thread marks itself asleep before it looks at the command for the last time: one of the two sees the other.
      if (Atomics.load(control, asleep(thread)) === 1) Atomics.notify(control, command(thread));
    }
    return this.#run;
  }

  /**
   * Blocks until all threads of the current run are about to execute it, or one of them has failed.
   * @param spin whether to wait with the core for a short time first: right where the caller is a thread of the run.
   */
  waitAcknowledged(spin: boolean): void {
    const active = Atomics.load(this.#control, ACTIVE);
    for (;;) {
      const count = Atomics.load(this.#control, ACKNOWLEDGED);
      if (count === active) return;
      if (!waitWhile(this.#control, ACKNOWLEDGED, count, spin, RESPONSE_MS)) {
        Atomics.store(this.#control, STUCK, 1);
        throw new GaborError(
          `${active - count} of ${active} worker threads did not respond in ${RESPONSE_MS / 1000} s`,
        );
      }
    }
  }

  /** Waits until a run has ended, well or not; a blocking caller may have ended more runs meanwhile. */
  async whenDone(run: number): Promise<void> {
    for (;;) {
      const done = Atomics.load(this.#control, DONE);
      if (((done - run) | 0) >= 0) break;
      if (await waitAsync(this.#control, DONE, done)) this.#quick = 0;
    }
    if (++this.#quick >= RUNS_PER_TURN) {
      this.#quick = 0;
      await nextTurn();
    }
  }

  /** As {@link whenDone}, blocking. */
  waitDone(run: number, spin: boolean): void {
    for (;;) {
      const done = Atomics.load(this.#control, DONE);
      if (done === run) return;
      waitWhile(this.#control, DONE, done, spin, Number.POSITIVE_INFINITY);
    }
  }

  /** Whether threads may be caught in the run, so that the team must be stopped. */
  get stuck(): boolean {
    return Atomics.load(this.#control, STUCK) !== 0;
  }

  /** Records that the calling thread failed as `thread`; false where another one failed before. */
  markFailed(thread: number): boolean {
    return Atomics.compareExchange(this.#control, FAILED, 0, thread + 1) === 0;
  }

  /** What went wrong in the run that ended last, and forgets it. */
  takeFailure(): GaborError | undefined {
    if (this.#loss !== undefined) return this.#loss;
    const thread = Atomics.exchange(this.#control, FAILED, 0) - 1;
    if (!this.stuck) this.#abort = undefined;
    if (thread < 0) return undefined;
    let first: unknown;
    for (const [index, handle] of this.#handles.entries()) {
      for (let error: unknown; (error = handle?.takeError()) !== undefined; ) if (index === thread) first ??= error;
    }
    return programError(thread, first);
  }

  /** Threads drop the program before their next run. */
  forget(id: number): void {
    for (const [thread, known] of this.#known.entries()) {
      if (!known.delete(id)) continue;
      this.#handles[thread]!.post({ id });
      Atomics.add(this.#control, posted(thread), 1);
    }
  }

  /** Ends all threads wherever they are; fulfils when none of them touches memory any more. */
  stop(): Promise<void> {
    this.#leave();
    this.#stopped ??= Promise.all(this.#handles.map((handle, thread) => this.#end(handle, thread))).then(() => {
      living.delete(this);
    });
    return this.#stopped;
  }

  async #end(handle: ThreadHandle | undefined, thread: number): Promise<void> {
    if (handle === undefined) return;
    while (Atomics.load(this.#control, loading(thread)) === 1) await waitAsync(this.#control, loading(thread), 1);
    await handle.terminate();
  }

  /** The process is about to end all threads, now. */
  beforeExit(): void {
    this.#leave();
    for (let thread = 0; thread < this.#handles.length; thread++) {
      waitWhile(this.#control, loading(thread), 1, false, LOADING_MS);
    }
  }

  /** Makes the threads of a run that has not ended leave it as soon as they can, and none load anything. */
  #leave(): void {
    Atomics.store(this.#control, ENDING, 1);
    this.#abort?.();
    this.#abort = undefined;
  }

  #lose(thread: number, what: string, cause: unknown): void {
    const control = this.#control;
    Atomics.store(control, loading(thread), 0);
    Atomics.notify(control, loading(thread));
    if (this.#stopped === undefined) {
      const reason = cause instanceof Error ? `: ${cause.message}` : '';
      this.#loss ??= new GaborError(`${what}${reason}`, { cause });
      Atomics.store(control, STUCK, 1);
      Atomics.store(control, DONE, this.#run);
      Atomics.notify(control, DONE);
    }
    Atomics.store(control, alive(thread), -1);
    for (let i = 0; i < this.#handles.length; i++) Atomics.notify(control, alive(i));
    if (this.#stopped === undefined) this.#onLoss(this);
  }
}

export function programError(thread: number, cause: unknown): GaborError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new GaborError(`a compiled program failed on thread ${thread}: ${reason}`, { cause });
}

/** Resolves when `control[index]` has changed or was never `value`; true where it gave other events a turn. */
async function waitAsync(control: Control, index: number, value: number): Promise<boolean> {
  const wait = Atomics.waitAsync(control, index, value);
  if (!wait.async) return false;
  await wait.value;
  return true;
}
