import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { assign } from '../graph/trace.js';
import type { Geometry } from '../kernel/contraction.js';
import { sum } from '../ops/broadcast.js';
import { conv2d } from '../ops/conv.js';
import { contract, matmul } from '../ops/convolution.js';
import { full, tensor } from '../ops/create.js';
import { add, mul, relu, sub } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { GaborError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type Instructions, nativeProblem } from './backend.js';
import { CpuDevice, cpuDevice } from './cpu-device.js';
import type { DeviceMemory } from './memory.js';
import { codeBytesInUse } from './native/code.js';

const workers: Worker[] = [];
process.on('worker', (worker) => workers.push(worker));
const devices: CpuDevice[] = [];
after(async () => {
  for (const device of devices) await device.close();
});

const native = (['avx512', 'avx2'] as const).find((features) => nativeProblem(features) === undefined);
const INSTRUCTIONS: readonly Instructions[] = native === undefined ? ['wasm'] : ['wasm', native];

/** A device with memory of its own, which becomes the current one. */
function fresh(instructions: Instructions, threads = 2): CpuDevice {
  const device = cpuDevice({ threads, instructions });
  devices.push(device);
  setDevice(device);
  return device;
}

function normal(shape: Shape, seed: number): Tensor {
  const random = new Random(seed);
  return tensor(
    Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
    { shape },
  );
}

/** Takes all memory but for some KiB; returns the addresses of what it took. */
function fillMemory(memory: DeviceMemory): number[] {
  const addresses: number[] = [];
  for (let bytes = memory.limit; bytes > 2 ** 12; ) {
    try {
      addresses.push(memory.allocate(bytes));
    } catch {
      bytes /= 2;
    }
  }
  return addresses;
}

const bits = (t: Tensor): Int32Array => new Int32Array((t.data() as Float32Array).buffer);

/** Convolutions, reductions, maps and an update, with enough work for all threads of a device. */
function step(w: Tensor, v: Tensor): (x: Tensor) => { loss: Tensor; rows: Tensor; y: Tensor } {
  return (x) => {
    const y = relu(conv2d(relu(conv2d(x, w, { padding: 1 })), v, { stride: 2, padding: 1 }));
    const loss = sum(mul(y, y));
    const [gw, gv] = gradients(loss, [w, v]);
    assign(w, sub(w, mul(gw, 1e-6)));
    assign(v, sub(v, mul(gv, 1e-6)));
    return { loss, rows: sum(y, [0, 2, 3]), y };
  };
}

for (const instructions of INSTRUCTIONS) {
  test(`results are the same bits for 1, 2 and 4 threads, awaited or not, on every call, ${instructions}`, async () => {
    let expected: Int32Array[][] | undefined;
    for (const threads of [1, 2, 4]) {
      for (const sync of [true, false]) {
        fresh(instructions, threads);
        const [w, v, x] = [normal([11, 5, 3, 3], 1), normal([9, 11, 3, 3], 2), normal([5, 5, 19, 17], 3)];
        const run = compile(step(w, v));
        const got: Int32Array[][] = [];
        for (let i = 0; i < 3; i++) {
          const { loss, rows, y } = sync ? run.sync(x) : await run(x);
          got.push([loss, rows, y, w, v].map(bits));
        }
        expected ??= got;
        assert.deepEqual(got, expected, `${threads} threads, ${sync ? 'sync' : 'async'}`);
      }
    }
  });

  test(`an argument that is also captured and assigned keeps its old contents within the program, ${instructions}`, async () => {
    for (const size of [3, 100_000]) {
      const device = fresh(instructions);
      const w = tensor(new Float32Array(size).fill(1));
      const run = compile((x: Tensor, y: Tensor) => {
        assign(w, add(w, 1));
        return [mul(x, 2), mul(y, 3), mul(w, 1)];
      });
      const other = full([size], 5);
      const used = device.memory.used;
      for (const results of [run.sync(w, w), await run(w, w), run.sync(other, w)]) for (const r of results) r.dispose();
      assert.ok(device.memory.used > used, 'the program');
      w.write(new Float32Array(size).fill(1));
      assert.deepEqual(
        run.sync(w, w).map((t) => t.data()[size - 1]),
        [2, 3, 2],
      );
      assert.deepEqual(
        (await run(w, other)).map((t) => t.data()[size - 1]),
        [4, 15, 3],
      );
      run.dispose();
    }
  });

  test(`axes that run backwards from the first bytes of memory, ${instructions}`, () => {
    // The first tensor lies at the lowest address, and the gradient reads its taps in reverse.
    const device = fresh(instructions, 1);
    const w = normal([2, 2, 9, 9], 1);
    const g = normal([1, 2, 9, 9], 2);
    const axis = { input: 9, kernel: 9, output: 9, stride: 1, dilation: 1, padLow: 4 };
    const geometry: Geometry = { batch: 1, groups: 1, channelsIn: 2, channelsOut: 2, axes: [axis, axis] };
    const got = contract('input', w, g, geometry).data();
    const inputs = [w, g].map((t) => t.data());
    setDevice(new ReferenceDevice());
    const [a, b] = inputs.map((data, i) => tensor(data, { shape: [w, g][i].shape }));
    const expected = contract('input', a, b, geometry).data();
    got.forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-4);
    });
    setDevice(device);
  });

  test(`programs from two asynchronous contexts do not disturb each other, ${instructions}`, async () => {
    fresh(instructions);
    const large = compile((x: Tensor) => matmul(x, x));
    const small = compile((x: Tensor) => add(x, 1));
    const context = async (f: (x: Tensor) => Promise<Tensor>, shape: Shape, seed: number): Promise<Tensor[]> => {
      const results: Tensor[] = [];
      for (let i = 0; i < 12; i++) results.push(await f(normal(shape, seed + i)));
      return results;
    };
    const all = await Promise.all([
      context(large, [96, 96], 0),
      context(small, [7], 100),
      context(large, [96, 96], 200),
      context(large, [130, 130], 300),
    ]);
    all.forEach((results, c) => {
      const f = c === 1 ? small : large;
      results.forEach((result, i) => {
        const again = f.sync(normal(result.shape, [0, 100, 200, 300][c] + i));
        assert.deepEqual(result.data(), again.data());
      });
    });
    // Many calls at once, none awaited before the next.
    const inputs = Array.from({ length: 20 }, (_, i) => normal([40 + (i % 3), 40 + (i % 3)], i));
    const results = await Promise.all(inputs.map((x) => large(x)));
    results.forEach((result, i) => {
      assert.deepEqual(result.data(), large.sync(inputs[i]).data());
    });
  });

  test(`updates of one tensor by many calls at once happen one after the other, ${instructions}`, async () => {
    fresh(instructions);
    const w = tensor(new Float32Array(70_000));
    const run = compile((x: Tensor) => {
      assign(w, add(mul(w, 2), x));
      return [];
    });
    const numbers = [1, 2, 3, 4, 5, 6];
    await Promise.all(numbers.map((n) => run(tensor(n))));
    assert.equal(
      w.data()[69_999],
      numbers.reduce((sum, n) => 2 * sum + n, 0),
    );
  });

  test(`what blocks comes after the calls before it, awaited or not, ${instructions}`, async () => {
    for (const size of [4, 400_000]) {
      fresh(instructions);
      const [w, x] = [full([size], 1), full([size], 1)];
      const learn = compile(() => {
        assign(w, add(w, x));
        return [];
      });
      const look = compile(() => mul(w, 2));
      const change = compile(() => {
        assign(x, mul(x, 5));
        return [];
      });
      const first = (t: Tensor): number => t.data()[0];
      assert.equal(first(look.sync()), 2);
      const runs: Promise<unknown>[] = [learn()];
      assert.equal(first(look.sync()), 4);
      runs.push(learn(), learn());
      assert.equal(first(add(w, 1)), 5);
      runs.push(learn(), learn());
      assert.equal(first(w), 6);
      runs.push(learn());
      change.sync();
      runs.push(learn());
      x.write(new Float32Array(size).fill(100));
      const seen = [look(), learn(), look()];
      w.write(new Float32Array(size));
      assert.deepEqual([first((await seen[0]) as Tensor), first((await seen[2]) as Tensor)], [24, 224]);
      await Promise.all(runs);
      assert.equal(first(w), 0);
    }
  });

  test(`random sequences of runs, awaited or not, reads and writes give what they give one after the other, ${instructions}`, async () => {
    fresh(instructions);
    const SIDE = 64;
    const tensors = [1, 2, 3].map((value) => full([SIDE, SIDE], value));
    const row = full([1, SIDE], 1);
    // For each number of a tensor, of those that block and of the others: no program may block while it is pending.
    const programs = [0, 1].map(() => ({
      increase: tensors.map((t) => compile(() => void assign(t, add(t, 1)))),
      // Enough work for all threads.
      copy: tensors.map((t, i) => {
        const from = tensors[(i + 1) % 3];
        return compile(() => void assign(t, add(from, mul(matmul(from, from), 0))));
      }),
      // Takes it as a filter that is prepared once.
      look: tensors.map((t) => compile(() => matmul(row, t))),
    }));
    const tensorNumber = fc.nat(2);
    const operation = fc.oneof(
      fc.record({
        kind: fc.constantFrom('increase' as const, 'copy' as const, 'look' as const),
        blocks: fc.boolean(),
        i: tensorNumber,
      }),
      fc.record({ kind: fc.constantFrom('read' as const, 'write' as const), i: tensorNumber }),
      fc.record({ kind: fc.constantFrom('turn' as const, 'settle' as const), i: tensorNumber }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 40 }), async (operations) => {
        const model = [1, 2, 3];
        for (const [i, value] of model.entries()) tensors[i].write(new Float32Array(SIDE * SIDE).fill(value));
        const pending: Promise<void>[] = [];
        const check = (y: Tensor, expected: number, what: string): void => {
          assert.ok(
            y.data().every((value) => value === expected),
            `${what}: ${y.data()[0]}, expected ${expected}`,
          );
        };
        const look = (y: Tensor, expected: number): void => {
          check(y, SIDE * expected, 'look');
          y.dispose();
        };
        for (const [n, operation] of operations.entries()) {
          const { kind, i } = operation;
          const blocks = 'blocks' in operation && operation.blocks;
          const now = model[i];
          if (kind === 'increase') model[i]++;
          if (kind === 'copy') model[i] = model[(i + 1) % 3];
          if (kind === 'write') {
            model[i] = n;
            tensors[i].write(new Float32Array(SIDE * SIDE).fill(n));
          } else if (kind === 'read') check(tensors[i], now, 'read');
          else if (kind === 'turn') await new Promise((resolve) => setImmediate(resolve));
          else if (kind === 'settle') await Promise.all(pending);
          else if (kind === 'look') {
            if (blocks) look(programs[0].look[i].sync(), now);
            else pending.push(programs[1].look[i]().then((y) => look(y, now)));
          } else if (blocks) programs[0][kind][i].sync();
          else pending.push(programs[1][kind][i]());
        }
        for (const [i, value] of model.entries()) check(tensors[i], value, 'at the end');
        await Promise.all(pending);
      }),
      { numRuns: 60 },
    );
  });

  test(`a run that fails while someone blocks for it is an error of its caller alone, ${instructions}`, async () => {
    const device = fresh(instructions);
    const w = tensor(new Float32Array(2 ** 20).fill(1));
    // What is given and captured is copied when the run begins.
    const run = compile((x: Tensor) => {
      assign(w, add(x, w));
      return [];
    });
    await run(w);
    const used = device.memory.used;
    const blocks = fillMemory(device.memory);
    const outcome = assert.rejects(run(w), /out of memory/);
    assert.equal(w.data()[0], 2);
    await outcome;
    for (const address of blocks) device.memory.free(address);
    assert.equal(device.memory.used, used);
    await run(w);
    assert.equal(w.data()[0], 4);
  });

  test(`outputs outlive their program; a disposed program is compiled again, ${instructions}`, async () => {
    fresh(instructions);
    const run = compile((x: Tensor) => [add(x, 1), reshape(mul(x, 2), [3, 1])]);
    const x = tensor([1, 2, 3]);
    const outputs = [...run.sync(x), ...(await run(x))];
    run.dispose();
    const others = Array.from({ length: 20 }, (_, i) => tensor(new Float32Array(64).fill(i)));
    assert.deepEqual(
      outputs.map((t) => [...t.data()]),
      [
        [2, 3, 4],
        [2, 4, 6],
        [2, 3, 4],
        [2, 4, 6],
      ],
    );
    assert.deepEqual([...run.sync(x)[0].data()], [2, 3, 4]);
    assert.equal(others[19].data()[63], 19);
  });

  test(`inputs and programs may be disposed of while a run is pending, ${instructions}`, async () => {
    const device = fresh(instructions);
    const before = device.memory.used;
    const run = compile((x: Tensor, y: Tensor) => matmul(x, y));
    const pending: Promise<Tensor>[] = [];
    for (let i = 0; i < 6; i++) {
      const x = tensor(new Float32Array(150 * 150).fill(i), { shape: [150, 150] });
      const y = tensor(new Float32Array(150 * 150).fill(1), { shape: [150, 150] });
      pending.push(run(x, y));
      x.dispose();
      y.dispose();
      // What is freed too early would be taken and overwritten here.
      tensor(new Float32Array(150 * 150).fill(Number.NaN)).dispose();
    }
    run.dispose();
    for (const [i, result] of (await Promise.all(pending)).entries()) {
      assert.ok(result.data().every((value) => value === i * 150));
      result.dispose();
    }
    assert.equal(device.memory.used, before);
  });

  test(`300 programs compiled, run and disposed of leave no memory behind, ${instructions}`, async () => {
    const device = fresh(instructions);
    const before = device.memory.used;
    for (let i = 0; i < 300; i++) {
      const x = normal([1 + (i % 7), 3 + (i % 5)], i);
      const w = normal([3 + (i % 5), 1 + (i % 11)], i);
      const run = compile((a: Tensor) => {
        const y = relu(matmul(a, w));
        assign(w, mul(w, 0.5));
        return [sum(y), y];
      });
      const results = i % 2 === 0 ? run.sync(x) : await run(x);
      for (const t of [...results, x, w]) t.dispose();
      run.dispose();
    }
    assert.equal(device.memory.used, before);
  });

  test(`failures leave no memory behind, and say what was wrong, ${instructions}`, async () => {
    const device = fresh(instructions);
    const elsewhere = new CpuDevice({ threads: 1 });
    devices.push(elsewhere);
    const run = compile((x: Tensor, y: Tensor) => add(x, y));
    const x = tensor([1, 2]);
    run.sync(x, x).dispose();
    const used = device.memory.used;
    setDevice(elsewhere);
    const foreign = tensor([1, 2]);
    setDevice(device);
    assert.throws(() => run.sync(x, foreign), GaborError);
    await assert.rejects(run(x, foreign), /another device/);
    assert.throws(() => device.allocate({ dtype: 'f64', shape: [1] }), /f64/);
    assert.throws(() => cpuDevice({ threads: 0 }), /threads/);
    assert.throws(() => cpuDevice({ thread: 1 } as object), /thread/);
    assert.equal(device.memory.used, used);
    assert.deepEqual([...run.sync(x, x).data()], [2, 4]);
  });

  test(`programs that are not running make room for others, and run again to the same bits, ${instructions}`, async () => {
    const device = fresh(instructions);
    const { memory } = device;
    const w = normal([32, 32, 3, 3], 2);
    const run = compile((t: Tensor) => relu(conv2d(relu(conv2d(t, w, { padding: 1 })), w, { padding: 1 })));
    const sizes = [36, 38, 40, 42, 44, 46, 48];
    const inputs = sizes.map((size) => normal([1, 32, size, size], size));
    const expected: string[] = [];
    for (const x of inputs) {
      const y = await run(x);
      expected.push(`${y.data()}`);
      y.dispose();
    }
    run.dispose();
    // Room for the largest of the programs, but not for all.
    const needs = inputs.map((x) => device.memoryOf(run.graph(x)));
    const [arenas, scratch] = (['arena', 'scratch'] as const).map((key) => needs.reduce((sum, x) => sum + x[key], 0));
    const bytes = Math.ceil(1.5 * (needs[6].peak - needs[6].inputs));
    assert.ok(arenas + scratch > 2 * bytes, `${arenas} and ${scratch} bytes need no more than ${bytes}`);
    const room = memory.allocate(bytes);
    const blocks = fillMemory(memory);
    memory.free(room);
    for (const order of [
      [0, 1, 2, 3, 4, 5, 6],
      [6, 0, 5, 2, 1, 1, 4, 3, 6],
    ]) {
      for (const i of order) {
        const y = i % 2 === 0 ? run.sync(inputs[i]) : await run(inputs[i]);
        assert.equal(`${y.data()}`, expected[i]);
        y.dispose();
      }
    }
    // At once, none of them can give way to another.
    const all = await Promise.allSettled(inputs.map((x) => run(x)));
    for (const [i, result] of all.entries()) {
      if (result.status === 'fulfilled') assert.equal(`${result.value.data()}`, expected[i]);
      else assert.match(String(result.reason), /out of memory/);
    }
    assert.equal(all[0].status, 'fulfilled');
    assert.equal(all[6].status, 'rejected');
    for (const address of blocks) memory.free(address);
  });

  test(`programs for which there is no room leave none of it behind, ${instructions}`, () => {
    const { memory } = fresh(instructions);
    const [x, w] = [normal([1, 32, 40, 40], 1), normal([32, 32, 3, 3], 2)];
    const attempt = (): void => {
      const run = compile((t: Tensor) => relu(conv2d(relu(conv2d(t, w, { padding: 1 })), w, { padding: 1 })));
      try {
        run.sync(x).dispose();
      } finally {
        run.dispose();
      }
    };
    attempt();
    const pieces = Array.from({ length: 24 }, () => memory.allocate(Math.ceil(memory.peak / 24)));
    fillMemory(memory);
    // What fits in turn: nothing, what is kept from run to run, what the threads need as well, the result as well.
    let failures = 0;
    for (const piece of pieces) {
      memory.free(piece);
      const { used } = memory;
      try {
        attempt();
      } catch (error) {
        failures++;
        assert.match(String(error), /out of memory/);
      }
      assert.equal(memory.used, used);
    }
    assert.ok(failures > 0 && failures < pieces.length, `${failures} failures`);
  });

  test(`a worker that is killed in a run is an error, and the device goes on, ${instructions}`, async () => {
    const device = fresh(instructions);
    const run = compile((x: Tensor) => {
      let y = x;
      for (let i = 0; i < 40; i++) y = relu(matmul(y, x));
      return y;
    });
    // Too much for the calling thread alone.
    const x = full([512, 512], 2 ** -9);
    const expected = (await run(x)).data();
    for (let i = 0; i < 3; i++) {
      const pending = [run(x), run(x)];
      await new Promise((resolve) => setTimeout(resolve, i));
      workers.at(-1)!.terminate();
      const outcomes = await Promise.allSettled(pending);
      const [lost, ...others] = outcomes.filter((outcome) => outcome.status === 'rejected');
      assert.match(String(lost?.reason), /worker thread \d ended unexpectedly/);
      assert.deepEqual(others, []);
      for (const outcome of outcomes) {
        if (outcome.status === 'fulfilled') assert.deepEqual(outcome.value.data(), expected);
      }
      assert.deepEqual(run.sync(x).data(), expected);
    }
    const code = codeBytesInUse();
    run.dispose();
    assert.ok(instructions === 'wasm' || codeBytesInUse() < code);
    assert.equal(device.threads, 2);
  });

  test(`two models trained from two asynchronous contexts, awaited and not, compute what each does alone, ${instructions}`, async () => {
    fresh(instructions);
    const train = async (seed: number, width: number, sync: (i: number) => boolean): Promise<Int32Array[]> => {
      const [w, v] = [normal([width, 5, 3, 3], seed), normal([9, width, 3, 3], seed + 1)];
      const run = compile(step(w, v));
      const losses: Int32Array[] = [];
      for (let i = 0; i < 6; i++) {
        const x = normal([4, 5, 13, 12], seed + 2 + i);
        const results = sync(i) ? run.sync(x) : await run(x);
        losses.push(bits(results.loss));
      }
      return [...losses, bits(w), bits(v)];
    };
    const mixed = (i: number): boolean => i % 3 === 2;
    const together = await Promise.all([train(1, 11, () => false), train(100, 7, mixed), train(200, 16, () => false)]);
    const alone = [await train(1, 11, () => false), await train(100, 7, () => false), await train(200, 16, () => true)];
    assert.deepEqual(together, alone);
  });
}
