// Tells whether a sentence of a film review praises or pans: words become vectors, convolutions over 3, 4 and 5 neighbouring words look for phrases, and the
// strongest match of each phrase decides (Kim, "Convolutional neural networks for sentence classification", 2014; here the vectors are learned from scratch).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AdamW,
  binaryCrossEntropyWithLogits,
  Conv1d,
  compile,
  cosineSchedule,
  Dropout,
  Embedding,
  GlobalMaxPool1d,
  gradients,
  Linear,
  manualSeed,
  mul,
  Parallel,
  Random,
  ReLU,
  Sequential,
  sigmoid,
  sum,
  type Tensor,
  zeros,
} from 'gabor';
import { dataFolder } from './support/arguments.js';
import { writePage } from './support/coloured-words.js';
import { Progress } from './support/progress.js';

const SEED = 1;
const LENGTH = 60; // words; the longest sentence has 59
const [EMPTY, UNKNOWN] = [0, 1]; // what stands for no word, and for a rare one
const [DIMENSION, PHRASES, BATCH, EPOCHS] = [64, 32, 50, 5]; // DIMENSION of a word's vector, PHRASES of each width

type Sentence = { readonly words: readonly string[]; readonly label: number }; // 0 pans, 1 praises

// 1. The data: 10,662 sentences, half of them positive. A tenth is left out of training.
const folder = dataFolder(
  ['rt-polarity.all'],
  'It holds rt-polarity.all, the sentence polarity dataset (www.cs.cornell.edu/people/pabo/movie-review-data) as in github.com/harvardnlp/sent-conv-torch.',
);
const lines = readFileSync(join(folder, 'rt-polarity.all'), 'latin1').trim().split('\n');
const sentences = lines.map((line): Sentence => ({ label: Number(line[0]), words: line.slice(2).trim().split(/ +/) }));
const random = new Random(SEED);
const shuffled = Array.from(random.permutation(sentences.length), (i) => sentences[i]);
const test = shuffled.slice(0, Math.floor(shuffled.length / 10));
const training = shuffled.slice(test.length);

// Words that occur at least twice in training have numbers.
const counts = new Map<string, number>();
for (const word of training.flatMap(({ words }) => words)) counts.set(word, (counts.get(word) ?? 0) + 1);
const vocabulary = [...counts].flatMap(([word, count]) => (count > 1 ? [word] : []));
const numbers = new Map(vocabulary.map((word, i) => [word, i + 2]));

// 2. The network.
manualSeed(SEED);
const embedding = new Embedding(vocabulary.length + 2, DIMENSION, { paddingIdx: EMPTY });
embedding.weight.write(embedding.weight.data().map((x) => 0.1 * x));
const last = { dataFormat: 'channels-last' } as const;
const convolution = (width: number): Conv1d => new Conv1d(DIMENSION, PHRASES, width, { padding: 2, ...last });
const judge = new Sequential(
  new Parallel([3, 4, 5].map((width) => new Sequential(convolution(width), new ReLU(), new GlobalMaxPool1d(last)))),
  new Dropout(0.5),
  new Linear(3 * PHRASES, 1),
);

// 3. Training: one compiled program computes the loss and its gradients, and moves the parameters.
const stepsPerEpoch = Math.floor(training.length / BATCH);
const steps = EPOCHS * stepsPerEpoch;
const optimizer = new AdamW([...embedding.parameters(), ...judge.parameters()], { weightDecay: 0.01 });
const learningRate = cosineSchedule({ base: 0.003, steps, warmup: 50 });
const trainStep = compile((x: Tensor, labels: Tensor) => {
  const loss = binaryCrossEntropyWithLogits(judge.forward(embedding.forward(x)), labels);
  optimizer.step(gradients(loss, optimizer.parameters));
  return loss;
});

// How much each word adds to the score: gradient times vector (the network is linear between kinks, so these and a constant add up to the score).
const classify = compile((x: Tensor) => {
  const vectors = embedding.forward(x);
  const scores = judge.forward(vectors);
  const [slope] = gradients(sum(scores), [vectors]);
  return [sigmoid(scores), sum(mul(slope, vectors), 2)];
});
const x = zeros([BATCH, LENGTH], 'i32');
const labels = zeros([BATCH, 1]);

/** Puts sentences into `x`; a share of the words becomes unknown. */
function put(batch: readonly Sentence[], unknown: number): void {
  const rows = new Int32Array(x.size).fill(EMPTY);
  for (const [n, { words }] of batch.entries()) {
    for (const [i, word] of words.slice(0, LENGTH).entries()) {
      rows[n * LENGTH + i] = random.uniform() < unknown ? UNKNOWN : (numbers.get(word) ?? UNKNOWN);
    }
  }
  x.write(rows);
}

/** With the probability that the sentence praises, and what its words add. */
type Judgement = Sentence & { readonly praise: number; readonly right: boolean; readonly adds: readonly number[] };
async function judgeTest(): Promise<Judgement[]> {
  judge.eval();
  const results: Judgement[] = [];
  for (let at = 0; at < test.length; at += BATCH) {
    const batch = test.slice(at, at + BATCH);
    put(batch, 0);
    const [scores, adds] = (await classify(x)).map((t) => [...t.data()]);
    for (const [n, { words, label }] of batch.entries()) {
      const right = scores[n] > 0.5 === (label === 1);
      results.push({ words, label, praise: scores[n], right, adds: adds.slice(n * LENGTH) });
    }
  }
  judge.train();
  return results;
}

const progress = new Progress(steps);
const [losses, rights]: number[][] = [[], []];
for (let epoch = 0; epoch < EPOCHS; epoch++) {
  const order = random.permutation(training.length);
  let total = 0;
  for (let i = 0; i < stepsPerEpoch; i++) {
    const batch = Array.from(order.slice(i * BATCH, (i + 1) * BATCH), (n) => training[n]);
    put(batch, 0.1);
    labels.write(batch.map(({ label }) => label));
    optimizer.setLearningRate(learningRate(epoch * stepsPerEpoch + i));
    using loss = await trainStep(x, labels);
    total += loss.item();
    progress.update(epoch * stepsPerEpoch + i + 1, `loss ${(total / (i + 1)).toFixed(3)}`);
  }
  losses.push(total / stepsPerEpoch);
  rights.push((await judgeTest()).filter(({ right }) => right).length / test.length);
}
console.log(
  `right: ${(100 * rights[EPOCHS - 1]).toFixed(1)} % of ${test.length}, after ${Math.round(progress.seconds)} s`,
);

// 4. The picture: sentences with their words coloured by what they add, and how training went.
const results = await judgeTest();
writePage('runs/sentence-polarity.html', {
  title: 'Sentence polarity',
  curves: { 'training loss': losses, 'right of the test': rights },
  lines: [...results.slice(0, 24), ...results.filter(({ right }) => !right).slice(0, 8)].map((result) => ({
    words: result.words.map((text, i) => ({ text, strength: (result.adds[i] ?? 0) / 1.5 })),
    note: `${result.label === 1 ? 'praise' : 'pan'}; judged: praise with ${Math.round(100 * result.praise)} %`,
    marked: !result.right,
  })),
});
console.log('runs/sentence-polarity.html: sentences; words are coloured by what they add (green: praise, red: pan)');
