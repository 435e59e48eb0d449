// A steady training loop in a process of its own: `node --expose-gc memory-loop.mjs {hand|fit} THREADS STEPS`, prints JSON.
import { readFileSync } from 'node:fs';
import { buildModel } from '../contestants/gabor.mjs';
import { sizeOf, uniform } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { NETWORKS } from './networks.mjs';

const [, , kind, threads, steps] = process.argv;
const total = Number(steps);
const every = Math.max(1, Math.round(total / 10));
/** Steps before the first sample: for some thousands V8 goes on compiling the loop itself, and keeps the code on the heap. */
const warmup = 3 * total;

const gabor = await importGabor();
const device = gabor.cpuDevice({ threads: Number(threads) });
gabor.setDevice(device);
const { input, batch, layers, optimizer } = NETWORKS.lenet;
const model = buildModel(gabor, layers);

const samples = [];
/** Time of the main thread since the last sample: in JavaScript (and native code called from it), and in all. */
let busy = 0;
let elapsed = 0;
let processor = 0;
let began = performance.eventLoopUtilization();
let beganProcessor = processorTime();

/** Milliseconds that this thread has had a processor; Linux only. */
function processorTime() {
  try {
    return Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6;
  } catch {
    return Number.NaN;
  }
}

function sample(step) {
  const { active, idle } = performance.eventLoopUtilization(began);
  if (samples.length > 0) {
    busy += active;
    elapsed += active + idle;
    processor += processorTime() - beganProcessor;
  }
  // Twice: what finalisers free is collected by the second.
  globalThis.gc();
  globalThis.gc();
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  const { used, capacity, peak } = device.memory;
  samples.push({ step, heapUsed, external, arrayBuffers, rss, used, capacity, peak });
  began = performance.eventLoopUtilization();
  beganProcessor = processorTime();
}

/** Batches are copied in, one program runs, the loss is read: nothing else per step. */
async function byHand() {
  const { compile, crossEntropy, gradients, SGD, zeros } = gabor;
  const { type: _, ...options } = optimizer;
  const sgd = new SGD(model.parameters(), options);
  model.train();
  const step = compile((x, labels) => {
    const loss = crossEntropy(model.call(x), labels);
    sgd.step(gradients(loss, sgd.parameters));
    return loss;
  });
  const images = Array.from({ length: 4 }, (_, i) => uniform(batch * sizeOf(input), i));
  const classes = images.map((_, i) => Int32Array.from(uniform(batch, 10 + i), (u) => Math.floor((u + 1) * 5)));
  const x = zeros([batch, ...input]);
  const labels = zeros([batch], 'i32');
  let synchronous = 0;
  for (let i = 1 - warmup; i <= total; i++) {
    const one = performance.now();
    x.write(images[(i + warmup) % 4]);
    labels.write(classes[(i + warmup) % 4]);
    const running = step(x, labels);
    const two = performance.now();
    const loss = await running;
    const three = performance.now();
    const value = loss.item();
    loss.dispose();
    if (!Number.isFinite(value)) throw new Error(`the loss is ${value}`);
    if (i > 0) synchronous += two - one + (performance.now() - three);
    if (i >= 0 && i % every === 0) sample(i);
  }
  return synchronous;
}

/** The product's own loop: batches made by a worker, augmentation, schedule, events. */
async function byFit() {
  const perEpoch = Math.ceil((warmup + total) / 8);
  const data = await gabor.openDataset('strokes', { trainCount: perEpoch * batch, testCount: 10 });
  let seen = -warmup;
  await gabor.fit(model, data, {
    epochs: 8,
    batchSize: batch,
    optimizer: 'sgd',
    lr: 0.05,
    validate: false,
    onEvent: ({ event }) => {
      if (event === 'step' && ++seen >= 0 && seen % every === 0 && seen <= total) sample(seen);
    },
  });
}

const start = performance.now();
const synchronous = await (kind === 'fit' ? byFit() : byHand());
const seconds = (performance.now() - start) / 1000;
await device.close();
const result = {
  kind,
  threads: Number(threads),
  steps: total,
  seconds,
  busy,
  elapsed,
  processor,
  synchronous,
  samples,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
