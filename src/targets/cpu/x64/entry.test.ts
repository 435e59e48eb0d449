import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nativeProblem } from '../../../runtime/backend.js';
import { CodePages } from '../../../runtime/native/code.js';
import { nativeLibrary } from '../../../runtime/native/library.js';
import { addressOf } from '../../../testing/native.js';
import { CodeBuilder } from './builder.js';
import { X64Assembler } from './emitter.js';
import { eax, memory, r32, r64, rax, rsp, xmm } from './operands.js';

/** What a callee must keep. */
const KEPT = {
  sysv: { general: [3, 5, 12, 13, 14, 15], vectors: [] as number[] },
  win64: { general: [3, 5, 6, 7, 12, 13, 14, 15], vectors: [6, 7, 8, 9, 10, 11, 12, 13, 14, 15] },
};
const ARGUMENTS = { sysv: [7, 6, 2, 1], win64: [1, 2, 8, 9] };

for (const abi of ['sysv', 'win64'] as const) {
  test(`x64 entry: takes arguments and keeps registers as ${abi} asks for`, (t) => {
    const problem = nativeProblem('avx2');
    const library = nativeLibrary();
    if (problem !== undefined || typeof library === 'string') {
      t.skip(problem);
      return;
    }
    const assembler = new X64Assembler({ features: 'avx2', abi, verify: true });
    // Writes its arguments, and to every register there is.
    const entry = assembler.define('all', 3, (m, [a, b, c]) => {
      const vectors = Array.from({ length: 16 }, (_, i) => m.copy(m.load('i32', true, a, 4 * i)));
      const scalars = Array.from({ length: 20 }, (_, i) => m.copy(m.load('i32', false, a, 4 * i)));
      m.loop({ to: b }, () => {
        for (const v of vectors) m.set(v, m.binary('add', v, vectors[0]));
        for (const s of scalars) m.bump(s, scalars[1]);
      });
      for (const v of vectors) m.store(v, a, 256);
      for (const s of scalars) m.store(s, a, 256);
      m.store(a, a);
      m.store(b, a, 4);
      m.store(c, a, 8);
    });
    const { code, entry: start } = assembler.finish(entry);
    const pages = new CodePages(library, code);

    // Calls it by that convention from a function of this machine's own, and counts the registers that changed.
    const { general, vectors } = KEPT[abi];
    const own = KEPT[library.abi];
    const caller = new CodeBuilder();
    for (const register of own.general) caller.emit('push', r64(register));
    caller.emit('sub', rsp, 512 + 8);
    own.vectors.forEach((register, i) => {
      caller.emit('vmovups', memory(rsp, 64 + 16 * i), xmm(register));
    });
    const pattern = (register: number): number => 0x1234567 * (register + 1);
    for (const register of general) caller.emit('mov', r64(register), pattern(register));
    for (const register of vectors) {
      caller.emit('mov', eax, register + 1000);
      caller.emit('vmovd', xmm(register), eax);
      caller.emit('vpbroadcastd', xmm(register), xmm(register));
    }
    const [base, ...rest] = ARGUMENTS[abi];
    const bytes = new Uint8Array(new SharedArrayBuffer(4096));
    caller.emit('mov', r64(base), addressOf(bytes));
    rest.forEach((register, i) => {
      caller.emit('mov', r32(register), [1024, 3, -5][i]);
    });
    caller.emit('mov', rax, pages.address + BigInt(start));
    caller.emit('call', rax);
    caller.emit('mov', r32(10), eax);
    const changed = caller.label();
    const done = caller.label();
    for (const register of general) {
      caller.emit('mov', r64(11), pattern(register));
      caller.emit('cmp', r64(register), r64(11));
      caller.emit('jne', changed);
    }
    for (const register of vectors) {
      for (const lane of [0, 3]) {
        caller.emit('vpextrd', r32(11), xmm(register), lane);
        caller.emit('cmp', r32(11), register + 1000);
        caller.emit('jne', changed);
      }
    }
    caller.emit('jmp', done);
    caller.bind(changed);
    caller.emit('mov', r32(10), 77);
    caller.bind(done);
    own.vectors.forEach((register, i) => {
      caller.emit('vmovups', xmm(register), memory(rsp, 64 + 16 * i));
    });
    caller.emit('add', rsp, 512 + 8);
    for (const register of [...own.general].reverse()) caller.emit('pop', r64(register));
    caller.emit('mov', eax, r32(10));
    caller.emit('ret');
    const callerPages = new CodePages(library, caller.finish().code);
    try {
      assert.equal(library.functionAt(callerPages.address, `int gabor_call_${abi}(void)`)(), 0);
      assert.deepEqual([...new Int32Array(bytes.buffer, 1024, 3)], [1024, 3, -5]);
    } finally {
      callerPages.free();
      pages.free();
    }
  });
}
