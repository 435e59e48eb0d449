import { Contestant } from '../harness/contestant.mjs';

/**
 * Who can take part. `threads`: the most it can use; `slow`: networks that take it minutes per step, left out unless asked for
 * by `--slow`. Tables have one column per variant.
 */
const CONTESTANTS = [
  { name: 'ceiling', file: 'ceiling.mjs', conv: [''], tiles: [''] },
  { name: 'gabor', file: 'gabor.mjs', conv: ['nchw', 'nhwc', 'copies'], train: [''] },
  { name: 'tiles', file: 'tiles.mjs', tiles: [''] },
  { name: 'onnxruntime-web', file: 'onnxruntime-web.mjs', conv: [''] },
  { name: 'tfjs-wasm', file: 'tfjs-wasm.mjs', threads: 1, conv: [''] },
  { name: 'onnxruntime-node', file: 'onnxruntime-node.mjs', conv: [''] },
  { name: 'pytorch', file: 'pytorch.py', conv: ['nchw', 'nhwc'], train: ['nchw', 'nhwc'] },
  { name: 'convnetjs', file: 'convnetjs.mjs', threads: 1, train: [''] },
  { name: 'jax-js', file: 'jax-js.mjs', train: [''], slow: ['vgg'] },
  { name: 'tfjs-cpu', file: 'tfjs-cpu.mjs', threads: 1, train: [''], slow: ['vgg'] },
];

/** Starts every contestant of a suite with each number of threads; those that are not installed are skipped with a message. */
export async function openContestants(suite, { threads, only }) {
  const opened = [];
  for (const entry of CONTESTANTS) {
    if (entry[suite] === undefined || (only !== undefined && !only.includes(entry.name))) continue;
    for (const count of threads) {
      if (count > (entry.threads ?? Number.POSITIVE_INFINITY)) continue;
      const contestant = new Contestant(entry.name, new URL(entry.file, import.meta.url).href, count);
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
