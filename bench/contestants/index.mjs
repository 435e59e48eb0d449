import { Contestant } from '../harness/contestant.mjs';

/** Layouts; of some cases also without Winograd's algorithm, and with copies from and to JavaScript. */
const GABOR = ['nchw', 'nhwc', 'direct'];

/**
 * Who can take part. `options` go to the contestant's `open`; `threads`: the most it can use; `slow`: networks that take it minutes per
 * step, left out unless asked for by `--slow`; `optional`: takes part only where `--only` names it. Tables have one column per variant.
 */
const CONTESTANTS = [
  { name: 'ceiling', file: 'ceiling.mjs', conv: [''], tiles: [''] },
  {
    name: 'gabor x64',
    file: 'gabor.mjs',
    options: { instructions: 'x64' },
    conv: GABOR,
    nets: ['', 'zoo'],
    train: [''],
  },
  {
    name: 'gabor wasm',
    file: 'gabor.mjs',
    options: { instructions: 'wasm' },
    conv: [...GABOR, 'copies'],
    nets: [''],
    train: [''],
  },
  {
    name: 'gabor avx2',
    file: 'gabor.mjs',
    options: { instructions: 'avx2' },
    conv: GABOR,
    nets: [''],
    train: [''],
    optional: true,
  },
  { name: 'tiles', file: 'tiles.mjs', tiles: [''] },
  { name: 'onnxruntime-node', file: 'onnxruntime-node.mjs', conv: [''], nets: [''] },
  {
    name: 'pytorch',
    file: 'pytorch.py',
    conv: ['nchw', 'nhwc', 'packed'],
    nets: ['nhwc', 'jit'],
    train: ['nchw', 'nhwc', 'jit'],
  },
  { name: 'onnxruntime-web', file: 'onnxruntime-web.mjs', conv: [''], nets: [''] },
  { name: 'tfjs-wasm', file: 'tfjs-wasm.mjs', threads: 1, conv: [''] },
  { name: 'convnetjs', file: 'convnetjs.mjs', threads: 1, train: [''] },
  { name: 'jax-js', file: 'jax-js.mjs', train: [''], slow: ['vgg'] },
  { name: 'tfjs-cpu', file: 'tfjs-cpu.mjs', threads: 1, train: [''], slow: ['vgg'] },
];

/** Starts every contestant of a suite with each number of threads; those that are not installed are skipped with a message. */
export async function openContestants(suite, { threads, only }) {
  const opened = [];
  for (const entry of CONTESTANTS) {
    const { name, file, options, optional = false } = entry;
    const chosen =
      only === undefined
        ? !optional
        : only.some((prefix) => name === prefix || (name.startsWith(`${prefix} `) && !optional));
    if (entry[suite] === undefined || !chosen) continue;
    for (const count of threads) {
      if (count > (entry.threads ?? Number.POSITIVE_INFINITY)) continue;
      const contestant = new Contestant(name, new URL(file, import.meta.url).href, count, options);
      try {
        await contestant.open();
        opened.push({ contestant, variants: entry[suite], slow: entry.slow ?? [] });
      } catch (error) {
        console.error(`${contestant.label}: skipped, ${error.message.split('\n')[0]}`);
      }
    }
  }
  return opened;
}

/** A name for tables and JSON. */
export function columnName(name, variant) {
  return variant === '' ? name : `${name} ${variant}`;
}
