/** Things at the same time. */
const LANES = 4;

/** Does several things at a time: one reads a file while another waits for it. */
export class Lanes {
  readonly #pending = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /** Starts something, once there is a place for it. */
  async add(start: () => Promise<void>): Promise<void> {
    while (this.#pending.size >= LANES) await Promise.race(this.#pending);
    if (this.#failure !== undefined) await this.finish();
    const done: Promise<void> = start()
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#pending.delete(done));
    this.#pending.add(done);
  }

  /** Waits for everything. @throws what failed first */
  async finish(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
