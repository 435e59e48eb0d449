// Recognises spoken digits, "zero" to "nine", from the raw samples of a recording: a 1-D network whose first layer learns its own filters of frequencies
// (as in Dai et al., "Very deep convolutional neural networks for raw waveforms", 2017).
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AdamW,
  BatchNorm1d,
  Conv1d,
  compile,
  cosineSchedule,
  crossEntropy,
  Dropout,
  GlobalAvgPool1d,
  gradients,
  Linear,
  MaxPool1d,
  manualSeed,
  Random,
  ReLU,
  Sequential,
  softmax,
  type Tensor,
  zeros,
} from 'gabor';
import { dataFolder } from './support/arguments.js';
import { Progress } from './support/progress.js';
import { readWav } from './support/wav.js';

const LENGTH = 8192; // samples: a second; longer recordings lose their ends
const CLASSES = 10;
const BATCH = 50;
const EPOCHS = 15;

interface Recording {
  readonly name: string;
  readonly wave: Float32Array; // with a mean square of 1
  readonly digit: number;
}

// 1. The data: six speakers said every digit 50 times. Their first five takes of each are left out of training.
const folder = dataFolder(
  ['recordings/0_jackson_0.wav'],
  'It holds recordings/*.wav of the Free Spoken Digit Dataset, github.com/Jakobovski/free-spoken-digit-dataset.',
);
const training: Recording[] = [];
const test: Recording[] = [];
for (const name of readdirSync(join(folder, 'recordings')).sort()) {
  const [, digit, take] = /^(\d)_.*_(\d+)\.wav$/.exec(name) ?? [];
  if (take === undefined) continue;
  const wave = readWav(readFileSync(join(folder, 'recordings', name)), name);
  const loudness = Math.sqrt(wave.reduce((sum, sample) => sum + sample * sample, 0) / wave.length) + 1e-4;
  (Number(take) < 5 ? test : training).push({ name, wave: wave.map((s) => s / loudness), digit: Number(digit) });
}

// 2. The network: the stride and pooling turn 8,192 samples into 256 positions, then 128, 64, 32 and 16; the average over time is what the digit is read from.
manualSeed(1);
const block = (conv: Conv1d, pool: number): Sequential =>
  new Sequential(conv, new BatchNorm1d(conv.outChannels), new ReLU(), new MaxPool1d(pool));
const model = new Sequential(
  block(new Conv1d(1, 32, 64, { stride: 8, padding: 28, bias: false }), 4),
  block(new Conv1d(32, 64, 5, { padding: 2, bias: false }), 2),
  block(new Conv1d(64, 64, 5, { padding: 2, bias: false }), 2),
  block(new Conv1d(64, 128, 5, { padding: 2, bias: false }), 2),
  block(new Conv1d(128, 128, 5, { padding: 2, bias: false }), 2),
  new GlobalAvgPool1d(),
  new Dropout(0.3),
  new Linear(128, CLASSES),
);

// 3. Training: one compiled program computes the loss and its gradients, and moves the parameters.
const stepsPerEpoch = Math.floor(training.length / BATCH);
const steps = EPOCHS * stepsPerEpoch;
const optimizer = new AdamW(model.parameters(), { weightDecay: 0.02 });
const learningRate = cosineSchedule({ base: 0.004, steps, warmup: 50 });
const trainStep = compile((x: Tensor, labels: Tensor) => {
  const loss = crossEntropy(model.forward(x), labels, { labelSmoothing: 0.1 });
  optimizer.step(gradients(loss, optimizer.parameters));
  return loss;
});

/** Puts a recording, played at `speed`, into a second of silence; `at` is 0 for the beginning of the second, 1 for its end. */
function place(wave: Float32Array, speed: number, at: number): Float32Array {
  const input = new Float32Array(LENGTH);
  const length = Math.floor((wave.length - 1) / speed);
  const start = Math.floor(at * (LENGTH - length));
  for (let i = Math.max(0, -start); i < Math.min(length, LENGTH - start); i++) {
    const [from, between] = [Math.floor(i * speed), (i * speed) % 1];
    input[start + i] = wave[from] * (1 - between) + wave[from + 1] * between;
  }
  return input;
}

const random = new Random(1);
const x = zeros([BATCH, 1, LENGTH]);
const labels = zeros([BATCH], 'i32');
const waves = new Float32Array(x.size);
const progress = new Progress(steps);
let smooth = Math.log(CLASSES);
for (let step = 0, order = random.permutation(training.length); step < steps; step++) {
  if (step % stepsPerEpoch === 0) order = random.permutation(training.length);
  const batch = Array.from({ length: BATCH }, (_, n) => training[order[(step % stepsPerEpoch) * BATCH + n]]);
  batch.forEach(({ wave }, n) => {
    waves.set(place(wave, random.uniform(0.85, 1.15), random.uniform()), n * LENGTH);
  });
  x.write(waves);
  labels.write(batch.map(({ digit }) => digit));
  optimizer.setLearningRate(learningRate(step));
  using loss = await trainStep(x, labels);
  smooth += (loss.item() - smooth) / Math.min(step + 1, 50);
  progress.update(step + 1, `loss ${smooth.toFixed(3)}`);
}
console.log(`trained in ${Math.round(progress.seconds)} s`);

// 4. Test.
model.eval();
const classify = compile((x: Tensor) => softmax(model.forward(x), 1));
const input = zeros([1, 1, LENGTH]);
const results: { recording: Recording; scores: number[]; found: number }[] = [];
for (const recording of test) {
  input.write(place(recording.wave, 1, 0.5));
  using probabilities = await classify(input);
  const scores = [...probabilities.data()];
  results.push({ recording, scores, found: scores.indexOf(Math.max(...scores)) });
}
const wrong = results.filter(({ recording, found }) => found !== recording.digit);
console.log(`right: ${(100 - (100 * wrong.length) / results.length).toFixed(1)} % of ${results.length} recordings`);
for (const { recording, found } of wrong) console.log(`  ${recording.name}: took it for ${found}`);

// 5. The picture: waveforms and the scores of the ten digits; what is wrong comes first.
const shown = [...wrong.slice(0, 3), ...results.filter((_, i) => i % 47 === 0)].slice(0, 8);
const rows = shown.map(({ recording, scores, found }, row) => {
  const height = 40 / Math.max(...recording.wave.map(Math.abs));
  const points = Array.from(place(recording.wave, 1, 0.5), (s, i) => `${(i / LENGTH) * 500},${48 - s * height}`);
  const bars = scores.map((score, digit) => {
    const colour = digit === recording.digit ? '#2a8' : digit === found ? '#d43' : '#999';
    return `<rect x="${530 + 24 * digit}" y="${90 - 80 * score}" width="18" height="${80 * score}" fill="${colour}"/>
      <text x="${539 + 24 * digit}" y="103" text-anchor="middle">${digit}</text>`;
  });
  return `<g transform="translate(10 ${110 * row})"><polyline points="${points.join(' ')}" fill="none" stroke="#357" stroke-width=".5"/>
    <text x="0" y="103">${recording.name}</text>${bars.join('')}</g>`;
});
mkdirSync('runs', { recursive: true });
const head = `<svg xmlns="http://www.w3.org/2000/svg" width="790" height="${110 * rows.length + 10}" font-family="sans-serif" font-size="11">`;
writeFileSync(
  'runs/spoken-digits.svg',
  `${head}<rect width="100%" height="100%" fill="#fff"/>${rows.join('')}</svg>\n`,
);
console.log('runs/spoken-digits.svg: recordings, and the scores of the ten digits (green: right, red: taken for)');
