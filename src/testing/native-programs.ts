import { emitBarrier } from '../targets/cpu/x64/barrier.js';
import { CodeBuilder } from '../targets/cpu/x64/builder.js';
import { emitEntry } from '../targets/cpu/x64/entry.js';
import { eax, ecx, edx, memory, r32, r64, rbx, rcx, rsp, sized } from '../targets/cpu/x64/operands.js';
import { TABLE } from './programs.js';

/** `sumProgram` of `programs.ts` as machine code; it fails by returning 1. */
export function nativeSumProgram(abi: 'sysv' | 'win64'): { readonly code: Uint8Array; readonly entry: number } {
  const b = new CodeBuilder();
  const names = ['start', 'abort', 'wait', 'inside', 'done', 'barrier'];
  const [start, abort, wait, inside, done, barrier] = names.map((name) => b.label(name));
  emitEntry(b, { abi, target: start, parameters: 3, abort });
  b.bind(start);
  const [thread, threads, address, table] = [12, 13, 14, 15];
  const word = (offset: number): ReturnType<typeof sized> => sized(memory(r64(table), offset), 32);
  const slot = (index: number): ReturnType<typeof memory> => memory(r64(table), TABLE.slots, r64(index), 4);
  [thread, threads, address].forEach((register, i) => {
    b.emit('mov', r32(register), memory(rsp, 8 + 8 * i));
  });
  b.emit('lea', r64(table), memory(rbx, 0, r64(address)));
  b.emit('lea', eax, memory(r64(thread), 1));
  b.emit('cmp', eax, word(TABLE.trap));
  b.emit('je', abort);
  b.bind(wait);
  b.emit('pause');
  b.emit('cmp', word(TABLE.pause), 1);
  b.emit('je', wait);
  b.emit('mov', slot(thread), eax);
  b.emit('mov', eax, r32(address));
  b.emit('mov', edx, r32(threads));
  b.emit('call', barrier);
  // The neighbour's slot.
  b.emit('lea', ecx, memory(r64(thread), 1));
  b.emit('cmp', ecx, r32(threads));
  b.emit('jne', inside);
  b.emit('xor', ecx, ecx);
  b.bind(inside);
  b.emit('mov', eax, slot(1));
  b.emit('lock add', word(TABLE.result), eax);
  b.emit('mov', ecx, word(TABLE.target));
  b.emit('test', ecx, ecx);
  b.emit('je', done);
  b.emit('add', rcx, rbx);
  b.emit('lea', eax, memory(r64(thread), 1));
  b.emit('mov', memory(rcx, 0, r64(thread), 4), eax);
  b.bind(done);
  b.emit('ret');
  b.bind(barrier);
  emitBarrier(b, { abort, abi });
  return { code: b.finish().code, entry: 0 };
}
