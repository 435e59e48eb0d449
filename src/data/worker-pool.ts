import { availableParallelism } from 'node:os';
import { parentPort, Worker } from 'node:worker_threads';
import { FileError, GaborError } from '../tensor/errors.js';

/** What a worker sends back for one request. */
type Answer<Reply> = { readonly reply: Reply } | { readonly error: string; readonly file: boolean };

interface Waiting<Reply> {
  resolve(reply: Reply): void;
  reject(error: Error): void;
}

interface Member<Reply> {
  readonly worker: Worker;
  /** Requests under way, oldest first; a worker answers in order. */
  readonly waiting: Waiting<Reply>[];
}

/**
 * Worker threads that answer requests, each in the order in which it was asked. A worker that dies rejects everything that
 * waits on the pool, so a caller gets an error and never hangs. Idle workers do not keep the process alive.
 */
export class WorkerPool<Request, Reply> {
  readonly #members: Member<Reply>[] = [];
  #failure: Error | undefined;

  /**
   * @param what named in errors, for example `image decoding`.
   * @param script the worker's module; it calls {@link serveRequests}.
   * @param workerData handed to every worker.
   */
  constructor(what: string, script: URL, count: number, workerData?: unknown) {
    for (let i = 0; i < count; i++) {
      // Node's own flags are not passed on: `--input-type=module -e …` would keep a worker from starting.
      const worker = new Worker(script, { workerData, execArgv: [] });
      const member: Member<Reply> = { worker, waiting: [] };
      worker.unref();
      worker.on('message', (answer: Answer<Reply>) => {
        const waiting = member.waiting.shift();
        if (!waiting) return; // given up already
        if (member.waiting.length === 0) worker.unref();
        if ('reply' in answer) waiting.resolve(answer.reply);
        else waiting.reject(answer.file ? new FileError(answer.error) : new GaborError(answer.error));
      });
      worker.on('error', (error) =>
        this.#fail(new GaborError(`${what}: a worker thread failed: ${error.message}`, { cause: error })),
      );
      worker.on('messageerror', (error) =>
        this.#fail(new GaborError(`${what}: a message was lost: ${error.message}`, { cause: error })),
      );
      worker.on('exit', (code) =>
        this.#fail(new GaborError(`${what}: a worker thread ended early (exit code ${code})`)),
      );
      this.#members.push(member);
    }
  }

  /** How many requests are under way. */
  get pending(): number {
    return this.#members.reduce((sum, member) => sum + member.waiting.length, 0);
  }

  /**
   * Asks one worker: number `index` modulo their count, or the least busy one.
   *
   * @throws GaborError what the worker threw, or why the pool no longer works.
   */
  run(request: Request, index?: number): Promise<Reply> {
    if (this.#failure) return Promise.reject(this.#failure);
    const member =
      index === undefined
        ? this.#members.reduce((least, other) => (other.waiting.length < least.waiting.length ? other : least))
        : this.#members[index % this.#members.length];
    return new Promise((resolve, reject) => {
      if (member.waiting.length === 0) member.worker.ref();
      member.waiting.push({ resolve, reject });
      member.worker.postMessage(request);
    });
  }

  /** Ends the threads; whatever still waits is rejected. */
  async close(): Promise<void> {
    this.#fail(new GaborError('the worker threads have been closed'));
    await Promise.all(this.#members.map((member) => member.worker.terminate()));
  }

  #fail(error: Error): void {
    if (this.#failure) return; // in particular, `close` waits on threads that must then stay referenced
    this.#failure = error;
    for (const { worker, waiting } of this.#members) {
      worker.unref();
      for (const { reject } of waiting.splice(0)) reject(error);
    }
  }
}

/** One thread per processor, at most 8: more only fight over memory. */
export function defaultThreads(): number {
  return Math.min(8, availableParallelism());
}

/** A worker's side of {@link WorkerPool}: answers every message with what `handle` returns or throws. */
export function serveRequests<Request, Reply>(handle: (request: Request) => Reply): void {
  const port = parentPort;
  if (!port) throw new GaborError('this module runs as a worker thread only');
  port.on('message', (request: Request) => {
    let answer: Answer<Reply>;
    try {
      answer = { reply: handle(request) };
    } catch (error) {
      answer = { error: error instanceof Error ? error.message : String(error), file: error instanceof FileError };
    }
    port.postMessage(answer);
  });
}
