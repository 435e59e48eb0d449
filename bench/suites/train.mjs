import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { columnName, openContestants } from '../contestants/index.mjs';
import { concatenate, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { race } from '../harness/race.mjs';
import { speedRatio } from '../harness/statistics.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { initialParameters, NETWORKS } from './networks.mjs';

/** How many different batches go round. */
const BATCHES = 4;
const JAVASCRIPT = ['convnetjs', 'jax-js', 'tfjs-cpu'];

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
  const results = timed.map(({ contestant, column, losses, time, times, fastest }) => ({
    column,
    threads: contestant.threads,
    ms: time,
    fastestMs: fastest,
    imagesPerSecond: (batch / time) * 1000,
    losses,
    times,
  }));
  for (const r of results) {
    console.error(`${name}, ${r.column}, ${r.threads} thread(s): ${digits(r.imagesPerSecond)} images/s`);
  }
  return { name, title: network.title, batch, results };
}

function find(network, column, threads) {
  return network.results.find((r) => r.column === column && r.threads === threads);
}

function ratio(a, b) {
  return a === undefined || b === undefined ? undefined : speedRatio(a.times, b.times);
}

const times = (x) => (x === undefined ? '–' : x < 10 ? `${x.toFixed(2)}×` : `${Math.round(x)}×`);

/** The one that is fastest on one thread. */
function fastest(network, names) {
  const own = network.results.filter((r) => r.threads === 1 && names.some((name) => r.column.startsWith(name)));
  return own.sort((a, b) => a.ms - b.ms)[0];
}

export function trainMarkdown({ versions, networks }) {
  const sections = [
    '### Training',
    `Versions: ${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
  ];
  for (const network of networks) {
    const columns = [...new Set(network.results.map((r) => r.column))];
    const threads = [...new Set(network.results.map((r) => r.threads))].sort((a, b) => a - b);
    sections.push(
      `#### ${network.title}`,
      markdownTable(
        [
          'images per second',
          ...threads.flatMap((n) => [`${n} thread${n === 1 ? '' : 's'}`, 'gabor is']),
          ...(threads.length > 1 ? [`${threads.at(-1)} over ${threads[0]} threads`] : []),
        ],
        columns.map((column) => [
          column,
          ...threads.flatMap((n) => {
            const own = find(network, column, n);
            const against = column === 'gabor' ? undefined : ratio(find(network, 'gabor', n), own);
            return [digits(own?.imagesPerSecond), times(against)];
          }),
          ...(threads.length > 1
            ? [times(ratio(find(network, column, threads.at(-1)), find(network, column, threads[0])))]
            : []),
        ]),
      ),
    );
  }
  return sections.join('\n\n');
}

export function trainGoals({ networks }) {
  const network = networks.find(({ name }) => name === 'lenet');
  const own = network && find(network, 'gabor', 1);
  if (own === undefined) return [];
  const goals = [];
  const add = (peer, wanted) => {
    if (peer === undefined) return;
    const value = ratio(own, peer);
    goals.push({
      what: `LeNet, one thread, over ${peer.column}`,
      value: times(value),
      wanted: times(wanted),
      met: value >= wanted,
    });
  };
  add(fastest(network, JAVASCRIPT), 20);
  add(fastest(network, ['pytorch']), 0.5);
  return goals;
}
