import { CodeBuilder } from '../../targets/cpu/x64/builder.js';
import { eax, ecx, edx, memory, r32, r64, rax, rbx, rcx, rdi, rdx } from '../../targets/cpu/x64/operands.js';
import { CodePages } from './code.js';
import type { Address, NativeLibrary } from './library.js';

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

function build(library: NativeLibrary): Stubs {
  const sysv = library.abi === 'sysv';
  const b = new CodeBuilder();
  const begin = (): number => {
    b.align(16);
    return b.size;
  };

  // invoke: the arguments move down by one, the first is where to go. The last argument of Microsoft's convention is on
  // the stack, behind the return address and 32 bytes of shadow space; a jump leaves those to the callee.
  const invoke = begin();
  b.emit('mov', rax, sysv ? rdi : rcx);
  const parameters = sysv ? [7, 6, 2, 1, 8] : [1, 2, 8, 9];
  for (let i = 0; i + 1 < parameters.length; i++) b.emit('mov', r64(parameters[i]), r64(parameters[i + 1]));
  if (!sysv) b.emit('mov', r32(9), memory(r64(4), 40));
  b.emit('jmp', rax);

  const identity = begin();
  b.emit('mov', rax, sysv ? rdi : rcx);
  b.emit('ret');

  const cpuid = begin();
  b.emit('push', rbx);
  b.emit('mov', r64(9), sysv ? rdi : rcx);
  b.emit('mov', eax, sysv ? r32(6) : edx);
  b.emit('mov', ecx, sysv ? edx : r32(8));
  b.emit('cpuid');
  [0, 3, 1, 2].forEach((register, i) => {
    b.emit('mov', memory(r64(9), 4 * i), r32(register));
  });
  b.emit('pop', rbx);
  b.emit('ret');

  const xgetbv = begin();
  b.emit('mov', ecx, 0);
  b.emit('xgetbv');
  b.emit('shl', rdx, 32);
  b.emit('or', rax, rdx);
  b.emit('ret');

  const pages = new CodePages(library, b.finish().code);
  const at = (offset: number): Address => pages.address + BigInt(offset);
  return { invoke: at(invoke), identity: at(identity), cpuid: at(cpuid), xgetbv: at(xgetbv) };
}
