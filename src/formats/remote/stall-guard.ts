/** Aborts when nothing has come for a while, or when the caller aborts. */
export class StallGuard {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #forward = (): void => this.#controller.abort(this.#caller?.reason);

  /** @param stalled makes the reason to abort with */
  constructor(milliseconds: number, caller: AbortSignal | undefined, stalled: () => unknown) {
    this.#caller = caller;
    this.#timer = setTimeout(() => this.#controller.abort(stalled()), milliseconds);
    caller?.addEventListener('abort', this.#forward, { once: true });
    if (caller?.aborted) this.#forward();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something has come: waits anew. */
  touch(): void {
    this.#timer.refresh();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#caller?.removeEventListener('abort', this.#forward);
  }
}
