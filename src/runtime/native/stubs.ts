import { CodePages } from './code.js';
import type { Address, CallingConvention, NativeLibrary } from './library.js';

/** Small functions that every process needs once. */
export interface Stubs {
  /** `int invoke(void *entry, void *memory, int thread, int threads, uint32_t table)`: calls a program. */
  readonly invoke: Address;
  /** `void *identity(void *)`: the address of an array's contents. */
  readonly identity: Address;
  /** `void cpuid(void *registers, uint32_t leaf, uint32_t subleaf)`: eax, ebx, ecx, edx into four words. */
  readonly cpuid: Address;
  /** `uint64_t xgetbv(void)`: which registers the operating system keeps. */
  readonly xgetbv: Address;
}

export const INVOKE = 'int gabor_invoke(void *entry, void *memory, int thread, int threads, uint32_t table)';
export const IDENTITY = 'uint64_t gabor_identity(void *pointer)';
export const CPUID = 'void gabor_cpuid(void *registers, uint32_t leaf, uint32_t subleaf)';
export const XGETBV = 'uint64_t gabor_xgetbv(void)';

let stubs: Stubs | undefined;

/** They stay for as long as the process lives. */
export function nativeStubs(library: NativeLibrary): Stubs {
  stubs ??= build(library);
  return stubs;
}

/** Machine code of the functions in hexadecimal digits, and where each begins. */
export interface StubCode extends Readonly<Record<keyof Stubs, number>> {
  readonly code: string;
}

/** As bytes, so that not every process has to load the assembler; `stubs.test.ts` has their source. */
export const STUB_CODE: Readonly<Record<CallingConvention, StubCode>> = {
  sysv: {
    code: '4889f84889f74889d64889ca4c89c1ffe066662e0f1f8400000000000f1f40004889f8c366662e0f1f84000000000090534989f989f089d10fa241890141895904418949084189510c5bc30f1f440000b9000000000f01d048c1e2204809d0c3',
    invoke: 0,
    identity: 32,
    cpuid: 48,
    xgetbv: 80,
  },
  win64: {
    code: '4889c84889d14c89c24d89c8448b4c2428ffe066662e0f1f84000000000066904889c8c366662e0f1f84000000000090534989c989d04489c10fa241890141895904418949084189510c5bc30f1f4000b9000000000f01d048c1e2204809d0c3',
    invoke: 0,
    identity: 32,
    cpuid: 48,
    xgetbv: 80,
  },
};

function build(library: NativeLibrary): Stubs {
  const { code, invoke, identity, cpuid, xgetbv } = STUB_CODE[library.abi];
  const bytes = Uint8Array.from(code.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));
  const pages = new CodePages(library, bytes);
  const at = (offset: number): Address => pages.address + BigInt(offset);
  return { invoke: at(invoke), identity: at(identity), cpuid: at(cpuid), xgetbv: at(xgetbv) };
}
