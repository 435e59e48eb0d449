import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildModel } from '../contestants/gabor.mjs';
import { onnxNetwork } from '../contestants/onnx-model.mjs';
import { concatenate, largestDifference, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { runFresh } from '../harness/fresh-process.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { median, speedRatio } from '../harness/statistics.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { initialParameters, NETWORKS, splitParameters } from './networks.mjs';
import { atLeast, times } from './ratios.mjs';

/** Rounds for each round of the other suites: a start is one number only, where a block has many. */
const STARTS = 3;
/** Starts that do not count: what Gabor keeps for other processes (docs/decisions/startup.md) is whole after some. */
const FIRST = 6;
/** Largest difference of the outputs, relative to the largest. */
const TOLERANCE = 1e-4;
const NETWORK = NETWORKS.lenet;
/** What start/gabor.mjs tells of itself, in this order. */
const PHASES = [
  'until the first line',
  'loading the package',
  'loading the model',
  'first prediction',
  'second prediction',
];

const program = (file) => fileURLToPath(new URL(`../start/${file}`, import.meta.url));
const node = (file, ...args) => [process.execPath, program(file), ...args];

/** How long it takes from the start of a process to the first prediction of LeNet; files are in the system's cache. */
export async function runStart(options) {
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-'));
  try {
    const programs = await preparePrograms(folder);
    const taking = [];
    let expected;
    for (const one of programs) {
      const { name, command } = one;
      try {
        // Also brings the files into the cache.
        const { numbers } = await runFresh(one);
        for (let i = 1; i < FIRST && one.keeps; i++) await runFresh(one);
        if (numbers.length > 0) {
          const result = Float32Array.from(numbers);
          expected ??= { name, result };
          const difference = largestDifference(result, expected.result);
          if (!(difference <= TOLERANCE)) {
            console.error(
              `start: ${name} differs from ${expected.name} by ${digits(difference)} of the largest output: not timed`,
            );
            process.exitCode = 1;
            continue;
          }
        }
        taking.push({ name, command, env: one.env, ms: [], phases: [] });
      } catch (error) {
        console.error(`start: ${name}: skipped, ${error.message}`);
      }
    }
    const rounds = options.quick ? 1 : STARTS * options.rounds;
    for (let round = 0; round < rounds; round++) {
      for (const one of taking) {
        const { ms, phases } = await runFresh(one);
        one.ms.push(ms);
        if (phases !== undefined) one.phases.push(phases);
      }
    }
    const results = taking.map(({ name, ms, phases }) => ({
      name,
      ms: median(ms),
      fastestMs: Math.min(...ms),
      times: ms,
      ...(phases.length > 0 && { phases: PHASES.map((_, i) => median(phases.map((run) => run[i]))) }),
    }));
    for (const { name, ms } of results) console.error(`start, ${name}: ${digits(ms)} ms`);
    return { rounds, results };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Writes the model in everyone's format; who cannot get one takes no part. */
async function preparePrograms(folder) {
  const file = (name) => join(folder, name);
  const { layers, input } = NETWORK;
  const parameters = concatenate(initialParameters(layers));
  writeFloats(file('input.f32'), uniform(sizeOf(input), 1));
  writeFloats(file('parameters.f32'), parameters);
  writeFileSync(file('lenet.onnx'), onnxNetwork(NETWORK, splitParameters(layers, parameters)));

  const gabor = await importGabor();
  const model = buildModel(gabor, layers);
  model.parameters().forEach((parameter, i) => {
    parameter.write(splitParameters(layers, parameters)[i].data);
  });
  const [channels, height, width] = input;
  const preprocessing = { channels, height, width, mean: [0], std: [1] };
  const classes = Array.from({ length: layers.at(-1).out }, (_, i) => `${i}`);
  await gabor.save(file('lenet.safetensors'), model, { classes, preprocessing });

  const [weights, x] = [file('lenet.safetensors'), file('input.f32')];
  const { nativeProblem } = await importGabor('runtime/backend.js');
  const instructions = ['avx512', 'avx2'].find((name) => nativeProblem(name) === undefined);
  if (instructions === undefined) console.error(`start: gabor x64: skipped, ${nativeProblem('avx2')}`);
  const cache = file('cache');
  const ours = (name, native, kept) => ({
    name,
    command: node('gabor.mjs', weights, x),
    env: { GABOR_NATIVE: native, GABOR_CACHE: kept },
    keeps: kept !== '0',
  });
  const programs = [
    { name: 'an empty Node', command: node('empty.mjs') },
    ...(instructions === undefined
      ? []
      : [ours('gabor x64', instructions, cache), ours('gabor x64, nothing kept', instructions, '0')]),
    ours('gabor wasm', 'wasm', cache),
    ours('gabor wasm, nothing kept', 'wasm', '0'),
    ...['onnxruntime-node', 'onnxruntime-web'].map((name) => ({
      name,
      command: node('onnxruntime.mjs', file('lenet.onnx'), x, name),
    })),
  ];
  for (const python of [process.env.PYTHON, 'python3', '/usr/bin/python3'].filter(Boolean)) {
    const script = program('pytorch.py');
    const made = [script, '--save', file('lenet.pt'), JSON.stringify(layers), file('parameters.f32')];
    if (spawnSync(python, made, { stdio: 'ignore' }).status !== 0) continue;
    programs.push({ name: 'pytorch', command: [python, script, file('lenet.pt'), x] });
    break;
  }
  return programs;
}

export function startMarkdown({ rounds, results }) {
  const find = (name) => results.find((r) => r.name === name);
  const [empty, x64] = ['an empty Node', 'gabor x64'].map(find);
  return [
    '### From process start to the first prediction of LeNet',
    `Median of ${rounds} fresh processes each.`,
    markdownTable(
      ['program', 'ms', 'fastest', 'beyond an empty Node', 'gabor x64 is'],
      results.map((r) => [
        r.name,
        digits(r.ms),
        digits(r.fastestMs),
        r === empty || empty === undefined ? '–' : digits(r.ms - empty.ms),
        r === x64 || r === empty || x64 === undefined ? '–' : times(speedRatio(x64.times, r.times)),
      ]),
    ),
    '#### Where the time goes, ms',
    markdownTable(
      ['program', ...PHASES],
      results.filter((r) => r.phases !== undefined).map((r) => [r.name, ...r.phases.map(digits)]),
    ),
  ].join('\n\n');
}

export function startGoals({ results }) {
  const [x64, peer] = ['gabor x64', 'onnxruntime-node'].map((name) => results.find((r) => r.name === name));
  if (x64 === undefined || peer === undefined) return [];
  return atLeast('first LeNet prediction, x64 / onnxruntime-node', speedRatio(x64.times, peer.times), 1);
}
