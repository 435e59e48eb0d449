import { GaborError } from '../tensor/errors.js';
import { KeepAlive } from './host.js';
import type { DeviceMemory } from './memory.js';
import { instantiate, type LoadedProgram, loadProgram, type ProgramSource } from './program.js';
import type { ProgramExports } from './program-code.js';
import { programError, Team } from './team.js';
import { checkThreads } from './threads.js';

/** A program that a pool has loaded. */
export interface ProgramHandle {
  readonly id: number;
}

class Program implements ProgramHandle {
  unloaded = false;
  #exports: ProgramExports | undefined;

  constructor(
    readonly id: number,
    readonly loaded: LoadedProgram,
    readonly memory: DeviceMemory,
    readonly onReset: ((table: number) => void) | undefined,
  ) {}

  /** The instance of the calling thread. */
  get exports(): ProgramExports {
    this.#exports ??= instantiate(this.loaded.code, this.memory.memory);
    return this.#exports;
  }
}

/** The safety nets for pools that are dropped without being closed: no run of theirs is pending, or they would be known. */
const abandoned = new FinalizationRegistry<LoadedProgram>((loaded) => loaded.free());
const abandonedTeams = new FinalizationRegistry<Team>((team) => void team.stop());

/** In a blocking run the caller is thread 0 where the program can be aborted. */
function firstWorker({ exports }: Program): number {
  return exports.abort === undefined ? 0 : 1;
}

interface Run {
  readonly program: Program;
  readonly table: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** Set once the team has begun it. */
  begun: { readonly team: Team; readonly number: number } | undefined;
  ended: boolean;
}

/**
 * Runs compiled programs on worker threads, one run at a time and in the order of the calls. All threads execute
 * `run(thread, threads, table)` of the program at the same time, so that it can have barriers.
 *
 * Threads start with the first run that needs them, sleep in between, and do not keep the process alive unless a run is
 * pending. When a program fails on one thread its run ends with an error, all threads are replaced if some may be caught
 * in a barrier, and the pool goes on. The memory of a failed run holds whatever it had written until then.
 */
export class ThreadPool {
  /** Threads of every run; 1 where memory is not shared. */
  readonly threads: number;
  readonly #memory: DeviceMemory;
  readonly #programs = new Map<number, Program>();
  readonly #keepAlive = new KeepAlive();
  /** The first one may be running. */
  readonly #queue: Run[] = [];
  #busy = false;
  /** Whether a light program ran without other threads. */
  #lightRun = false;
  #serving: Promise<void> | undefined;
  #team: Team | undefined;
  /** Until all threads of a failed team have ended. */
  #stopping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Whether machine code was ever loaded. */
  #native = false;
  #nextId = 1;

  constructor(memory: DeviceMemory, threads: number) {
    checkThreads('ThreadPool', threads);
    this.#memory = memory;
    this.threads = memory.shared ? threads : 1;
  }

  /**
   * @param source machine code, or a module, compiled or its bytes, that imports `env.memory` and exports `run` and perhaps
   *   `abort` (see {@link ProgramExports}).
   * @param onReset called after a run of this program has failed and no thread is in it any more, before anyone hears of the
   *   failure: the place to zero the barriers of its table.
   * @throws GaborError where the module is not one or does not fit the memory.
   */
  load(source: ProgramSource, onReset?: (table: number) => void): ProgramHandle {
    this.#checkOpen();
    const program = new Program(this.#nextId++, loadProgram(source, this.#memory.memory), this.#memory, onReset);
    try {
      program.exports;
    } catch (cause) {
      throw new GaborError(`cannot link a program with the memory: ${(cause as Error).message}`, { cause });
    }
    this.#native ||= 'machine' in program.loaded.code;
    this.#programs.set(program.id, program);
    abandoned.register(program, program.loaded);
    return program;
  }

  /** Forgets a program. Runs that were asked for before still happen. */
  unload(handle: ProgramHandle): void {
    const program = this.#find(handle);
    program.unloaded = true;
    this.#programs.delete(program.id);
    if (!this.#queue.some((run) => run.program === program)) this.#forget(program, this.#team);
  }

  /**
   * Runs a program without blocking the event loop for longer than a light program takes.
   * @param table address of the program's pointer table.
   * @param light see {@link runSync}.
   * @returns rejects with GaborError (and its `cause`) when the program traps or a thread is lost.
   */
  run(handle: ProgramHandle, table: number, light = false): Promise<void> {
    return new Promise((resolve, reject) => {
      const program = this.#find(handle);
      if (!this.#memory.shared || (light && !this.#busy && this.#queue.length === 0 && !this.#isUp(0))) {
        this.#runHere(program, table);
        resolve();
        return;
      }
      this.#queue.push({ program, table, resolve, reject, begun: undefined, ended: false });
      if (!this.#busy) this.#serving = this.#serve();
    });
  }

  /**
   * Runs a program and blocks until it has ended, after all runs that were asked for before. With one thread it is a
   * plain call. Else the caller is thread 0 where the program exports `abort`, and sleeps while the workers run where it
   * does not (a trap of another thread could leave it in a barrier for ever). Threads that are not up yet start meanwhile.
   * @throws GaborError as {@link run}. After a failure that needs new threads the old ones end only when the event loop
   *   turns; until then this throws, too: `await pool.ready()` first.
   * @param light whether one thread has done it before others are up: it then runs on the calling one as long as they are not. They
   *   start beside the second such run, since many a process has only one.
   */
  runSync(handle: ProgramHandle, table: number, light = false): void {
    const program = this.#find(handle);
    this.finishRuns();
    if (this.threads === 1 || (light && !this.#isUp(firstWorker(program)))) this.#runHere(program, table);
    else this.#runTogether(program, table);
  }

  /** Whether a light run is to use all threads, of which those from `first` on are workers. */
  #isUp(first: number): boolean {
    // Of a team that is being stopped some threads may still be inside a program.
    if (this.#stopping !== undefined) return true;
    if (this.#team === undefined && !this.#lightRun) {
      this.#lightRun = true;
      return false;
    }
    return this.#startTeam().start(first);
  }

  /** Starts all threads and waits until they are up. Never necessary, but the first run is faster after it. */
  async ready(): Promise<void> {
    this.#checkOpen();
    if (!this.#memory.shared) return;
    this.#keepAlive.hold();
    try {
      while (this.#stopping !== undefined) await this.#stopping;
      const team = this.#startTeam();
      try {
        if (!team.start(0)) await team.whenUp(0);
      } catch (error) {
        await this.#discard(team);
        throw error;
      }
    } finally {
      this.#keepAlive.release();
    }
  }

  /** Waits for the runs that were asked for, then ends all threads. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#keepAlive.hold();
    await this.#serving;
    await this.#stopping;
    await this.#team?.stop();
    this.#team = undefined;
    for (const program of this.#programs.values()) program.loaded.free();
    this.#programs.clear();
    this.#keepAlive.close();
  }

  #checkOpen(): void {
    if (this.#closing !== undefined)
      throw new GaborError(
        'this thread pool is closed: nothing can run any more on the device whose close() was called',
      );
  }

  #find(handle: ProgramHandle): Program {
    this.#checkOpen();
    const program = this.#programs.get(handle.id);
    if (program === undefined || program !== handle) {
      throw new GaborError('this program is not loaded in this thread pool (perhaps it was unloaded)');
    }
    return program;
  }

  #startTeam(): Team {
    if (this.#team === undefined) {
      // Threads that run know their team, which must not keep the pool.
      const self = new WeakRef(this);
      this.#team = new Team(this.#memory.memory, this.threads, this.#native, (team) => {
        const pool = self.deref();
        // A run that is pending finds out by itself.
        if (pool !== undefined && pool.#queue.length === 0) pool.#discard(team);
      });
      abandonedTeams.register(this, this.#team, this.#team);
    }
    return this.#team;
  }

  /** Stops a team for good; the next one starts only after the last thread of this one has ended. */
  #discard(team: Team): Promise<void> {
    abandonedTeams.unregister(team);
    if (this.#team === team) this.#team = undefined;
    this.#keepAlive.hold();
    const stopping = team.stop().finally(() => {
      this.#keepAlive.release();
      if (this.#stopping === stopping) this.#stopping = undefined;
    });
    this.#stopping = stopping;
    return stopping;
  }

  async #serve(): Promise<void> {
    this.#busy = true;
    this.#keepAlive.hold();
    while (this.#queue.length > 0) {
      const run = this.#queue[0];
      let team: Team | undefined;
      try {
        while (this.#stopping !== undefined) await this.#stopping;
        // After each wait: a `runSync` may have finished the run meanwhile.
        if (run.ended) continue;
        team = this.#startTeam();
        if (!team.start(0)) await team.whenUp(0);
        if (run.ended) continue;
        await team.whenDone(this.#begin(run, team));
        this.#end(run);
      } catch (error) {
        this.#abandon(run, team, error);
      }
    }
    this.#busy = false;
    this.#keepAlive.release();
  }

  /** Blocks until the runs that were asked for have ended; who waits for them hears of it when the event loop turns. @throws as {@link runSync} */
  finishRuns(): void {
    while (this.#queue.length > 0) {
      this.#checkNotStopping();
      const run = this.#queue[0];
      let team: Team | undefined;
      try {
        team = run.begun?.team ?? this.#startTeam();
        if (!team.start(0)) team.waitUp(0);
        const number = this.#begin(run, team);
        team.waitAcknowledged(false);
        team.waitDone(number, false);
        this.#end(run);
      } catch (error) {
        this.#abandon(run, team, error);
      }
    }
  }

  #begin(run: Run, team: Team): number {
    const { program, table } = run;
    const abort = (): void => program.exports.abort?.(table);
    run.begun ??= { team, number: team.begin(program.id, program.loaded.code, table, 0, abort) };
    return run.begun.number;
  }

  /** Settles a run that every thread has left, or whose team is stuck. */
  #end(run: Run): void {
    if (run.ended) return;
    const { team } = run.begun!;
    const { program, table } = run;
    const failure = team.takeFailure();
    const stopped = failure !== undefined && team.stuck ? this.#discard(team) : undefined;
    this.#leave(run);
    if (failure === undefined) {
      run.resolve();
      return;
    }
    const settle = (): void => {
      program.onReset?.(table);
      run.reject(failure);
    };
    if (stopped !== undefined) stopped.then(settle).catch(run.reject);
    else settle();
  }

  /** Settles a run whose team could not be started or does not respond. */
  #abandon(run: Run, team: Team | undefined, error: unknown): void {
    if (run.ended) return;
    const stopped = team && this.#discard(team);
    this.#leave(run);
    if (stopped === undefined) {
      run.reject(error);
      return;
    }
    stopped
      .then(() => {
        if (run.begun !== undefined) run.program.onReset?.(run.table);
        run.reject(error);
      })
      .catch(run.reject);
  }

  #leave(run: Run): void {
    run.ended = true;
    this.#queue.shift();
    const { program } = run;
    if (program.unloaded && !this.#queue.some((other) => other.program === program)) {
      this.#forget(program, run.begun?.team);
    }
  }

  #forget(program: Program, team: Team | undefined): void {
    team?.forget(program.id);
    // Threads of a team that is being stopped may still be inside.
    if (this.#stopping === undefined) program.loaded.free();
    else this.#stopping.then(() => program.loaded.free());
  }

  #runHere(program: Program, table: number): void {
    try {
      program.exports.run(0, 1, table);
    } catch (cause) {
      program.onReset?.(table);
      throw programError(0, cause);
    }
  }

  #runTogether(program: Program, table: number): void {
    this.#checkNotStopping();
    const { exports } = program;
    const first = firstWorker(program);
    const team = this.#startTeam();
    let begun = false;
    let failure: GaborError | undefined;
    try {
      if (!team.start(first)) team.waitUp(first);
      const number = team.begin(program.id, program.loaded.code, table, first, () => exports.abort?.(table));
      begun = true;
      team.waitAcknowledged(first === 1);
      if (exports.abort !== undefined && !team.stuck) {
        try {
          exports.run(0, this.threads, table);
        } catch (cause) {
          // Where another thread failed first, this one was only made to trap by `abort`.
          if (team.markFailed(0)) failure = programError(0, cause);
          exports.abort(table);
        }
      }
      team.waitDone(number, first === 1);
    } catch (error) {
      this.#discard(team).then(() => {
        if (begun) program.onReset?.(table);
      });
      throw error;
    }
    const failed = team.takeFailure();
    failure ??= failed;
    if (failure === undefined) return;
    if (team.stuck) this.#discard(team).then(() => program.onReset?.(table));
    else program.onReset?.(table);
    throw failure;
  }

  #checkNotStopping(): void {
    if (this.#stopping === undefined) return;
    throw new GaborError(
      'runSync: the threads of a failed run have not ended yet, which takes a turn of the event loop; `await pool.ready()` first',
    );
  }
}
