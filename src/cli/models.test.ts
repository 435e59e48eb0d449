import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { before, test } from 'node:test';
import { load } from '../exchange/index.js';
import { loadModel, parseOnnxTensor, readNpy, saveModel, writeNpy, writeNpz } from '../formats/index.js';
import { exportOnnx } from '../formats/onnx/index.js';
import { setDevice } from '../graph/device.js';
import * as tf from '../keras/index.js';
import { lenet, resnetSmall } from '../models/index.js';
import { BatchNorm1d, Conv2d, Flatten, GlobalAvgPool2d, Linear, Module, ReLU, Sequential } from '../nn/index.js';
import { cpuDevice } from '../runtime/cpu-device.js';
import { type HostTensor, toHost } from '../tensor/host-tensor.js';
import { Random } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import {
  assertFails,
  type CommandResult,
  gabor,
  gaborInside as inside,
  temporaryFolder,
  writeImageFolder,
} from '../testing/command-line.js';
import { floats, onnxBytes } from '../testing/onnx-models.js';
import { sharedPath } from '../testing/shared.js';

// Models of every format through the commands.

const home = temporaryFolder();
const at = (...names: string[]): string => join(home, ...names);
const CLASSES = ['flat', 'steep', 'upright'];
const bars = writeImageFolder(at('bars'), CLASSES, 24);
const others = writeImageFolder(at('others'), ['north', 'north-east', 'east', 'south-east'], 12);
/** Trained by `gabor train`. */
const trained = at('trained', 'model.safetensors');
/** The same network as ONNX, with classes and preprocessing. */
const digits = at('digits.onnx');
/** From Keras: [n, 16, 16, 1] to probabilities; the file says neither classes nor preprocessing. */
const keras = at('keras.onnx');
const PARAMETERS = lenet({ classes: 3, size: 16 })
  .parameters()
  .reduce((sum, { size }) => sum + size, 0);
const names = at('names.txt');
const image = join(bars, 'upright', '0.png');

function numbers(shape: readonly number[], seed = 1): HostTensor {
  const random = new Random(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return { dtype: 'f32', shape, data: Float32Array.from({ length: size }, () => random.normal(0, 1)) };
}

function assertClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length);
  const largest = Math.max(...Array.from(expected, Math.abs));
  for (let i = 0; i < expected.length; i++) {
    assert.ok(Math.abs(actual[i] - expected[i]) <= tolerance * largest, `${i}: ${actual[i]}, expected ${expected[i]}`);
  }
}

interface Ran {
  readonly outputs: readonly { name: string; file: string; dtype: string; shape: number[] }[];
}

/** `gabor run` to a new folder. */
async function runTo(folder: string, model: string, ...inputs: string[]): Promise<Ran & { arrays: HostTensor[] }> {
  const given = inputs.length === 0 ? [] : ['--input', ...inputs];
  const result = await inside('run', model, ...given, '--output', at(folder), '--threads', '1', '--json');
  assert.equal(result.status, 0, result.stderr);
  const { outputs } = result.events()[0] as unknown as Ran;
  return { outputs, arrays: await Promise.all(outputs.map(({ file }) => readNpy(file))) };
}

before(async () => {
  const options = ['--size', '16', '--epochs', '4', '--threads', '1', '--out', at('trained')];
  const result = await inside('train', '--data', bars, ...options);
  assert.equal(result.status, 0, result.stderr);
  const converted = await inside('convert', trained, digits);
  assert.equal(converted.status, 0, converted.stderr);
  setDevice(cpuDevice({ threads: 1 }));
  tf.manualSeed(1);
  const { layers } = tf;
  const network = tf.sequential();
  network.add(layers.conv2d({ inputShape: [16, 16, 1], filters: 4, kernelSize: 3, activation: 'relu' }));
  network.add(layers.maxPooling2d({ poolSize: 2 }));
  network.add(layers.flatten());
  network.add(layers.dense({ units: 3, activation: 'softmax' }));
  writeFileSync(keras, exportOnnx(network.module, { inputs: [[1, 16, 16, 1]], dynamicBatch: true }));
  writeFileSync(names, `${CLASSES.join('\n')}\n`);
  writeFileSync(
    at('two.onnx'),
    onnxBytes({
      inputs: { a: ['n', 2], 'b=c': ['n', 2] },
      outputs: ['y/1:0', '10', '2'],
      nodes: [
        { type: 'Sub', inputs: ['a', 'b=c'], outputs: ['y/1:0'] },
        { type: 'Mul', inputs: ['a', 'b=c'], outputs: ['10'] },
        { type: 'Neg', inputs: ['a'], outputs: ['2'] },
      ],
    }),
  );
  await writeNpy(at('a.npy'), numbers([3, 2], 1));
  await writeNpy(at('b.npy'), numbers([3, 2], 2));
});

test('run: outputs of an ONNX model in its order, inputs by order and by name, on every device', async () => {
  const model = at('two.onnx');
  const [a, b] = [numbers([3, 2], 1), numbers([3, 2], 2)];
  await writeNpz(at('ab.npz'), { 'b=c': b, a });
  const result = await gabor(['run', model, '--input', 'a.npy', 'b.npy', '--output', 'out', '--json'], { cwd: home });
  assert.equal(result.status, 0, result.stderr);
  const [{ outputs, model: named }] = result.events() as unknown as [Ran & { model: string }];
  assert.equal(named, model);
  assert.deepEqual(outputs, [
    { name: 'y/1:0', file: join('out', 'y_1_0.npy'), dtype: 'f32', shape: [3, 2] },
    { name: '10', file: join('out', '10.npy'), dtype: 'f32', shape: [3, 2] },
    { name: '2', file: join('out', '2.npy'), dtype: 'f32', shape: [3, 2] },
  ]);
  const expected = [...a.data].map((value, i) => value - b.data[i]);
  assertClose((await readNpy(at('out', 'y_1_0.npy'))).data, expected);
  for (const inputs of [
    [`b=c=${at('b.npy')}`, at('a.npy')],
    [`a=${at('a.npy')}`, `b=c=${at('b.npy')}`],
    [at('ab.npz')],
  ]) {
    assertClose((await runTo('again', model, ...inputs)).arrays[0].data, expected);
  }
  for (const device of ['reference', 'wasm']) {
    const [x, y] = [at('a.npy'), at('b.npy')];
    const other = await inside('run', model, '--input', x, y, '--output', at(device), '--device', device);
    assert.equal(other.status, 0, other.stderr);
    assert.match(other.stdout, /output +type +file\ny\/1:0 +f32\[3, 2\] +.*y_1_0\.npy/);
    assertClose((await readNpy(at(device, 'y_1_0.npy'))).data, expected);
  }
});

test('run: names of outputs that are no names of files, and files whose names have equals signs', async () => {
  const outputs = [
    'a/b',
    'a:b',
    'A_B',
    '..',
    'CON',
    'nul.1',
    'console',
    'x'.repeat(300),
    '日'.repeat(100),
    'e\u0301',
    'é',
  ];
  const nodes = outputs.map((name) => ({ type: 'Relu', inputs: ['x'], outputs: [name] }));
  writeFileSync(at('odd.onnx'), onnxBytes({ nodes, inputs: { x: ['n', 2] }, outputs }));
  await writeNpy(at('b=d.npy'), numbers([3, 2]));
  const { outputs: written, arrays } = await runTo('odd', at('odd.onnx'), at('b=d.npy'));
  assert.deepEqual(
    written.map(({ name }) => name),
    outputs,
  );
  const files = written.map(({ file }) => basename(file));
  assert.deepEqual(
    files.filter((file) => file.length < 20),
    ['a_b.npy', 'a_b_2.npy', 'A_B_3.npy', '_.npy', 'CON_.npy', 'nul_.1.npy', 'console.npy', 'é.npy', 'é_2.npy'],
  );
  for (const file of files) assert.ok(Buffer.byteLength(file) <= 255);
  assert.equal(arrays.length, outputs.length);
  // Relative, with a name in front of the sign as inputs have it.
  const near = await gabor(['run', 'odd.onnx', '--input', 'b=d.npy', '--output', 'near'], { cwd: home });
  assert.equal(near.status, 0, near.stderr);
});

test('run: what is wrong with inputs, and what the model takes', async () => {
  const model = at('two.onnx');
  const to = ['--output', at('none')];
  await writeNpy(at('wide.npy'), numbers([3, 4]));
  await writeNpy(at('flat.npy'), numbers([6]));
  await writeNpy(at('few.npy'), numbers([2, 2]));
  await writeNpy(at('whole.npy'), { dtype: 'i32', shape: [3, 2], data: new Int32Array(6) });
  writeFileSync(at('text.txt'), 'numbers');
  const takes = /two\.onnx takes "a" f32\[n, 2\], "b=c" f32\[n, 2\]/;
  const run = (...inputs: string[]): Promise<CommandResult> => inside('run', model, '--input', ...inputs, ...to);
  const [a, b] = [at('a.npy'), at('b.npy')];
  assertFails(await inside('run', model, ...to), 2, /0 inputs are given, 2 are needed/, takes);
  assertFails(await run(a), 2, /1 input is given, 2 are needed/, takes);
  assertFails(await run(a, b, a), 2, /3 inputs are given, 2 are needed/, takes);
  assertFails(await run(`c=${a}`, b), 2, /there is no input "c"/, takes);
  assertFails(await run(`c=${at('nowhere.npy')}`, b), 2, /there is no input "c"/, takes);
  for (const [output, message] of [
    ['', /error: the name of a folder is empty/],
    ['https://a.b/results', /cannot save https:\/\/a\.b\/results: it is an address; give a path on this machine/],
    [model, /two\.onnx: cannot make this folder: there is a file of this name/],
  ] as const) {
    assertFails(await inside('run', model, '--input', a, b, '--output', output), 1, message);
  }
  assertFails(await run(`a=${a}`, `a=${b}`), 2, /the input "a" is given twice/);
  assertFails(await run(a, at('wide.npy')), 1, /"b=c" is f32\[3, 4\]: axis 1 must be 2, not 4/, takes);
  assertFails(await run(a, at('flat.npy')), 1, /"b=c" is f32\[6\]: it must have 2 axes, not 1/, takes);
  assertFails(await run(a, at('few.npy')), 1, /"b=c" is f32\[2, 2\]: "n" is 3, not 2/, takes);
  assertFails(await run(a, at('whole.npy')), 1, /"b=c" is i32\[3, 2\]: its elements must be f32/, takes);
  assertFails(await run(a, at('nowhere.npy')), 1, /nowhere\.npy: there is no such file/);
  assertFails(
    await run(a, at('text.txt')),
    1,
    /text\.txt: inputs are arrays of NumPy \(\.npy, \.npz\) or tensors of ONNX/,
  );
  assertFails(
    await inside('run', 'lenet', '--input', a, ...to),
    2,
    /"lenet" is a built-in network.*random.*--model lenet/,
  );
  assertFails(await inside('run', at('no.onnx'), '--input', a, ...to), 1, /no\.onnx: there is no such file/);
  assertFails(await inside('run', a, '--input', a, ...to), 1, /a\.npy: is no model file of a known format; known are/);
  assertFails(await inside('run', model, '--input', a), 2, /--output/);
  assert.ok(!existsSync(at('none')));
});

test('convert there and back: the same outputs, classes and preprocessing', async () => {
  const x = numbers([2, 1, 16, 16]);
  await writeNpy(at('x.npy'), x);
  const [expected] = (await runTo('first', trained, at('x.npy'))).arrays;
  const steps = [digits, at('digits.safetensors'), at('digits-2.onnx')];
  for (const [i, file] of steps.slice(1).entries()) {
    const result = await gabor(['convert', steps[i], file, '--json'], { cwd: home });
    assert.equal(result.status, 0, result.stderr);
    const [event] = result.events();
    assert.equal(event.event, 'converted');
    assert.equal(event.format, file.endsWith('.onnx') ? 'onnx' : 'safetensors');
    assert.deepEqual(event.lost, []);
    assert.equal(event.bytes, readFileSync(file).length);
    assert.equal(event.parameters, PARAMETERS);
  }
  for (const file of steps) {
    const { outputs, arrays } = await runTo('other', file, at('x.npy'));
    assert.equal(outputs[0].name, 'output');
    assertClose(arrays[0].data, expected.data);
    const { classes, preprocessing, inputs } = await load(file);
    assert.deepEqual(classes, CLASSES);
    assert.deepEqual(preprocessing, (await load(trained)).preprocessing);
    assert.equal(inputs.length, 1);
  }
  // Weights alone, and back with the name of the network.
  const arrays = await inside('convert', trained, at('weights.npz'));
  assert.match(arrays.stdout, /not carried over: the architecture, the classes, the preprocessing: a \.npz file holds/);
  const back = await inside('convert', at('weights.npz'), at('back.onnx'), '--model', 'lenet', '--input', '1x16x16');
  assert.equal(back.status, 0, back.stderr);
  assertClose((await runTo('back', at('back.onnx'), at('x.npy'))).arrays[0].data, expected.data);
  const half = await inside('convert', trained, at('half.safetensors'), '--dtype', 'f16', '--json');
  assert.ok((half.events()[0].bytes as number) < 0.6 * readFileSync(trained).length);
  assertClose((await runTo('half', at('half.safetensors'), at('x.npy'))).arrays[0].data, expected.data, 1e-2);
});

test('convert: free sizes, modules without a configuration, and what it refuses', async () => {
  const model = at('sizes.onnx');
  const plain = new Sequential(new Conv2d(3, 2, 3), new ReLU());
  await saveModel(at('sizes.safetensors'), plain, {
    inputs: [{ name: 'photo', dtype: 'f32', shape: ['n', 3, 'height', 'width'] }],
    outputs: [{ name: 'maps', dtype: 'f32', shape: undefined }],
  });
  assertFails(
    await inside('convert', at('sizes.safetensors'), model),
    1,
    /the input "photo" is f32\[n, 3, height, width\]; give its shape without the batch.*--input/,
  );
  assertFails(
    await inside('convert', at('sizes.safetensors'), model, '--input', '1x8x8'),
    1,
    /the shape \[1, 1, 8, 8\] for the input "photo": axis 1 must be 3, not 1/,
  );
  assertFails(
    await inside('convert', at('sizes.safetensors'), model, '--input', 'picture=3x8x8'),
    1,
    /there is no input "picture".*takes "photo"/,
  );
  const sized = await inside('convert', at('sizes.safetensors'), model, '--input', 'photo=3x8x9', '--opset', '13');
  assert.equal(sized.status, 0, sized.stderr);
  assert.match(sized.stdout, /not carried over: free extents of the input "photo": the file is for examples of 3×8×9/);
  const { inputs, outputs } = await load(model);
  assert.deepEqual(inputs[0].shape?.slice(1), [3, 8, 9]);
  assert.equal(typeof inputs[0].shape?.[0], 'string');
  assert.equal(outputs[0].name, 'maps');

  class Doubled extends Module {
    readonly type = 'Doubled';
    readonly inner: Module = this.child('inner', plain);
    forward(x: Tensor): Tensor {
      return this.inner.call(x);
    }
  }
  const { convert, LoadedModel } = await import('../exchange/index.js');
  const loaded = new LoadedModel({ model: new Doubled(), format: 'code', path: 'doubled', inputs, outputs });
  const { lost } = await convert(loaded, at('doubled.safetensors'));
  assert.match(lost[0], /the architecture: Doubled: has no config\(\).*holds the weights alone/);
  assertFails(await inside('summary', at('doubled.safetensors')), 1, /holds weights alone, no architecture.*--model/);

  assertFails(await inside('convert', digits, model), 1, /sizes\.onnx: is there already.*--force/);
  assert.equal((await inside('convert', digits, model, '--force')).status, 0);
  assertFails(
    await inside('convert', digits, at('x.pth')),
    1,
    /pytorch are read, not written.*\.safetensors, \.keras, \.npz, \.onnx/,
  );
  assertFails(
    await inside('convert', digits, at('x.tflite')),
    1,
    /no format has names that end in "\.tflite"; models are written as/,
  );
  assertFails(
    await inside('convert', digits, at('x.npz'), '--opset', '13'),
    1,
    /opset \(--opset\) has no meaning for npz/,
  );
  assertFails(
    await inside('convert', digits, at('x')),
    1,
    /the ending of its name says no format; models are written as/,
  );
  for (const ending of ['onnx', 'safetensors', 'npz']) {
    assertFails(await inside('convert', digits, `https://a.b/x.${ending}`), 1, /it is an address; give a path/);
  }
  assert.ok(!existsSync('https:'));
  assertFails(
    await inside('convert', at('weights.npz'), at('x.onnx'), '--model', 'lanet'),
    1,
    /there is no model "lanet"; did you mean lenet\? There are lenet, vgg-small/,
  );
  assertFails(await inside('convert', digits, at('x.onnx'), '--dtype', 'f16'), 1, /--dtype.* has no meaning for onnx/);
  assertFails(await inside('convert', digits, at('x.onnx'), '--opset', '30'), 2, /--opset.*from 11 to 21/);
  assertFails(
    await inside('convert', digits, at('x.safetensors'), '--model', 'lenet'),
    1,
    /architecture of its own; leave out "lenet"/,
  );
  assertFails(
    await inside('convert', at('weights.npz'), at('x.onnx'), '--model', 'resnet18'),
    1,
    /weights\.npz: the weights do not fit resnet18; missing: conv1\.weight[^{]*$/,
  );
  await writeNpz(at('lenet-5.npz'), toHost(lenet().stateDict()));
  assertFails(await inside('convert', at('lenet-5.npz'), at('x.onnx')), 1, /no architecture.*--model; perhaps lenet/);
});

test('predict: an ONNX model says of pictures what the model it was made from says', async () => {
  const [own, converted] = [
    await inside('predict', trained, image, '--json'),
    await gabor(['predict', digits, image, '--json'], { cwd: home }),
  ];
  assert.equal(converted.status, 0, converted.stderr);
  const classes = (result: CommandResult): { class: string; probability: number }[] =>
    result.events()[0].classes as { class: string; probability: number }[];
  assert.deepEqual(
    classes(converted).map((row) => row.class),
    classes(own).map((row) => row.class),
  );
  classes(own).forEach(({ probability }, i) => {
    assert.ok(Math.abs(probability - classes(converted)[i].probability) < 1e-5);
  });
});

test('predict: channels last and probabilities are found out; classes and preprocessing come from flags', async () => {
  const flags = ['--classes', names, '--preprocessing', 'unit'];
  const result = await inside('predict', keras, image, ...flags, '--top', '3', '--json');
  assert.equal(result.status, 0, result.stderr);
  const found = result.events()[0].classes as { class: string; index: number; probability: number }[];
  // By hand: the picture's bytes as they are, over 255.
  const { data } = await import('fast-png').then(({ decode }) => decode(readFileSync(image)));
  const x: HostTensor = { dtype: 'f32', shape: [1, 16, 16, 1], data: Float32Array.from(data, (v) => v / 255) };
  await writeNpy(at('picture.npy'), x);
  const [expected] = (await runTo('keras', keras, at('picture.npy'))).arrays;
  for (const { index, class: name, probability } of found) {
    assert.equal(name, CLASSES[index]);
    assert.ok(Math.abs(probability - expected.data[index]) < 1e-5);
  }
  const same = await inside('predict', keras, image, '--classes', names, '--mean', '0', '--std', '1', '--json');
  assert.deepEqual(same.events(), result.events());
  const other = await inside('predict', keras, image, '--classes', names, '--preprocessing', 'symmetric', '--json');
  assert.notDeepEqual(other.events()[0].classes, found);

  writeFileSync(at('two-names.txt'), 'a\nb\n');
  writeFileSync(at('empty.txt'), '\n');
  const predict = (...more: string[]): Promise<CommandResult> => inside('predict', keras, image, ...more);
  assertFails(await predict(), 1, /keras\.onnx: does not say what its outputs mean.*--classes FILE/);
  assertFails(await predict('--classes', names), 1, /does not say how pictures become its input.*--preprocessing/);
  assertFails(
    await predict('--classes', at('two-names.txt'), ...flags.slice(2)),
    1,
    /gives \[1, 3\] for one picture, but 2 classes/,
  );
  assertFails(await predict('--classes', at('empty.txt'), ...flags.slice(2)), 1, /empty\.txt: has no names of classes/);
  assertFails(await predict('--classes', at('nowhere.txt')), 1, /nowhere\.txt: there is no such file/);
  assertFails(
    await predict('--classes', names, '--preprocessing', 'imagenet'),
    1,
    /imagenet: has 3 numbers, the pictures have 1 channels/,
  );
  assertFails(await predict('--classes', names, '--mean', '0'), 2, /--mean and --std belong together/);
  assertFails(await predict(...flags, '--mean', '0', '--std', '1'), 2, /leave out --mean and --std/);
  assertFails(await predict(...flags, '--size', '20'), 1, /pictures of .* and 20×20 do not fit/);
  assertFails(await predict('--preprocessing', 'vgg'), 2, /imagenet, unit, symmetric, bytes/);
  assertFails(
    await inside('predict', at('two.onnx'), image, ...flags),
    1,
    /pictures need one input of floats with four axes/,
  );
});

test('evaluate: an ONNX model is as right as the model it was made from', async () => {
  const [own, converted] = [
    await inside('evaluate', trained, '--data', bars, '--json'),
    await gabor(['evaluate', digits, '--data', bars, '--json'], { cwd: home }),
  ].map((result) => {
    assert.equal(result.status, 0, result.stderr);
    return result.events().at(-1) as { accuracy: number; loss: number; count: number };
  });
  assert.equal(converted.accuracy, own.accuracy);
  assert.ok(Math.abs(converted.loss - own.loss) < 1e-4 * own.loss + 1e-6);
  const flags = ['--classes', names, '--preprocessing', 'unit', '--split', 'all', '--json'];
  const fromKeras = await inside('evaluate', keras, '--data', bars, ...flags);
  assert.equal(fromKeras.status, 0, fromKeras.stderr);
  assert.equal(fromKeras.events().at(-1)?.count, 72);
  assertFails(await inside('evaluate', keras, '--data', bars), 1, /does not say what its outputs mean/);
});

test('models for one picture at a time are evaluated so, and not trained', async () => {
  const { model } = await load(trained);
  writeFileSync(at('single.onnx'), exportOnnx(model, { inputs: [[1, 1, 16, 16]] }));
  const flags = ['--data', bars, '--preprocessing', 'unit'];
  const result = await inside('evaluate', at('single.onnx'), ...flags, '--classes', names, '--json');
  assert.equal(result.status, 0, result.stderr);
  assert.match(result.stderr, /single\.onnx was made for one picture at a time/);
  assert.equal(result.events().at(-1)?.count, 15);
  assertFails(
    await inside('train', '--init', at('single.onnx'), ...flags, '--out', at('single')),
    1,
    /takes one picture at a time and cannot be trained in batches \(.*Reshape.*free batch/,
  );
});

test('summary of models of other formats, with their layers by name', async () => {
  const onnx = await inside('summary', digits, '--json');
  assert.equal((onnx.events()[0].totals as { parameters: number }).parameters, PARAMETERS);
  assert.deepEqual(onnx.events()[0].inputShape, [1, 16, 16]);
  const text = await inside('summary', keras);
  assert.match(text.stdout, /Conv .*3×3/);
  assert.match(text.stdout, /one image of 16×16×1/);
  // Of several inputs the first one is followed.
  writeFileSync(
    at('joined.onnx'),
    onnxBytes({
      inputs: { image: ['n', 3, 8, 8], mask: ['n', 1, 'h', 8] },
      outputs: ['y'],
      initialisers: [floats('conv.weight', [4, 3, 3, 3])],
      nodes: [
        { type: 'Mul', inputs: ['image', 'mask'], outputs: ['m'] },
        { type: 'Conv', name: 'conv', inputs: ['m', 'conv.weight'], outputs: ['y'] },
      ],
    }),
  );
  assertFails(await inside('summary', at('joined.onnx')), 1, /"mask" is f32\[n, 1, h, 8\]; give its shape/);
  const fixed = at('joined-8.onnx');
  const sized = await inside('convert', at('joined.onnx'), fixed, '--input', 'mask=1x8x8');
  assert.equal(sized.status, 0, sized.stderr);
  const joined = await inside('summary', fixed, '--json', '--batch', '4');
  assert.equal(joined.status, 0, joined.stderr);
  const { totals, outputShape } = joined.events()[0] as { totals: { parameters: number }; outputShape: number[] };
  assert.deepEqual([totals.parameters, outputShape], [108, [4, 6, 6]]);
});

test('train --init goes on with a network: its own classes, or others with a new last layer', async () => {
  const train = async (out: string, ...more: string[]): Promise<Record<string, unknown>[]> => {
    const result = await inside('train', ...more, '--epochs', '2', '--threads', '1', '--out', at(out), '--json');
    assert.equal(result.status, 0, result.stderr);
    return result.events();
  };
  // The same classes, from ONNX: as good as before from the first epoch on.
  const same = await train('same', '--data', bars, '--init', digits);
  const init = same.find(({ event }) => event === 'init');
  assert.deepEqual(
    [init?.from, init?.format, init?.fresh, init?.frozen, init?.normalised],
    [digits, 'onnx', false, false, true],
  );
  const before = (await inside('evaluate', trained, '--data', bars, '--json')).events().at(-1) as { accuracy: number };
  assert.ok((same.at(-1)?.testAccuracy as number) >= before.accuracy - 0.1);
  // What comes out is a model like any other.
  const again = await loadModel(at('same', 'model.safetensors'));
  assert.equal(again.model.type, 'OnnxModel');
  assert.deepEqual(again.classes, CLASSES);

  // Other classes.
  const fresh = await train('fresh', '--data', others, '--init', trained);
  const event = fresh.find(({ event }) => event === 'init');
  assert.deepEqual([event?.fresh, event?.head], [true, ['classifier.fc3.weight', 'classifier.fc3.bias']]);
  const model = await loadModel(at('fresh', 'model.safetensors'));
  assert.deepEqual([...model.model.stateDict()['classifier.fc3.weight'].shape], [4, 84]);
  assert.deepEqual(model.classes?.length, 4);

  // Only the last layer, of a network that takes channels last.
  const frozen = ['--init', keras, '--freeze', 'features', '--preprocessing', 'unit'];
  const head = await train('head', '--data', others, ...frozen);
  const { head: trainedNames } = head.find(({ event }) => event === 'init') as { head: string[] };
  const [from, to] = [(await load(keras)).model.stateDict(), (await loadModel(at('head', 'model.safetensors'))).model];
  const state = to.stateDict();
  const changed = Object.keys(from).filter((name) => {
    const now = state[`model.${name}`];
    return `${now.shape}` !== `${from[name].shape}` || !now.data().every((v, i) => v === from[name].data()[i]);
  });
  assert.deepEqual(changed.map((name) => `model.${name}`).sort(), [...trainedNames].sort());
  assert.equal(changed.length, 2);
  const resumed = await inside('train', '--resume', '--out', at('head'), '--epochs', '3', '--threads', '1');
  assert.equal(resumed.status, 0, resumed.stderr);
  const later = (await loadModel(at('head', 'model.safetensors'))).model.stateDict();
  const [kept] = Object.keys(from).filter((name) => !changed.includes(name));
  assert.deepEqual(later[`model.${kept}`].data(), from[kept].data());

  // A network of convolutions for other sizes than the one that its file was made for.
  const fully = new Sequential(
    new Conv2d(1, 4, 3),
    new ReLU(),
    new Conv2d(4, 3, 3),
    new GlobalAvgPool2d(),
    new Flatten(),
  );
  writeFileSync(at('fully.onnx'), exportOnnx(fully.eval(), { inputs: [[1, 1, 32, 32]], dynamicBatch: true }));
  const sized = await train('sized', '--data', bars, '--init', at('fully.onnx'), '--size', '16');
  assert.equal(sized.find(({ event }) => event === 'data')?.height, 16);
  assert.equal((await inside('predict', at('sized', 'model.safetensors'), image)).status, 0);

  const refused = (...more: string[]): Promise<CommandResult> => inside('train', '--data', bars, ...more);
  assertFails(await refused('--freeze', 'features'), 2, /--freeze belongs to --init/);
  assertFails(await refused('--preprocessing', 'unit'), 2, /--preprocessing belongs to --init/);
  assertFails(await refused('--init', digits, '--model', 'lenet'), 1, /architecture of its own; leave out "lenet"/);
  assertFails(await refused('--init', 'lenet'), 2, /"lenet" is a built-in network/);
  assertFails(await refused('--init', trained, '--channels', '3'), 2, /--channels 3: .* takes pictures of 1 channels/);
  assertFails(await refused('--init', at('two.onnx')), 1, /pictures need one input of floats with four axes/);
  assertFails(
    await inside('train', '--resume', '--out', at('head'), '--init', digits, '--epochs', '9'),
    2,
    /--init .*digits\.onnx.*\(the checkpoint has .*keras\.onnx/,
  );
  assertFails(
    await inside('train', '--resume', '--out', at('head'), '--preprocessing', 'unit'),
    2,
    /--preprocessing: --resume takes the preprocessing of the checkpoint/,
  );
});

test('train --init with the same classes needs no last layer that can be told', async () => {
  const odd = new Sequential(new Flatten(), new Linear(256, 3), new BatchNorm1d(3));
  const preprocessing = { channels: 1, height: 16, width: 16, mean: [0.5], std: [0.5] } as const;
  await saveModel(at('odd.safetensors'), odd.eval(), { classes: CLASSES, preprocessing });
  const init = (data: string, ...more: string[]): Promise<CommandResult> =>
    inside('train', '--data', data, '--init', at('odd.safetensors'), '--epochs', '1', '--threads', '1', ...more);
  const same = await init(bars, '--out', at('odd'), '--json');
  assert.equal(same.status, 0, same.stderr);
  const event = same.events().find((one) => one.event === 'init');
  assert.deepEqual([event?.head, event?.fresh], [[], false]);
  assertFails(await init(others), 1, /cannot tell which of its layers makes its 3 outputs/);
  assertFails(await init(bars, '--freeze', 'features'), 1, /cannot tell which of its layers/);
});

test('train --init from weights alone of a built-in network', async () => {
  await writeNpz(at('small.npz'), toHost(resnetSmall({ classes: 7, width: 16, size: 16 }).stateDict()));
  const args = ['--data', bars, '--init', at('small.npz'), '--model', 'resnet-small', '--size', '16'];
  const result = await inside('train', ...args, '--epochs', '1', '--threads', '1', '--out', at('weights'), '--json');
  assert.equal(result.status, 0, result.stderr);
  const init = result.events().find(({ event }) => event === 'init');
  assert.deepEqual([init?.format, init?.fresh, init?.normalised], ['weights of resnet-small', true, false]);
  assert.match(result.stderr, /does not say how it wants pictures normalised/);
});

test('real models: stored outputs, conformance tests, photos', async (t) => {
  const [models, photos, suite] = [
    sharedPath('models'),
    sharedPath('data/imagenet-samples'),
    sharedPath('conformance'),
  ];
  if (models === undefined || photos === undefined || suite === undefined) {
    t.skip('shared/models, shared/data or shared/conformance is not there');
    return;
  }
  const squeezenet = join(models, 'squeezenet1.1');
  const { arrays, outputs } = await runTo(
    'squeezenet',
    join(squeezenet, 'model.onnx'),
    join(squeezenet, 'input_1.npy'),
  );
  assert.equal(outputs[0].name, 'out');
  assertClose(arrays[0].data, (await readNpy(join(squeezenet, 'output_1.npy'))).data, 1e-5);

  for (const name of ['test_gemm_all_attributes', 'test_conv_with_strides_padding', 'test_constant']) {
    const folder = join(suite, 'onnx/core', name);
    const set = join(folder, 'test_data_set_0');
    const inputs = readdirSync(set).filter((file) => file.startsWith('input_'));
    const files = inputs.sort().map((file) => join(set, file));
    const result = await runTo(name, join(folder, 'model.onnx'), ...files);
    const expected = parseOnnxTensor(readFileSync(join(set, 'output_0.pb')), name);
    assert.deepEqual([...result.arrays[0].shape], [...expected.shape]);
    assertClose(result.arrays[0].data, expected.data);
  }

  const resnet = join(models, 'resnet20-cifar10');
  const stored = (await readNpy(join(resnet, 'output.npy'))).data;
  const weights = ['--model', 'resnet20', '--input', join(resnet, 'input.npy'), '--output', at('resnet')];
  assert.equal((await inside('run', join(resnet, 'model.safetensors'), ...weights)).status, 0);
  assertClose((await readNpy(at('resnet', 'output.npy'))).data, stored);
  for (const file of ['mlperf-tiny-resnet8/model.h5', 'meshnet3d-model5_gw_ae/tfjs/model.json']) {
    const folder = join(models, file.split('/')[0]);
    const result = await runTo(file.replaceAll('/', '-'), join(models, file), join(folder, 'input.npy'));
    assertClose(result.arrays[0].data, (await readNpy(join(folder, 'output.npy'))).data, 1e-4);
  }

  const classes = join(photos, 'classes.txt');
  const pictures = ['n01440764_tench.JPEG', 'n02417914_ibex.JPEG', 'n03297495_espresso_maker.JPEG'];
  const named = await inside(
    ...['predict', join(squeezenet, 'model.onnx'), '--classes', classes, '--preprocessing', 'imagenet', '--top', '1'],
    ...pictures.map((file) => join(photos, file)),
    '--json',
  );
  assert.deepEqual(
    named.events().map((event) => (event.classes as { class: string }[])[0].class),
    ['tench', 'ibex', 'espresso maker'],
  );
});
