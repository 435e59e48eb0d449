import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { columnName, openContestants } from '../contestants/index.mjs';
import { concatenate, largestDifference, readFloats, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { runFresh } from '../harness/fresh-process.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { race } from '../harness/race.mjs';
import { median, speedRatio } from '../harness/statistics.mjs';
import { bytes, digits, markdownTable } from '../harness/table.mjs';
import { atLeast, atMost, fastest, ratio, times } from './ratios.mjs';

/** One image, channels first. */
const INPUT = [1, 3, 224, 224];
/** Largest difference of the outputs, relative to the largest. */
const TOLERANCE = 1e-3;
/** Fresh processes of each program and network. */
const STARTS = 5;
const PYTORCH = ['pytorch nhwc', 'pytorch jit'];

/**
 * Networks of the zoo, all of whose names torchvision knows, too. Goals: how many times as fast as onnxruntime-node with machine code
 * (`x64`), as onnxruntime-web with WebAssembly (`wasm`).
 */
const NETWORKS = {
  squeezenet1_1: { title: 'SqueezeNet 1.1', x64: 1.2, wasm: 2 },
  mobilenet_v2: { title: 'MobileNet v2', x64: 1.1, wasm: 1.5 },
  resnet18: { title: 'ResNet-18', x64: 1.6, wasm: 2 },
  resnet50: { title: 'ResNet-50', x64: 1.3, wasm: 2 },
  vgg16: { title: 'VGG-16', x64: 1.9, wasm: 2 },
};
/** Peak memory of a process until its first result, as a multiple of onnxruntime-node's. */
const MOST_MEMORY = 1.2;

/** Whole networks, one image: steady speed, then fresh processes. */
export async function runNets(options) {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-'));
  const versions = {};
  try {
    const networks = [];
    for (const [name, network] of Object.entries(NETWORKS)) {
      if (options.networks !== undefined && !options.networks.includes(name)) continue;
      const made = await writeNetwork(name, folder);
      const seen = { expected: undefined };
      const runs = [];
      // One number of threads after the other: all processes together would hold the weights a dozen times.
      for (const threads of options.threads) runs.push(await runNetwork(name, made, threads, seen, options, versions));
      const starts = options.steady ? [] : await runStarts(name, made, seen, options);
      rmSync(made.folder, { recursive: true });
      networks.push({ name, title: network.title, flops: made.flops, weights: made.weights, runs, starts });
    }
    return { versions, networks };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Draws the weights of a network and writes it as everyone reads it. */
async function writeNetwork(name, parent) {
  const folder = mkdtempSync(join(parent, `${name}-`));
  const gabor = await importGabor();
  const { MODELS } = await importGabor('models/index.js');
  const model = gabor.init.skipInit(() => MODELS[name].create()).eval();
  drawWeights(model);
  const entries = Object.entries(model.stateDict()).filter(([, { dtype }]) => dtype === 'f32');
  const files = { onnx: join(folder, 'network.onnx'), state: join(folder, 'state.f32'), x: join(folder, 'x.f32') };
  writeFloats(files.x, uniform(sizeOf(INPUT), 1));
  writeFloats(files.state, concatenate(entries.map(([, tensor]) => tensor.data())));
  await gabor.saveOnnx(files.onnx, model, { inputs: [INPUT] });
  const state = entries.map(([key, { shape }]) => ({ name: key, shape }));
  const flops = 2 * gabor.multiplyAdds(model, INPUT.slice(1));
  model.dispose();
  return { folder, files, state, flops, weights: 4 * state.reduce((n, { shape }) => n + sizeOf(shape), 0) };
}

/** He's deviation, √(2 / fan-in), for filters; statistics and scales of normalisations around the usual ones. */
function drawWeights(model) {
  let seed = 100;
  const write = (tensor, draw) => {
    const numbers = uniform(tensor.size, seed++);
    tensor.write(draw === undefined ? numbers : numbers.map(draw));
  };
  for (const [path, tensor] of Object.entries(model.stateDict())) {
    const kind = path.slice(path.lastIndexOf('.') + 1);
    if (kind === 'num_batches_tracked') continue;
    if (kind === 'running_var') write(tensor, (u) => 1 + 0.5 * u);
    else if (kind === 'running_mean' || kind === 'bias') write(tensor, (u) => 0.1 * u);
    else if (tensor.rank === 1) write(tensor, (u) => 0.75 + 0.25 * u);
    else {
      const deviation = Math.sqrt(6 / (tensor.size / tensor.shape[0]));
      write(tensor, (u) => u * deviation);
    }
  }
}

/** One network with so many threads: everyone's outputs are compared, then they are timed in turn. */
async function runNetwork(name, { folder, files, state, flops }, threads, seen, options, versions) {
  const opened = await openContestants('nets', { ...options, threads: [threads] });
  try {
    const entries = [];
    for (const { contestant, variants } of opened) {
      versions[contestant.name] = contestant.version;
      for (const variant of variants) {
        const column = columnName(contestant.name, variant);
        const key = `${name} ${variant}`;
        try {
          await contestant.call('prepare', { key, task: { kind: 'net', name, variant, input: INPUT, state, files } });
          const file = join(folder, 'result.f32');
          await contestant.call('check', { key, file });
          const difference = compare(column, readFloats(file), seen);
          if (!(difference <= TOLERANCE)) {
            console.error(
              `${name}: ${column} with ${threads} thread(s) differs from ${seen.column} by ${digits(difference)} of the largest output: not timed`,
            );
            process.exitCode = 1;
            await contestant.call('release', { key });
            continue;
          }
          entries.push({ contestant, key, column, difference });
        } catch (error) {
          if (!(error instanceof Unsupported)) console.error(`${name}: ${column}: ${error.message}`);
        }
      }
    }
    const timed = await race(entries, options);
    const results = {};
    for (const { column, difference, time, times: rounds, fastest: least } of timed) {
      const speeds = rounds.map((ms) => flops / ms / 1e6);
      results[column] = { ms: time, fastestMs: least, gflops: flops / time / 1e6, speeds, difference };
      console.error(`${name}, ${column}, ${threads} thread(s): ${digits(time)} ms`);
    }
    return { threads, results };
  } finally {
    for (const { contestant } of opened) contestant.close();
  }
}

/** How far an output is from the first one; that one must be numbers that say something. */
function compare(column, result, seen) {
  if (seen.expected === undefined) {
    const largest = result.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    if (!(largest > 1e-3 && largest < 1e6)) throw new Error(`outputs of up to ${largest}: nothing to compare with`);
    seen.expected = result;
    seen.column = column;
  }
  return largestDifference(result, seen.expected);
}

const program = (file) => fileURLToPath(new URL(`../start/${file}`, import.meta.url));
const node = (file, ...args) => [process.execPath, program(file), ...args];

/** Fresh processes with all threads, in turn: milliseconds from their start to the outputs, and their largest resident set. */
async function runStarts(name, { files }, seen, options) {
  const { nativeProblem } = await importGabor('runtime/backend.js');
  const instructions = ['avx512', 'avx2'].find((one) => nativeProblem(one) === undefined);
  const shape = JSON.stringify(INPUT);
  const gabor = (native, more) => ({
    command: node('network-gabor.mjs', files.onnx, files.x, shape),
    env: { GABOR_NATIVE: native, ...more },
  });
  const onnxruntime = (peer) => ({ command: node('network-onnxruntime.mjs', files.onnx, files.x, shape, peer) });
  const wanted = (column) =>
    options.only === undefined || options.only.some((prefix) => column === prefix || column.startsWith(`${prefix} `));
  const programs = [
    ...(instructions === undefined
      ? []
      : [
          { name: 'gabor x64', ...gabor(instructions) },
          { name: 'gabor x64, nothing kept', ...gabor(instructions, { GABOR_CACHE: '0' }) },
        ]),
    { name: 'gabor wasm', ...gabor('wasm') },
    ...['onnxruntime-node', 'onnxruntime-web'].map((peer) => ({ name: peer, ...onnxruntime(peer) })),
  ].filter((one) => wanted(one.name));
  const taking = [{ name: 'an empty Node', command: node('empty.mjs'), ms: [], peaks: [] }];
  for (const one of programs) {
    try {
      // Also brings the files into the system's cache.
      const { numbers } = await runFresh(one);
      const difference = compare(one.name, Float32Array.from(numbers), seen);
      if (!(difference <= TOLERANCE)) throw new Error(`differs from ${seen.column} by ${digits(difference)}`);
      taking.push({ ...one, ms: [], peaks: [] });
    } catch (error) {
      console.error(`${name}: start of ${one.name}: not timed, ${error.message}`);
    }
  }
  const rounds = options.quick ? 1 : STARTS;
  for (let round = 0; round < rounds; round++) {
    for (const one of inTurn(taking, round)) {
      const { ms, peak } = await runFresh(one);
      one.ms.push(ms);
      if (peak !== undefined) one.peaks.push(peak);
    }
  }
  return taking.map(({ name: column, ms, peaks }) => {
    const result = { name: column, ms: median(ms), times: ms, ...(peaks.length > 0 && { peak: median(peaks) }) };
    console.error(`${name}, start of ${column}: ${digits(result.ms)} ms, ${bytes(result.peak ?? 0)}`);
    return result;
  });
}

/** Forwards and backwards, each time from another one on: who follows a process that took much memory waits until the system has it back. */
function inTurn(programs, round) {
  const from = (2 * round) % programs.length;
  const turned = [...programs.slice(from), ...programs.slice(0, from)];
  return round % 2 === 0 ? turned : turned.reverse();
}

const plural = (threads) => `${threads} thread${threads === 1 ? '' : 's'}`;

export function netsMarkdown({ versions, networks }) {
  const sections = [
    '### Whole networks, one image of 3×224×224',
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
  ];
  const all = networks.flatMap(({ runs }) => runs);
  const columns = [...new Set(all.flatMap(({ results }) => Object.keys(results)))];
  for (const threads of new Set(all.map((run) => run.threads))) {
    const rows = networks.map(({ title, flops, runs }) => ({
      title: `${title}, ${digits(flops / 1e9)} GFLOP`,
      results: runs.find((run) => run.threads === threads)?.results ?? {},
    }));
    const table = (value) =>
      rows.map(({ title, results }) => [title, ...columns.map((column) => value(results[column]))]);
    sections.push(
      `#### Milliseconds per image, ${plural(threads)}`,
      markdownTable(
        ['network', ...columns],
        table((result) => digits(result?.ms)),
      ),
      `#### GFLOP/s, ${plural(threads)}`,
      markdownTable(
        ['network', ...columns],
        table((result) => digits(result?.gflops)),
      ),
      `#### Ratios, ${plural(threads)}`,
      markdownTable(
        ['network', 'x64 / onnxruntime-node', 'best PyTorch', 'x64 / it', 'zoo / imported', 'wasm / onnxruntime-web'],
        rows.map(({ title, results }) => {
          const [mode, torch] = fastest(results, PYTORCH) ?? ['–'];
          return [
            title,
            times(ratio(results['gabor x64'], results['onnxruntime-node'])),
            mode,
            times(ratio(results['gabor x64'], torch)),
            times(ratio(results['gabor x64 zoo'], results['gabor x64'])),
            times(ratio(results['gabor wasm'], results['onnxruntime-web'])),
          ];
        }),
      ),
    );
  }
  const differences = columns.flatMap((column) => {
    const found = all.flatMap(({ results }) => results[column]?.difference ?? []);
    return found.length === 0 ? [] : [`${column} ${Math.max(...found).toExponential(1)}`];
  });
  sections.push(
    `Largest difference from the first outputs of a network, relative to the largest: ${differences.join(', ')}.`,
  );
  if (networks.some(({ starts }) => starts.length > 0)) {
    sections.push(
      `#### From process start to the first result, and the most memory meanwhile`,
      markdownTable(
        ['network, weights', 'program', 'ms', 'beyond an empty Node', 'gabor x64 is', 'MiB', 'gabor x64 takes'],
        networks.flatMap(({ title, weights, starts }) => startRows(`${title}, ${bytes(weights)}`, starts)),
      ),
    );
  }
  return sections.join('\n\n');
}

function startRows(title, starts) {
  const find = (name) => starts.find((one) => one.name === name);
  const [empty, x64] = ['an empty Node', 'gabor x64'].map(find);
  return starts
    .filter((one) => one !== empty)
    .map((one, i) => [
      i === 0 ? title : '',
      one.name,
      digits(one.ms),
      digits(one.ms - empty.ms),
      one === x64 || x64 === undefined ? '–' : times(speedRatio(x64.times, one.times)),
      digits((one.peak ?? Number.NaN) / 2 ** 20),
      one === x64 || x64 === undefined ? '–' : times(x64.peak / one.peak),
    ]);
}

export function netsGoals({ networks }) {
  const steady = networks.flatMap(({ name, title, runs }) =>
    runs.flatMap(({ threads, results }) => {
      const over = (column, peer) => ratio(results[column], results[peer]);
      const { x64, wasm } = NETWORKS[name];
      return [
        ...atLeast(`${title}, x64 / onnxruntime-node, ${plural(threads)}`, over('gabor x64', 'onnxruntime-node'), x64),
        ...atLeast(`${title}, wasm / onnxruntime-web, ${plural(threads)}`, over('gabor wasm', 'onnxruntime-web'), wasm),
      ];
    }),
  );
  const fresh = networks.flatMap(({ title, starts }) => {
    const [x64, peer] = ['gabor x64', 'onnxruntime-node'].map((name) => starts.find((one) => one.name === name));
    if (x64 === undefined || peer === undefined) return [];
    return [
      ...atLeast(`${title}, first result, x64 / onnxruntime-node`, speedRatio(x64.times, peer.times), 1),
      ...atMost(`${title}, peak memory, x64 / onnxruntime-node`, x64.peak / peer.peak, MOST_MEMORY),
    ];
  });
  return [...steady, ...fresh];
}
