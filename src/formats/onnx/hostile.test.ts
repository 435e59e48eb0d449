import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setDevice } from '../../graph/device.js';
import { trace } from '../../graph/trace.js';
import { tensor } from '../../ops/create.js';
import { ReferenceDevice } from '../../targets/reference/device.js';
import { FileError, GaborError, ShapeError } from '../../tensor/errors.js';
import { Random } from '../../tensor/random.js';
import { Tensor } from '../../tensor/tensor.js';
import { readFixtures } from '../../testing/fixtures.js';
import { floats, integers, onnxBytes, type TestModel } from '../../testing/onnx-models.js';
import { rowOf } from './element-types.js';
import { loadOnnx } from './load.js';
import { MODEL, type ModelProto, type TensorProto } from './messages.js';
import { decode, encode } from './proto.js';

// Files that are broken, or made to break something: a clear error, quickly, in bounded memory.

const SMALL: TestModel = {
  inputs: { x: [2, 4] },
  outputs: ['y'],
  initialisers: [floats('w', [4, 3]), floats('b', [3])],
  nodes: [{ type: 'Gemm', inputs: ['x', 'w', 'b'], outputs: ['y'] }],
};

/** The model with its parts changed. */
function changed(change: (graph: Record<string, unknown>) => void, model: TestModel = SMALL): Uint8Array {
  const proto = decode<ModelProto>(MODEL, onnxBytes(model), 'a test');
  const graph = { ...proto.graph } as Record<string, unknown>;
  change(graph);
  return encode(MODEL, { ...proto, graph });
}

const refused = (bytes: Uint8Array, pattern: RegExp): Promise<void> =>
  assert.rejects(loadOnnx(bytes), (error: Error) => {
    assert.ok(error instanceof FileError, `${error}`);
    assert.match(error.message, pattern);
    return true;
  });

test('files that are cut short', async () => {
  setDevice(new ReferenceDevice());
  const bytes = onnxBytes(SMALL);
  for (let length = 0; length < bytes.length; length++) {
    await assert.rejects(loadOnnx(bytes.subarray(0, length)), GaborError, `${length} of ${bytes.length} bytes`);
  }
  await refused(new TextEncoder().encode('<html>not a model</html>'), /no ModelProto/);
});

test('sizes that lie, names that repeat, cycles', async () => {
  setDevice(new ReferenceDevice());
  const weights = (dims: number[], rest: Partial<TensorProto> = {}): Uint8Array =>
    changed((graph) => {
      graph.initializer = [{ ...floats('w', [4, 3]), dims, ...rest }, floats('b', [3])];
    });
  await refused(weights([4, 300]), /"w": float\[4, 300\] takes 4800 bytes, there are 48/);
  await refused(weights([2 ** 40, 2 ** 40]), /is no shape, or too large/);
  await refused(weights([-4, -3]), /is no shape, or too large/);
  await refused(weights([4, 3], { dataType: 8 }), /element type string is not read/);
  await refused(weights([4, 3], { dataType: 77 }), /element type 77/);
  await refused(weights([4, 3], { rawData: undefined, floatData: [1, 2] }), /takes 12 numbers, there are 2/);
  await refused(
    changed((graph) => {
      graph.initializer = [floats('w', [4, 3]), floats('w', [4, 3]), floats('b', [3])];
    }),
    /two initialisers are named "w"/,
  );
  const nodes = (...list: { type: string; inputs: string[]; outputs: string[] }[]): Uint8Array =>
    onnxBytes({ ...SMALL, nodes: list });
  await refused(
    nodes({ type: 'Relu', inputs: ['x'], outputs: ['y'] }, { type: 'Neg', inputs: ['x'], outputs: ['y'] }),
    /"y" is defined twice/,
  );
  await refused(
    nodes({ type: 'Relu', inputs: ['nothing'], outputs: ['y'] }),
    /"nothing", which node "y" reads, is defined nowhere/,
  );
  await refused(
    nodes({ type: 'Add', inputs: ['x', 'y'], outputs: ['a'] }, { type: 'Relu', inputs: ['a'], outputs: ['y'] }),
    /the graph has a cycle through node/,
  );
  await refused(onnxBytes({ ...SMALL, opset: 99 }), /operator set 99; known are 1 to/);
  await refused(encode(MODEL, { irVersion: 8 }), /has no graph/);
});

test('very deep graphs and messages in messages do not end the stack', async () => {
  setDevice(new ReferenceDevice());
  const deep = Array.from({ length: 30_000 }, (_, i) => ({
    type: 'Relu',
    inputs: [i === 0 ? 'x' : `v${i}`],
    outputs: [`v${i + 1}`],
  }));
  await loadOnnx(onnxBytes({ ...SMALL, nodes: deep, outputs: ['v30000'] }));
  let graph: object = { name: 'innermost' };
  for (let i = 0; i < 100; i++)
    graph = { node: [{ opType: 'If', output: ['y'], attribute: [{ name: 'then_branch', g: graph }] }] };
  await refused(encode(MODEL, { graph }), /more than 64 messages lie inside each other/);
});

test('huge dimensions take no memory', async () => {
  setDevice(new ReferenceDevice());
  const huge = (nodes: TestModel['nodes'], sizes: readonly number[]): Promise<unknown> =>
    loadOnnx(onnxBytes({ ...SMALL, nodes, initialisers: [integers('sizes', sizes)] })).then((model) =>
      model.run([
        tensor([
          [1, 2, 3, 4],
          [5, 6, 7, 8],
        ]),
      ]),
    );
  const sized = (type: string): TestModel['nodes'] => [{ type, inputs: ['x', 'sizes'], outputs: ['y'] }];
  await assert.rejects(huge(sized('Expand'), [2 ** 30, 2, 4]), ShapeError);
  await assert.rejects(huge(sized('Tile'), [2 ** 30, 2 ** 30]), ShapeError);
  await assert.rejects(
    huge([{ type: 'ConstantOfShape', inputs: ['sizes'], outputs: ['y'] }], [2 ** 30, 2 ** 30]),
    ShapeError,
  );
  await assert.rejects(huge(sized('Pad'), [0, 0, 2 ** 31 - 1, 2 ** 31 - 1]), GaborError);
  const pool = {
    type: 'MaxPool',
    inputs: ['x'],
    outputs: ['y'],
    attributes: { kernel_shape: [2 ** 30], pads: [2 ** 30, 2 ** 30] },
  };
  await assert.rejects(
    loadOnnx(onnxBytes({ ...SMALL, inputs: { x: [1, 1, 8] }, nodes: [pool] })).then((model) =>
      model.run([tensor(new Float32Array(8), { shape: [1, 1, 8] })]),
    ),
    ShapeError,
  );
});

test('data in other files: in the model’s folder only, and as many bytes as there should be', async () => {
  setDevice(new ReferenceDevice());
  const outside = await mkdtemp(join(tmpdir(), 'gabor-onnx-'));
  const folder = join(outside, 'model');
  await mkdir(folder);
  const data = new Float32Array(12).map((_, i) => i);
  await writeFile(join(outside, 'secret.bin'), new Uint8Array(data.buffer));
  await writeFile(join(folder, 'weights.bin'), new Uint8Array([...new Uint8Array(8), ...new Uint8Array(data.buffer)]));
  await symlink(join(outside, 'secret.bin'), join(folder, 'link.bin'));
  const load = async (entries: Record<string, string>): Promise<Awaited<ReturnType<typeof loadOnnx>>> => {
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    const bytes = changed((graph) => {
      graph.initializer = [
        { ...floats('w', [4, 3]), rawData: undefined, dataLocation: 1, externalData },
        floats('b', [3]),
      ];
    });
    const path = join(folder, 'model.onnx');
    await writeFile(path, bytes);
    await assert.rejects(loadOnnx(bytes), /lie in another file, which is not at hand/);
    return loadOnnx(path);
  };
  const model = await load({ location: 'weights.bin', offset: '8', length: '48' });
  assert.deepEqual([...model.stateDict().w.data()], [...data]);
  const location = (name: string): Promise<unknown> => load({ location: name });
  for (const name of [
    '../secret.bin',
    join(outside, 'secret.bin'),
    'a/../../secret.bin',
    '..\\secret.bin',
    'C:\\secret.bin',
    '',
    'a\0b',
  ]) {
    await assert.rejects(location(name), /none in its folder; refused/, name);
  }
  await assert.rejects(location('link.bin'), /leads out of its folder; refused/);
  await assert.rejects(location('missing.bin'), FileError);
  await assert.rejects(location('.'), FileError);
  await assert.rejects(
    load({ location: 'weights.bin', offset: '16' }),
    /bytes 16 to 64 of "weights.bin", which has 56/,
  );
  await assert.rejects(
    load({ location: 'weights.bin', length: '99999999999' }),
    /its elements take 48 bytes, "weights.bin" claims to hold/,
  );
  await assert.rejects(load({ location: 'weights.bin', offset: '-8' }), /offset must be a whole number/);
  await rm(outside, { recursive: true });
});

test('mutated files load and trace, or end in an error of ours', async () => {
  setDevice(new ReferenceDevice());
  const models = readFixtures<{ model: string }>('onnx').map(({ model }) => Buffer.from(model, 'base64'));
  const random = new Random(Number(process.env.GABOR_SEED ?? 1));
  for (let i = 0; i < 3000; i++) {
    let bytes = new Uint8Array(models[random.integer(models.length)]);
    const at = random.integer(bytes.length);
    switch (random.integer(3)) {
      case 0:
        bytes = bytes.slice(0, at);
        break;
      case 1:
        bytes[at] = random.integer(256);
        break;
      default:
        bytes = Uint8Array.from([
          ...bytes.slice(0, at),
          ...[255, 127, 1].slice(random.integer(3)),
          ...bytes.slice(at + random.integer(4)),
        ]);
    }
    try {
      const model = await loadOnnx(bytes);
      trace((graph) =>
        model.outputsOf(
          model.inputs.map(({ type = 'float', shape = [] }) => {
            const extents = shape.map((extent) =>
              typeof extent === 'number' && extent > 0 && extent < 1e6 ? extent : 2,
            );
            return Tensor.fromTraced(graph.addInput({ dtype: rowOf(type).dtype, shape: extents }));
          }),
        ),
      );
      model.dispose();
    } catch (error) {
      assert.ok(error instanceof GaborError, `mutation ${i}: ${(error as Error).stack}`);
    }
  }
});
