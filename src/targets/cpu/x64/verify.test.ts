import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allocate } from './allocate.js';
import type { MachineFunction } from './code.js';
import { Recording } from './ir.js';
import { lower } from './lower.js';
import { X64Machine } from './machine.js';
import { verify } from './verify.js';

/** Sums of products in two loops, with few registers to hold them. */
function example(): MachineFunction {
  const recording = new Recording('example', 2, 8);
  const m = new X64Machine(recording, 16, () => 0);
  const [input, output] = recording.parameters;
  const sums = Array.from({ length: 6 }, () => m.copy(m.constant('f32', 0, true)));
  const pointer = m.copy(input);
  m.loop({ to: 30 }, () => {
    m.loop({ to: 20 }, (i) => {
      const at = m.binary('add', pointer, m.shift('shl', i, 2));
      const x = m.load('f32', true, at);
      for (const sum of sums) m.multiplyAdd(sum, x, x);
    });
    m.bump(pointer, 4);
  });
  for (const [i, sum] of sums.entries()) m.store(sum, output, 32 * i);
  return lower(recording, false);
}

const FILES = { general: [1, 6, 7, 8], vector: [0, 1, 2, 3], mask: [] };

test('x64: allocated code with spills passes the verifier', () => {
  const f = example();
  const allocation = allocate(f, FILES);
  assert.ok(allocation.owners.length > 0, 'something is spilled');
  verify(f, allocation);
});

test('x64: the verifier notices two live values in one register, whichever they are', () => {
  const f = example();
  const allocation = allocate(f, { ...FILES, vector: [0, 1, 2, 3, 4, 5, 6, 7], general: [1, 6, 7, 8, 9, 10] });
  verify(f, allocation);
  const vectors = allocation.registers.filter((register) => register.class === 'vector');
  let checked = 0;
  for (const register of vectors) {
    const right = register.hardware;
    for (const other of vectors) {
      if (other.hardware === right) continue;
      // All values of this example's vectors are alive at once.
      register.hardware = other.hardware;
      assert.throws(() => verify(f, allocation), /expects value/, `${register.id}, ${other.id}`);
      register.hardware = right;
      checked++;
    }
  }
  assert.ok(checked >= 40);
});

test('x64: the verifier notices a lost reload, a lost spill and a register that the caller still needs', () => {
  const f = example();
  const allocation = allocate(f, FILES);
  let checked = 0;
  allocation.instructions.forEach(({ name, args }, i) => {
    if ((name !== 'vmovups' && name !== 'mov') || !args.some((arg) => typeof arg === 'object' && arg.kind === 'slot')) {
      return;
    }
    const instructions = allocation.instructions.filter((_, j) => j !== i);
    assert.throws(() => verify(f, { ...allocation, instructions }), /expects value/, `without instruction ${i}`);
    checked++;
  });
  assert.ok(checked > 0);
  assert.throws(() => verify(f, { ...allocation, used: allocation.used.slice(1) }), /is not saved/);
});
