import { DTYPES, type DType, type TypedArray } from '../tensor/dtype.js';
import { checkOptions, GaborError, invariant, OptionError } from '../tensor/errors.js';
import { ALIGNMENT, BlockAllocator } from './allocator.js';
import { type WasmMemory, wasm } from './webassembly.js';

const PAGE = 65536;
const MAX_PAGES = 65536;
/** Bytes after every block that a wide load may touch: AVX-512 reads at most 63 bytes past the end. */
export const SLACK = 64;
/** The memory grows by half of its size, but by no more pages than this where fewer are enough. */
const GROWTH_PAGES = 4096;

export interface DeviceMemoryOptions {
  /** Bytes at the start; default 1 MiB. */
  readonly initial?: number;
  /** Bytes that the memory may grow to, at most (and by default) 4 GiB; whole pages of 64 KiB. */
  readonly limit?: number;
  /** Whether worker threads can use it; default: whether the platform has shared memory. */
  readonly shared?: boolean;
}

/**
 * The memory that the tensors and programs of one CPU device live in: one WebAssembly memory that grows on demand.
 * Addresses are unsigned 32-bit byte offsets and multiples of 64; 0 is never handed out. Statistics are in bytes and
 * include alignment and slack.
 */
export class DeviceMemory {
  /** Imported by programs as `env.memory`. */
  readonly memory: WasmMemory;
  readonly shared: boolean;
  /** What the memory can grow to. */
  readonly limit: number;
  readonly #blocks: BlockAllocator;
  #used = 0;
  #peak = 0;

  constructor(options: DeviceMemoryOptions = {}) {
    checkOptions('DeviceMemory', options, ['initial', 'limit', 'shared']);
    const available = typeof SharedArrayBuffer !== 'undefined';
    const { initial = 16 * PAGE, limit = MAX_PAGES * PAGE, shared = available } = options;
    const maximum = Math.floor(limit / PAGE);
    if (!(initial > 0 && maximum >= 1 && maximum <= MAX_PAGES)) {
      throw new OptionError(
        `DeviceMemory: expected 0 < initial and 64 KiB ≤ limit ≤ 4 GiB, got ${initial} and ${limit}`,
      );
    }
    if (shared && !available) {
      throw new OptionError(
        'DeviceMemory: no shared memory here (a web page must be cross-origin isolated); use shared: false',
      );
    }
    const reserved = reserve(Math.min(Math.ceil(initial / PAGE), maximum), maximum, shared);
    this.shared = shared;
    this.memory = reserved.memory;
    this.limit = reserved.maximum * PAGE;
    this.#blocks = new BlockAllocator(ALIGNMENT, this.memory.buffer.byteLength);
  }

  /** In allocated blocks. */
  get used(): number {
    return this.#used;
  }

  /** The most that was ever in use at once. */
  get peak(): number {
    return this.#peak;
  }

  /** What the memory has grown to. */
  get capacity(): number {
    return this.#blocks.end;
  }

  /** Free and allocated ranges in order of their address. */
  blocks(): Iterable<{ readonly address: number; readonly size: number; readonly free: boolean }> {
    return this.#blocks.blocks();
  }

  /**
   * Reserves `bytes` (0 is fine) and at least 64 bytes behind them. The contents are arbitrary.
   * @throws GaborError when the limit is reached.
   */
  allocate(bytes: number): number {
    invariant(Number.isSafeInteger(bytes) && bytes >= 0, `cannot allocate ${bytes} bytes`);
    const size = Math.ceil((bytes + SLACK) / ALIGNMENT) * ALIGNMENT;
    let address = this.#blocks.allocate(size);
    if (address === undefined) {
      this.#grow(bytes, size);
      address = this.#blocks.allocate(size);
      invariant(address !== undefined, `no room for ${size} bytes after growing`);
    }
    this.#used += size;
    if (this.#used > this.#peak) this.#peak = this.#used;
    return address;
  }

  /** Gives back what {@link allocate} returned. */
  free(address: number): void {
    const size = this.#blocks.free(address >>> 0);
    invariant(size !== undefined, `nothing is allocated at address ${address}`);
    this.#used -= size;
  }

  /**
   * `length` elements at `address`, as an array over the memory itself. Without shared memory an array dies (its length
   * becomes 0) when the memory grows, so ask again after every allocation; with shared memory it stays valid.
   */
  view<T extends DType>(dtype: T, address: number, length: number): ViewOf<T>;
  view(dtype: DType, address: number, length: number): TypedArray {
    return new DTYPES[dtype].array(this.memory.buffer, address >>> 0, length);
  }

  #grow(bytes: number, size: number): void {
    const pages = this.#blocks.end / PAGE;
    const room = this.limit / PAGE - pages;
    const needed = Math.ceil((size - this.#blocks.tail) / PAGE);
    const wanted = Math.min(room, Math.max(needed, Math.min(pages >>> 1, GROWTH_PAGES)));
    let cause: unknown;
    for (const step of needed <= room ? new Set([wanted, needed]) : []) {
      try {
        this.memory.grow(step);
        this.#blocks.extend(this.memory.buffer.byteLength);
        return;
      } catch (error) {
        cause = error;
      }
    }
    const why = cause === undefined ? '' : ', and the operating system gives no more';
    throw new GaborError(
      `out of memory: asked for ${formatBytes(bytes)}; ${formatBytes(this.#used)} of at most ${formatBytes(this.limit)} are in use` +
        ` (largest free block ${formatBytes(this.#blocks.largest)})${why}. Use a smaller batch or dispose of tensors.`,
      { cause },
    );
  }
}

export type ViewOf<T extends DType> = T extends 'f32'
  ? Float32Array
  : T extends 'f64'
    ? Float64Array
    : T extends 'i32'
      ? Int32Array
      : Uint8Array;

/** Some systems cannot reserve address space for 4 GiB (a limit for the process; phones): take half of it, and so on. */
function reserve(initial: number, maximum: number, shared: boolean): { memory: WasmMemory; maximum: number } {
  for (let reserved = maximum; ; reserved >>>= 1) {
    try {
      return { memory: new wasm.Memory({ initial, maximum: reserved, shared }), maximum: reserved };
    } catch (cause) {
      if (reserved >>> 1 < Math.max(initial, 256)) {
        throw new GaborError(`cannot reserve ${formatBytes(reserved * PAGE)} of address space for tensors`, { cause });
      }
    }
  }
}

function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < 3) {
    value /= 1024;
    unit++;
  }
  return `${Number(value.toFixed(unit === 0 ? 0 : 2))} ${units[unit]}`;
}
