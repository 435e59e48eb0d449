import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkAugment } from '../data/index.js';
import { compile } from '../graph/compile.js';
import { type Module, manualSeed, moduleFromConfig } from '../nn/index.js';
import { zeros } from '../ops/create.js';
import { OptionError } from '../tensor/errors.js';
import { Random } from '../tensor/random.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/index.js';
import { resolveSettings } from '../train/settings.js';
import { findImageClassifier, findModel, lenet, MODELS, resnetSmall, vggSmall } from './index.js';

/** The networks that fit themselves to small images. */
const SMALL = [MODELS.lenet, MODELS['vgg-small'], MODELS['resnet-small']];

const parameterCount = (model: Module): number => model.parameters().reduce((sum, { size }) => sum + size, 0);

/** The shape of the logits, from the shape rules alone. */
function outputShape(model: Module, shape: Shape, training = false): Shape {
  const graph = compile((x: Tensor) => inMode(model, training, () => model.call(x))).graph(zeros(shape));
  return graph.outputs[0].type.shape;
}

test('the parameters are as many as the papers and the arithmetic say', () => {
  assert.equal(parameterCount(lenet()), 61_706);
  // 1·9·32 + 32·32·9 + 32·64·9 + 64·64·9 + 64·128·9 + 128·128·9, two per normalised channel, 128·10 + 10
  const convolutions = 9 * (32 + 32 ** 2 + 32 * 64 + 64 ** 2 + 64 * 128 + 128 ** 2);
  assert.equal(parameterCount(vggSmall()), convolutions + 2 * (2 * 32 + 2 * 64 + 2 * 128) + 1290);
  // ResNet-20 for CIFAR-10 has 0.27 million (table 6 of the paper); 1×1 shortcuts add a little.
  const resnet20 = parameterCount(resnetSmall({ blocks: 3, inChannels: 3, size: 32 }));
  assert.ok(resnet20 > 270_000 && resnet20 < 276_000, String(resnet20));
});

test('the small models take every size from 28×28 grey to 128×128 colour, in both modes', () => {
  for (const { name, create } of SMALL) {
    for (const [inChannels, height, width] of [
      [1, 28, 28],
      [3, 32, 32],
      [3, 64, 48],
      [1, 95, 97],
      [3, 128, 128],
    ]) {
      const model = create({ classes: 5, inChannels, size: [height, width], random: new Random(1) });
      for (const training of [false, true]) {
        const shape = outputShape(model, [2, inChannels, height, width], training);
        assert.deepEqual(shape, [2, 5], `${name} ${inChannels}×${height}×${width}`);
      }
    }
  }
});

test('the stages see images of at most 48, however large the input', () => {
  for (const create of [vggSmall, resnetSmall]) {
    const model = create({ inChannels: 3, size: 128, width: 2 });
    const stem = model.submodule('stem');
    assert.deepEqual(outputShape(stem, [1, 3, 128, 128]), [1, 2, 32, 32]);
    assert.deepEqual(outputShape(stem, [1, 3, 96, 96]), [1, 2, 24, 24]);
  }
});

test('models are rebuilt from their configuration, and repeat for a seed', () => {
  for (const { name, create } of SMALL) {
    const model = create({ random: new Random(7) });
    const rebuilt = moduleFromConfig(JSON.parse(JSON.stringify(model.config())));
    assert.deepEqual(rebuilt.config(), model.config(), name);
    assert.deepEqual(
      Object.entries(rebuilt.stateDict()).map(([key, { shape }]) => [key, shape]),
      Object.entries(model.stateDict()).map(([key, { shape }]) => [key, shape]),
    );
    const again = create({ random: new Random(7) });
    manualSeed(7);
    const shared = create({});
    for (const [key, value] of Object.entries(model.stateDict())) {
      assert.deepEqual(again.stateDict()[key].data(), value.data(), `${name} ${key}`);
      assert.deepEqual(shared.stateDict()[key].data(), value.data(), `${name} ${key}`);
    }
  }
});

test('He initialisation keeps the variance of rectified layers', () => {
  const weights = resnetSmall({ width: 32, random: new Random(2) }).stateDict()['layer3.1.body.conv1.weight'];
  const data = weights.data();
  const variance = (data as Float32Array).reduce((sum, w) => sum + w * w, 0) / data.length;
  assert.ok(Math.abs(variance / (2 / (9 * 128)) - 1) < 0.05, String(variance));
});

test('impossible options are errors', () => {
  const cases: [() => Module, RegExp][] = [
    [() => lenet({ size: 11 }), /lenet: images of 11×11 are too small/],
    [() => lenet({ classes: 1 }), /classes must be a whole number of at least 2/],
    [() => lenet({ width: 3 } as object), /unknown option "width"/],
    [() => vggSmall({ size: 0 }), /size/],
    [() => vggSmall({ size: 3 }), /size must be a whole number of at least 4/],
    [() => vggSmall({ dropout: 2 }), /p must lie between 0 and 1/],
    [() => resnetSmall({ blocks: 0 }), /blocks/],
    [() => resnetSmall({ inChannels: -1 }), /inChannels/],
    [
      () => findModel('vgg') as never,
      /there is no model "vgg"; did you mean vgg-small\? There are lenet, vgg-small, resnet-small/,
    ],
    [
      () => findImageClassifier('unet2d') as never,
      /"unet2d" is for image segmentation; images are classified by lenet,/,
    ],
    [() => findModel('toString') as never, /no model "toString"/],
  ];
  for (const [make, message] of cases) {
    assert.throws(make, (error: Error) => {
      assert.ok(error instanceof OptionError, error.stack);
      assert.match(error.message, message);
      return true;
    });
  }
});

test('the suggested training options are valid for every model, kind of data and size', () => {
  const classifiers = Object.values(MODELS)
    .filter(({ task }) => task === 'image classification')
    .map(({ name }) => findImageClassifier(name));
  assert.ok(classifiers.length > 30);
  for (const { name, defaults } of classifiers) {
    for (const kind of ['strokes', 'idx', 'folder']) {
      for (const side of [16, 28, 128]) {
        for (const count of [100, 60_000]) {
          const options = defaults({ kind, height: side, width: side, channels: 1, splits: { train: { count } } });
          const settings = resolveSettings(options, count);
          assert.ok(settings.augment !== null, `${name} ${kind}`);
          checkAugment(settings.augment, side, side);
        }
      }
    }
  }
});
