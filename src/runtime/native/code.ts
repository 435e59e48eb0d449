import { type Address, type NativeLibrary, pagesOf } from './library.js';

/** Bytes of machine code in use by this process. */
let bytesInUse = 0;

/** For tests and reports: what all programs together hold in executable pages. */
export function codeBytesInUse(): number {
  return bytesInUse;
}

/**
 * Machine code in pages of its own. The pages are writable while the code is copied in and executable from then on, never
 * both at once. `free` them only when no thread is inside.
 */
export class CodePages {
  readonly address: Address;
  readonly #library: NativeLibrary;
  readonly #bytes: number;
  #freed = false;

  constructor(library: NativeLibrary, code: Uint8Array) {
    this.#library = library;
    this.#bytes = pagesOf(code.length);
    this.address = library.allocate(this.#bytes);
    try {
      library.view(this.address, code.length).set(code);
      library.makeExecutable(this.address, this.#bytes);
    } catch (error) {
      library.free(this.address, this.#bytes);
      throw error;
    }
    bytesInUse += this.#bytes;
  }

  free(): void {
    if (this.#freed) return;
    this.#freed = true;
    this.#library.free(this.address, this.#bytes);
    bytesInUse -= this.#bytes;
  }
}
