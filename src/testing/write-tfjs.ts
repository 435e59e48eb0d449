import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** One weight of a model of TensorFlow.js. */
export interface TfjsWeight {
  readonly name: string;
  readonly shape: readonly number[];
  /** default: zeros */
  readonly data?: readonly number[];
}

let count = 0;

/** Writes `model.json` and one shard into a folder of their own within `folder`; returns the path of the former. */
export function writeTfjs(
  folder: string,
  topology: object,
  weights: readonly TfjsWeight[] = [],
  more: object = {},
): string {
  const inner = join(folder, String(count++));
  mkdirSync(inner);
  const values = weights.flatMap(({ shape, data }) => {
    const size = shape.reduce((a, b) => a * b, 1);
    return data ?? new Array<number>(size).fill(0);
  });
  writeFileSync(join(inner, 'shard.bin'), new Uint8Array(Float32Array.from(values).buffer));
  const manifest = [
    { paths: ['shard.bin'], weights: weights.map(({ name, shape }) => ({ name, shape, dtype: 'float32' })) },
  ];
  const json = { format: 'layers-model', modelTopology: topology, weightsManifest: manifest, ...more };
  writeFileSync(join(inner, 'model.json'), JSON.stringify(json));
  return join(inner, 'model.json');
}
