import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openContestants } from '../contestants/index.mjs';
import { largestDifference, readFloats, sizeOf, uniform, writeFloats } from '../harness/arrays.mjs';
import { importGabor } from '../harness/gabor.mjs';
import { race } from '../harness/race.mjs';
import { median, speedRatio } from '../harness/statistics.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { CASES, shapesOf } from './cases.mjs';

/** Largest difference from the first tile's result, relative to the largest element. */
const TOLERANCE = 1e-3;
/** The engine's tile may be so much slower than the fastest before it counts as the wrong choice. */
const NOISE = 0.05;
/** What is measured: a kernel, the convolution that it is from, and its role there. */
const KERNELS = [
  { kernel: 'tile', what: 'forward', case: 'A01_3x3_64x56', role: 'output' },
  { kernel: 'outer', what: 'gradient of the filter', case: 'B01_bwd_3x3_64x56_b16', role: 'filter' },
];

/** Every row of the table of register tiles (`targets/cpu/wasm/tiles.js`) on this engine, one thread. */
export async function runTiles(options) {
  const { TILE_SHAPES, wasmEngine, wasmTile } = await importGabor('targets/cpu/wasm/tiles.js');
  const { enableRelaxedSimd } = await importGabor('targets/cpu/wasm/features.js');
  enableRelaxedSimd();
  const chosen = wasmTile();
  const opened = await openContestants('tiles', { threads: [1] });
  const folder = mkdtempSync(join(tmpdir(), 'gabor-bench-'));
  try {
    const find = (name) => {
      const found = opened.find(({ contestant }) => contestant.name === name);
      if (found === undefined) throw new Error(`${name} did not start; BENCH_DEBUG=1 shows why`);
      return found.contestant;
    };
    const [ceiling, tiles] = [find('ceiling'), find('tiles')];
    const relaxed = tiles.version === 'relaxed multiply-add';
    await ceiling.call('prepare', { key: 'ceiling', task: { kind: 'ceiling', form: relaxed ? 'relaxed' : 'wasm' } });
    const [flops] = (await ceiling.call('check', { key: 'ceiling' })).numbers;
    const kernels = [];
    for (const row of KERNELS) {
      const timed = await runKernel(
        row,
        TILE_SHAPES,
        tiles,
        { contestant: ceiling, key: 'ceiling', flops },
        folder,
        options,
      );
      for (const shape of timed) shape.chosen = shape.rows === chosen.rows && shape.vectors === chosen.vectors;
      const best = fastest(timed);
      console.error(
        `${row.kernel}: fastest ${shapeText(best)} at ${percent(best.share)} of the ceiling, the engine's ${shapeText(chosen)} at ${percent(timed.find((t) => t.chosen).share)}`,
      );
      kernels.push({ ...row, shapes: timed });
    }
    return { engine: wasmEngine().name, form: tiles.version, chosen, kernels };
  } finally {
    for (const { contestant } of opened) contestant.close();
    rmSync(folder, { recursive: true });
  }
}

/** Prepares every tile, checks that all compute the same, and times them; a block of the ceiling stands before each number of rows. */
async function runKernel({ kernel, case: id, role }, shapes, tiles, ceiling, folder, options) {
  const c = CASES.find((one) => one.id === id);
  const files = {};
  for (const [i, [name, shape]] of Object.entries(shapesOf(c)).entries()) {
    files[name] = join(folder, `${name}.f32`);
    writeFloats(files[name], uniform(sizeOf(shape), 1 + i));
  }
  const file = join(folder, 'result.f32');
  const entries = [];
  let expected;
  for (const [i, { rows, vectors }] of shapes.entries()) {
    const key = `${kernel} ${rows} ${vectors}`;
    await tiles.call('prepare', { key, task: { case: c, role, rows, vectors, files } });
    await tiles.call('check', { key, file });
    const result = readFloats(file);
    expected ??= result;
    const difference = largestDifference(result, expected);
    if (!(difference <= TOLERANCE)) {
      throw new Error(`${kernel} ${rows} × ${vectors} differs by ${digits(difference)} of the largest element`);
    }
    if (rows !== shapes[i - 1]?.rows) entries.push(ceiling);
    entries.push({ contestant: tiles, key, rows, vectors, flops: 2 * c.macs });
  }
  const timed = await race(entries, options);
  const speedsOf = (entry) => entry.times.map((time) => entry.flops / time / 1e6);
  const isCeiling = (entry) => entry.contestant === ceiling.contestant;
  const ceilings = timed.filter(isCeiling).map(speedsOf);
  // In every round the middle one of its blocks: other work on the machine disturbs one of them now and then.
  const reference = ceilings[0].map((_, round) => median(ceilings.map((speeds) => speeds[round])));
  const results = [];
  for (const entry of timed.filter((e) => !isCeiling(e))) {
    const speeds = speedsOf(entry);
    const { rows, vectors } = entry;
    // Speeds, not times: more is better.
    results.push({
      rows,
      vectors,
      gflops: median(speeds),
      share: speedRatio(reference, speeds),
      speeds,
      ceiling: reference,
    });
    await tiles.call('release', { key: entry.key });
  }
  return results;
}

const fastest = (shapes) => shapes.reduce((a, b) => (b.share > a.share ? b : a));
const shapeText = ({ rows, vectors }) => `${rows} × ${vectors}`;
const percent = (x) => `${Math.round(100 * x)} %`;

export function tilesMarkdown({ engine, form, chosen, kernels }) {
  const sections = [
    '### Register tiles',
    `Percent of the ceiling (${form}), one thread; rows × vectors of four. V8's compiler is ${engine}; **bold** is its tile, ${shapeText(chosen)}.`,
  ];
  for (const { kernel, what, case: id, shapes } of kernels) {
    const vectors = [...new Set(shapes.map((shape) => shape.vectors))];
    const cell = (rows, v) => {
      const found = shapes.find((shape) => shape.rows === rows && shape.vectors === v);
      if (found === undefined) return '–';
      return found.chosen ? `**${percent(found.share)}**` : percent(found.share);
    };
    const ceiling = median(shapes.flatMap((shape) => shape.ceiling));
    sections.push(
      `#### The ${kernel} kernel, ${what}, ${id}; the ceiling is ${digits(ceiling)} GFLOP/s`,
      markdownTable(
        ['rows', ...vectors.map((v) => `${v} vector${v === 1 ? '' : 's'}`)],
        [...new Set(shapes.map((shape) => shape.rows))].map((rows) => [rows, ...vectors.map((v) => cell(rows, v))]),
      ),
    );
  }
  return sections.join('\n\n');
}

/** The engine's tile is as fast as the fastest of the table. */
export function tilesGoals({ chosen, kernels }) {
  return kernels.map(({ kernel, shapes }) => {
    const best = fastest(shapes);
    const value = shapes.find((shape) => shape.chosen).share / best.share;
    return {
      what: `${kernel} kernel, the engine's ${shapeText(chosen)} / the fastest, ${shapeText(best)}`,
      value: percent(value),
      wanted: percent(1 - NOISE),
      met: value >= 1 - NOISE,
    };
  });
}
