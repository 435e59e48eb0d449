/** Images per second. The first step of a run is left out as soon as there are others: it contains compiling the program. */
export class Stopwatch {
  #last = performance.now();
  #count = 0;
  #seconds = 0;
  #first = true;
  #provisional = 0;

  /** Time spent otherwise (validation) does not count. */
  restart(): void {
    this.#last = performance.now();
  }

  /** A new epoch: its rate is measured anew. */
  reset(): void {
    this.#count = 0;
    this.#seconds = 0;
    this.restart();
  }

  /** A step over `count` images has ended; returns the seconds since the one before. */
  lap(count: number): number {
    const now = performance.now();
    const seconds = (now - this.#last) / 1000;
    this.#last = now;
    if (this.#first) {
      this.#first = false;
      this.#provisional = count / seconds;
    } else {
      this.#count += count;
      this.#seconds += seconds;
    }
    return seconds;
  }

  get rate(): number {
    return this.#count === 0 ? this.#provisional : this.#count / this.#seconds;
  }
}
