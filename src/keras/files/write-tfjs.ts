import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { writeFileAtomic } from '../../formats/atomic-write.js';
import { LITTLE_ENDIAN, swapped } from '../../formats/elements.js';
import { FileError } from '../../tensor/errors.js';
import type { Weight } from '../layer.js';
import { asArray, asFields, type Fields, parseJson } from './json.js';
import type { WrittenModel } from './written-model.js';

/** Bytes of a shard at most, as in TensorFlow.js: browsers keep files of this size. */
const SHARD = 4 * 2 ** 20;

/**
 * Writes `model.json`, and the weights in shards beside it. The shards come first, so that a `model.json` never lacks one.
 *
 * @param config of the model, in TensorFlow.js's dialect
 * @throws FileError for names of weights that TensorFlow.js cannot tell apart
 */
export async function writeTfjs(path: string, model: WrittenModel, config: Fields): Promise<void> {
  const weights = namedWeights(model);
  const total = weights.reduce((sum, { weight }) => sum + weight.tensor.size * 4, 0);
  const count = Math.ceil(total / SHARD);
  const paths = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
  const folder = dirname(path);
  let shard = new Uint8Array(Math.min(SHARD, total));
  let [filled, written, number] = [0, 0, 0];
  for (const { weight } of weights) {
    const values = weight.read();
    const data = Float32Array.from(values.data());
    values.dispose();
    const plain = new Uint8Array(data.buffer);
    const bytes = LITTLE_ENDIAN ? plain : swapped(plain, 4);
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + shard.length - filled);
      shard.set(part, filled);
      at += part.length;
      filled += part.length;
      if (filled < shard.length) continue;
      await writeFileAtomic(join(folder, paths[number++]), shard);
      written += filled;
      filled = 0;
      shard = new Uint8Array(Math.min(SHARD, total - written));
    }
  }
  const json = {
    format: 'layers-model',
    generatedBy: 'Gabor',
    convertedBy: null,
    modelTopology: { keras_version: 'tfjs-layers 4.22.0', backend: 'tensor_flow.js', model_config: config },
    weightsManifest: [
      { paths, weights: weights.map(({ name, weight }) => ({ name, shape: weight.shape, dtype: 'float32' })) },
    ],
  };
  await writeFileAtomic(path, new TextEncoder().encode(JSON.stringify(json)));
}

/** Weights by layer and name, and within a Bidirectional by its layers' names, too. */
function namedWeights(model: WrittenModel): { name: string; weight: Weight }[] {
  const layers = new Set(model.allLayers);
  const names = new Map<string, string>();
  return [...layers].flatMap((layer) =>
    layer.weights.map((weight) => {
      const slash = weight.name.lastIndexOf('/');
      const owner = weight.name.slice(0, slash);
      const [base, pair] = [weight.name.slice(slash + 1), layer.className === 'Bidirectional'];
      const name = pair ? `${layer.name}/${owner}/${base}` : `${layer.name}/${base}`;
      if (names.has(name)) {
        throw new FileError(
          `model "${model.name}": two layers of its models are named "${layer.name}", whose weights TensorFlow.js does not tell apart; give one of them another name, or save the model as .keras`,
        );
      }
      names.set(name, layer.name);
      return { name, weight };
    }),
  );
}

/** The shards of a `model.json`. */
export async function tfjsShards(path: string): Promise<string[]> {
  const json = asFields(path, 'the file', parseJson(path, await readFile(path, 'utf8')));
  return asArray(path, 'weightsManifest', json.weightsManifest)
    .flatMap((group) => asArray(path, 'paths', asFields(path, 'a group of weights', group).paths))
    .map((name) => join(dirname(path), String(name)))
    .filter((shard) => statSync(shard, { throwIfNoEntry: false }) !== undefined);
}
