// Runs the convolutions; conv-report.mjs makes tables and goals of the results.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { columnName, openContestants } from '../contestants/index.mjs';
import { largestDifference, readFloats, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { race } from '../harness/race.mjs';
import { digits } from '../harness/table.mjs';
import { CASES, shapesOf } from './cases.mjs';

/**
 * Largest difference from the first result, relative to the largest element, that counts as the same result. Winograd's algorithm alone
 * comes to about 1e-5, sums over a whole batch in another order to about 1e-6.
 */
const TOLERANCE = 1e-4;
/** As many of the same convolution one after the other in one program: what a layer costs inside a network. */
const CHAIN = 8;
const ROLE_TEXT = {
  forward: '',
  input: ', gradient of input',
  filter: ', gradient of filter',
  both: ', both gradients',
};

/** What is timed: forward passes of the A cases, both gradients of the B cases; with `details` more of A01 and of B. */
function plan({ cases, details }) {
  const rows = [];
  for (const c of CASES) {
    if (cases !== undefined && !cases.some((name) => c.id.startsWith(name))) continue;
    const roles = c.id.startsWith('A') ? ['forward'] : details ? ['both', 'input', 'filter'] : ['both'];
    rows.push(...roles.map((role) => ({ case: c, role, chain: 1 })));
    if (details && c.id === 'A01_3x3_64x56') rows.push({ case: c, role: 'forward', chain: CHAIN });
  }
  return rows;
}

function rowName({ case: c, role, chain }) {
  return `${c.id}${chain > 1 ? ` × ${chain}` : ''}${ROLE_TEXT[role]}`;
}

export async function runConv(options) {
  const opened = await openContestants('conv', options);
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-'));
  try {
    const machines = opened.filter(({ contestant }) => contestant.name === 'ceiling').map((o) => o.contestant);
    const others = opened.filter(({ contestant }) => contestant.name !== 'ceiling');
    const bandwidths = await measureBandwidths(machines, options);
    const ceilings = await prepareCeilings(machines, options);
    const rows = [];
    for (const row of plan(options)) rows.push(...(await runRow(row, others, ceilings.chosen, folder, options)));
    const versions = Object.fromEntries(others.map(({ contestant }) => [contestant.name, contestant.version]));
    return { versions, bandwidths, ceilings: ceilings.summary, rows };
  } finally {
    for (const { contestant } of opened) contestant.close();
    rmSync(folder, { recursive: true });
  }
}

/** Prepares a task of a ceiling; undefined where this machine cannot do it. */
async function prepareCeiling(contestant, key, task) {
  try {
    await contestant.call('prepare', { key, task: { kind: 'ceiling', ...task } });
  } catch (error) {
    if (error instanceof Unsupported) return undefined;
    throw error;
  }
  const [work] = (await contestant.call('check', { key })).numbers;
  return { contestant, key, work };
}

/** Forms of multiply-adds on registers, grouped by what runs there; of a group only the fastest runs beside the cases. */
const CEILINGS = { 'ceiling x64': ['avx512', 'avx2'], 'ceiling wasm': ['relaxed', 'wasm'] };

/** All ceilings for each number of threads; the fastest of each group runs in every round of every case. */
async function prepareCeilings(machines, options) {
  const entries = [];
  for (const contestant of machines) {
    for (const [column, forms] of Object.entries(CEILINGS)) {
      for (const form of forms) {
        const entry = await prepareCeiling(contestant, form, { form });
        if (entry !== undefined) entries.push({ ...entry, column, form, flops: entry.work });
      }
    }
  }
  const timed = await race(entries, options);
  const summary = timed.map((e) => ({ threads: e.contestant.threads, form: e.form, gflops: e.flops / e.time / 1e6 }));
  for (const { threads, form, gflops } of summary) {
    console.error(`ceiling, ${threads} thread(s), ${form}: ${digits(gflops)} GFLOP/s`);
  }
  const chosen = new Map();
  for (const e of timed) {
    const group = `${e.column} ${e.contestant.threads}`;
    const before = chosen.get(group);
    if (before === undefined || e.flops / e.time > before.flops / before.time) chosen.set(group, e);
  }
  return { summary, chosen: [...chosen.values()] };
}

/** Bytes in the arrays of one thread, source and target together, that surely live in one level of the memory. */
function bandwidthSizes({ l1, l2, l3 } = {}) {
  return [
    ['L1', (l1 || 32 * 2 ** 10) / 2],
    ['L2', (l2 || 2 ** 20) / 2],
    ['L3', Math.max((l3 || 16 * 2 ** 20) / 4, 2 * (l2 || 2 ** 20))],
    ['DRAM', Math.max(8 * (l3 || 16 * 2 ** 20), 256 * 2 ** 20)],
  ];
}

/** Copying by the widest loads and stores: bytes read and written per second, by all threads together. */
async function measureBandwidths(machines, options) {
  const found = [];
  for (const contestant of machines) {
    const { threads } = contestant;
    for (const [level, bytes] of bandwidthSizes(contestant.caches)) {
      // L1 and L2 belong to one core, the others to all.
      const copy = (bytes / 2) * (level === 'L1' || level === 'L2' ? threads : 1);
      let entry;
      for (const form of ['avx512', 'avx2', 'relaxed', 'wasm']) {
        entry ??= await prepareCeiling(contestant, `copy ${level}`, { form, copy });
      }
      const [timed] = await race([entry], { ...options, rounds: Math.min(options.rounds, 3) });
      await contestant.call('release', { key: entry.key });
      found.push({ level, threads, bytes: 2 * copy, gigabytesPerSecond: entry.work / timed.time / 1e6 });
    }
  }
  return found;
}

/** One case: prepares everyone, checks the results against each other, times them; one row per number of threads. */
async function runRow(row, others, ceilings, folder, options) {
  const { case: c, role, chain } = row;
  const name = rowName(row);
  const shapes = shapesOf(c);
  // Results of the size of the inputs.
  const fanIn = c.macs / sizeOf(shapes.y);
  const files = {};
  for (const [i, [tensor, scale]] of [
    ['x', 1],
    ['w', Math.sqrt(3 / fanIn)],
    ['y', 1],
  ].entries()) {
    files[tensor] = join(folder, `${tensor}.f32`);
    writeFloats(files[tensor], uniform(sizeOf(shapes[tensor]), 1 + i, scale));
  }
  const flops = 2 * c.macs * chain * (role === 'both' ? 2 : 1);
  // Gradients of inputs and of filters differ in size: each is held against its own largest element.
  const sizes = role === 'both' ? [sizeOf(shapes.x), sizeOf(shapes.w)] : undefined;
  const entries = [];
  let expected;
  for (const { contestant, variants } of others) {
    for (const variant of variants) {
      const column = columnName(contestant.name, variant);
      const key = `${name} ${variant}`;
      try {
        await contestant.call('prepare', { key, task: { kind: 'conv', case: c, role, chain, variant, files } });
        const file = join(folder, 'result.f32');
        await contestant.call('check', { key, file });
        const result = readFloats(file);
        expected ??= { result, column };
        const difference = differenceOf(result, expected.result, sizes);
        if (!(difference <= TOLERANCE)) {
          console.error(
            `${name}: ${column} with ${contestant.threads} thread(s) differs from ${expected.column} by ${digits(difference)} of the largest element: not timed`,
          );
          process.exitCode = 1;
          await contestant.call('release', { key });
          continue;
        }
        entries.push({ contestant, key, column, flops, difference, mean: meanMagnitude(result) });
      } catch (error) {
        if (!(error instanceof Unsupported)) console.error(`${name}: ${column}: ${error.message}`);
      }
    }
  }
  const timed = await race([...ceilings, ...entries], options);
  for (const { contestant, key } of entries) await contestant.call('release', { key });
  return options.threads.map((threads) => {
    const results = {};
    for (const e of timed.filter((t) => t.contestant.threads === threads)) {
      results[e.column] = {
        ms: e.time,
        fastestMs: e.fastest,
        gflops: e.flops / e.time / 1e6,
        speeds: e.times.map((time) => e.flops / time / 1e6),
        ...(e.mean === undefined ? {} : { meanMagnitude: e.mean, difference: e.difference }),
      };
    }
    const result = { name, case: c.id, role, chain, threads, flops, results };
    console.error(`${name}, ${threads} thread(s): ${progressText(results)}`);
    return result;
  });
}

/** The largest difference in any of the parts that the result consists of, each relative to its largest element. */
function differenceOf(result, expected, sizes = [result.length]) {
  let at = 0;
  const differences = sizes.map((size) => {
    const [from, to] = [at, (at += size)];
    return largestDifference(result.subarray(from, to), expected.subarray(from, to));
  });
  return result.length === expected.length ? Math.max(...differences) : Number.POSITIVE_INFINITY;
}

function meanMagnitude(numbers) {
  let sum = 0;
  for (const value of numbers) sum += Math.abs(value);
  return sum / numbers.length;
}

function progressText(results) {
  return Object.entries(results)
    .map(([column, { gflops }]) => `${column} ${digits(gflops)}`)
    .join(' · ');
}
