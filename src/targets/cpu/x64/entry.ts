import { invariant } from '../../../tensor/errors.js';
import type { CodeBuilder } from './builder.js';
import { eax, type Label, memory, r32, r64, rbp, rbx, rsp, xmm } from './operands.js';

/** What a calling convention asks for; register numbers. */
const CONVENTIONS = {
  sysv: { arguments: [7, 6, 2, 1], saved: [3, 5, 12, 13, 14, 15], savedVectors: [] },
  win64: {
    arguments: [1, 2, 8, 9],
    saved: [3, 5, 6, 7, 12, 13, 14, 15],
    savedVectors: [6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  },
} as const;

/**
 * The way in from C: `int32_t run(void *memory, int32_t, int32_t, int32_t)`. Keeps the memory in rbx and this frame in rbp; a
 * jump to `abort` from however deep leaves the program with 1.
 */
export function emitEntry(
  code: CodeBuilder,
  options: {
    readonly abi: 'sysv' | 'win64';
    readonly target: Label;
    readonly parameters: number;
    readonly abort: Label;
  },
): void {
  const { arguments: registers, saved, savedVectors } = CONVENTIONS[options.abi];
  invariant(options.parameters <= 3, () => `the entry has ${options.parameters} parameters, expected at most 3`);
  const vectorBytes = 16 * savedVectors.length;
  const leave = code.label('leave');
  for (const index of saved) code.emit('push', r64(index));
  if (vectorBytes > 0) code.emit('sub', rsp, vectorBytes);
  savedVectors.forEach((index, i) => {
    code.emit('vmovups', memory(rsp, 16 * i), xmm(index));
  });
  code.emit('mov', rbp, rsp);
  code.emit('mov', rbx, r64(registers[0]));
  code.emit('and', rsp, -64);
  code.emit('sub', rsp, 64);
  for (let i = 0; i < options.parameters; i++) code.emit('mov', memory(rsp, 8 * i), r32(registers[1 + i]));
  code.emit('call', options.target);
  code.emit('xor', eax, eax);
  code.bind(leave);
  code.emit('mov', rsp, rbp);
  code.emit('vzeroupper');
  savedVectors.forEach((index, i) => {
    code.emit('vmovups', xmm(index), memory(rsp, 16 * i));
  });
  if (vectorBytes > 0) code.emit('add', rsp, vectorBytes);
  for (const index of [...saved].reverse()) code.emit('pop', r64(index));
  code.emit('ret');
  code.bind(options.abort);
  code.emit('mov', eax, 1);
  code.emit('jmp', leave);
}
