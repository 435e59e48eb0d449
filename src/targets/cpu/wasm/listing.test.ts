import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WasmAssembler } from './emitter.js';

test('the code of a small kernel: y[i] = max(2 · x[i] + y[i], 0) with a tail of three', () => {
  const assembler = new WasmAssembler({ relaxed: true });
  const id = assembler.define('saxpy', 3, (m, [x, y, end]) => {
    const step = (count: number): void => {
      const sum = m.load('f32', true, y);
      m.multiplyAdd(sum, m.load('f32', true, x), m.constant('f32', 2, true));
      m.store(m.binary('max', sum, m.constant('f32', 0, true)), y, 0, count);
    };
    m.loop({ from: y, to: end, step: 16 }, () => {
      step(4);
      m.bump(x, 16);
      m.bump(y, 16);
    });
    step(3);
  });
  assert.equal(
    assembler.listing(id),
    `
saxpy(i32 i32 i32) locals i32 i32 v128 v128 v128 v128 v128
  v128Const 40000000 40000000 40000000 40000000
  localSet 6
  localGet 1
  localSet 3
  localGet 2
  localSet 4
  localGet 3
  localGet 4
  i32LtS
  if
    loop
      localGet 1
      v128Load
      localSet 5
      localGet 0
      v128Load
      localGet 6
      localGet 5
      f32x4RelaxedMadd
      localTee 5
      v128Const 0 0 0 0
      f32x4Pmax
      v128Const 0 0 0 0
      f32x4Add
      localSet 7
      localGet 1
      localGet 7
      v128Store
      localGet 0
      i32Const 16
      i32Add
      localSet 0
      localGet 1
      i32Const 16
      i32Add
      localSet 1
      localGet 3
      i32Const 16
      i32Add
      localTee 3
      localGet 4
      i32LtS
      brIf 0
    end
  end
  localGet 1
  v128Load
  localSet 8
  localGet 0
  v128Load
  localGet 6
  localGet 8
  f32x4RelaxedMadd
  localTee 8
  v128Const 0 0 0 0
  f32x4Pmax
  v128Const 0 0 0 0
  f32x4Add
  localSet 9
  localGet 1
  localGet 9
  v128Store64Lane lane 0
  localGet 1
  localGet 9
  v128Store32Lane +8 lane 2`.trim(),
  );
});

test('constants are immediate operands, constant trip counts have no guard, single trips no loop', () => {
  const assembler = new WasmAssembler({ relaxed: false });
  const id = assembler.define('small', 1, (m, [p]) => {
    m.loop({ to: 4 }, () => {
      m.loop({ from: 5, to: 6 }, (i) => m.store(m.binary('add', i, m.constant('i32', -300)), p, 8));
    });
    m.loop({ from: 3, to: 3 }, () => m.store(p, p));
    m.store(m.unary('neg', m.constant('f32', 0.5)), p, -4);
  });
  assert.equal(
    assembler.listing(id),
    `
small(i32) locals i32 i32 f32
  i32Const 0
  localSet 1
  loop
    i32Const 5
    i32Const -300
    i32Add
    localSet 2
    localGet 0
    localGet 2
    i32Store +8
    localGet 1
    i32Const 1
    i32Add
    localTee 1
    i32Const 4
    i32LtS
    brIf 0
  end
  f32Const 0.5
  f32Neg
  localSet 3
  localGet 0
  i32Const -4
  i32Add
  localGet 3
  f32Store`.trim(),
  );
});
