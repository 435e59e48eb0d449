import assert from 'node:assert/strict';
import { copyFileSync, createReadStream, existsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import { readNpy, saveModel, writeNpy, writeNpz, writeSafetensors } from '../formats/index.js';
import type { ModelPort } from '../formats/model-port.js';
import { exportOnnx, loadOnnx, saveOnnx } from '../formats/onnx/index.js';
import { setDevice } from '../graph/device.js';
import { loadKeras } from '../keras/files/load.js';
import { findModel, lenet, MODELS, resnet20, squeezenet1_1 } from '../models/index.js';
import {
  AdaptiveAvgPool2d,
  Conv2d,
  Flatten,
  init,
  Linear,
  type Module,
  ReLU,
  Sequential,
  Softmax,
} from '../nn/index.js';
import { tensor } from '../ops/create.js';
import { cpuDevice } from '../runtime/cpu-device.js';
import { FileError, OptionError, ShapeError } from '../tensor/errors.js';
import { toHost } from '../tensor/host-tensor.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { temporaryFolder } from '../testing/command-line.js';
import { assertClose, type FixtureArray, fixturePath, fixtureTensor, readFixtures } from '../testing/fixtures.js';
import { MODEL_FORMATS } from './formats.js';
import { withNewHead } from './head.js';
import { ImageClassifier, pictureFormat } from './image-classifier.js';
import { convert, LoadedModel, load, type PreprocessingName } from './index.js';

const home = temporaryFolder();
const at = (name: string): string => join(home, name);
const device = cpuDevice({ threads: 1 });
setDevice(device);
const { memory } = device;

function ramp(shape: Shape): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensor(
    Float32Array.from({ length: size }, (_, i) => Math.sin(i * 0.37)),
    { shape },
  );
}

test('models of Keras become files of Keras and TensorFlow.js again; others do not, and why is said', async () => {
  const [c] = readFixtures<KerasCase>('keras-files/tfjs/cases').filter(({ name }) => name === 'graph');
  using original = await load(fixturePath('keras-files/tfjs/graph/model.json'));
  const x = c.x.map((array) => fixtureTensor(array));
  for (const file of ['graph.keras', 'graph/model.json']) {
    const { format, bytes, lost } = await convert(original, at(file));
    assert.deepEqual([format, lost], ['keras', []]);
    assert.ok(bytes > 22 * 4, `${bytes} bytes`);
    using again = await load(at(file));
    const outputs = Object.values(await again.run(x));
    outputs.forEach((y, i) => {
      assertClose(y, c.y[i], 1e-5, file);
    });
    await assert.rejects(convert(again, at(file)), /is there already/);
  }
  await assert.rejects(convert(original, at('graph.h5')), /whole models are written as \.keras/);
  await saveModel(at('not keras.safetensors'), resnet20({ classes: 4 }).eval());
  using other = await load(at('not keras.safetensors'));
  for (const file of ['other.keras', 'other.json']) {
    await assert.rejects(convert(other, at(file)), /list Keras's layers.*\.onnx or \.safetensors.*model\.save/);
  }
});

test('formats are told by content, whatever files are called', async () => {
  const net = resnet20({ classes: 4 }).eval();
  await saveModel(at('own'), net, { classes: ['a', 'b', 'c', 'd'] });
  await saveOnnx(at('net.onnx'), net, { inputs: [[1, 3, 32, 32]], dynamicBatch: true });
  copyFileSync(at('net.onnx'), at('onnx.bin'));
  await writeNpz(at('weights.zip'), toHost(net.stateDict()));
  await writeSafetensors(at('weights.bin'), toHost(net.stateDict()));
  copyFileSync(fixturePath('keras-files/images.keras'), at('keras.zip'));
  copyFileSync(fixturePath('keras-files/images.h5'), at('keras.bin'));
  const x = ramp([2, 3, 32, 32]);
  const expected = net.call(x).data();
  const options = { architecture: 'resnet20' };
  for (const [file, format, given] of [
    ['own', 'gabor', {}],
    ['onnx.bin', 'onnx', {}],
    ['weights.zip', 'weights of resnet20', options],
    ['weights.bin', 'weights of resnet20', options],
  ] as const) {
    using loaded = await load(at(file), given);
    assert.equal(loaded.format, format);
    assert.ok(loaded.model.modules().every(({ training }) => !training));
    const [y] = Object.values(await loaded.run([x]));
    assert.deepEqual([...y.shape], [2, 4]);
    y.data().forEach((value, i) => {
      assert.ok(Math.abs(value - expected[i]) < 1e-4, file);
    });
  }
  for (const file of ['keras.zip', 'keras.bin']) assert.equal((await load(at(file))).format, 'keras');
});

test('PyTorch checkpoints are weights of a network; the number of classes is that of the weights', async () => {
  assert.equal(MODEL_FORMATS.find(({ name }) => name === 'pytorch')?.save, undefined);
  await assert.rejects(
    load(fixturePath('formats/net.pt')),
    /net\.pt: holds weights alone, no architecture.*gabor models/,
  );
  await assert.rejects(
    load(fixturePath('formats/net.pt'), { architecture: 'lenet' }),
    /net\.pt: the weights do not fit lenet; missing: features/,
  );
  await assert.rejects(load(fixturePath('formats/net.pt'), { architecture: 'lanet' }), OptionError);
  await writeNpz(at('squeeze.npz'), toHost(squeezenet1_1({ classes: 7 }).stateDict()));
  using loaded = await load(at('squeeze.npz'), { architecture: 'squeezenet1_1' });
  assert.deepEqual(loaded.inputs[0].shape, ['batch', 3, 'height', 'width']);
  assert.deepEqual([...(await loaded.run([ramp([1, 3, 64, 64])])).output.shape], [1, 7]);
  await assert.rejects(
    load(at('squeeze.npz'), { architecture: 'squeezenet1_1', classes: 8 }),
    /of another shape: classifier\.1/,
  );
  await writeNpz(at('lenet-16.npz'), toHost(lenet({ size: 16 }).stateDict()));
  using small = await load(at('lenet-16.npz'), { architecture: 'lenet', input: [1, 16, 16] });
  assert.deepEqual(small.shapes(), [[1, 1, 16, 16]]);
});

test('files that are none, and options that make no sense', async () => {
  for (const [name, content] of [
    ['empty', ''],
    ['text.onnx', 'hello'],
    ['zip.keras', 'PK\u0003\u0004'],
    ['other.json', '{"a": 1}'],
    ['short.safetensors', '\u0010\u0000\u0000\u0000\u0000\u0000\u0000\u0000{'],
  ] as const) {
    writeFileSync(at(name), content);
    await assert.rejects(load(at(name)), (error: Error) => error instanceof FileError && error.message.includes(name));
  }
  await assert.rejects(load(at('nowhere')), /nowhere: there is no such file/);
  await assert.rejects(load(home), FileError);
  await assert.rejects(load(at('own'), { speed: 3 } as object), /unknown option "speed".*fetch$/);
  await assert.rejects(
    load(at('own'), { inputShape: [3, 8, 8] } as object),
    /^OptionError: load: unknown option "inputShape"; known options are .*\. Did you mean "input"\?$/,
  );
  await assert.rejects(loadKeras(at('keras.bin'), { input: [8, 8, 3] } as object), /Did you mean "inputShape"\?$/);
  await assert.rejects(load(at('own'), { architecture: 'lenet' }), /architecture of its own; leave out "lenet"/);
  for (const file of [at('own'), at('keras.bin'), at('onnx.bin')])
    await assert.rejects(load(file, { classes: 7 }), /with the outputs that it has; leave out "classes"/);
  await assert.rejects(load(at('empty')), /empty: the file is empty$/);
  for (const [source, message] of [
    ['ftp://somewhere/model.onnx', /ftp:\/\/ is not fetched; expected https:\/\/…, or hf:\/\/owner/],
    ['', /^load: takes the path of a model file, or an address \(https:.*; got an empty text/],
    [undefined as never, /got undefined/],
  ] as const) {
    await assert.rejects(load(source), (error: Error) => {
      assert.match(error.message, message);
      return error instanceof OptionError;
    });
  }
});

interface KerasCase {
  readonly name: string;
  readonly x: readonly FixtureArray[];
  readonly y: readonly FixtureArray[];
}

test('models of Keras run, are saved as our own and as ONNX, with all inputs and outputs', async () => {
  const cases = readFixtures<KerasCase>('keras-files/cases').map((c) => [`${c.name}.keras`, c] as const);
  const tfjs = readFixtures<KerasCase>('keras-files/tfjs/cases').map((c) => [`tfjs/${c.name}/model.json`, c] as const);
  let several = 0;
  for (const [file, { x, y }] of [...cases, ...tfjs]) {
    using original = await load(fixturePath(`keras-files/${file}`));
    if (original.inputs.length > 1 || original.outputs.length > 1) several++;
    const inputs = x.map((array, i) => fixtureTensor(array, original.dtype(i) === 'i32' ? 'i32' : 'f32'));
    const [own, onnx] = ['keras.safetensors', 'keras.onnx'].map(at);
    const input = Object.fromEntries(original.inputs.map(({ name }, i) => [name, x[i].shape]));
    assert.deepEqual((await convert(original, own, { overwrite: true })).lost, []);
    await convert(original, onnx, { overwrite: true, input });
    for (const path of [undefined, own, onnx]) {
      const model = path === undefined ? original : await load(path);
      const names = original.outputs.map(({ name }) => name);
      assert.deepEqual(
        model.inputs.map(({ name }) => name),
        original.inputs.map(({ name }) => name),
      );
      const results = await model.run(Object.fromEntries(inputs.map((t, i) => [model.inputs[i].name, t])));
      assert.deepEqual(Object.keys(results).sort(), [...names].sort());
      y.forEach((expected, i) => {
        assertClose(results[names[i]], expected, 1e-4, `${file} as ${path ?? 'itself'}, output ${i}`);
      });
    }
  }
  assert.ok(several > 0);
});

test('models from the net, with what lies beside them', async (t) => {
  const net = resnet20({ classes: 4 }).eval();
  await saveOnnx(at('big.onnx'), net, { inputs: [[1, 3, 32, 32]], externalData: true });
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const file = basename(request.url as string);
    asked.push(file);
    const path =
      file === 'big.onnx' || file === 'big.onnx.data' ? at(file) : fixturePath(`keras-files/tfjs/graph/${file}`);
    if (!existsSync(path)) response.writeHead(404).end();
    else createReadStream(path).pipe(response.writeHead(200));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fetch = { cache: at('cache'), retries: 0 };
  using loaded = await load(`${base}/nets/big.onnx`, { fetch });
  assert.equal(loaded.path, `${base}/nets/big.onnx`);
  assert.deepEqual(asked, ['big.onnx', 'big.onnx.data']);
  const x = ramp([1, 3, 32, 32]);
  const [y] = Object.values(await loaded.run([x]));
  y.data().forEach((value, i) => {
    assert.ok(Math.abs(value - net.call(x).data()[i]) < 1e-4);
  });
  asked.length = 0;
  assert.equal((await load(`${base}/graph/model.json`, { fetch })).format, 'keras');
  assert.ok(asked.length >= 2 && asked[0] === 'model.json');
  await assert.rejects(load(`${base}/no.onnx`, { fetch }), /no\.onnx.*404/);
});

test('shapes bind what a model leaves open', () => {
  const inputs = [
    { name: 'a', dtype: 'f32', shape: ['n', 3, 'h', 'w'] },
    { name: 'b', dtype: 'i32', shape: ['n', 'h'] },
  ] as const;
  const model = new LoadedModel({ model: new Flatten(), format: 'code', path: 'two', inputs, outputs: [] });
  assert.deepEqual(model.shapes({ a: [3, 5, 6] }), [
    [1, 3, 5, 6],
    [1, 5],
  ]);
  assert.deepEqual(model.shapes({ a: [2, 3, 5, 6], b: [2, 5] }), [
    [2, 3, 5, 6],
    [2, 5],
  ]);
  assert.throws(() => model.shapes(), /"a" is f32\[n, 3, h, w\]; give its shape/);
  assert.throws(() => model.shapes({ a: [3, 5, 6], b: [7] }), /the shape \[1, 7\] for the input "b": "h" is 5, not 7/);
  assert.throws(
    () => model.shapes({ c: [1] }),
    /there is no input "c"; two takes "a" f32\[n, 3, h, w\], "b" i32\[n, h\]/,
  );
});

test('preprocessings by name, for pictures as the model takes them', async () => {
  const net = new Sequential(new AdaptiveAvgPool2d(1), new Flatten());
  const classes = ['r', 'g', 'b'];
  const inputs = [{ name: 'x', dtype: 'f32', shape: ['n', 3, 20, 30] }] as const;
  const facts = { model: net, format: 'code', path: 'code', inputs, outputs: [] };
  const size = { channels: 3, height: 20, width: 30 } as const;
  const of = (name: PreprocessingName) =>
    new LoadedModel(facts).classifier({ classes, preprocessing: name }).preprocessing;
  assert.deepEqual(of('imagenet'), { ...size, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] });
  assert.deepEqual(of('symmetric'), { ...size, mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] });
  // What a file says of pictures beside their pixels stays.
  const own = { ...size, height: 24, fit: 'pad', mean: [0.1, 0.2, 0.3], std: [1, 1, 1] } as const;
  const stored = new LoadedModel({ ...facts, preprocessing: own });
  const { preprocessing } = stored.classifier({ classes, preprocessing: 'unit' });
  assert.deepEqual(preprocessing, { ...own, mean: [0, 0, 0], std: [1, 1, 1] });
  const free = new LoadedModel({ ...facts, inputs: [{ ...inputs[0], shape: ['n', 3, null, null] }] });
  const asked = { classes, preprocessing: 'imagenet' } as const;
  assert.throws(() => free.classifier(asked), /how large pictures are; give their size \(as height and width of/);
  const sized = new LoadedModel({ ...facts, inputs: free.inputs, example: [1, 3, 16, 18] });
  const found = sized.classifier(asked).preprocessing;
  assert.deepEqual([found.height, found.width], [16, 18]);
  const grey = new LoadedModel({ ...facts, inputs: [{ ...inputs[0], shape: ['n', 1, 20, 30] }] });
  assert.throws(() => grey.classifier(asked), /imagenet: has 3 numbers, the pictures have 1 channels/);
});

test('the shape that is asked for has the rank and the extents that are known', () => {
  const cases: readonly (readonly [ModelPort['shape'], string])[] = [
    [undefined, '3x224x224'],
    [['n', null, null, null], '3x224x224'],
    [['n', 1, null, null], '1x224x224'],
    [['n', 512, null], '512x224'],
    [['n', null, null, 3], '224x224x3'],
    [[1, null, 224, 224], '3x224x224'],
    [[1, 224, 224, null], '224x224x3'],
    [[null, null, null, null, 1], '64x64x64x1'],
    [['n', null, 'd', 'h', 'w'], '3x64x64x64'],
    [['n', 'length'], '224'],
  ];
  for (const [shape, hint] of cases) {
    const inputs = [{ name: 'x', dtype: 'f32', shape }] as const;
    const model = new LoadedModel({ model: new Flatten(), format: 'code', path: 'free', inputs, outputs: [] });
    const message = new RegExp(`command line: --input ${hint}, for example`);
    assert.throws(() => model.shapes(), message);
    const given = hint.split('x').map(Number);
    assert.deepEqual(model.shapes(given), [[1, ...given]]);
  }
});

test('arrays from files are inputs, in order or by name', async () => {
  await saveOnnx(at('flat.onnx'), new Flatten(), { inputs: [[1, 2, 3]] });
  await saveModel(at('flat.safetensors'), new Flatten(), {
    inputs: [{ name: 'input', dtype: 'f32', shape: ['n', null] }],
  });
  const data = Float32Array.from({ length: 6 }, (_, i) => i);
  for (const [file, shape] of [
    ['flat.onnx', [1, 2, 3]],
    // Nothing is to do: the output is a tensor of its own just the same.
    ['flat.safetensors', [1, 6]],
  ] as const) {
    await writeNpy(at('x.npy'), { dtype: 'f32', shape, data });
    const host = await readNpy(at('x.npy'));
    using model = await load(at(file));
    for (const inputs of [[host], { input: host }, { input: tensor(host) }]) {
      const [y] = Object.values(await model.run(inputs));
      assert.deepEqual(y.shape, [1, 6]);
      assert.deepEqual(y.data(), data);
    }
  }
});

test('the layout of pictures: by extents, otherwise by which order the layers take', async () => {
  const first = new Sequential(
    new Conv2d(3, 4, 3),
    new ReLU(),
    new AdaptiveAvgPool2d(1),
    new Flatten(),
    new Linear(4, 2),
  );
  const last = new Sequential(
    new Conv2d(3, 4, 3, { dataFormat: 'channels-last' }),
    new Flatten(),
    new Linear(4 * 6 * 7, 2),
    new Softmax(1),
  );
  const network = (model: Module, shape: (number | string | null)[] | undefined) => ({
    model,
    path: 'net',
    inputs: [{ name: 'x', dtype: 'f32' as const, shape }],
  });
  const size = { height: 8, width: 9 };
  for (const shape of [undefined, ['n', null, 'h', 'w'], ['n', null, 8, 9]]) {
    assert.deepEqual(pictureFormat(network(first, shape), size), { channels: 3, ...size, channelsLast: false });
  }
  for (const shape of [undefined, ['n', null, null, null], ['n', 8, 9, null], ['n', 'h', 'w', 3]]) {
    assert.deepEqual(pictureFormat(network(last, shape), size), { channels: 3, ...size, channelsLast: true });
  }
  assert.deepEqual(pictureFormat(network(first, [1, 3, 20, 30])), {
    channels: 3,
    height: 20,
    width: 30,
    channelsLast: false,
  });
  assert.throws(() => pictureFormat(network(first, undefined)), /does not say how large pictures are.*--size/);
  assert.throws(() => pictureFormat(network(first, [1, 3, 20, 30]), size), /1 or 3 channels and 8×9 do not fit/);
  assert.throws(() => pictureFormat(network(first, [1, 3, 20])), ShapeError);

  const preprocessing = { channels: 3, ...size, mean: [0, 0, 0], std: [1, 1, 1] } as const;
  const options = { classes: ['a', 'b'], preprocessing };
  const plain = new LoadedModel({ ...network(first, undefined), format: 'code', outputs: [] });
  assert.equal(plain.classifier(options).model, first);
  const loaded = new LoadedModel({ ...network(last, undefined), format: 'code', outputs: [] });
  const classifier = loaded.classifier(options);
  assert.ok(classifier.model instanceof ImageClassifier);
  assert.ok(classifier.model.channelsLast && classifier.model.probabilities);
  // The same numbers as the network by hand.
  const bytes = Uint8Array.from({ length: 3 * 8 * 9 }, (_, i) => (i * 7) % 256);
  const [probabilities] = await classifier.probabilities(bytes);
  const turned = Float32Array.from({ length: bytes.length }, (_, i) => {
    const [position, channel] = [Math.floor(i / 3), i % 3];
    return bytes[channel * 72 + position] / 255;
  });
  const expected = last.call(tensor(turned, { shape: [1, 8, 9, 3] })).data();
  probabilities.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]) < 1e-5);
  });
  // It is saved and loaded as any module.
  await saveModel(at('adapted.safetensors'), classifier.model, options);
  const again = (await load(at('adapted.safetensors'))).classifier();
  assert.deepEqual((await again.probabilities(bytes))[0], probabilities);
});

test('a new last layer on networks of every kind: all else stays', async () => {
  const names = ['lenet', 'vgg-small', 'resnet-small', 'resnet20', 'squeezenet1_1', 'mobilenet_v3_small', 'googlenet'];
  assert.ok(names.every((name) => Object.hasOwn(MODELS, name)));
  for (const name of names) {
    const { create, inputShape } = findModel(name);
    const model = init.skipInit(() => create()).eval();
    const { used } = memory;
    const { model: renewed, head } = withNewHead(model, 6, [1, ...inputShape]);
    const bytes = Object.values(renewed.stateDict()).reduce((sum, { size }) => sum + 4 * size + 128, 0);
    assert.ok(memory.used - used <= bytes, `${name}: ${memory.used - used} bytes for ${bytes}`);
    const [before, after] = [model.stateDict(), renewed.stateDict()];
    assert.deepEqual(Object.keys(after), Object.keys(before), name);
    const other = Object.keys(after).filter((key) => `${after[key].shape}` !== `${before[key].shape}`);
    assert.deepEqual(other, head, name);
    assert.ok(head.length >= 1 && head.length <= 2, `${name}: ${head}`);
    assert.ok(head.every((key) => after[key].shape[0] === 6));
    // Weights were zeros, new ones are drawn.
    assert.ok(
      after[head[0]].data().some((w) => w !== 0),
      name,
    );
    assert.equal(renewed.training, false);
  }
  const bytes = exportOnnx(lenet({ classes: 3 }).eval(), { inputs: [[1, 1, 28, 28]], dynamicBatch: true });
  const graph = await loadOnnx(bytes);
  const { used } = memory;
  const { model, head } = withNewHead(graph, 5, [1, 1, 28, 28]);
  assert.ok(memory.used - used <= 4 * 5 * 85 + 2 * 128, 'the last layer alone is new');
  assert.deepEqual([...head].sort(), ['classifier.fc3.bias', 'classifier.fc3.weight']);
  assert.deepEqual([...model.call(ramp([2, 1, 28, 28])).shape], [2, 5]);
  assert.throws(() => withNewHead(new Flatten(), 5, [1, 2, 3]), /cannot tell which of its layers makes its 6 outputs/);
});
