import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { compile } from '../graph/compile.js';
import { setDevice } from '../graph/device.js';
import { assign, trace } from '../graph/trace.js';
import { conv2d } from '../ops/conv.js';
import { matmul } from '../ops/convolution.js';
import { tensor } from '../ops/create.js';
import { add, mul, relu } from '../ops/elementwise.js';
import { GaborError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { type CpuDevice, type CpuOptions, cpuDevice } from './cpu-device.js';

/** More, by hand, after changes of the runtime. */
const RUNS = Number(process.env.GABOR_RUNS ?? 8);

const devices: CpuDevice[] = [];
after(async () => {
  for (const device of devices) await device.close();
});

function onDevice(options: CpuOptions): CpuDevice {
  const device = cpuDevice(options);
  devices.push(device);
  setDevice(device);
  return device;
}

const KINDS: readonly CpuOptions[] = [{ instructions: 'wasm' }, {}].flatMap((kind) =>
  [1, 2, 4].map((threads) => ({ ...(kind as CpuOptions), threads })),
);

function values(shape: Shape, seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: sizeOf(shape) }, () => random.normal());
}

const normal = (shape: Shape, seed: number): Tensor => tensor(values(shape, seed), { shape });

/** With enough work for all threads. */
const IMAGE = [1, 8, 20, 20];
const FILTER = [8, 8, 3, 3];
const layer = (x: Tensor, w: Tensor): Tensor => relu(conv2d(x, w, { padding: 1 }));

/** What a program that never ran before computes. */
function anew(f: (...tensors: Tensor[]) => Tensor, ...tensors: Tensor[]): Float32Array {
  const program = compile(f);
  const result = program.sync(...tensors);
  program.dispose();
  return take(result);
}

function take(result: Tensor): Float32Array {
  const data = result.data() as Float32Array;
  result.dispose();
  return data;
}

/** Changes a tensor without anybody's knowledge. */
function tamper(device: CpuDevice, t: Tensor, data: Float32Array): void {
  const { address } = t.storage as unknown as { address: number };
  device.memory.view('f32', address, data.length).set(data);
}

for (const kind of KINDS) {
  const name = `${kind.instructions ?? 'the best instructions'}, ${kind.threads} threads`;

  test(`${name}: filters are packed once, and again when they were written`, async () => {
    const device = onDevice(kind);
    const [x, w, v] = [normal(IMAGE, 1), normal(FILTER, 2), normal(FILTER, 3)];
    const run = compile((t: Tensor) => layer(layer(t, w), v));
    const first = take(run.sync(x));
    assert.deepEqual(
      first,
      anew((t) => layer(layer(t, w), v), x),
    );
    const [other, more] = [values(FILTER, 4), values(FILTER, 5)];
    tamper(device, w, other);
    tamper(device, v, more);
    assert.deepEqual(take(run.sync(x)), first, 'what was packed is used again');
    assert.deepEqual(take(await run(x)), first);
    w.write(other);
    tamper(device, v, values(FILTER, 3));
    const second = take(await run(x));
    assert.deepEqual(
      second,
      anew((t) => layer(layer(t, w), v), x),
      'v as it was packed before',
    );
    assert.notDeepEqual(second, first);
    run.dispose();
  });
}

test('operators outside of compile pack a filter once, and alternating ones every time', () => {
  const device = onDevice({ threads: 2 });
  const [x, w, v] = [normal(IMAGE, 1), normal(FILTER, 2), normal(FILTER, 3)];
  const conv = (t: Tensor, filter: Tensor): Tensor => conv2d(t, filter, { padding: 1 });
  const [a, b] = [w, v].map((filter) => anew(conv, x, filter));
  for (const filter of [w, v, v, w, w, w, v, w]) assert.deepEqual(take(conv(x, filter)), filter === w ? a : b);
  tamper(device, w, values(FILTER, 3));
  assert.deepEqual(take(conv(x, w)), a);
  w.write(values(FILTER, 3));
  assert.deepEqual(take(conv(x, w)), b);
});

test('a program notices what another one has updated', async () => {
  onDevice({ threads: 2 });
  const [x, w] = [normal(IMAGE, 1), normal(FILTER, 2)];
  const predict = compile((t: Tensor) => layer(t, w));
  const train = compile((t: Tensor) => {
    assign(w, mul(w, -0.5));
    return layer(t, w);
  });
  const expected: Float32Array[] = [];
  for (let i = 0; i < 4; i++) {
    const before = take(predict.sync(x));
    expected.push(before);
    assert.deepEqual(before, anew(layer, x, w));
    if (i % 2 === 0) take(await train(x));
    else take(train.sync(x));
    assert.deepEqual(take(await predict(x)), anew(layer, x, w));
  }
  assert.notDeepEqual(expected[0], expected[1]);
  // A blocking call finishes what was begun before; the awaited ones happen in order.
  const pending = train(x);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(take(predict.sync(x)), anew(layer, x, w));
  take(await pending);
  const [one, , two] = (await Promise.all([predict(x), train(x), predict(x)])).map(take);
  assert.deepEqual(two, anew(layer, x, w));
  w.write((w.data() as Float32Array).map((value) => value * -2));
  assert.deepEqual(one, anew(layer, x, w));
});

test('a tensor given twice, once to be updated', async () => {
  onDevice({ threads: 2 });
  const x = normal([40, 80], 1);
  const w = normal([80, 80], 2);
  const other = normal([80, 80], 3);
  const run = compile((t: Tensor, filter: Tensor) => {
    const y = matmul(t, filter);
    assign(w, add(mul(w, 0.5), 1));
    return y;
  });
  for (const [i, filter] of [w, w, other, w, other, other, w].entries()) {
    const expected = anew(matmul, x, filter);
    assert.deepEqual(take(i % 2 === 0 ? run.sync(x, filter) : await run(x, filter)), expected, `call ${i}`);
  }
});

test('nothing counts as prepared after a run that failed', async () => {
  const device = onDevice({ threads: 2 });
  const [x, w] = [normal(IMAGE, 1), normal(FILTER, 2)];
  const run = compile((t: Tensor) => layer(t, w));
  take(run.sync(x));
  for (const sync of [true, false]) {
    w.write(values(FILTER, sync ? 3 : 4));
    const pools = [true, false].map((parallel) => device.pool(parallel));
    for (const pool of pools) {
      pool.run = () => Promise.reject(new GaborError('lost'));
      pool.runSync = () => {
        throw new GaborError('lost');
      };
    }
    if (sync) assert.throws(() => run.sync(x), /lost/);
    else await assert.rejects(run(x), /lost/);
    for (const pool of pools) {
      Reflect.deleteProperty(pool, 'run');
      Reflect.deleteProperty(pool, 'runSync');
    }
    assert.deepEqual(take(run.sync(x)), anew(layer, x, w));
  }
});

test('profile() times what is prepared, says so, and leaves programs as they are', () => {
  const device = onDevice({ threads: 2 });
  const [x, w] = [normal(IMAGE, 1), normal(FILTER, 2)];
  const run = compile((t: Tensor) => layer(t, w));
  const before = take(run.sync(x));
  const { graph, captured } = trace(() => [layer(x, w)]);
  const times = device.profile(
    graph,
    [...captured.keys()].map((t) => t.storage),
    2,
  );
  assert.ok(times.some(({ name, prepared }) => name === 'pack' && prepared));
  assert.ok(times.some(({ kernel, prepared }) => kernel === 'tile' && !prepared));
  assert.deepEqual(take(run.sync(x)), before);
});

type Action = { readonly kind: string; readonly which: number; readonly seed: number; readonly wait: boolean };

const actions: fc.Arbitrary<Action[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('predict', 'predict', 'predict', 'pair', 'eager', 'write', 'train', 'replace', 'queue'),
    which: fc.nat(2),
    seed: fc.nat(1000),
    wait: fc.boolean(),
  }),
  { minLength: 4, maxLength: 24 },
);

test('random sequences of writes, updates and runs give what programs that run for the first time give', async () => {
  const device = onDevice({ threads: 2 });
  await fc.assert(
    fc.asyncProperty(actions, async (sequence) => {
      setDevice(device);
      const ws = [1, 2, 3].map((seed) => normal(FILTER, seed));
      const x = normal(IMAGE, 0);
      const chain = (t: Tensor, a: Tensor, b: Tensor): Tensor => layer(layer(t, mul(a, b)), b);
      // One reads its filters from outside, the other one takes them as arguments.
      const captured = compile((t: Tensor) => chain(t, ws0, ws1));
      const given = compile(chain);
      const train = compile((t: Tensor) => {
        const y = layer(t, ws0);
        assign(ws0, add(mul(ws0, 0.5), mul(ws1, 0.25)));
        return y;
      });
      const [ws0, ws1] = [normal(FILTER, 4), normal(FILTER, 5)];
      for (const { kind, which, seed, wait } of sequence) {
        const [a, b] = [ws[which], ws[(which + seed) % 3]];
        if (kind === 'predict') {
          assert.deepEqual(take(wait ? await captured(x) : captured.sync(x)), anew(chain, x, ws0, ws1));
        } else if (kind === 'pair') {
          assert.deepEqual(take(wait ? await given(x, a, b) : given.sync(x, a, b)), anew(chain, x, a, b));
        } else if (kind === 'eager') {
          const y = conv2d(x, a, { padding: 1 });
          assert.deepEqual(
            take(y),
            anew((t, w) => conv2d(t, w, { padding: 1 }), x, a),
          );
        } else if (kind === 'write') {
          [...ws, ws0, ws1][seed % 5].write(values(FILTER, seed));
        } else if (kind === 'train') {
          take(wait ? await train(x) : train.sync(x));
        } else if (kind === 'replace') {
          // The next one usually gets the same memory.
          a.dispose();
          ws[which] = normal(FILTER, seed);
        } else {
          const [p, , q, r] = (await Promise.all([captured(x), train(x), captured(x), given(x, a, b)])).map(take);
          assert.deepEqual(q, anew(chain, x, ws0, ws1));
          assert.deepEqual(r, anew(chain, x, a, b));
          assert.equal(p.length, q.length);
        }
      }
      for (const t of [...ws, ws0, ws1, x]) t.dispose();
      for (const program of [captured, given, train]) program.dispose();
    }),
    { numRuns: RUNS },
  );
});

for (const options of KINDS.slice(0, 4)) {
  test(`a filter that was read into its memory is prepared again, ${JSON.stringify(options)}`, async () => {
    onDevice(options);
    const [x, w] = [normal(IMAGE, 1), normal(FILTER, 2)];
    const program = compile((a: Tensor) => layer(a, w));
    take(program.sync(x));
    for (const seed of [3, 4]) {
      const contents = values(FILTER, seed);
      await w.storage.fill?.(async (bytes) => {
        // Parts at a time, as files come.
        const from = new Uint8Array(contents.buffer);
        bytes.set(from.subarray(0, 1000));
        await new Promise((resolve) => setImmediate(resolve));
        bytes.set(from.subarray(1000), 1000);
      });
      assert.deepEqual(w.data(), contents);
      assert.deepEqual(take(program.sync(x)), anew(layer, x, tensor(contents, { shape: FILTER })));
    }
  });
}
