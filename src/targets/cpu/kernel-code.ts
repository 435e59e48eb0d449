import type { Register, VectorMachine } from './machine.js';

/** A kernel ready to be emitted: `items` independent pieces of work that threads share. */
export interface KernelCode {
  readonly items: number;
  /** Bytes of memory that a thread needs for itself while it runs items; default none. */
  readonly scratch?: number;
  /**
   * Emits the body for items begin ≤ i < end; one pointer for each operand, then each result, then, where `scratch` is given,
   * one to that memory.
   */
  emit(m: VectorMachine, begin: Register, end: Register, pointers: readonly Register[]): void;
}
