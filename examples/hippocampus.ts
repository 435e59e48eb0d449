// Finds the front and the back part of the hippocampus in brain scans: every voxel gets a class. The network halves the volume twice and brings it back to size with
// transposed convolutions; what was there before halving is joined to it (Çiçek et al., "3D U-Net", 2016).
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  add,
  BatchNorm3d,
  Conv3d,
  ConvTranspose3d,
  crossEntropy,
  diceLoss,
  encodePng,
  evaluate,
  fit,
  Identity,
  type Module,
  manualSeed,
  Parallel,
  predict,
  Random,
  ReLU,
  type SampleSplit,
  Sequential,
  softmax,
  type Tensor,
  tensor,
} from 'gabor';
import { dataFolder } from './support/arguments.js';
import { boxed, readNifti, type Volume } from './support/nifti.js';
import { Progress } from './support/progress.js';

const SEED = 1;
const CLASSES = ['background', 'anterior', 'posterior'];
const TRAINED = [36, 52, 36] as const; // depth, height and width: most of the volumes; larger ones lose their margins
const TESTED = [48, 60, 44] as const; // all of every volume
const EPOCHS = 4;

interface Scan {
  readonly image: Volume;
  readonly labels: Volume;
}

// 1. The data: 260 scans. A fifth of them, drawn at random, is left out of training.
const folder = dataFolder(
  ['images', 'labels'],
  'It holds images/*.nii.gz and labels/*.nii.gz: "Hippocampus" of the Medical Segmentation Decathlon, medicaldecathlon.com.',
);
const read = (part: string, name: string): Volume => readNifti(readFileSync(join(folder, part, name)), name);
const scans: Scan[] = [];
const named = new Set(readdirSync(join(folder, 'labels')));
for (const name of readdirSync(join(folder, 'images')).sort()) {
  if (!name.endsWith('.nii.gz') || !named.has(name)) continue;
  const [image, labels] = [read('images', name), read('labels', name)];
  if (String(image.shape) !== String(labels.shape)) continue;
  const mean = image.data.reduce((a, b) => a + b, 0) / image.data.length;
  const deviation = Math.sqrt(image.data.reduce((sum, v) => sum + (v - mean) ** 2, 0) / image.data.length);
  image.data.forEach((v, i) => {
    image.data[i] = (v - mean) / deviation;
  });
  scans.push({ image, labels });
}
const order = new Random(SEED).permutation(scans.length);
const heldOut = Math.round(scans.length / 5);
const test = Array.from(order.subarray(0, heldOut), (i) => scans[i]);
const training = Array.from(order.subarray(heldOut), (i) => scans[i]);

const split = (some: readonly Scan[], box: readonly number[]): SampleSplit => {
  const images = some.map(({ image }) => image);
  const labels = some.map(({ labels }) => labels);
  return { count: some.length, inputs: boxed(images, box), targets: Uint8Array.from(boxed(labels, box)) };
};
const format = (box: readonly number[]) => ({ inputShape: [1, ...box], targetShape: box, classes: CLASSES });

// 2. The network.
manualSeed(SEED);
const block = (from: number, to: number): Module =>
  new Sequential(new Conv3d(from, to, 3, { padding: 1, bias: false }), new BatchNorm3d(to), new ReLU());
const level = (from: number, to: number, inner: Module): Module =>
  new Sequential(
    block(from, to),
    new Parallel([
      new Identity(),
      new Sequential(
        new Conv3d(to, 2 * to, 2, { stride: 2 }),
        new ReLU(),
        inner,
        new ConvTranspose3d(2 * to, to, 2, { stride: 2 }),
      ),
    ]),
    block(2 * to, to),
  );
const model = new Sequential(level(1, 8, level(16, 16, block(32, 32))), new Conv3d(8, CLASSES.length, 1));

// 3. Training, with the sum of two losses: one counts voxels, the other one overlaps, so that the small classes count as much.
const loss = (output: Tensor, truth: Tensor): Tensor =>
  add(crossEntropy(output, truth), diceLoss(softmax(output, 1), truth, { batch: true, includeBackground: false }));
const data = { ...format(TRAINED), splits: { train: split(training, TRAINED) } };
const batchSize = 4;
const progress = new Progress(EPOCHS * Math.floor(training.length / batchSize));
await fit(model, data, {
  epochs: EPOCHS,
  batchSize,
  lr: 0.01,
  schedule: { type: 'cosine', warmup: 0.5 },
  loss,
  seed: SEED,
  onEvent: (event) => {
    if (event.event === 'step') progress.update(event.step, `loss ${event.loss.toFixed(3)}`);
  },
});
console.log(`trained in ${Math.round(progress.seconds)} s`);

// 4. Test.
const tested = split(test, TESTED);
const { regions = [] } = await evaluate(model, tested, format(TESTED), { loss, batchSize: 4 });
const [, ...structures] = regions;
for (const { class: name, dice } of structures) console.log(`Dice of the ${name} part: ${dice.toFixed(3)}`);
const meanDice = structures.reduce((sum, { dice }) => sum + dice, 0) / structures.length;
console.log(`mean: ${meanDice.toFixed(3)} of ${test.length} held-out scans`);

// 5. The picture: the slice in the middle of some scans; image | truth | prediction.
const [ROWS, SCALE] = [4, 4];
const [depth, height, width] = TESTED;
const voxels = depth * height * width;
const shown = tensor(tested.inputs.subarray(0, ROWS * voxels), { shape: [ROWS, 1, ...TESTED] });
const probabilities = await predict(model, shown, { batchSize: 1 });
const rgb = new Uint8Array(3 * (3 * width * SCALE) * (ROWS * height * SCALE));
for (let i = 0; i < rgb.length / 3; i++) {
  const column = Math.floor((i % (3 * width * SCALE)) / SCALE);
  const line = Math.floor(i / (3 * width * SCALE) / SCALE);
  const [row, panel] = [Math.floor(line / height), Math.floor(column / width)];
  const at = (Math.floor(depth / 2) * height + (line % height)) * width + (column % width);
  const grey = Math.min(255, Math.max(0, 90 + 45 * tested.inputs[row * voxels + at]));
  const scores = CLASSES.map((_, c) => probabilities[row][c * voxels + at]);
  const label = [0, tested.targets[row * voxels + at], scores.indexOf(Math.max(...scores))][panel];
  rgb.set(
    [
      [grey, grey, grey],
      [255, 60 + grey / 2, 40],
      [40, 110 + grey / 2, 255],
    ][label],
    3 * i,
  );
}
mkdirSync('runs', { recursive: true });
const picture = { width: 3 * width * SCALE, height: ROWS * height * SCALE, channels: 3 as const, data: rgb };
writeFileSync('runs/hippocampus.png', encodePng(picture));
console.log('runs/hippocampus.png: scan | parts drawn by hand (orange: anterior, blue: posterior) | parts found');
