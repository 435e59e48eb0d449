import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { WasmMemory } from '../webassembly.js';
import { nativeLibrary } from './library.js';
import { addressOf } from './program.js';

/** So many runs come first where large pages are slow to get: whoever wants one result waits for none. */
const RUNS = 8;

/**
 * Large pages for a part of memory, on systems where they are not the rule. Touching memory for the first time, as loading weights does, then takes
 * the system a fraction of the time, and processors find the pages of large tensors faster (docs/decisions/startup.md).
 */
export class LargePages {
  readonly #memory: WasmMemory;
  readonly #bytes: number;
  /** Runs until pages that are there are put together; 0: no more. */
  #runs = 0;

  /** @param bytes of address space, from the start of the memory, that it may take */
  constructor(memory: WasmMemory, bytes: number) {
    this.#memory = memory;
    this.#bytes = bytes;
    if (givesMemoryBack()) this.#runs = RUNS;
    else this.#library?.preferLargePages(addressOf(memory, this.#library), bytes);
  }

  get #library(): Exclude<ReturnType<typeof nativeLibrary>, string> | undefined {
    const library = nativeLibrary();
    return typeof library === 'string' ? undefined : library;
  }

  /** After every run of a program. */
  ran(): void {
    if (this.#runs === 0 || --this.#runs > 0) return;
    const memory = this.#memory;
    const library = this.#library;
    // The memory is kept until that is done.
    library?.joinPages(addressOf(memory, library), this.#bytes, () => void memory);
  }
}

/** Whether `features`, a digit for each, are those of a balloon that tells its host of free pages (virtio 1.2, section 5.5.3: VIRTIO_BALLOON_F_REPORTING). */
export function reportsFreePages(features: string): boolean {
  return features[5] === '1';
}

const BALLOONS = '/sys/bus/virtio/drivers/virtio_balloon';

/**
 * Whether this is a virtual machine that gives free memory back to its host: it does so in large pages, and to touch one of them
 * again, for which the host has to find memory, takes milliseconds. Small pages mostly come from what is still there.
 */
function givesMemoryBack(): boolean {
  try {
    return readdirSync(BALLOONS).some(
      (name) => name.startsWith('virtio') && reportsFreePages(readFileSync(join(BALLOONS, name, 'features'), 'latin1')),
    );
  } catch {
    return false;
  }
}
