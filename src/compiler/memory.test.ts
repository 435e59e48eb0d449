import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { assign, trace } from '../graph/trace.js';
import { sum } from '../ops/broadcast.js';
import { matmul } from '../ops/convolution.js';
import { tensor } from '../ops/create.js';
import { add, mul } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { transpose } from '../ops/transpose.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import type { Tensor } from '../tensor/tensor.js';
import { interpretSteps } from '../testing/interpret-steps.js';
import { compileGraph, type Plan } from './compile.js';
import { type MachineDescription, USUAL_CACHES } from './machine.js';

setDevice(new ReferenceDevice({ precision: 'f64' }));
const MACHINE: MachineDescription = { lanes: 4, tile: { rows: 4, vectors: 2 }, caches: USUAL_CACHES, winograd: false };

/** Compiles a function of captured tensors; `after` runs it and returns what they then hold, in the order of capture. */
function compiled(body: () => readonly Tensor[]): { plan: Plan; after: () => number[][]; steps: string[] } {
  const { graph, captured } = trace(body);
  const plan = compileGraph(graph, MACHINE);
  const inputs = [...captured.keys()].map((t) => t.data());
  return {
    plan,
    after: () => interpretSteps(plan.program, inputs).inputs.map((data) => [...data]),
    steps: plan.program.steps.map((step) => step.name),
  };
}

test('an update is written in place by the step that computes it', () => {
  const [w, v] = [tensor([1, 2]), tensor([10, 20])];
  const { plan, steps, after } = compiled(() => {
    assign(v, add(mul(v, 2), w));
    assign(w, add(w, v));
    return [];
  });
  assert.ok(!steps.includes('update'), `${steps}`);
  assert.equal(plan.memory.temporaryBytes, 0);
  assert.deepEqual(after(), [
    [21, 42],
    [22, 44],
  ]);
});

test('an update that reads other positions of what it overwrites goes through a temporary', () => {
  const w = tensor([
    [1, 2],
    [3, 4],
  ]);
  const swapped = compiled(() => {
    assign(w, transpose(w));
    return [];
  });
  assert.deepEqual(swapped.after(), [[1, 3, 2, 4]]);
  const centred = compiled(() => {
    assign(w, add(w, sum(w)));
    return [];
  });
  assert.deepEqual(centred.after(), [[11, 12, 13, 14]]);
  const product = compiled(() => {
    assign(w, matmul(w, w));
    return [];
  });
  assert.deepEqual(product.after(), [[7, 10, 15, 22]]);
});

test('the old contents stay for whoever reads them later', () => {
  const [w, v] = [tensor([1, 2]), tensor([5, 6])];
  const { after } = compiled(() => {
    const next = mul(w, 3);
    const old = mul(w, 10);
    assign(w, next);
    assign(v, add(old, next));
    return [];
  });
  assert.deepEqual(after(), [
    [3, 6],
    [13, 26],
  ]);
});

test('several tensors become the same value', () => {
  const [a, b, c] = [tensor([1, 2]), tensor([3, 4]), tensor([[5], [6]])];
  const { after } = compiled(() => {
    const value = mul(a, 10);
    assign(a, value);
    assign(b, value);
    assign(c, reshape(value, [2, 1]));
    return [];
  });
  for (const data of after()) assert.deepEqual(data, [10, 20]);
});

test('tensors are exchanged, in a circle too', () => {
  const [a, b, c] = [tensor([1]), tensor([2]), tensor([3])];
  const { after } = compiled(() => {
    const old = add(a, 0);
    assign(a, b);
    assign(b, c);
    assign(c, old);
    return [];
  });
  assert.deepEqual(after(), [[2], [3], [1]]);
});

test('temporaries that are not needed at the same time share memory', () => {
  const x = tensor(new Float32Array(4096), { shape: [64, 64] });
  const { plan } = compiled(() => {
    let y: Tensor = x;
    for (let i = 0; i < 8; i++) y = matmul(y, x);
    return [y];
  });
  const matrix = 64 * 64 * 4;
  assert.ok(plan.memory.temporaryBytes >= 8 * matrix);
  assert.ok(plan.memory.arenaBytes <= 3 * (matrix + 64), `${plan.memory.arenaBytes}`);
});
