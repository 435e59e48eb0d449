import { invariant } from '../tensor/errors.js';

/** Every address and every size of a block is a multiple of this. */
export const ALIGNMENT = 64;

/** Neighbours in memory are chained through `before`/`after`, free blocks of one bin through `previous`/`next`. */
interface Block {
  address: number;
  size: number;
  free: boolean;
  before: Block | undefined;
  after: Block | undefined;
  previous: Block | undefined;
  next: Block | undefined;
}

const SPLITS = 16;
const BINS = 384;

/**
 * Bins by size in units of {@link ALIGNMENT}: exact below 16 units, then 16 per power of two. All blocks of a bin fit
 * every request of a lower bin.
 */
function binOf(size: number): number {
  const units = size / ALIGNMENT;
  if (units < SPLITS) return units;
  const power = 31 - Math.clz32(units);
  return (power - 3) * SPLITS + ((units >>> (power - 4)) & (SPLITS - 1));
}

/**
 * Hands out ranges of one growing address range [start, end). Two-level segregated fit (Masmano, Ripoll, Crespo, Real,
 * "TLSF: a new dynamic memory allocator for real-time systems", ECRTS 2004), except that the bin of the request itself is
 * searched for its best fit first, so that memory only grows when nothing fits. Free neighbours are joined at once.
 */
export class BlockAllocator {
  readonly #bins = new Array<Block | undefined>(BINS).fill(undefined);
  /** One bit for each bin that is not empty. */
  readonly #occupied: Uint32Array = new Uint32Array(BINS / 32);
  readonly #allocated = new Map<number, Block>();
  #last: Block | undefined;
  #end: number;

  constructor(start: number, end: number) {
    this.#end = start;
    this.extend(end);
  }

  get end(): number {
    return this.#end;
  }

  /** Bytes that are free at the very end of the range. */
  get tail(): number {
    return this.#last?.free ? this.#last.size : 0;
  }

  /** Size of the largest free block. */
  get largest(): number {
    const bin = this.#firstBin(0);
    if (bin < 0) return 0;
    let top = BINS - 1;
    while (this.#bins[top] === undefined) top--;
    let size = 0;
    for (let block = this.#bins[top]; block !== undefined; block = block.next) size = Math.max(size, block.size);
    return size;
  }

  /** Blocks, free or not, in order of their address. */
  *blocks(): Generator<{ readonly address: number; readonly size: number; readonly free: boolean }> {
    let block = this.#last;
    while (block?.before !== undefined) block = block.before;
    for (; block !== undefined; block = block.after) yield block;
  }

  /** Moves the end of the range up. */
  extend(end: number): void {
    const size = end - this.#end;
    invariant(size >= 0 && end % ALIGNMENT === 0, `cannot extend memory from ${this.#end} to ${end}`);
    if (size === 0) return;
    const last = this.#last;
    if (last?.free) {
      this.#remove(last);
      last.size += size;
      this.#insert(last);
    } else {
      this.#last = this.#block(this.#end, size, last, undefined);
      if (last !== undefined) last.after = this.#last;
      this.#insert(this.#last);
    }
    this.#end = end;
  }

  /** The address of `size` bytes (a multiple of {@link ALIGNMENT}), or undefined where no free block is large enough. */
  allocate(size: number): number | undefined {
    const block = this.#find(size);
    if (block === undefined) return undefined;
    this.#remove(block);
    if (block.size > size) {
      const rest = this.#block(block.address + size, block.size - size, block, block.after);
      if (block.after === undefined) this.#last = rest;
      else block.after.before = rest;
      block.after = rest;
      block.size = size;
      this.#insert(rest);
    }
    this.#allocated.set(block.address, block);
    return block.address;
  }

  /** Gives a block back and returns its size; undefined where no block was handed out at `address`. */
  free(address: number): number | undefined {
    const block = this.#allocated.get(address);
    if (block === undefined) return undefined;
    this.#allocated.delete(address);
    const { size, before, after } = block;
    let joined = block;
    if (before?.free) {
      this.#remove(before);
      joined = this.#join(before, block);
    }
    if (after?.free) {
      this.#remove(after);
      joined = this.#join(joined, after);
    }
    this.#insert(joined);
    return size;
  }

  #block(address: number, size: number, before: Block | undefined, after: Block | undefined): Block {
    return { address, size, free: false, before, after, previous: undefined, next: undefined };
  }

  #join(low: Block, high: Block): Block {
    low.size += high.size;
    low.after = high.after;
    if (high.after === undefined) this.#last = low;
    else high.after.before = low;
    return low;
  }

  #find(size: number): Block | undefined {
    const bin = binOf(size);
    let best: Block | undefined;
    for (let block = this.#bins[bin]; block !== undefined; block = block.next) {
      if (block.size === size) return block;
      if (block.size > size && (best === undefined || block.size < best.size)) best = block;
    }
    if (best !== undefined) return best;
    const higher = this.#firstBin(bin + 1);
    return higher < 0 ? undefined : this.#bins[higher];
  }

  /** The lowest bin ≥ `from` that is not empty, or -1. */
  #firstBin(from: number): number {
    if (from >= BINS) return -1;
    let word = from >>> 5;
    let bits = this.#occupied[word] & (-1 << (from & 31));
    while (bits === 0) {
      if (++word === this.#occupied.length) return -1;
      bits = this.#occupied[word];
    }
    return word * 32 + (31 - Math.clz32(bits & -bits));
  }

  #insert(block: Block): void {
    const bin = binOf(block.size);
    const head = this.#bins[bin];
    block.free = true;
    block.previous = undefined;
    block.next = head;
    if (head !== undefined) head.previous = block;
    this.#bins[bin] = block;
    this.#occupied[bin >>> 5] |= 1 << (bin & 31);
  }

  #remove(block: Block): void {
    const bin = binOf(block.size);
    block.free = false;
    if (block.next !== undefined) block.next.previous = block.previous;
    if (block.previous !== undefined) block.previous.next = block.next;
    else {
      this.#bins[bin] = block.next;
      if (block.next === undefined) this.#occupied[bin >>> 5] &= ~(1 << (bin & 31));
    }
    block.next = undefined;
    block.previous = undefined;
  }
}
