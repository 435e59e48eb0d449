import { EXIT } from './failure.js';

/** Ctrl-C: the first one asks to stop in good order, a second one ends the process at once. */
export class Interrupt {
  readonly #controller = new AbortController();
  readonly #handler: () => void;

  /** @param onFirst told when the first one comes. */
  constructor(onFirst: () => void) {
    this.#handler = () => {
      if (this.signal.aborted) process.exit(EXIT.interrupted);
      this.#controller.abort();
      onFirst();
    };
    process.on('SIGINT', this.#handler);
    process.on('SIGTERM', this.#handler);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Back to what the signals do by themselves. */
  close(): void {
    process.off('SIGINT', this.#handler);
    process.off('SIGTERM', this.#handler);
  }
}
