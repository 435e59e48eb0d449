import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CodeBuilder } from '../../targets/cpu/x64/builder.js';
import { eax, ecx, edx, memory, r32, r64, rax, rbx, rcx, rdi, rdx } from '../../targets/cpu/x64/operands.js';
import type { CallingConvention } from './library.js';
import { STUB_CODE, type StubCode } from './stubs.js';

/** The functions as they are assembled. */
function assemble(abi: CallingConvention): StubCode {
  const sysv = abi === 'sysv';
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

  return { code: Buffer.from(b.finish().code).toString('hex'), invoke, identity, cpuid, xgetbv };
}

for (const abi of ['sysv', 'win64'] as const) {
  test(`the bytes of the small functions are what the assembler makes of them [${abi}]`, () => {
    assert.deepEqual(STUB_CODE[abi], assemble(abi));
  });
}
