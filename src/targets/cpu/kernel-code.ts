import type { Register, VectorMachine } from './machine.js';

/** A kernel ready to be emitted: `items` independent pieces of work that threads share. */
export interface KernelCode {
  readonly items: number;
  /**
   * Items that begin with the same preparations, such as transformed inputs: those from i · batch to (i + 1) · batch. As many of them as a
   * thread has are one call; default 1.
   */
  readonly batch?: number;
  /** Bytes of memory that a thread needs for itself while it runs items; default none. */
  readonly scratch?: number;
  /**
   * Emits the body for items begin ≤ i < end of one batch; one pointer for each operand, then each result, then, where `scratch` is given,
   * one to that memory.
   */
  emit(m: VectorMachine, begin: Register, end: Register, pointers: readonly Register[]): void;
}
