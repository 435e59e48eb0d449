// Teaches a network that knows the thousand classes of ImageNet to tell five kinds of flowers: its convolutions see edges, petals and textures already, so a new
// last layer and a few passes over some thousand small photos are enough (Yosinski et al., "How transferable are features in deep neural networks?", 2014).
// The network is SqueezeNet 1.1 (Iandola et al., 2016), read from ONNX; all of it is trained, in small steps.
import { mkdirSync, writeFileSync } from 'node:fs';
import {
  Dropout,
  encodePng,
  evaluate,
  Flatten,
  fit,
  GlobalAvgPool2d,
  Linear,
  loadOnnx,
  manualSeed,
  OptionError,
  openDataset,
  preprocessingOf,
  Sequential,
  save,
  suggestAugmentation,
} from 'gabor';
import { givenArguments } from './support/arguments.js';
import { Canvas } from './support/canvas.js';
import { Progress } from './support/progress.js';

const SIZE = 128; // pixels of a photo's side
const EPOCHS = 20;

// 1. The data: a fifth of each kind is left out of training. Colours are scaled as they were for the network that others trained.
const [file, folder] = givenArguments(
  ['MODEL', 'FOLDER'],
  'MODEL is squeezenet1.1-7.onnx of github.com/onnx/models, or another file of SqueezeNet 1.1 whose input is called data; FOLDER holds one folder of photos for each class, ' +
    'for example the flowers of kaggle.com/datasets/alxmamaev/flowers-recognition.',
);
const photos = await openDataset(folder, { size: SIZE, channels: 3, testSplit: 0.2, seed: 1 });
const data = { ...photos, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
const { train, test } = data.splits;
console.log(`${train.count} photos to learn from, ${test.count} held out: ${data.classes.join(', ')}`);

// 2. The network up to its last features, 512 maps, and a new last layer.
manualSeed(1);
// The file is for photos of 224×224 pixels; convolutions take any size.
const squeezenet = await loadOnnx(file, { shapes: { data: [undefined, 3, undefined, undefined] } });
const last = squeezenet.nodes.filter(({ type }) => type === 'Concat').at(-1);
if (last === undefined) throw new OptionError(`${file} is no SqueezeNet: nothing is joined in it`);
const features = squeezenet.features(last.outputs[0]);
const model = new Sequential(
  features,
  new GlobalAvgPool2d(),
  new Flatten(),
  new Dropout(0.5),
  new Linear(512, data.classes.length),
);
console.log(`before: ${percent((await evaluate(model, test, data)).accuracy)} right, by chance`);

// 3. Training.
let progress: Progress | undefined;
const { history } = await fit(model, data, {
  epochs: EPOCHS,
  batchSize: 32,
  optimizer: 'adamw',
  lr: 5e-4,
  weightDecay: 0.01,
  schedule: { type: 'cosine', warmup: 0.5 },
  labelSmoothing: 0.05,
  augment: suggestAugmentation(data),
  seed: 1,
  onEvent: (event) => {
    if (event.event !== 'step') return;
    progress ??= new Progress(event.epochs * event.batches);
    progress.update(event.step, `epoch ${event.epoch}/${event.epochs}  loss ${event.loss.toFixed(3)}`);
  },
});
for (const { epoch, loss, validationAccuracy, seconds } of history) {
  console.log(
    `epoch ${epoch}: loss ${loss.toFixed(3)}, held out ${percent(validationAccuracy ?? 0)}, ${Math.round(seconds)} s`,
  );
}

// 4. What it makes of the held-out photos, and the network as a file that classifies.
const { accuracy, perClass, mostWrong } = await evaluate(model, test, data);
for (const { class: name, recall } of perClass) console.log(`  ${name}: ${percent(recall)}`);
console.log(`right: ${percent(accuracy)} of ${test.count} held-out photos`);
mkdirSync('runs', { recursive: true });
await save('runs/fine-tune.safetensors', model, { classes: data.classes, preprocessing: preprocessingOf(data) });
console.log('runs/fine-tune.safetensors: for gabor predict');

// 5. The picture: mistakes of which it was surest, with what it took them for (red) and what they are (green).
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
