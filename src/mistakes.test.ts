// What a program without types may get wrong: every mistake is answered by an error that says what is expected.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import * as gabor from './index.js';
import { temporaryFolder } from './testing/command-line.js';

// biome-ignore lint/suspicious/noExplicitAny: as programs in JavaScript see it
const g: any = gabor;
const { OptionError, ShapeError } = gabor;

/** What happens, and the message that is expected. */
type Mistake = readonly [() => unknown, RegExp];

async function refused(mistakes: readonly Mistake[], kind: new (...args: never[]) => Error): Promise<void> {
  for (const [make, message] of mistakes) {
    await assert.rejects(
      async () => make(),
      (error: Error) => {
        assert.match(error.message, message);
        assert.ok(error instanceof kind, `${message}: ${error.name}`);
        return true;
      },
    );
  }
}

const conv = new gabor.Conv2d(3, 8, 3);

test('options that are no object, arguments of another kind', async () => {
  await refused(
    [
      [
        () => new g.Conv2d(3, 8, 3, 1, 1),
        /^Conv2d: options go by name, \{ stride, padding, .*\}; got 1 in their place/,
      ],
      [() => new g.Conv2d(3, 8, 3, null), /^Conv2d: options go by name.*got null/],
      [() => g.tensor([1, 2, 3, 4], [2, 2]), /^tensor: options go by name, \{ shape, dtype \}; got an array/],
      [() => new g.SGD(conv.parameters(), 0.1), /^SGD: options go by name, \{ lr, .*; got 0\.1/],
      [
        () => new g.Adam(conv, { lr: 0.1 }),
        /^Adam: takes a list of parameters: those of a model are model\.parameters\(\)/,
      ],
      [() => g.zeros([2], { dtype: 'i32' }), /^zeros: unknown dtype, a value of the type object; known are f32, /],
      [() => g.ones([2], 'float32'), /^ones: unknown dtype, "float32"; known are f32, /],
      [() => g.tensor([2], { dtype: 'constructor' }), /^tensor: unknown dtype, "constructor"/],
      [() => g.saveOnnx('never.onnx', conv), /options go by name, \{ inputs, .*got undefined/],
      [() => g.fit(conv, [1, 2]), /^fit: takes a data set: openDataset /],
      [() => g.evaluate(conv, undefined, {}), /^evaluate: the data have no such part/],
    ],
    OptionError,
  );
});

test('numbers that are no tensor', async () => {
  const none = /Float32Array is none: tensor\(values, \{ shape \}\) makes one/;
  await refused([[() => (conv as typeof g).call(new Float32Array(27)), none]], OptionError);
  await refused([[() => gabor.compile((x: never) => x)(new Float32Array(3) as never), none]], gabor.GaborError);
});

test('inputs and preprocessing of a model from a file', async () => {
  const path = join(temporaryFolder(), 'net.onnx');
  const network = gabor.sequential(new gabor.Conv2d(3, 2, 3), new gabor.GlobalAvgPool2d());
  await gabor.saveOnnx(path, network, { inputs: [[1, 3, 8, 8]] });
  using loaded: typeof g = await gabor.load(path);
  const x = gabor.zeros([1, 3, 8, 8]);
  const host = { dtype: 'f32', shape: [1, 3, 8, 8], data: new Float32Array(192) };
  const classes = ['a', 'b'];
  await refused(
    [
      [() => loaded.run(), /^inputs are a list of tensors, or tensors by name; .*net\.onnx takes "input" f32/],
      [() => loaded.run(x), /^inputs are a list of tensors, or tensors by name/],
      [() => loaded.run([new Float32Array(192)]), /^the input "input" must be a tensor; Float32Array is none/],
      [() => loaded.run({ input: { ...host, data: [1] } }), /^the input "input" must be a tensor; Object is none/],
      [() => loaded.run({ input: undefined }), /^the input "input" must be a tensor; undefined is none/],
      [
        () => loaded.classifier({ classes, preprocessing: 'imagnet' }),
        /there is no preprocessing "imagnet"; known are imagenet, unit, symmetric, bytes\./,
      ],
      [() => loaded.classifier({ classes, preprocessing: 3 }), /preprocessing must be an object; for ImageNet/],
      [() => loaded.classifier({ classes, preprocessing: { channels: 3 } }), /preprocessing has a size of undefined/],
    ],
    OptionError,
  );
  await refused(
    [
      [() => loaded.run([gabor.zeros([1, 8, 8, 3])]), /axis 1 must be 3, not 8/],
      [() => loaded.run([{ ...host, shape: [1, 8, 8, 3] }]), /axis 1 must be 3, not 8/],
      [() => loaded.run([{ ...host, data: new Float32Array(3) }]), /3 elements do not fill \[1, 3, 8, 8\]/],
    ],
    ShapeError,
  );
});

test('a network is suggested once', async () => {
  const path = join(temporaryFolder(), 'lenet', 'lenet.npz');
  await gabor.writeNpz(path, { x: { dtype: 'f32', shape: [1], data: new Float32Array(1) } });
  await refused([[() => gabor.load(path), /perhaps lenet(?!.* or lenet\b)/]], gabor.FileError);
});
