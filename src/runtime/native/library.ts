import { createRequire } from 'node:module';
import { GaborError } from '../../tensor/errors.js';
import { architecture, operatingSystem } from '../host.js';

/** An address in this process; koffi has pointers as bigints. */
export type Address = bigint;

/** The part of koffi (https://koffi.dev) that is used here; it is an optional dependency, so its own types may be absent. */
interface Koffi {
  load(path: string | null): KoffiLibrary;
  proto(definition: string): object;
  decode(pointer: Address, type: object): (...args: unknown[]) => unknown;
  view(pointer: Address, length: number): ArrayBuffer;
}

interface KoffiFunction {
  (...args: unknown[]): unknown;
  /** On another thread; the last argument is called when it has returned. */
  async(...args: unknown[]): void;
}

interface KoffiLibrary {
  func(definition: string): KoffiFunction;
  symbol(name: string, type: string): Address;
}

/** How C functions pass arguments: System V on POSIX systems, Microsoft's on Windows. */
export type CallingConvention = 'sysv' | 'win64';

/** What the operating system offers to programs that make machine code. */
export interface NativeLibrary {
  readonly abi: CallingConvention;
  /** Fresh pages, readable and writable. */
  allocate(bytes: number): Address;
  /** Makes pages readable and executable, no longer writable. */
  makeExecutable(address: Address, bytes: number): void;
  /** Takes every access away: whoever touches these pages ends the process. For guard pages. */
  protect(address: Address, bytes: number): void;
  free(address: Address, bytes: number): void;
  /** Asks for large pages in a range of memory; the system may have none. */
  preferLargePages(address: Address, bytes: number): void;
  /** Puts the small pages that are in use together to large ones, on another thread, then calls `done`; pages for which that fails stay as they are. */
  joinPages(address: Address, bytes: number, done: () => void): void;
  /** The bytes at an address, as an array over the memory itself. */
  view(address: Address, bytes: number): Uint8Array;
  /** A function at an address; `signature` in C, for example `int run(void *base, int thread)`. */
  functionAt(address: Address, signature: string): (...args: unknown[]) => unknown;
  /** The address of a function `void yield(void)` by which a thread lets others run. */
  readonly yieldFunction: Address;
}

const PAGE = 4096n;

/** Whole pages. */
export function pagesOf(bytes: number): number {
  return Math.max(1, Math.ceil(bytes / Number(PAGE))) * Number(PAGE);
}

let library: NativeLibrary | string | undefined;

/** The library, or why there is none on this machine. */
export function nativeLibrary(): NativeLibrary | string {
  library ??= open();
  return library;
}

function open(): NativeLibrary | string {
  if (architecture() !== 'x64') return `machine code is made for x64 processors only, this one is ${architecture()}`;
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    return `the optional package koffi, which calls machine code, cannot be loaded: ${reason}`;
  }
  let system: NativeLibrary;
  try {
    system = operatingSystem() === 'win32' ? windows(koffi) : posix(koffi);
  } catch (error) {
    return `the functions of the operating system for executable memory cannot be reached: ${(error as Error).message}`;
  }
  return probe(system) ?? system;
}

/** Makes a page executable and calls it once: hardened systems refuse that (SELinux execmem, PaX MPROTECT, systemd's MemoryDenyWriteExecute). */
function probe(system: NativeLibrary): string | undefined {
  const RET = 0xc3;
  const bytes = pagesOf(1);
  let page: Address | undefined;
  try {
    page = system.allocate(bytes);
    system.view(page, 1)[0] = RET;
    system.makeExecutable(page, bytes);
    system.functionAt(page, 'void gabor_probe(void)')();
    return undefined;
  } catch (error) {
    return `${(error as Error).message}, as hardened systems do`;
  } finally {
    if (page !== undefined) system.free(page, bytes);
  }
}

/** Signatures are parsed once; koffi keeps them by name. */
function caller(koffi: Koffi): NativeLibrary['functionAt'] {
  const types = new Map<string, object>();
  return (address, signature) => {
    let type = types.get(signature);
    if (type === undefined) {
      type = koffi.proto(signature);
      types.set(signature, type);
    }
    return koffi.decode(address, type);
  };
}

function failed(what: string, bytes: number): never {
  throw new GaborError(`the operating system refuses to ${what} ${bytes} bytes for machine code`);
}

const PROT_NONE = 0;
const PROT_READ_WRITE = 3;
const PROT_READ_EXECUTE = 5;

function posix(koffi: Koffi): NativeLibrary {
  const c = koffi.load(null);
  const mmap = c.func('void *mmap(void *address, size_t length, int protection, int flags, int file, int64_t offset)');
  const mprotect = c.func('int mprotect(void *address, size_t length, int protection)');
  const munmap = c.func('int munmap(void *address, size_t length)');
  const linux = operatingSystem() === 'linux';
  // Elsewhere the system decides.
  const madvise = linux ? c.func('int madvise(void *address, size_t length, int advice)') : undefined;
  const MADV_HUGEPAGE = 14;
  // Since Linux 6.1.
  const MADV_COLLAPSE = 25;
  const MAP_PRIVATE = 2;
  const MAP_ANONYMOUS = linux ? 0x20 : 0x1000;
  return {
    abi: 'sysv',
    allocate(bytes) {
      const address = mmap(null, bytes, PROT_READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) as Address | null;
      if (address === null || BigInt.asIntN(64, address) === -1n) failed('reserve', bytes);
      return address;
    },
    makeExecutable(address, bytes) {
      if (mprotect(address, bytes, PROT_READ_EXECUTE) !== 0) failed('make executable', bytes);
    },
    protect(address, bytes) {
      if (mprotect(address, bytes, PROT_NONE) !== 0) failed('protect', bytes);
    },
    free(address, bytes) {
      munmap(address, bytes);
    },
    preferLargePages(address, bytes) {
      madvise?.(address, bytes, MADV_HUGEPAGE);
    },
    joinPages(address, bytes, done) {
      madvise?.async(address, bytes, MADV_COLLAPSE, done);
    },
    view: (address, bytes) => new Uint8Array(koffi.view(address, bytes)),
    functionAt: caller(koffi),
    yieldFunction: c.symbol('sched_yield', 'void *'),
  };
}

function windows(koffi: Koffi): NativeLibrary {
  const kernel = koffi.load('kernel32.dll');
  const virtualAlloc = kernel.func(
    'void *VirtualAlloc(void *address, size_t length, uint32_t type, uint32_t protection)',
  );
  const virtualProtect = kernel.func(
    'int VirtualProtect(void *address, size_t length, uint32_t protection, void *before)',
  );
  const virtualFree = kernel.func('int VirtualFree(void *address, size_t length, uint32_t type)');
  const RESERVE_AND_COMMIT = 0x3000;
  const RELEASE = 0x8000;
  const NO_ACCESS = 1;
  const READ_WRITE = 4;
  const EXECUTE_READ = 0x20;
  const before = new Uint32Array(1);
  return {
    abi: 'win64',
    allocate(bytes) {
      const address = virtualAlloc(null, bytes, RESERVE_AND_COMMIT, READ_WRITE) as Address | null;
      if (address === null || address === 0n) failed('reserve', bytes);
      return address;
    },
    makeExecutable(address, bytes) {
      if (virtualProtect(address, bytes, EXECUTE_READ, before) === 0) failed('make executable', bytes);
    },
    protect(address, bytes) {
      if (virtualProtect(address, bytes, NO_ACCESS, before) === 0) failed('protect', bytes);
    },
    free(address) {
      virtualFree(address, 0, RELEASE);
    },
    // They need a privilege that users do not have.
    preferLargePages() {},
    joinPages() {},
    view: (address, bytes) => new Uint8Array(koffi.view(address, bytes)),
    functionAt: caller(koffi),
    yieldFunction: kernel.symbol('SwitchToThread', 'void *'),
  };
}
