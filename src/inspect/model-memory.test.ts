import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { compileGraph } from '../compiler/compile.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { findModel } from '../models/index.js';
import { BatchNorm2d, Conv2d, Dropout, Flatten, Linear, ReLU, Sequential } from '../nn/index.js';
import { tensor } from '../ops/create.js';
import { chooseBackend } from '../runtime/backend.js';
import { CpuDevice, cpuDevice, type ProgramMemory } from '../runtime/cpu-device.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { INSTRUCTIONS } from '../testing/devices.js';
import { modelMemory } from './model-memory.js';

const devices = INSTRUCTIONS.map((instructions) => ({
  device: cpuDevice({ threads: 2, instructions }),
  backend: chooseBackend({ instructions }),
}));
after(() => Promise.all(devices.map(({ device }) => device.close())));

const bytes = (values: Graph['inputs']): number => values.reduce((n, { type }) => n + 4 * sizeOf(type.shape), 0);
/** What the device takes for a block: slack behind it, whole cache lines. */
const block = (size: number): number => Math.ceil((Math.max(size, 1) + 64) / 64) * 64;

for (const { device, backend } of devices) {
  const on = device.instructions;

  test(`the memory of a program is what its plan says and its runs take, ${on}`, () => {
    setDevice(device);
    const net = new Sequential(new Conv2d(3, 8, 3), new ReLU(), new Flatten(), new Linear(8 * 14 * 14, 10));
    const images = tensor(new Float32Array(5 * 3 * 16 * 16).fill(0.5), { shape: [5, 3, 16, 16] });
    const run = compile((x: Tensor) => net.call(x));
    const graph = run.graph(images);
    const memory = device.memoryOf(graph);
    const plan = compileGraph(graph, backend.machine);
    const { arenaBytes } = plan.memory;
    assert.equal(memory.arena, arenaBytes);
    assert.equal(memory.scratch, 2 * backend.emit(plan).scratch);
    assert.ok(arenaBytes >= 4 * 5 * 8 * 14 * 14, 'at least the features between both layers');
    assert.equal(memory.inputs, bytes(graph.inputs));
    assert.equal(memory.outputs, 4 * 5 * 10);
    assert.equal(memory.peak, memory.inputs + memory.outputs + memory.arena + memory.scratch);
    const before = device.memory.used;
    const y = run.sync(images);
    // The pointer table, too, which is a few hundred bytes.
    const table = device.memory.used - before - block(memory.arena) - block(memory.scratch) - block(memory.outputs);
    assert.ok(table > 0 && table <= 512 && table % 64 === 0, `${table} bytes more than planned`);
    y.dispose();
    run.dispose();
  });

  test(`forward and training step of models, ${on}`, () => {
    setDevice(device);
    const net = new Sequential(
      new Conv2d(1, 6, 3, { padding: 1 }),
      new BatchNorm2d(6),
      new ReLU(),
      new Dropout(0.5),
      new Flatten(),
      new Linear(6 * 12 * 12, 3),
    );
    const own = net.parameters().reduce((n, parameter) => n + 4 * parameter.size, 0);
    const [one, many] = [1, 32].map((batch) => modelMemory(net, [1, 12, 12], { batch }));
    assert.equal(many.batch, 32);
    assert.equal(many.forward.outputs, 4 * 32 * 3);
    assert.ok(one.forward.inputs >= own + 4 * 144);
    assert.equal(many.forward.inputs - one.forward.inputs, 31 * 4 * 144);
    // Backward needs the features of the forward pass.
    assert.ok(many.training !== undefined);
    assert.ok(many.training.arena >= 4 * 32 * 6 * 144, String(many.training.arena));
    assert.ok(many.training.peak > many.forward.peak && many.forward.peak > one.forward.peak);
    assert.ok(net.training, 'the mode is as before');
    const lenet = modelMemory(findModel('lenet').create({ classes: 10, inChannels: 1, size: [28, 28] }), [1, 28, 28]);
    assert.ok(lenet.forward.inputs >= 4 * (61_706 + 784));
    const total = ({ inputs, outputs, arena, scratch }: ProgramMemory): number => inputs + outputs + arena + scratch;
    assert.ok(lenet.training !== undefined);
    assert.equal(lenet.training.peak, total(lenet.training));
    // One value per channel has no variance to normalise with.
    const flat = new Sequential(new BatchNorm2d(2));
    assert.equal(modelMemory(flat, [2, 1, 1]).training, undefined);
    assert.ok(modelMemory(flat, [2, 1, 1], { batch: 2 }).training !== undefined);
  });
}

test('wrong options and devices without a plan are errors', () => {
  const net = new Sequential(new Linear(3, 2));
  setDevice(devices[0].device);
  assert.throws(() => modelMemory(net, [3], { batch: 0 }), /modelMemory: batch must be .* got 0/);
  assert.throws(() => modelMemory(net, [3], { size: 2 } as object), /modelMemory: unknown option "size"/);
  assert.throws(() => modelMemory(net, [4]), /3/);
  setDevice(new ReferenceDevice());
  assert.throws(() => modelMemory(net, [3]), /only cpu devices plan their memory, the current one is reference/);
  assert.ok(devices[0].device instanceof CpuDevice);
});
