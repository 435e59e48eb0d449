import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sum } from '../ops/broadcast.js';
import { tensor } from '../ops/create.js';
import { add, mul, neg } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import { Tensor } from '../tensor/tensor.js';
import { CheckingDevice } from '../testing/checking-device.js';
import { compile } from './compile.js';
import { type Device, type Executable, getDevice, setDevice } from './device.js';
import type { Graph } from './graph.js';
import { applyOperator, assign, currentTrace, withScope } from './trace.js';

/** Counts what is compiled and disposed of. */
class CountingDevice extends CheckingDevice {
  compiled = 0;
  disposed = 0;

  override compile(graph: Graph): Executable {
    this.compiled++;
    const executable = super.compile(graph);
    return {
      ...executable,
      dispose: () => {
        this.disposed++;
        executable.dispose();
      },
    };
  }
}

function onDevice<D extends Device, T>(device: D, body: (device: D) => T): T {
  const before = currentDevice;
  setDevice((currentDevice = device));
  try {
    return body(device);
  } finally {
    setDevice((currentDevice = before));
  }
}

let currentDevice: Device = new CheckingDevice();
setDevice(currentDevice);

const list = (t: Tensor): number[] => [...t.data()];

test('traced once per signature: shapes, dtypes and plain values count, contents do not', () => {
  let traced = 0;
  const f = compile((x: Tensor, options: { scale: number; on?: boolean; name?: string }) => {
    traced++;
    return mul(x, options.scale);
  });
  const runs = (expected: number, x: Tensor, options: Parameters<typeof f>[1]): void => {
    const result = f.sync(x, options);
    assert.deepEqual(
      list(result),
      list(x).map((v) => v * options.scale),
    );
    assert.equal(traced, expected, JSON.stringify(options));
  };
  runs(1, tensor([1, 2]), { scale: 2 });
  runs(1, tensor([3, 4]), { scale: 2 });
  runs(2, tensor([[3, 4]]), { scale: 2 });
  runs(3, tensor([3, 4]), { scale: 3 });
  runs(4, tensor(new Int32Array([3, 4])), { scale: 3 });
  runs(5, tensor([3, 4]), { scale: 3, on: true });
  runs(6, tensor([3, 4]), { scale: 3, on: false });
  runs(7, tensor([3, 4]), { scale: 3, name: 'false' });
  runs(8, tensor([3, 4]), { scale: 3, name: 'f32[2]' });
  runs(9, tensor([3, 4]), { scale: 0 });
  runs(10, tensor([3, 4]), { scale: -0 });
  runs(11, tensor([3, 4]), { scale: Number.NaN });
  runs(11, tensor([5, 4]), { scale: Number.NaN });
  runs(12, tensor([3, 4]), { scale: Number.POSITIVE_INFINITY });
  runs(1 + 12, tensor([3, 4]), { scale: Number.NEGATIVE_INFINITY });
});

test('keys of objects cannot imitate structure', () => {
  let traced = 0;
  const f = compile((x: Tensor, _options: Record<string, number>) => {
    traced++;
    return neg(x);
  });
  f.sync(tensor([1]), { a: 1, b: 2 });
  f.sync(tensor([1]), { 'a:1,b': 2 });
  assert.equal(traced, 2);
});

test('the key option distinguishes what arguments do not show', () => {
  let training = true;
  const f = compile((x: Tensor) => (training ? neg(x) : x), { key: () => `${training}` });
  assert.deepEqual(list(f.sync(tensor([1]))), [-1]);
  training = false;
  assert.deepEqual(list(f.sync(tensor([1]))), [1]);
  assert.throws(() => compile((x: Tensor) => x, { keys: () => '' } as object), OptionError);
});

test('arguments and results are trees; every result owns its memory', async () => {
  const f = compile(({ pair: [a, b], scale }: { pair: [Tensor, Tensor]; scale: number }) => ({
    sums: [add(a, b), mul(a, scale)],
    same: a,
    note: 'text',
    nothing: undefined,
    deep: { er: [[b]] },
  }));
  const [a, b] = [tensor([1, 2]), tensor([10, 20])];
  const result = await f({ pair: [a, b], scale: 3 });
  assert.deepEqual(result.sums.map(list), [
    [11, 22],
    [3, 6],
  ]);
  assert.deepEqual([result.note, result.nothing], ['text', undefined]);
  assert.notEqual(result.same, a);
  result.same.dispose();
  result.deep.er[0][0].dispose();
  assert.deepEqual(
    [list(a), list(b)],
    [
      [1, 2],
      [10, 20],
    ],
  );
  const twice = compile((x: Tensor) => {
    const y = neg(x);
    return [y, y];
  });
  const [first, second] = twice.sync(a);
  first.dispose();
  assert.deepEqual(list(second), [-1, -2]);
});

test('anything but tensors, plain values, arrays and plain objects is refused', async () => {
  const refused = (value: unknown): void => {
    assert.throws(() => compile<[unknown], number>(() => 1).sync(value), GaborError);
    assert.throws(() => compile(() => value).sync(), GaborError);
  };
  for (const value of [new Map(), new Date(), new Float32Array(2), () => 1, 1n, Symbol('s')]) refused(value);
  await assert.rejects(compile(async (x: Tensor) => x)(tensor([1])), /Promise/);
});

test('tensors from outside are captured, not copied: their contents are read at each call', () => {
  const w = tensor([2, 3]);
  const f = compile((x: Tensor) => mul(x, w));
  assert.deepEqual(list(f.sync(tensor([1, 1]))), [2, 3]);
  w.write([5, 7]);
  assert.deepEqual(list(f.sync(tensor([1, 1]))), [5, 7]);
  assert.deepEqual(list(compile(() => w).sync()), [5, 7]);
  const graph = f.graph(tensor([1, 1]));
  assert.equal(graph.inputs.length, 2);
  // Captured once, however often used.
  assert.equal(compile(() => add(mul(w, w), w)).graph().inputs.length, 1);
});

test('assign: later uses see the new contents, memory changes when the program ends', () => {
  const w = tensor([1, 2]);
  const f = compile((x: Tensor) => {
    const before = mul(w, 1);
    assign(w, add(w, x));
    const after = mul(w, 1);
    assign(w, mul(w, 10));
    return { before, after, last: w };
  });
  const r = f.sync(tensor([1, 1]));
  assert.deepEqual([r.before, r.after, r.last, w].map(list), [
    [1, 2],
    [2, 3],
    [20, 30],
    [20, 30],
  ]);
  assert.deepEqual(list(f.sync(tensor([1, 1])).before), [20, 30]);
});

test('assign: values read before keep their value, also where no operator ran', () => {
  const w = tensor([1, 2]);
  const f = compile(() => {
    const same = reshape(w, [2]);
    assign(w, neg(w));
    return same;
  });
  assert.deepEqual(list(f.sync()), [1, 2]);
  assert.deepEqual(list(w), [-1, -2]);
});

test('assign: exchanging two tensors sees the statements in order', () => {
  const [a, b] = [tensor([1]), tensor([2])];
  compile(() => {
    // The memory itself is exchanged: no operator between old and new contents.
    const old = reshape(a, [1]);
    assign(a, b);
    assign(b, old);
  }).sync();
  assert.deepEqual([a.item(), b.item()], [2, 1]);
  compile(() => {
    assign(a, b);
    assign(b, a);
  }).sync();
  assert.deepEqual([a.item(), b.item()], [1, 1]);
});

test('assign outside of functions writes at once; what does not fit is refused', () => {
  const w = tensor([1, 2]);
  assign(w, tensor([3, 4]));
  assert.deepEqual(list(w), [3, 4]);
  assert.throws(
    () => assign(w, tensor([1])),
    (e) => e instanceof ShapeError && /f32\[1\].*f32\[2\]/.test(e.message),
  );
  assert.throws(() => assign(w, tensor(new Int32Array(2))), ShapeError);
  assert.throws(() => compile((x: Tensor) => assign(x, neg(x))).sync(tensor([1])), /not a value inside a function/);
});

test('compile inside of compile is an error, also where the inner program exists already', () => {
  const w = tensor([1]);
  const inner = compile(() => neg(w));
  const outer = compile(() => inner.sync());
  assert.throws(() => outer.sync(), /inside a traced function/);
  inner.sync();
  assert.throws(() => outer.sync(), /inside a traced function/);
  assert.equal(currentTrace(), undefined);
});

test('a failing function leaves no trace behind', () => {
  const f = compile((x: Tensor) => withScope('layer', () => add(x, tensor([1, 2, 3]))));
  assert.throws(
    () => f.sync(tensor([1, 2])),
    (e) => e instanceof ShapeError && /^in "layer": add/.test(e.message),
  );
  assert.equal(currentTrace(), undefined);
  assert.deepEqual(list(add(tensor([1]), 1)), [2]);
  assert.throws(() => add(tensor([1, 2]), tensor([1, 2, 3])), /^ShapeError: add/);
});

test('scopes nest in messages and nodes', () => {
  const f = compile((x: Tensor) => withScope('a', () => withScope('', () => withScope('0', () => neg(x)))));
  assert.equal(f.graph(tensor([1])).nodes[0].scope, 'a.0');
});

test('disposed tensors are refused: as argument, on capture, and when a program runs again', () => {
  const gone = tensor([1]);
  gone.dispose();
  const identity = compile((x: Tensor) => x);
  assert.throws(() => identity.sync(gone), /f32\[1\] was disposed/);
  assert.throws(() => compile(() => neg(gone)).sync(), /was disposed/);
  assert.throws(() => neg(gone), /was disposed/);
  assert.throws(() => assign(gone, tensor([1])), /was disposed/);
  const w = tensor([2]);
  const f = compile((x: Tensor) => mul(x, w));
  f.sync(tensor([1]));
  w.dispose();
  assert.throws(() => f.sync(tensor([1])), /was disposed/);
});

test('placeholders that escape from their function are refused', () => {
  let escaped: Tensor | undefined;
  compile((x: Tensor) => {
    escaped = neg(x);
    return x;
  }).sync(tensor([1]));
  assert.ok(escaped instanceof Tensor);
  assert.throws(() => (escaped as Tensor).data(), /has no data yet/);
  assert.throws(() => neg(escaped as Tensor), GaborError);
  assert.throws(() => compile(() => neg(escaped as Tensor)).sync(), /another traced function/);
  assert.throws(() => compile(() => escaped as Tensor).sync(), /another traced function/);
  assert.throws(() => compile((x: Tensor) => assign(x, escaped as Tensor)).sync(tensor([1])), GaborError);
});

test('programs belong to a device and are disposed of', () => {
  const f = compile((x: Tensor) => neg(x));
  const run = (): Tensor => f.sync(tensor([1]));
  const [a, b] = [new CountingDevice(), new CountingDevice()];
  onDevice(a, run);
  onDevice(a, run);
  onDevice(b, run);
  onDevice(a, run);
  assert.deepEqual([a.compiled, b.compiled], [1, 1]);
  f.dispose();
  assert.deepEqual([a.disposed, b.disposed], [1, 1]);
  onDevice(a, run);
  assert.equal(a.compiled, 2);
});

test('operators outside of functions are compiled once per signature', () => {
  onDevice(new CountingDevice(), (device) => {
    const x = tensor([1, 2]);
    for (let i = 0; i < 3; i++) assert.deepEqual(list(neg(x)), [-1, -2]);
    assert.equal(device.compiled, 1);
    neg(tensor([1, 2, 3]));
    assert.equal(device.compiled, 2);
    for (const number of [2, 3, -0, Number.NaN]) assert.deepEqual(list(mul(x, number)), [number, 2 * number]);
    assert.equal(device.compiled, 3, 'another number needs no other program');
    // More programs than the cache holds: old ones go.
    for (let n = 1; n <= 600; n++) sum(tensor(new Float32Array(n)));
    assert.ok(device.disposed >= 602 - 512, `${device.disposed}`);
    neg(x);
  });
});

test('tensors of another device are refused', () => {
  const elsewhere: Device = {
    name: 'elsewhere',
    allocate: (type) => ({
      type,
      read: () => new Float32Array(1),
      write: () => undefined,
      clear: () => undefined,
      dispose: () => undefined,
    }),
    compile: () => {
      throw new Error('unused');
    },
  };
  const x = onDevice(elsewhere, () => tensor([1]));
  const reference = new ReferenceDevice();
  assert.throws(
    () => onDevice(reference, () => neg(x)),
    (e) => e instanceof GaborError && /another device/.test(e.message),
  );
  assert.equal(getDevice(), currentDevice);
});

test('applyOperator takes any operator', () => {
  const [y] = applyOperator(
    {
      name: 'twice',
      infer: ([x]) => [x],
      reference([x], [out]) {
        out.data.set(x.data.map((v) => 2 * v));
      },
      lower: () => ({ kind: 'reshape' }),
    },
    onDevice(new ReferenceDevice(), () => [tensor([0])]),
    {},
  );
  assert.deepEqual(list(y), [0]);
});
