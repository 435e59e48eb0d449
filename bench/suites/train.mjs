import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { columnName, openContestants } from '../contestants/index.mjs';
import { anchorRatio } from '../harness/anchors.mjs';
import { concatenate, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { race } from '../harness/race.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { initialParameters, NETWORKS } from './networks.mjs';
import { atLeast, fastest, ratio, times } from './ratios.mjs';

/** How many different batches go round. */
const BATCHES = 4;
const JAVASCRIPT = ['convnetjs', 'jax-js', 'tfjs-cpu'];
const PYTORCH = ['pytorch nchw', 'pytorch nhwc', 'pytorch jit'];
/** Goals: how many times as fast as PyTorch's fastest mode. */
const WANTED = { lenet: 2.5, vgg: 2, resnet18: 1.6 };

export async function runTrain(options) {
  const opened = await openContestants('train', options);
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-'));
  try {
    const networks = [];
    for (const [name, network] of Object.entries(NETWORKS)) {
      if (options.networks === undefined || options.networks.includes(name)) {
        networks.push(await runNetwork(name, network, opened, folder, options));
      }
    }
    const versions = Object.fromEntries(opened.map(({ contestant }) => [contestant.name, contestant.version]));
    return { versions, networks };
  } finally {
    for (const { contestant } of opened) contestant.close();
    rmSync(folder, { recursive: true });
  }
}

async function runNetwork(name, network, opened, folder, options) {
  const { input, batch, layers } = network;
  const contents = {
    parameters: concatenate(initialParameters(layers)),
    images: uniform(BATCHES * batch * sizeOf(input), 1),
    labels: uniform(BATCHES * batch, 2).map((u) => Math.floor((u + 1) * 5)),
  };
  const files = {};
  for (const [part, data] of Object.entries(contents)) {
    files[part] = join(folder, `${part}.f32`);
    writeFloats(files[part], data);
  }
  const entries = [];
  let expected;
  for (const { contestant, variants, slow } of opened) {
    if (slow.includes(name) && !options.slow) continue;
    for (const variant of variants) {
      const column = columnName(contestant.name, variant);
      const key = `${name} ${variant}`;
      try {
        const task = { kind: 'train', name, network, batches: BATCHES, variant, files };
        await contestant.call('prepare', { key, task });
        const { numbers: losses } = await contestant.call('check', { key });
        expected ??= { losses, column };
        const difference = Math.max(
          ...losses.map((loss, i) => Math.abs(loss - expected.losses[i]) / expected.losses[i]),
        );
        if (!(difference <= network.tolerance)) {
          console.error(
            `${name}: ${column} with ${contestant.threads} thread(s) has losses ${losses}, ${expected.column} ${expected.losses}: not timed`,
          );
          process.exitCode = 1;
          await contestant.call('release', { key });
          continue;
        }
        entries.push({ contestant, key, column, losses });
      } catch (error) {
        if (!(error instanceof Unsupported)) console.error(`${name}: ${column}: ${error.message}`);
      }
    }
  }
  const timed = await race(entries, options);
  for (const { contestant, key } of entries) await contestant.call('release', { key });
  const runs = options.threads.map((threads) => {
    const results = {};
    for (const { column, losses, time, times: rounds, fastest: least } of timed.filter(
      (t) => t.contestant.threads === threads,
    )) {
      const speeds = rounds.map((ms) => (batch / ms) * 1000);
      results[column] = { ms: time, fastestMs: least, imagesPerSecond: (batch / time) * 1000, speeds, losses };
      console.error(`${name}, ${column}, ${threads} thread(s): ${digits((batch / time) * 1000)} images/s`);
    }
    return { threads, results };
  });
  return { name, title: network.title, batch, runs };
}

const plural = (threads) => `${threads} thread${threads === 1 ? '' : 's'}`;

export function trainMarkdown(result) {
  const { versions, networks } = result;
  const sections = [
    '### Training',
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
  ];
  for (const { title, runs } of networks) {
    const columns = [...new Set(runs.flatMap(({ results }) => Object.keys(results)))];
    const [first, last] = [runs[0], runs.at(-1)];
    const header = runs.flatMap(({ threads }) => [plural(threads), 'x64 is', 'wasm is']);
    sections.push(
      `#### ${title}`,
      markdownTable(
        ['images per second', ...header, ...(first === last ? [] : [`${last.threads} over ${plural(first.threads)}`])],
        columns.map((column) => [
          column,
          ...runs.flatMap(({ results }) => [
            digits(results[column]?.imagesPerSecond),
            column === 'gabor x64' ? '–' : times(ratio(results['gabor x64'], results[column])),
            column.startsWith('gabor') ? '–' : times(ratio(results['gabor wasm'], results[column])),
          ]),
          ...(first === last ? [] : [times(ratio(last.results[column], first.results[column]))]),
        ]),
      ),
    );
  }
  const compared = comparisons(result);
  if (compared.length > 0) {
    sections.push(
      "#### Over PyTorch's fastest mode, as it is here and converted to 2.14",
      markdownTable(
        ['network', 'threads', 'mode', 'x64', 'x64, converted', 'wasm', 'wasm, converted'],
        compared.map((c) => [
          c.title.split(':')[0].split(' for ')[0],
          c.threads,
          c.mode,
          times(c.x64),
          times(c.x64 / c.newer),
          times(c.wasm),
          times(c.wasm / c.newer),
        ]),
      ),
    );
  }
  return sections.join('\n\n');
}

/** Every network and number of threads against PyTorch's fastest mode; `newer`: how much faster PyTorch 2.14 is than the one here. */
function comparisons({ networks, versions }) {
  return networks.flatMap(({ name, title, runs }) =>
    runs.flatMap(({ threads, results }) => {
      const [mode, torch] = fastest(results, PYTORCH) ?? [];
      if (torch === undefined) return [];
      const newer = Math.max(1, anchorRatio('training', name, threads, 'torch 2.14', versions.pytorch) ?? 1);
      const [x64, wasm] = ['gabor x64', 'gabor wasm'].map((column) => ratio(results[column], torch));
      return [{ name, title, threads, mode, newer, x64, wasm }];
    }),
  );
}

export function trainGoals(result) {
  const goals = comparisons(result).flatMap(({ name, threads, newer, x64 }) => [
    ...atLeast(`${name}, x64 / PyTorch (converted), ${plural(threads)}`, x64 / newer, WANTED[name]),
    ...atLeast(`the same, PyTorch as it is here, ${plural(threads)}`, x64, WANTED[name]),
  ]);
  const lenet = result.networks
    .find(({ name }) => name === 'lenet')
    ?.runs.find(({ threads }) => threads === 1)?.results;
  if (lenet !== undefined) {
    const [name, peer] = fastest(lenet, JAVASCRIPT) ?? [];
    goals.push(...atLeast(`lenet, wasm / ${name}, 1 thread`, ratio(lenet['gabor wasm'], peer), 20));
  }
  return goals;
}
