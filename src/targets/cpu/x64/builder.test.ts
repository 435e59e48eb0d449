import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { InternalError } from '../../../tensor/errors.js';
import { CodeBuilder, type Mnemonic } from './builder.js';
import {
  broadcast,
  cl,
  eax,
  ecx,
  k,
  masked,
  memory,
  type Operand,
  r8,
  r32,
  r64,
  rax,
  rbx,
  rcx,
  rdx,
  rsp,
  sized,
  xmm,
  ymm,
  zeroed,
  zmm,
} from './operands.js';

/** One instruction alone. */
function one(name: Mnemonic, ...operands: readonly Operand[]): { hex: string; features: string[]; evex: boolean } {
  const builder = new CodeBuilder();
  builder.emit(name, ...operands);
  const { code, features, evex } = builder.finish();
  return { hex: Buffer.from(code).toString('hex'), features: [...features].sort(), evex };
}

test('VEX is taken where it can express the operands', () => {
  assert.deepEqual(one('vaddps', ymm(15), ymm(1), memory(rax)).features, ['avx']);
  assert.deepEqual(one('vpaddd', xmm(1), xmm(2), xmm(3)).features, ['avx']);
  assert.deepEqual(one('vpaddd', ymm(1), ymm(2), ymm(3)).features, ['avx2']);
  assert.deepEqual(one('vpaddd', ymm(1), ymm(2), ymm(3)).evex, false);
  const forEvex: readonly (readonly Operand[])[] = [
    [ymm(16), ymm(1), ymm(2)],
    [ymm(0), ymm(1), ymm(31)],
    [masked(ymm(0), k(1)), ymm(1), ymm(2)],
    [zeroed(ymm(0), k(1)), ymm(1), ymm(2)],
    [ymm(0), ymm(1), broadcast(memory(rax))],
  ];
  for (const operands of forEvex) {
    const { evex, features } = one('vpaddd', ...operands);
    assert.ok(evex);
    assert.deepEqual(features, ['avx512f', 'avx512vl']);
  }
  assert.deepEqual(one('vaddps', zmm(0), zmm(1), zmm(2)).features, ['avx512f']);
  assert.deepEqual(one('vaddss', xmm(0), xmm(1), xmm(20)).features, ['avx512f']);
  assert.deepEqual(one('kandw', k(1), k(2), k(3)), { hex: 'c5ec41cb', features: ['avx512f'], evex: false });
  assert.deepEqual(one('kmovq', k(1), rax).features, ['avx512bw', 'avx512f']);
  assert.deepEqual(one('add', rax, 1), { hex: '4883c001', features: [], evex: false });
});

test('immediates take the shortest form that keeps their bits', () => {
  assert.equal(one('mov', rax, -1).hex, '48c7c0ffffffff');
  assert.equal(one('mov', rax, 0x80000000).hex, '48b80000008000000000');
  assert.equal(one('mov', eax, 0x80000000).hex, 'b800000080');
  assert.equal(one('mov', rax, 0xffffffffffffffffn).hex, '48c7c0ffffffff');
  assert.equal(one('add', ecx, 0xffffffff).hex, '83c1ff');
  assert.equal(one('add', rcx, 128).hex, '4881c180000000');
  assert.equal(one('shl', ecx, 1).hex, 'd1e1');
  assert.equal(one('shl', ecx, cl).hex, 'd3e1');
});

test('operands that no row takes are named in the error', () => {
  const wrong: readonly (readonly [Mnemonic, ...Operand[]])[] = [
    ['vaddps', ymm(0), xmm(1), ymm(2)],
    ['vaddps', zmm(0), zmm(1)],
    ['add', rax, 0x80000000],
    ['add', rax, 0.5],
    ['mov', rax, ecx],
    ['mov', memory(rax), 5],
    ['mov', eax, 0x1_0000_0000],
    ['movzx', eax, memory(rax)],
    ['movzx', eax, rax],
    ['shl', memory(rax), cl],
    ['lock inc', memory(rax)],
    ['sete', eax],
    ['vperm2f128', ymm(16), ymm(1), ymm(2), 1],
    ['vpermps', xmm(0), xmm(1), xmm(2)],
    ['vmovhlps', masked(xmm(0), k(1)), xmm(1), xmm(2)],
    ['vmovups', memory(rax), zeroed(zmm(0), k(1))],
    ['vgatherdps', zmm(0), memory(rax, 0, zmm(1), 4)],
    ['vaddps', ymm(0), ymm(1), ymm(2), 'rn-sae'],
    ['vaddps', zmm(0), zmm(1), zmm(2), 'sae'],
    ['vpaddb', zmm(0), zmm(1), broadcast(memory(rax))],
    ['vaddps', zmm(0), zmm(1), memory(rax, 0, zmm(2), 4)],
  ];
  for (const [name, ...operands] of wrong) {
    const what = (error: unknown): boolean => error instanceof InternalError && error.message.includes(`"${name} `);
    assert.throws(() => one(name, ...operands), what, `${name} with ${JSON.stringify(operands)}`);
  }
  assert.throws(() => memory(rax, 0, rsp), /rsp cannot be an index/);
  assert.throws(() => memory(eax), /64-bit/);
  assert.throws(() => memory(undefined, 8), /base/);
  assert.throws(() => memory(rax, 2 ** 31), /32 bits/);
  assert.throws(() => masked(zmm(1), k(0)), /k0/);
  assert.throws(() => zmm(32), /no vector register 32/);
});

test('memory of a size takes the form of that size', () => {
  assert.equal(one('mov', sized(memory(rbx), 8), 5).hex, 'c60305');
  assert.equal(one('mov', sized(memory(rbx), 64), 5).hex, '48c70305000000');
  assert.equal(one('lock inc', sized(memory(rbx), 32)).hex, 'f0ff03');
  assert.equal(one('movzx', eax, sized(memory(rbx), 16)).hex, '0fb703');
  assert.equal(one('mov', r8(6), memory(rbx)).hex, '408a33', 'sil, not dh');
});

test('a jump back is short exactly where eight bits reach', () => {
  for (const [between, bytes] of [
    [126, 2],
    [127, 6],
  ]) {
    const builder = new CodeBuilder();
    const top = builder.label();
    builder.bind(top);
    for (let i = 0; i < between; i++) builder.emit('nop');
    builder.emit('jne', top);
    assert.equal(builder.size, between + bytes);
    const { code } = builder.finish();
    const view = new DataView(code.buffer);
    const distance = bytes === 2 ? view.getInt8(between + 1) : view.getInt32(between + 2, true);
    assert.equal(distance, -(between + bytes));
  }
});

test('constants are stored once, aligned to their size, behind the code', () => {
  const builder = new CodeBuilder();
  const small = builder.constantF32([1.5]);
  const wide = builder.constantF32(new Array(16).fill(2));
  const middle = builder.constantI32([1, 2, 3, 4]);
  assert.equal(builder.constantF32([1.5]), small);
  assert.equal(builder.constantI32([0x3fc00000]), small, 'equal bytes');
  builder.emit('vmovups', zmm(1), memory(wide));
  builder.emit('vmovss', xmm(1), memory(small));
  builder.emit('lea', r64(9), memory(middle, 4));
  const { code, offset, instructionBytes } = builder.finish();
  assert.equal(offset(wide) % 64, 0);
  assert.equal(offset(middle) % 16, 0);
  assert.equal(offset(small) % 4, 0);
  assert.equal(instructionBytes, 10 + 8 + 7);
  assert.equal(code.length, 64 + 64 + 16 + 4, 'one copy each');
  const view = new DataView(code.buffer);
  assert.equal(view.getFloat32(offset(small), true), 1.5);
  assert.equal(view.getFloat32(offset(wide) + 60, true), 2);
  assert.equal(view.getInt32(21, true), offset(middle) + 4 - 25, 'from the end of the instruction');
});

test('labels that are bound twice or not at all are errors', () => {
  const builder = new CodeBuilder();
  const label = builder.label('here');
  builder.bind(label);
  assert.throws(() => builder.bind(label), /here is bound twice/);
  builder.emit('jmp', builder.label('nowhere'));
  assert.throws(() => builder.finish(), /nowhere is used but not bound/);
});

test('alignment is reached by nops from every offset', () => {
  for (let offset = 0; offset < 64; offset++) {
    const builder = new CodeBuilder();
    for (let i = 0; i < offset; i++) builder.emit('cdq');
    builder.align(64);
    assert.equal(builder.size, offset === 0 ? 0 : 64);
  }
});

test('the listing names what the code does', () => {
  const builder = new CodeBuilder();
  const top = builder.label('top of loop');
  builder.comment('adds');
  builder.align(16);
  builder.bind(top);
  builder.emit('vaddps', zeroed(zmm(17), k(2)), zmm(1), broadcast(memory(rdx, -4, r64(9), 8)));
  builder.emit('vroundps', ymm(1), ymm(17), 3);
  builder.emit('dec', r32(8));
  builder.emit('jne', top);
  builder.emit('vmulps', ymm(1), ymm(2), memory(builder.constantI32([1, 2])));
  assert.equal(
    builder.finish().listing(),
    `  # adds
  .balign 16
.Ltop_of_loop:
  vaddps zmm17{k2}{z}, zmm1, dword ptr [rdx+r9*8-4]{1to16}
  vrndscaleps ymm1, ymm17, 3
  dec r8d
  jne .Ltop_of_loop
  vmulps ymm1, ymm2, ymmword ptr [rip+.Lconstant]
  .balign 64, 0
  .balign 8, 0
.Lconstant:
  .long 0x1, 0x2
`,
  );
});

test('random displacements: disp8, disp8·N and disp32 keep the address', () => {
  // The displacement read back from the bytes, times N, is the one asked for.
  fc.assert(
    fc.property(fc.integer({ min: -40_000, max: 40_000 }), fc.boolean(), (displacement, repeat) => {
      const place = memory(rbx, displacement);
      const unit = repeat ? 4 : 64;
      const { hex } = one('vaddps', zmm(1), zmm(2), repeat ? broadcast(place) : place);
      const bytes = Buffer.from(hex, 'hex');
      const mode = bytes[5] >> 6;
      const read = mode === 0 ? 0 : mode === 1 ? bytes.readInt8(6) * unit : bytes.readInt32LE(6);
      assert.equal(read, displacement);
      const short = displacement % unit === 0 && Math.abs(displacement / unit + 0.5) < 128;
      assert.equal(mode, displacement === 0 ? 0 : short ? 1 : 2);
    }),
  );
});
