// Finds the membranes between nerve cells in pictures of an electron microscope: every pixel gets a class. The convolutions are dilated: their nine taps move
// apart from layer to layer, so that a small network without pooling sees 69×69 pixels around each one (Yu and Koltun, "Multi-scale context aggregation by
// dilated convolutions", 2016).
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  Adam,
  argmax,
  BatchNorm2d,
  Conv2d,
  compile,
  cosineSchedule,
  crossEntropy,
  decodeImage,
  encodePng,
  gradients,
  manualSeed,
  Random,
  ReLU,
  Sequential,
  type Tensor,
  zeros,
} from 'gabor';
import { dataFolder } from './support/arguments.js';
import { Progress } from './support/progress.js';

const SIZE = 512; // pixels of an image's side
const HELD_OUT = 6;
const CROP = 96;
const BATCH = 8;
const STEPS = 600;
const CHANNELS = 16;

/** An image of the microscope, and for every pixel whether it is membrane (1) or inside of a cell (0). */
interface Sample {
  readonly image: Float32Array;
  readonly truth: Int32Array;
}

// 1. The data: 30 slices of a fruit fly's nerve cord, drawn over by hand. The last six are left out of training.
const folder = dataFolder(
  ['image/0.png', 'label/0.png'],
  'It holds image/0.png to image/29.png and label/0.png to label/29.png of the ISBI 2012 challenge, as in data/membrane/train of github.com/zhixuhao/unet.',
);
const read = (path: string): Uint8Array => decodeImage(readFileSync(join(folder, path)), path).data;
const samples = Array.from({ length: 30 }, (_, i): Sample => {
  const image = Float32Array.from(read(`image/${i}.png`), (grey) => (grey - 128) / 48);
  const truth = Int32Array.from(read(`label/${i}.png`), (grey) => (grey < 128 ? 1 : 0));
  return { image, truth };
});
const training = samples.slice(0, -HELD_OUT);
const heldOut = samples.slice(-HELD_OUT);

// 2. The network: the dilation doubles, the padding keeps the size.
manualSeed(1);
const block = (from: number, dilation: number): Sequential =>
  new Sequential(
    new Conv2d(from, CHANNELS, 3, { dilation, padding: dilation, bias: false }),
    new BatchNorm2d(CHANNELS),
    new ReLU(),
  );
const model = new Sequential(
  block(1, 1),
  ...[1, 2, 4, 8, 16, 1, 1].map((dilation) => block(CHANNELS, dilation)),
  new Conv2d(CHANNELS, 2, 1),
);

// 3. Training: one compiled program computes the loss over all pixels and its gradients, and moves the parameters.
const optimizer = new Adam(model.parameters());
const learningRate = cosineSchedule({ base: 0.006, steps: STEPS, warmup: 20 });
const trainStep = compile((x: Tensor, labels: Tensor) => {
  const loss = crossEntropy(model.forward(x), labels); // [N, classes, height, width] and [N, height, width]
  optimizer.step(gradients(loss, optimizer.parameters));
  return loss;
});

/** Fills a batch with random pieces of the training images, turned and mirrored at random. */
function crops(random: Random, x: Float32Array, y: Int32Array): void {
  for (let n = 0; n < BATCH; n++) {
    const { image, truth } = training[random.integer(training.length)];
    const [top, left] = [random.integer(SIZE - CROP + 1), random.integer(SIZE - CROP + 1)];
    const [upsideDown, mirrored, transposed] = [random.integer(2), random.integer(2), random.integer(2)];
    for (let i = 0; i < CROP * CROP; i++) {
      const [v, u] = [Math.floor(i / CROP), i % CROP];
      const [row, column] = transposed ? [u, v] : [v, u];
      const from = (top + (upsideDown ? CROP - 1 - row : row)) * SIZE + left + (mirrored ? CROP - 1 - column : column);
      x[n * CROP * CROP + i] = image[from];
      y[n * CROP * CROP + i] = truth[from];
    }
  }
}

const random = new Random(1);
const x = zeros([BATCH, 1, CROP, CROP]);
const labels = zeros([BATCH, CROP, CROP], 'i32');
const pixels = new Float32Array(x.size);
const classes = new Int32Array(labels.size);
const progress = new Progress(STEPS);
let smooth = Math.log(2);
for (let step = 0; step < STEPS; step++) {
  crops(random, pixels, classes);
  x.write(pixels);
  labels.write(classes);
  optimizer.setLearningRate(learningRate(step));
  using loss = await trainStep(x, labels);
  smooth += (loss.item() - smooth) / Math.min(step + 1, 20);
  progress.update(step + 1, `loss ${smooth.toFixed(3)}`);
}

// 4. Test: the same weights run over the whole image at once.
model.eval();
const classify = compile((image: Tensor) => argmax(model.forward(image), 1));
const image = zeros([1, 1, SIZE, SIZE]);
const shares: number[] = [];
const predictions: ArrayLike<number>[] = [];
for (const sample of heldOut) {
  image.write(sample.image);
  using prediction = await classify(image);
  const found = prediction.data();
  predictions.push(found);
  shares.push(sample.truth.filter((label, i) => label === found[i]).length / sample.truth.length);
}
const percent = (share: number): string => `${(100 * share).toFixed(2)} %`;
const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b) / values.length;
const cells = mean(heldOut.map(({ truth }) => truth.filter((label) => label === 0).length / truth.length));
console.log(`trained in ${Math.round(progress.seconds)} s`);
console.log(
  `right pixels: ${percent(mean(shares))} of ${HELD_OUT} held-out images (${shares.map(percent).join(', ')})`,
);
console.log(`by always saying "cell": ${percent(cells)}`);

// 5. The picture: image | truth | prediction of the first three.
const ROWS = 3;
const rgb = new Uint8Array(3 * SIZE * ROWS * SIZE * 3);
for (let i = 0; i < ROWS * SIZE * SIZE; i++) {
  const [sample, at] = [Math.floor(i / SIZE / SIZE), i % (SIZE * SIZE)];
  const grey = heldOut[sample].image[at] * 48 + 128;
  [0, heldOut[sample].truth[at], predictions[sample][at]].forEach((membrane, panel) => {
    const to = 3 * (Math.floor(i / SIZE) * 3 * SIZE + panel * SIZE + (i % SIZE));
    rgb.set(membrane ? [255, 80 + grey / 4, 40] : [grey, grey, grey], to);
  });
}
mkdirSync('runs', { recursive: true });
writeFileSync('runs/membranes.png', encodePng({ width: 3 * SIZE, height: ROWS * SIZE, channels: 3, data: rgb }));
console.log('runs/membranes.png: image | membranes drawn by hand | membranes found');
