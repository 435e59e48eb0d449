import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { formatExtents } from '../inspect/format.js';
import { type ModelCosts, modelCosts } from '../inspect/index.js';
import type { Module } from '../nn/index.js';
import type { Shape } from '../tensor/shape.js';
import { findModel, MODELS, unet2d, unet3d } from './index.js';

/** What has been published of a model: parameters, and billions of multiply-adds as far as it is known. */
type Published = readonly [name: string, parameters: number, multiplyAdds?: number, options?: object];

/**
 * Parameters: `num_params` of torchvision's weights; multiply-adds: its `GFLOPS` (https://pytorch.org/vision/stable/models.html), which are
 * multiply-adds of convolutions and linear layers at the sizes of the registry, to three digits.
 */
const TORCHVISION: readonly Published[] = [
  ['alexnet', 61_100_840, 0.714],
  ['vgg11', 132_863_336, 7.609],
  ['vgg11_bn', 132_868_840, 7.609],
  ['vgg13', 133_047_848, 11.308],
  ['vgg13_bn', 133_053_736, 11.308],
  ['vgg16', 138_357_544, 15.47],
  ['vgg16_bn', 138_365_992, 15.47],
  ['vgg19', 143_667_240, 19.632],
  ['vgg19_bn', 143_678_248, 19.632],
  ['googlenet', 6_624_904, 1.498],
  ['inception_v3', 27_161_264, 5.713],
  ['resnet18', 11_689_512, 1.814],
  ['resnet34', 21_797_672, 3.664],
  ['resnet50', 25_557_032, 4.089],
  ['resnet101', 44_549_160, 7.801],
  ['resnet152', 60_192_808, 11.514],
  ['resnext50_32x4d', 25_028_904, 4.23],
  ['resnext101_32x8d', 88_791_336, 16.414],
  ['wide_resnet50_2', 68_883_240, 11.398],
  ['wide_resnet101_2', 126_886_696, 22.753],
  ['squeezenet1_0', 1_248_424, 0.819],
  ['squeezenet1_1', 1_235_496, 0.349],
  ['mobilenet_v2', 3_504_872, 0.301],
  ['mobilenet_v3_large', 5_483_032, 0.217],
  ['mobilenet_v3_small', 2_542_856, 0.057],
  ['efficientnet_b0', 5_288_548, 0.386],
  ['densenet121', 7_978_856, 2.834],
  ['r2plus1d_18', 31_505_325, 40.519],
  ['r3d_18', 33_371_472, 40.697],
  ['mc3_18', 11_695_440, 43.343],
];

/** Numbers of papers, and of well-known implementations. */
const OTHERS: readonly Published[] = [
  // LeNet-5 as in every introduction: 156 + 2416 + 48,120 + 10,164 + 850.
  ['lenet', 61_706],
  // He et al., 2016, table 6: 0.27, 0.46, 0.66, 0.85 million; the work of the last: Lin et al., "HRank", CVPR 2020, table 2.
  ['resnet20', 269_722],
  ['resnet32', 464_154],
  ['resnet44', 658_586],
  ['resnet56', 853_018, 0.12549],
  // Howard et al., 2017, table 4: 4.2 million, 569 million multiply-adds; exactly: tf.keras.applications.MobileNet, trainable.
  ['mobilenet_v1', 4_231_976, 0.569],
  // Howard et al., 2017, table 6: α = 0.5 has 1.3 million, 149 million.
  ['mobilenet_v1', 1_331_592, 0.149, { widthMult: 0.5 }],
  // TF-Slim's list of MobileNets, v2 1.4 at 224: 582 million; the parameters are torchvision's.
  ['mobilenet_v2', 6_108_776, 0.582, { widthMult: 1.4 }],
  // For the 101 classes of UCF101, as MMAction2 lists it: 78.4 million, 38.5 billion.
  ['c3d', 78_409_573, 38.5, { classes: 101 }],
  // Bai et al., 2018, table 1: about 70 thousand for sequential MNIST. 4,700 + 7 · 8,850 + 260.
  ['tcn', 66_910],
  // Dai et al., 2017, table 1: 0.5 million. Convolutions 551,936, normalisation 2,048, the last layer 5,130.
  ['m5', 559_114],
  // 20,000 words of 300 numbers; 100 · (300 · (3 + 4 + 5) + 3); 302 · 2 − 2.
  ['textcnn', 6_000_000 + 360_300 + 602],
  // 40 layers of (2 · 2 · 32 · 32 + 32 · 256), 39 residual ones, 256 · 32 in front, 2 · (256 · 256 + 256) behind.
  ['wavenet', 40 * (4096 + 8192) + 39 * 1024 + 8192 + 2 * 65_792],
];

/** Of every model as it is by default. */
const usual = new Map<string, ModelCosts>();

function costsOf(name: string, options?: object): ModelCosts {
  const { create, inputShape } = findModel(name);
  const known = options === undefined ? usual.get(name) : undefined;
  const costs = known ?? modelCosts(() => create(options), inputShape);
  if (options === undefined) usual.set(name, costs);
  return costs;
}

for (const [source, rows] of Object.entries({ torchvision: TORCHVISION, papers: OTHERS })) {
  test(`parameters and multiply-adds are those of ${source}`, () => {
    for (const [name, parameters, billions, options] of rows) {
      const costs = costsOf(name, options);
      assert.equal(costs.parameters, parameters, name);
      if (billions === undefined) continue;
      const counted = costs.multiplyAdds / 1e9;
      // Half of the last digit, or what the published number leaves open.
      const close = Math.abs(counted - billions) <= Math.max(0.00051, 0.002 * billions);
      assert.ok(close, `${name}: ${counted} billion multiply-adds, published ${billions}`);
    }
  });
}

test('segmentation networks with auxiliary heads are as large as those of torchvision', () => {
  const cases: readonly (readonly [name: string, parameters: number, billions: number, auxInput: Shape])[] = [
    ['fcn_resnet50', 35_322_218, 152.717, [1024, 65, 65]],
    ['deeplabv3_resnet50', 42_004_074, 178.722, [1024, 65, 65]],
    ['deeplabv3_mobilenet_v3_large', 11_029_328, 10.452, [40, 65, 65]],
  ];
  for (const [name, parameters, billions, auxInput] of cases) {
    const { create, inputShape } = findModel(name);
    const make = (): Module => create({ auxLoss: true } as object);
    const costs = modelCosts(make, inputShape);
    const aux = modelCosts(() => make().submodule('aux_classifier'), auxInput);
    assert.equal(costs.parameters, parameters, name);
    const counted = (costs.multiplyAdds + aux.multiplyAdds) / 1e9;
    assert.ok(Math.abs(counted - billions) < 0.001 * billions, `${name}: ${counted}, published ${billions}`);
  }
  assert.equal(
    modelCosts(() => MODELS.googlenet.create({ auxLogits: true } as object), [3, 224, 224]).parameters,
    13_004_888,
  );
});

test('the U-Nets have as many parameters as published', () => {
  // milesial/Pytorch-UNet, colour images and two classes.
  assert.equal(modelCosts(() => unet2d(), [3, 64, 64]).parameters, 31_037_698);
  // Çiçek et al., 2016, section 2: 19,069,955, without scales and shifts: two for each channel of 14 convolutions.
  const channels = 32 + 64 + 64 + 128 + 128 + 256 + 256 + 512 + 256 + 256 + 128 + 128 + 64 + 64;
  const volumes = modelCosts(() => unet3d({ inChannels: 3, classes: 3 }), [3, 16, 16, 16]);
  assert.equal(volumes.parameters - 2 * channels, 19_069_955);
});

const START = '<!-- written by `npm run models` -->';
const END = '<!-- end -->';

/** `docs/models.md` of the checkout, wherever the tests were compiled to. */
function pagePath(): string | undefined {
  for (let folder = new URL('.', import.meta.url); folder.pathname !== '/'; folder = new URL('..', folder)) {
    const path = fileURLToPath(new URL('docs/models.md', folder));
    if (existsSync(path)) return path;
  }
  return undefined;
}

test('docs/models.md lists all models with their costs', (t) => {
  const path = pagePath();
  if (path === undefined) return t.skip('docs/models.md is not here');
  const rows = Object.values(MODELS).map(({ name, task, inputShape, create }) => {
    const { parameters, multiplyAdds, outputShape } = costsOf(name);
    const shapes = `${formatExtents(inputShape)} | ${formatExtents(outputShape)}`;
    const numbers = `${parameters.toLocaleString('en')} | ${(multiplyAdds / 1e6).toLocaleString('en', { maximumSignificantDigits: 4 })}`;
    return `| \`${name}\` | \`${create.name}\` | ${task} | ${shapes} | ${numbers} |`;
  });
  const table = [
    '| name | function | for | input | output | parameters | multiply-adds, millions |',
    '|---|---|---|---|---|--:|--:|',
    ...rows,
  ].join('\n');
  const text = readFileSync(path, 'utf8');
  const [before, after] = [text.indexOf(START), text.indexOf(END)];
  assert.ok(before >= 0 && after > before, `${path} has no place for the table`);
  const wanted = `${text.slice(0, before)}${START}\n\n${table}\n\n${text.slice(after)}`;
  if (process.env.GABOR_MODELS === 'write') writeFileSync(path, wanted);
  else assert.equal(text, wanted, 'docs/models.md is out of date; npm run models writes it');
});
