import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { columnName, openContestants } from '../contestants/index.mjs';
import { largestDifference, readFloats, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { Unsupported } from '../harness/protocol.mjs';
import { race } from '../harness/race.mjs';
import { speedRatio } from '../harness/statistics.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { CASES, shapesOf } from './cases.mjs';

/** Largest difference from Gabor's result, relative to the largest element, that counts as the same result. */
const TOLERANCE = 1e-3;
/** As many of the same convolution one after the other in one program: what a layer costs inside a network. */
const CHAIN = 8;
const ROLE_TEXT = {
  forward: '',
  input: ', gradient of input',
  filter: ', gradient of filter',
  both: ', both gradients',
};

/** What is timed: forward passes of the A cases, gradients of the B cases. */
function plan(wanted) {
  const rows = [];
  for (const c of CASES) {
    if (wanted !== undefined && !wanted.some((name) => c.id.startsWith(name))) continue;
    if (c.id.startsWith('A')) rows.push({ case: c, role: 'forward', chain: 1 });
    if (c.id === 'A01_3x3_64x56') rows.push({ case: c, role: 'forward', chain: CHAIN });
    if (c.id.startsWith('B')) rows.push(...['both', 'input', 'filter'].map((role) => ({ case: c, role, chain: 1 })));
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
    const ceilings = await prepareCeilings(opened, options);
    const others = opened.filter(({ contestant }) => contestant.name !== 'ceiling');
    const rows = [];
    for (const row of plan(options.cases)) rows.push(...(await runRow(row, others, ceilings.chosen, folder, options)));
    const versions = Object.fromEntries(opened.map(({ contestant }) => [contestant.name, contestant.version]));
    return { versions, ceilings: ceilings.summary, rows };
  } finally {
    for (const { contestant } of opened) contestant.close();
    rmSync(folder, { recursive: true });
  }
}

/** Both ceilings for each number of threads; percentages refer to the higher one, which runs in every round of every case. */
async function prepareCeilings(opened, options) {
  const entries = [];
  for (const { contestant } of opened.filter((o) => o.contestant.name === 'ceiling')) {
    for (const relaxed of [true, false]) {
      const key = `relaxed ${relaxed}`;
      try {
        await contestant.call('prepare', { key, task: { kind: 'ceiling', relaxed } });
      } catch (error) {
        if (error instanceof Unsupported) continue;
        throw error;
      }
      const [flops] = (await contestant.call('check', { key })).numbers;
      entries.push({ contestant, key, column: 'ceiling', flops, relaxed });
    }
  }
  const timed = await race(entries, options);
  const summary = timed.map((e) => ({
    threads: e.contestant.threads,
    form: e.relaxed ? 'relaxed multiply-add' : 'multiply, add',
    gflops: e.flops / e.time / 1e6,
  }));
  for (const { threads, form, gflops } of summary) {
    console.error(`ceiling, ${threads} thread(s), ${form}: ${digits(gflops)} GFLOP/s`);
  }
  const chosen = new Map();
  for (const e of timed) {
    const before = chosen.get(e.contestant.threads);
    if (before === undefined || e.flops / e.time > before.flops / before.time) chosen.set(e.contestant.threads, e);
  }
  return { summary, chosen: [...chosen.values()] };
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
        const difference = largestDifference(result, expected.result);
        const same = difference <= TOLERANCE;
        if (!same) {
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

/** Speed of one column in units of another, in the same rounds. */
function ratio(results, a, b) {
  if (results[a] === undefined || results[b] === undefined) return undefined;
  // Speeds, not times: more is better.
  return speedRatio(results[b].speeds, results[a].speeds);
}

const percent = (x) => (x === undefined ? '–' : `${Math.round(100 * x)} %`);
const times = (x) => (x === undefined ? '–' : `${x.toFixed(2)}×`);

export function convMarkdown({ versions, ceilings, rows }) {
  const columns = [...new Set(rows.flatMap(({ results }) => Object.keys(results)))];
  const sections = [
    '### Convolution',
    `Versions: ${Object.entries(versions)
      .filter(([name]) => name !== 'ceiling')
      .map(([name, version]) => `${name} ${version}`)
      .join(', ')}.`,
    ...(ceilings.length === 0
      ? []
      : [
          `WebAssembly SIMD ceiling, loops on registers alone: ${ceilings
            .map(
              ({ threads, form, gflops }) => `${form}, ${threads} thread${threads === 1 ? '' : 's'} ${digits(gflops)}`,
            )
            .join('; ')} GFLOP/s.`,
        ]),
  ];
  for (const threads of new Set(rows.map((row) => row.threads))) {
    const own = rows.filter((row) => row.threads === threads);
    sections.push(
      `#### GFLOP/s, ${threads} thread${threads === 1 ? '' : 's'}`,
      markdownTable(
        ['case', ...columns],
        own.map(({ name, results }) => [name, ...columns.map((column) => digits(results[column]?.gflops))]),
      ),
      `#### Ratios, ${threads} thread${threads === 1 ? '' : 's'}`,
      markdownTable(
        [
          'case',
          'gabor nchw / ceiling',
          'gabor nhwc / ceiling',
          'gabor copies / onnxruntime-web',
          'gabor nchw / onnxruntime-web',
          'gabor nhwc / tfjs-wasm',
          'gabor nhwc / pytorch nhwc',
        ],
        own.map(({ name, results }) => [
          name,
          percent(ratio(results, 'gabor nchw', 'ceiling')),
          percent(ratio(results, 'gabor nhwc', 'ceiling')),
          times(ratio(results, 'gabor copies', 'onnxruntime-web')),
          times(ratio(results, 'gabor nchw', 'onnxruntime-web')),
          times(ratio(results, 'gabor nhwc', 'tfjs-wasm')),
          times(ratio(results, 'gabor nhwc', 'pytorch nhwc')),
        ]),
      ),
    );
  }
  const scaled = scaling(rows);
  if (scaled.length > 0) {
    sections.push(
      '#### Two threads over one',
      markdownTable(
        ['case', ...SCALING],
        scaled.map(({ name, values }) => [name, ...values.map(times)]),
      ),
    );
  }
  return sections.join('\n\n');
}

const SCALING = ['ceiling', 'gabor nchw', 'gabor nhwc', 'onnxruntime-web', 'pytorch nhwc'];

function scaling(rows) {
  const found = [];
  for (const two of rows.filter((row) => row.threads === 2)) {
    const one = rows.find((row) => row.threads === 1 && row.name === two.name);
    if (one === undefined) continue;
    const values = SCALING.map((column) => {
      const [a, b] = [two.results[column], one.results[column]];
      return a && b ? speedRatio(b.speeds, a.speeds) : undefined;
    });
    found.push({ name: two.name, values });
  }
  return found;
}

/** The project's goals for convolution: [what, measured, wanted]. */
export function convGoals({ rows }) {
  const goals = [];
  const find = (id, role, threads, chain = 1) =>
    rows.find((r) => r.case === id && r.role === role && r.threads === threads && r.chain === chain)?.results;
  const add = (what, value, wanted, text) => {
    if (value !== undefined) goals.push({ what, value: text(value), wanted: text(wanted), met: value >= wanted });
  };
  const forward = find('A01_3x3_64x56', 'forward', 1);
  const chained = find('A01_3x3_64x56', 'forward', 1, CHAIN);
  if (forward) add('3×3 64→64 at 56×56, one call / ceiling', ratio(forward, 'gabor nchw', 'ceiling'), 0.75, percent);
  if (chained) add('the same inside a program / ceiling', ratio(chained, 'gabor nchw', 'ceiling'), 0.75, percent);
  for (const threads of new Set(rows.map((r) => r.threads))) {
    const results = find('A01_3x3_64x56', 'forward', threads);
    if (results === undefined) continue;
    add(
      `the same, with copies / onnxruntime-web, threads ${threads}`,
      ratio(results, 'gabor copies', 'onnxruntime-web'),
      1.5,
      times,
    );
  }
  const backward = find('B01_bwd_3x3_64x56_b16', 'both', 1);
  if (backward) add('its gradients, batch 16 / ceiling', ratio(backward, 'gabor nchw', 'ceiling'), 0.6, percent);
  for (const { name, values } of scaling(rows)) {
    if (/^(A01.*56|B01.*both gradients)$/.test(name)) {
      add(`${name}, two threads / one`, values[SCALING.indexOf('gabor nchw')], 1.8, times);
    }
  }
  return goals;
}
