import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { assign, trace } from '../graph/trace.js';
import { conv2d } from '../ops/conv.js';
import { matmul } from '../ops/convolution.js';
import { ones, tensor } from '../ops/create.js';
import { channelDropout } from '../ops/dropout.js';
import { add, div, mul, relu, sqrt } from '../ops/elementwise.js';
import { reshape } from '../ops/reshape.js';
import { ReferenceDevice } from '../targets/reference/device.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { compileGraph } from './compile.js';
import { type MachineDescription, USUAL_CACHES } from './machine.js';
import { bytesOf, keptBuffers, planMemory } from './memory.js';
import { prepareSteps } from './prepare.js';
import { preparationsOf, rootBuffer, type Steps } from './steps.js';
import { verifySteps } from './verify.js';

setDevice(new ReferenceDevice({ precision: 'f64' }));
const MACHINE: MachineDescription = { lanes: 4, tile: { rows: 4, vectors: 2 }, caches: USUAL_CACHES, winograd: false };

const zeros = (...shape: Shape): Tensor => tensor(new Float32Array(sizeOf(shape)), { shape });

/** Compiles a function of these captured tensors. `prepared` lists the steps of each preparation, by the tensors that it needs. */
function compiled(
  tensors: Readonly<Record<string, Tensor>>,
  body: () => readonly Tensor[],
  machine: MachineDescription = MACHINE,
): { program: Steps; prepared: Record<string, string[]> } {
  const { graph, captured } = trace(body);
  const { program } = compileGraph(graph, machine);
  const names = [...captured.keys()].map((t) => Object.keys(tensors).find((name) => tensors[name] === t));
  const prepared: Record<string, string[]> = {};
  for (const preparation of preparationsOf(program.steps)) {
    const steps = program.steps.filter((step) => step.preparation === preparation);
    prepared[
      preparation.inputs
        .map((input) => names[input])
        .sort()
        .join()
    ] = steps.map(({ name }) => name);
  }
  return { program, prepared };
}

test('filters are prepared, by the inputs that they are computed from; activations are not', () => {
  const [x, w, v, s] = [zeros(2, 3, 8, 8), zeros(8, 3, 3, 3), zeros(8, 8, 3, 3), zeros(8, 8, 1, 1)];
  const { program, prepared } = compiled({ x, w, v, s }, () => {
    const y = relu(conv2d(x, w, { padding: 1 }));
    return [conv2d(y, mul(v, s), { padding: 1 })];
  });
  assert.deepEqual(Object.keys(prepared), ['w', 's,v']);
  assert.ok(program.steps.some((step) => step.name === 'pad' && step.preparation === undefined));
  assert.deepEqual(
    program.steps.map((step) => step.preparation === undefined),
    program.steps.map((_, i) => i >= Object.values(prepared).flat().length),
  );
});

test('what is computed of parameters alone and read for every position is prepared', () => {
  const [x, w, scale, variance] = [zeros(1, 3, 8, 8), zeros(8, 3, 3, 3), zeros(8), zeros(8)];
  const channels = (t: Tensor): Tensor => reshape(t, [8, 1, 1]);
  const normalized = (): Tensor => mul(conv2d(x, w), channels(div(scale, sqrt(add(variance, 1e-5)))));
  const { prepared } = compiled({ x, w, scale, variance }, () => [normalized()]);
  assert.deepEqual(Object.keys(prepared), ['w', 'scale,variance']);
  // Not where it is an output, too.
  const both = compiled({ x, w, scale, variance }, () => [normalized(), div(scale, sqrt(add(variance, 1e-5)))]);
  assert.deepEqual(Object.keys(both.prepared), ['w']);
});

test('expressions whose text would be endless are prepared as quickly as others', () => {
  const [x, key] = [zeros(1, 5, 4, 4), tensor(Int32Array.of(3, 4))];
  const { prepared } = compiled({ x, key }, () => [mul(x, channelDropout(ones([1, 5, 4, 4]), key, 0.5))]);
  assert.deepEqual(Object.keys(prepared), ['key']);
});

test('the transformed filters of Winograd are kept, the packed ones in between are not', () => {
  const [x, w] = [zeros(1, 8, 16, 16), zeros(8, 8, 3, 3)];
  const { program, prepared } = compiled({ x, w }, () => [conv2d(x, w, { padding: 1 })], { ...MACHINE, winograd: 2 });
  assert.deepEqual(prepared, { w: ['pack', 'transformFilter'] });
  const kept = [...keptBuffers(program)];
  assert.deepEqual(kept, [program.steps[1].results[0]]);
});

test('what depends on an input that the program writes is computed every time', () => {
  const [x, w, v] = [zeros(2, 4), zeros(4, 4), zeros(4, 4)];
  const { prepared } = compiled({ x, w, v }, () => {
    const y = matmul(matmul(x, w), v);
    assign(w, mul(w, 2));
    return [y];
  });
  assert.deepEqual(prepared, { v: ['pack'] });
});

test('filters computed by contractions, outputs, and what others read, too, are computed every time', () => {
  const [x, w, v] = [zeros(2, 4), zeros(4, 4), zeros(4, 4)];
  assert.deepEqual(compiled({ x, w, v }, () => [matmul(x, matmul(w, v))]).prepared, { v: ['pack'] });
  const shared = compiled({ x, w, v }, () => {
    const scaled = mul(mul(add(w, v), add(w, 1)), add(v, 3));
    return [matmul(x, scaled), scaled];
  });
  assert.deepEqual(shared.prepared, {});
});

test('layers that share a filter share what is prepared', () => {
  const [x, w] = [zeros(2, 8), zeros(8, 8)];
  const { prepared } = compiled({ x, w }, () => [matmul(matmul(matmul(x, w), w), w)]);
  assert.deepEqual(prepared, { w: ['pack'] });
});

test('filters beyond the limit are packed every time', () => {
  const [x, ws] = [zeros(2, 8), Array.from({ length: 4 }, () => zeros(8, 8))];
  const { program } = compiled({}, () => [ws.reduce((y, w) => matmul(y, w), x)]);
  const bytes = 8 * 8 * 4;
  const plain = { ...program, steps: program.steps.map((step) => ({ ...step, preparation: undefined })) };
  for (const n of [0, 1, 3, 4]) {
    const limited = prepareSteps(plain, n * bytes);
    verifySteps(limited, 'prepare');
    assert.equal(preparationsOf(limited.steps).length, n);
  }
});

test('what is kept shares its memory with nothing', () => {
  const [x, ws] = [zeros(1, 8, 16, 16), Array.from({ length: 5 }, () => zeros(8, 8, 3, 3))];
  for (const winograd of [false, 2] as const) {
    const { program } = compiled({}, () => [ws.reduce((y, w) => relu(conv2d(y, w, { padding: 1 })), x)], {
      ...MACHINE,
      winograd,
    });
    const memory = planMemory(program);
    const place = (buffer: Parameters<typeof bytesOf>[0]): [number, number] | undefined => {
      const location = memory.location(buffer);
      return location.kind === 'arena' ? [location.offset, location.offset + bytesOf(buffer)] : undefined;
    };
    const kept = keptBuffers(program);
    assert.equal(kept.size, 5);
    const all = new Set(program.steps.flatMap((step) => [...step.operands, ...step.results]).map(rootBuffer));
    for (const a of kept) {
      for (const b of all) {
        const [p, q] = [place(a), place(b)];
        if (a === b || p === undefined || q === undefined) continue;
        assert.ok(p[1] <= q[0] || q[1] <= p[0]);
      }
    }
  }
});

test('broken preparations are noticed', () => {
  const [x, w, v] = [zeros(2, 4), zeros(4, 4), zeros(4, 4)];
  const { program } = compiled({}, () => [matmul(matmul(x, w), v)]);
  const [first, second, ...rest] = program.steps;
  const check = (steps: Steps['steps'], change: Partial<Steps> = {}): void =>
    verifySteps({ ...program, ...change, steps }, 'a pass');
  check(program.steps);
  assert.throws(
    () => check([first, ...rest.slice(0, 1), second, ...rest.slice(1)]),
    /behind a step that runs every time/,
  );
  assert.throws(
    () => check([{ ...first, preparation: { inputs: [] } }, second, ...rest]),
    /needs more than the inputs \[\]/,
  );
  assert.throws(() => check(program.steps, { outputs: [first.results[0]] }), /does not always run/);
  const target = { ...first.results[0], alias: rootBuffer(first.operands[0]) };
  const write = { ...first, preparation: undefined, results: [target] };
  assert.throws(() => check([...program.steps, write]), /writes input \d, of which filters are kept/);
});
