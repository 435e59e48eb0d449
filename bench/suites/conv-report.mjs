import { anchorRatio } from '../harness/anchors.mjs';
import { geometricMean } from '../harness/statistics.mjs';
import { digits, markdownTable } from '../harness/table.mjs';
import { atLeast, fastest, percent, ratio, times } from './ratios.mjs';

const X64 = ['gabor x64 nchw', 'gabor x64 nhwc'];
const WASM = ['gabor wasm nchw', 'gabor wasm nhwc'];
const PYTORCH = ['pytorch nchw', 'pytorch nhwc', 'pytorch packed'];
const NATIVE = ['onnxruntime-node', ...PYTORCH];
const WEB = ['onnxruntime-web', 'tfjs-wasm'];
const DENSE_BACKWARD = ['B01', 'B03', 'B12'];
const plural = (threads) => `${threads} thread${threads === 1 ? '' : 's'}`;
const short = (id) => id.slice(0, 3);

/** Everything that tables and goals say of one row. */
function compare(row, { rows, versions }) {
  const { case: id, name, role, chain, threads, flops, results } = row;
  const [, x64] = fastest(results, X64) ?? [];
  const [, wasm] = fastest(results, WASM) ?? [];
  // TensorFlow.js has one thread in Node; it is a choice that people have nevertheless.
  const one = rows.find((r) => r.name === name && r.threads === 1)?.results;
  const web = { ...results, ...(one?.['tfjs-wasm'] && { 'tfjs-wasm': one['tfjs-wasm'] }) };
  const [webPeer, webResult] = fastest(web, WEB) ?? [];
  const [nativePeer] = fastest(results, NATIVE) ?? [];
  const [torchMode, torch] = fastest(results, PYTORCH) ?? [];
  const convert = (of) => anchorRatio('convolutions', id, threads, of, versions.pytorch);
  // A newer PyTorch only counts where it is faster; its direct sums are no faster than multiply-adds on registers alone.
  const room = ratio(results['ceiling x64'], torch) ?? Number.POSITIVE_INFINITY;
  const newer = Math.max(1, Math.min(convert('torch 2.14') ?? 1, room));
  const overTorch = ratio(x64, torch);
  const overNewer = overTorch === undefined ? undefined : overTorch / newer;
  const oneDnn = convert('oneDNN 2.6');
  // With two threads onnxruntime-node runs at one of two speeds; its better one counts.
  const ort = results['onnxruntime-node'];
  const overOrt = minimum(ratio(x64, ort), threads > 1 && x64 && ort ? ort.fastestMs / x64.fastestMs : undefined);
  return {
    id,
    name,
    role,
    chain,
    threads,
    flops,
    results,
    nativePeer,
    webPeer,
    torchMode,
    newer,
    x64,
    wasm,
    overTorch,
    overNewer,
    overNative: minimum(overTorch, overOrt),
    overNativeNewer: minimum(overNewer, overOrt),
    overOneDnn: overTorch === undefined || oneDnn === undefined ? undefined : overTorch / oneDnn,
    overWeb: ratio(wasm, webResult),
    directX64: ratio(results['gabor x64 direct'], results['ceiling x64']),
    x64OfCeiling: ratio(x64, results['ceiling x64']),
    directWasm: ratio(results['gabor wasm direct'], results['ceiling wasm']),
    wasmOfCeiling: ratio(wasm, results['ceiling wasm']),
  };
}

function minimum(...values) {
  const found = values.filter((value) => value !== undefined);
  return found.length === 0 ? undefined : Math.min(...found);
}

/** Two threads over one, in the same rounds. */
function scaling(rows) {
  return rows
    .filter(({ threads }) => threads === 2)
    .flatMap((two) => {
      const one = rows.find((row) => row.threads === 1 && row.name === two.name);
      if (one === undefined) return [];
      const values = Object.keys(two.results).flatMap((column) =>
        one.results[column] === undefined ? [] : [[column, ratio(two.results[column], one.results[column])]],
      );
      return [
        { name: two.name, flops: two.flops, chain: two.chain, role: two.role, values: Object.fromEntries(values) },
      ];
    });
}

export function convMarkdown(result) {
  const { versions, bandwidths, ceilings, rows } = result;
  const list = (items, text) => items.map(text).join(', ');
  const sections = [
    '### Convolution',
    `Versions: ${list(Object.entries(versions), ([name, version]) => `${name} ${version}`)}.`,
  ];
  if (ceilings.length > 0) {
    const threads = [...new Set(ceilings.map((c) => c.threads))];
    const find = (items, key, value, n) => items.find((item) => item[key] === value && item.threads === n);
    sections.push(
      '#### What the machine reaches',
      markdownTable(
        ['multiply-adds on registers alone, GFLOP/s', ...threads.map(plural)],
        [...new Set(ceilings.map((c) => c.form))].map((form) => [
          { relaxed: 'wasm, relaxed multiply-add', wasm: 'wasm, multiply and add' }[form] ?? form,
          ...threads.map((n) => digits(find(ceilings, 'form', form, n)?.gflops)),
        ]),
      ),
      markdownTable(
        ['copying, GB/s read and written', ...threads.map(plural)],
        [...new Set(bandwidths.map((b) => b.level))].map((level) => [
          level,
          ...threads.map((n) => digits(find(bandwidths, 'level', level, n)?.gigabytesPerSecond)),
        ]),
      ),
    );
  }
  const columns = [...new Set(rows.flatMap(({ results }) => Object.keys(results)))];
  for (const threads of new Set(rows.map((row) => row.threads))) {
    const own = rows.filter((row) => row.threads === threads);
    const compared = own.map((row) => compare(row, result));
    sections.push(
      `#### GFLOP/s, ${plural(threads)}`,
      markdownTable(
        ['case', ...columns],
        own.map(({ name, results }) => [name, ...columns.map((column) => digits(results[column]?.gflops))]),
      ),
      `#### Ratios, ${plural(threads)}`,
      markdownTable(
        [
          'case',
          'best native peer',
          'x64 / it',
          'x64 / it, PyTorch converted to 2.14',
          'x64 direct / ceiling',
          'x64 / ceiling',
          'best web peer',
          'wasm / it',
          'wasm direct / ceiling',
          'wasm / ceiling',
        ],
        compared.map((c) => [
          c.name,
          c.nativePeer ?? '–',
          times(c.overNative),
          times(c.overNativeNewer),
          percent(c.directX64),
          percent(c.x64OfCeiling),
          c.webPeer ?? '–',
          times(c.overWeb),
          percent(c.directWasm),
          percent(c.wasmOfCeiling),
        ]),
      ),
    );
  }
  const scaled = scaling(rows);
  if (scaled.length > 0) {
    const names = columns.filter((column) => scaled.some(({ values }) => values[column] !== undefined));
    sections.push(
      '#### Two threads over one',
      markdownTable(
        ['case', ...names],
        scaled.map(({ name, values }) => [name, ...names.map((column) => times(values[column]))]),
      ),
    );
  }
  const differences = columns.flatMap((column) => {
    const found = rows.flatMap(({ results }) => results[column]?.difference ?? []);
    return found.length === 0 ? [] : [`${column} ${Math.max(...found).toExponential(1)}`];
  });
  sections.push(
    `Largest difference from the first result of a case, relative to its largest element: ${differences.join(', ')}.`,
  );
  return sections.join('\n\n');
}

/** The ratios of the tables, for JSON. */
export function convRatios(result) {
  return result.rows.map((row) => {
    const { results, x64, wasm, ...ratios } = compare(row, result);
    return ratios;
  });
}

/** The project's goals for convolution. */
export function convGoals(result) {
  const goals = [];
  for (const threads of new Set(result.rows.map((row) => row.threads))) {
    const all = result.rows
      .filter((row) => row.threads === threads && row.chain === 1)
      .map((row) => compare(row, result));
    const forward = all.filter(({ role }) => role === 'forward');
    const backward = all.filter(({ role }) => role === 'both');
    const on = `, ${plural(threads)}`;
    const overall = (what, items, key, wanted) => {
      const found = items.filter((c) => c[key] !== undefined);
      if (found.length === 0) return;
      const name = `${what}, geometric mean of ${found.length}${on}`;
      goals.push(...atLeast(name, geometricMean(found.map((c) => c[key])), wanted));
    };
    const each = (what, items, key, wanted, text = times) => {
      const found = items.filter((c) => c[key] !== undefined).sort((a, b) => a[key] - b[key]);
      if (found.length === 0) return;
      goals.push(...atLeast(`${what}, the least (${short(found[0].id)})${on}`, found[0][key], wanted, text));
    };
    const cases = (items, ids) => items.filter(({ id }) => ids.includes(short(id)));

    overall('forward, x64 / best native peer (PyTorch converted)', forward, 'overNativeNewer', 1.4);
    overall('the same, PyTorch as it is here', forward, 'overNative', 1.4);
    each('forward, x64 / best native peer (PyTorch converted)', forward, 'overNativeNewer', 0.9);
    overall('forward, wasm / best web peer', forward, 'overWeb', 1.8);
    each('forward, wasm / best web peer', forward, 'overWeb', 1);
    for (const [id, wanted] of Object.entries({ A01: 2.3, A02: 2.3, A03: 1.5, A04: 1 })) {
      for (const c of cases(forward, [id])) {
        goals.push(...atLeast(`${id}, x64 with Winograd / best native peer${on}`, c.overNativeNewer, wanted));
        goals.push(...atLeast(`${id}, x64 without / ceiling${on}`, c.directX64, 0.92, percent));
        goals.push(...atLeast(`${id}, wasm without / ceiling${on}`, c.directWasm, 0.85, percent));
        if (wanted > 2) goals.push(...atLeast(`${id}, wasm with Winograd / ceiling${on}`, c.wasmOfCeiling, 2));
      }
    }
    for (const c of cases(forward, ['A01'])) {
      const copied = ratio(c.results['gabor wasm copies'], c.results['onnxruntime-web']);
      goals.push(...atLeast(`A01, wasm with copies / onnxruntime-web${on}`, copied, 1.5));
    }
    overall('both gradients, x64 / PyTorch (converted)', backward, 'overNewer', 2);
    overall('the same, PyTorch as it is here', backward, 'overTorch', 2);
    each('both gradients, x64 / oneDNN (converted)', backward, 'overOneDnn', 1);
    const dense = cases(backward, DENSE_BACKWARD);
    each('dense gradients, wasm without Winograd / ceiling', dense, 'directWasm', 0.7, percent);
    each('dense gradients, wasm with Winograd / ceiling', dense, 'wasmOfCeiling', 1, percent);
  }
  const large = scaling(result.rows).filter(({ flops, chain }) => flops >= 2e8 && chain === 1);
  for (const [target, column, wanted] of [
    ['x64', 'gabor x64 nhwc', 1.85],
    ['wasm', 'gabor wasm nhwc', 1.8],
  ]) {
    const found = large
      .filter(({ values }) => values[column] !== undefined)
      .sort((a, b) => a.values[column] - b.values[column]);
    if (found.length === 0) continue;
    goals.push(
      ...atLeast(
        `two threads / one, ${target}, the least of ${found.length} (${short(found[0].name)})`,
        found[0].values[column],
        wanted,
      ),
    );
  }
  return goals;
}
