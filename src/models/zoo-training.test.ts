import '../runtime/default-device.js';
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gradients } from '../autodiff/gradients.js';
import { compile } from '../graph/compile.js';
import { tensor } from '../ops/create.js';
import { crossEntropy } from '../ops/losses.js';
import { Adam } from '../optim/index.js';
import { Random } from '../tensor/random.js';
import { type Shape, sizeOf } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { hashedNumbers } from '../testing/model-weights.js';
import { MODELS } from './index.js';

/** A narrow version for small inputs: the same graph with fewer numbers. */
interface Narrow {
  readonly options: object;
  readonly input: Shape;
  /** Inputs are whole numbers below this one. */
  readonly words?: number;
  /** default 0.002 */
  readonly lr?: number;
}

const NARROW: Readonly<Record<string, Narrow>> = {
  lenet: { options: { size: 12 }, input: [1, 12, 12] },
  'vgg-small': { options: { width: 4, size: 12 }, input: [1, 12, 12] },
  'resnet-small': { options: { width: 4, size: 12 }, input: [1, 12, 12] },
  vgg: { options: { widthMult: 0.1, hidden: 32, dropout: 0 }, input: [3, 32, 32] },
  alexnet: { options: { widthMult: 0.1, hidden: 32, dropout: 0 }, input: [3, 63, 63], lr: 0.005 },
  inception_v3: { options: { widthMult: 0.1 }, input: [3, 75, 75] },
  squeezenet1_0: { options: { widthMult: 0.25, dropout: 0 }, input: [3, 45, 45] },
  squeezenet1_1: { options: { widthMult: 0.25, dropout: 0 }, input: [3, 45, 45] },
  unet2d: { options: { widthMult: 0.1, levels: 2 }, input: [3, 16, 16] },
  unet3d: { options: { widthMult: 0.1, levels: 2 }, input: [1, 8, 8, 8] },
  wavenet: {
    options: {
      layers: 3,
      stacks: 2,
      residualChannels: 8,
      dilationChannels: 8,
      skipChannels: 16,
      endChannels: 16,
      classes: 16,
    },
    input: [32],
    words: 16,
    lr: 0.01,
  },
  m5: { options: { widthMult: 0.1 }, input: [1, 2000] },
  tcn: { options: { channels: [6, 6, 6], dropout: 0 }, input: [1, 40], lr: 0.02 },
  textcnn: { options: { words: 50, embeddingDim: 12, filters: 8, dropout: 0 }, input: [9], words: 50 },
  c3d: { options: { widthMult: 0.1, hidden: 32, size: 16, dropout: 0 }, input: [3, 16, 16, 16] },
  r2plus1d_18: { options: { widthMult: 0.1 }, input: [3, 4, 12, 12] },
  r3d_18: { options: { widthMult: 0.1 }, input: [3, 4, 12, 12] },
  mc3_18: { options: { widthMult: 0.1 }, input: [3, 4, 12, 12] },
};

const USUAL_SIZE: Narrow = { options: { widthMult: 0.1 }, input: [3, 32, 32] };

const BATCH = 4;

/** One of each kind; the others are deeper or wider ones of the same code, and are trained where GABOR_ZOO is "all". */
const USUAL = [
  'lenet',
  'alexnet',
  'resnet18',
  'squeezenet1_1',
  'mobilenet_v2',
  'unet2d',
  'unet3d',
  'wavenet',
  'm5',
  'tcn',
  'textcnn',
  'c3d',
];

const all = process.env.GABOR_ZOO === 'all';

test('the loss falls in a few steps of training', async (t) => {
  for (const { name, create, task } of Object.values(MODELS)) {
    await t.test(name, { skip: all || USUAL.includes(name) ? false : 'only with GABOR_ZOO=all' }, async () => {
      const narrow = NARROW[name] ?? (name.startsWith('vgg') ? NARROW.vgg : USUAL_SIZE);
      const { options, input, words, lr = 0.002 } = narrow;
      const classes = name === 'wavenet' ? 16 : 3;
      const model = create({ ...options, classes, random: new Random(3) }).train();
      const numbers = hashedNumbers('input', BATCH * sizeOf(input));
      const x = tensor(
        words === undefined ? numbers : Int32Array.from(numbers, (u) => Math.floor(((u + 1) / 2) * words)),
        { shape: [BATCH, ...input] },
      );
      const places = task === 'audio generation' ? input : /segmentation/.test(task) ? input.slice(1) : [];
      // Every example is of one class, so that there is something to learn in few steps.
      const labels = Int32Array.from({ length: BATCH * sizeOf(places) }, (_, i) => Math.floor(i / sizeOf(places)) % 3);
      const y = tensor(labels, { shape: [BATCH, ...places] });
      const optimizer = new Adam(model.parameters(), { lr });
      const step = compile((input: Tensor, target: Tensor) => {
        const loss = crossEntropy(model.call(input), target);
        optimizer.step(gradients(loss, model.parameters()));
        return loss;
      });
      const losses: number[] = [];
      for (let i = 0; i < 8; i++) losses.push((await step(x, y)).item());
      assert.ok(Math.min(...losses.slice(-3)) < 0.97 * losses[0], `${name}: ${losses.join(', ')}`);
      step.dispose();
      model.dispose();
    });
  }
});
