// Teaches a network that knows the thousand classes of ImageNet to tell five kinds of flowers: its convolutions see edges, petals and textures already, so a new
// last layer and some passes over a few thousand small photos are enough (Yosinski et al., "How transferable are features in deep neural networks?", 2014).
// The network is SqueezeNet 1.1 (Iandola et al., 2016) with weights from ONNX. First the new layer learns, then all of it in small steps, so that what the
// convolutions know is not shaken by a layer that knows nothing yet (Kumar et al., "Fine-tuning can distort pretrained features", 2022).
import { mkdirSync, writeFileSync } from 'node:fs';
import {
  BatchNorm1d,
  Conv2d,
  Dropout,
  encodePng,
  evaluate,
  Flatten,
  fit,
  GlobalAvgPool2d,
  Linear,
  loadOnnx,
  type Module,
  manualSeed,
  OptionError,
  openDataset,
  Parallel,
  preprocessingOf,
  Sequential,
  save,
  suggestAugmentation,
  type TrainEvent,
} from 'gabor';
import { squeezenet1_1 } from 'gabor/models';
import { givenArguments } from './support/arguments.js';
import { Canvas } from './support/canvas.js';
import { Progress } from './support/progress.js';

const SIZE = 64; // pixels of a photo's side
const EPOCHS = { head: 4, all: 20 };
const SEED = 1; // of the split and of all that is random

// 1. The data: a fifth of each kind is left out of training. Colours are scaled as they were for the network that others trained.
const [file, folder] = givenArguments(
  ['MODEL', 'FOLDER'],
  'MODEL is squeezenet1.1-7.onnx of github.com/onnx/models; FOLDER holds one folder of photos for each class, ' +
    'for example the flowers of kaggle.com/datasets/alxmamaev/flowers-recognition.',
);
const photos = await openDataset(folder, { size: SIZE, channels: 3, testSplit: 0.2, seed: SEED });
const data = { ...photos, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const { train, test } = data.splits;
console.log(`${train.count} photos to learn from, ${test.count} held out: ${data.classes.join(', ')}`);

// 2. SqueezeNet with the weights of the file: convolutions in their order, each with its bias. It was made for photos of 224 pixels; in these a petal is a few
// pixels wide, so that the first convolution goes in steps of one pixel here instead of two.
manualSeed(SEED);
const squeezenet = squeezenet1_1();
const weights = (await loadOnnx(file)).namedParameters().sort(([a], [b]) => rank(a) - rank(b));
const targets = squeezenet.parameters();
if (weights.length !== targets.length) throw new OptionError(`${file} is no SqueezeNet 1.1`);
for (const [i, [, weight]] of weights.entries()) targets[i].write(weight.data());
const layers = [...(squeezenet.submodule('features') as Sequential)];
const first = new Conv2d(3, 64, 3);
first.loadStateDict((layers[0] as Conv2d).stateDict());

// 3. A new last layer, which sees the means of three levels' maps: what is fine is told by early ones, what is large by late ones.
const means = (): Module => new Sequential(new GlobalAvgPool2d(), new Flatten());
const late = new Sequential(...layers.slice(11), means());
const middle = new Sequential(...layers.slice(8, 11), new Parallel([means(), late]));
const model = new Sequential({
  features: new Sequential(first, ...layers.slice(1, 8), new Parallel([means(), middle])),
  head: new Sequential(
    new BatchNorm1d(256 + 384 + 512),
    new Dropout(0.5),
    new Linear(256 + 384 + 512, data.classes.length),
  ),
});

// 4. Training: the last layer alone, then all of them in small steps. What is kept are averages of the weights over the steps.
await learn('last layer', EPOCHS.head, { lr: 2e-3, frozen: (name) => name.startsWith('features.') });
await learn('all layers', EPOCHS.all, { lr: 1e-4, ema: 0.998 });

async function learn(what: string, epochs: number, options: Parameters<typeof fit>[2]): Promise<void> {
  let progress: Progress | undefined;
  const { history } = await fit(model, data, {
    epochs,
    batchSize: 32,
    optimizer: 'adamw',
    schedule: { type: 'cosine', warmup: 1 },
    labelSmoothing: 0.05,
    augment: suggestAugmentation(data),
    seed: SEED,
    ...options,
    onEvent: (event: TrainEvent) => {
      if (event.event !== 'step') return;
      progress ??= new Progress(event.epochs * event.batches);
      progress.update(event.step, `${what}, epoch ${event.epoch}/${event.epochs}  loss ${event.loss.toFixed(3)}`);
    },
  });
  for (const { epoch, loss, validationAccuracy, seconds } of history) {
    const outcome = `loss ${loss.toFixed(3)}, held out ${percent(validationAccuracy ?? 0)}, ${Math.round(seconds)} s`;
    console.log(`${what}, epoch ${epoch}: ${outcome}`);
  }
}

/** The place of a weight called …conv12_weight or …conv12_bias among all. */
function rank(name: string): number {
  return 2 * Number(/\d+(?=_[a-z]+$)/.exec(name)) + Number(name.endsWith('bias'));
}

// 5. What it makes of the held-out photos and their mirror images together, and the network as a file that classifies.
const { accuracy, perClass, mostWrong } = await evaluate(model, test, data, { mirrored: true });
for (const { class: name, recall } of perClass) console.log(`  ${name}: ${percent(recall)}`);
console.log(`right: ${percent(accuracy)} of ${test.count} held-out photos`);
mkdirSync('runs', { recursive: true });
await save('runs/fine-tune.safetensors', model, { classes: data.classes, preprocessing: preprocessingOf(data) });
console.log('runs/fine-tune.safetensors: for gabor predict');

// 6. The picture: mistakes of which it was surest, with what it took them for (red) and what they are (green).
const [COLUMNS, ROWS, CAPTION] = [5, 2, 44];
const canvas = new Canvas(COLUMNS * (SIZE + 8), ROWS * (SIZE + CAPTION));
mostWrong.slice(0, COLUMNS * ROWS).forEach(({ index, label, predicted }, i) => {
  const planes = test.images.subarray(3 * SIZE * SIZE * index, 3 * SIZE * SIZE * (index + 1));
  const pixels = planes.map((_, at) => planes[(at % 3) * SIZE * SIZE + Math.floor(at / 3)]);
  const [left, top] = [(i % COLUMNS) * (SIZE + 8), Math.floor(i / COLUMNS) * (SIZE + CAPTION)];
  canvas.draw({ width: SIZE, height: SIZE, channels: 3, data: pixels }, left, top);
  canvas.text(data.classes[predicted], left, top + SIZE + 4, [200, 50, 40]);
  canvas.text(data.classes[label], left, top + SIZE + 22, [30, 140, 90]);
});
writeFileSync('runs/fine-tune.png', encodePng(canvas));
console.log('runs/fine-tune.png: the mistakes of which it was surest: what it said (red), what they are (green)');

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
