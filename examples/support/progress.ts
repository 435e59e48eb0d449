const LENGTH = 28;
const FRAME_MS = 100;

/** One line that is drawn again and again while steps go by; where the output is not a terminal, a line for every tenth of the way. */
export class Progress {
  readonly #total: number;
  readonly #began = performance.now();
  #drawn = Number.NEGATIVE_INFINITY;
  #tenth = 0;

  constructor(total: number) {
    this.#total = total;
  }

  /** Seconds since the beginning. */
  get seconds(): number {
    return (performance.now() - this.#began) / 1000;
  }

  /** @param text stands behind the bar, for example the loss */
  update(done: number, text: string): void {
    const share = done / this.#total;
    const left = Math.ceil((this.seconds / share) * (1 - share));
    const line = `${String(Math.floor(100 * share)).padStart(3)} %  ${text}  ${left} s left`;
    if (process.stdout.isTTY) {
      if (done < this.#total && performance.now() - this.#drawn < FRAME_MS) return;
      this.#drawn = performance.now();
      const full = Math.round(LENGTH * share);
      process.stdout.write(`\r\x1b[2K${'━'.repeat(full)}${'─'.repeat(LENGTH - full)} ${line}`);
      if (done === this.#total) process.stdout.write('\n');
    } else if (Math.floor(10 * share) > this.#tenth) {
      this.#tenth = Math.floor(10 * share);
      console.log(line);
    }
  }
}
