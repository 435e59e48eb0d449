/** TensorFlow.js's layers models: `model.json` with the configuration and a list of weights, and shards with their bytes beside it. */

import { pathBeside, safeName } from '../../formats/beside.js';
import { type ByteSource, openFile } from '../../formats/byte-source.js';
import { decodeElements, LITTLE_ENDIAN, type StoredType, swapped } from '../../formats/elements.js';
import type { Siblings } from '../../formats/siblings.js';
import type { TypedArray } from '../../tensor/dtype.js';
import { FileError } from '../../tensor/errors.js';
import { type Shape, sizeOf } from '../../tensor/shape.js';
import { asArray, asCount, asFields, asText, type Fields, isFields, parseJson, show } from './json.js';
import { type Assignment, leaves, type StoredLayer, type StoredWeight } from './stored-weights.js';

/** Bytes of `model.json`. */
const LARGEST = 2 ** 28;

/** An open model: its configuration, and its weights while the shards are open. */
export interface TfjsModel extends AsyncDisposable {
  /** of the model; undefined in a file of weights alone */
  readonly config: unknown;
  readonly version: string;
  readonly weights: readonly StoredWeight[];
}

/**
 * @param siblings makes a shard available before it is opened; default: it lies beside the file
 * @throws FileError for other files, and for shards that are missing or of another size
 */
export async function openTfjs(source: ByteSource, siblings?: Siblings): Promise<TfjsModel> {
  const { where, size } = source;
  if (size > LARGEST) throw new FileError(`${where}: ${size} bytes are too many for a model.json`);
  const json = asFields(where, 'the file', parseJson(where, new TextDecoder().decode(await source.read(0, size))));
  const topology = isFields(json.modelTopology) ? json.modelTopology : undefined;
  if (json.format === 'graph-model' || Array.isArray(topology?.node)) {
    throw new FileError(
      `${where}: is a graph model of TensorFlow.js, which has operations of TensorFlow instead of layers. Convert the Keras model it was made of with --output_format tfjs_layers_model, or the graph model to ONNX (tf2onnx --tfjs), which loadOnnx reads`,
    );
  }
  if (json.weightsManifest === undefined) {
    throw new FileError(`${where}: has no weightsManifest; it is no model.json of TensorFlow.js`);
  }
  const open: ByteSource[] = [];
  const close = async (): Promise<void> => {
    for (const shard of open) await shard.close();
  };
  try {
    const weights: StoredWeight[] = [];
    for (const group of asArray(where, 'weightsManifest', json.weightsManifest)) {
      weights.push(...(await openGroup(where, asFields(where, 'a group of weights', group), open, siblings)));
    }
    const inner = isFields(topology?.model_config) ? topology.model_config : topology;
    const version = topology?.keras_version ?? '';
    return {
      config: inner,
      version: typeof version === 'string' ? version : '',
      weights,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The weights of some shards, one behind the other. */
async function openGroup(
  where: string,
  group: Fields,
  open: ByteSource[],
  siblings?: Siblings,
): Promise<StoredWeight[]> {
  const shards: ByteSource[] = [];
  for (const path of asArray(where, 'paths', group.paths)) {
    const name = safeName(where, asText(where, 'a path', path));
    await siblings?.(name);
    const shard = await openFile(await pathBeside(where, where, name), true);
    open.push(shard);
    shards.push(shard);
  }
  let end = 0;
  const weights = asArray(where, 'weights', group.weights).map((entry) => {
    const { stored, bytes } = weightOf(where, asFields(where, 'a weight', entry), shards, end);
    end += bytes;
    return stored;
  });
  const total = shards.reduce((sum, { size }) => sum + size, 0);
  if (total !== end) {
    const names = shards.map((shard) => shard.where).join(', ');
    throw new FileError(
      `${where}: its weights take ${end} bytes, ${names || 'no file'} has ${total}; the model is damaged`,
    );
  }
  return weights;
}

/** Types by TensorFlow.js's names. */
const TYPES: Readonly<Record<string, StoredType>> = {
  float32: 'F32',
  float16: 'F16',
  int32: 'I32',
  uint8: 'U8',
  uint16: 'U16',
  bool: 'BOOL',
};
const WIDTHS: Readonly<Record<string, number>> = { float32: 4, float16: 2, int32: 4, uint8: 1, uint16: 2, bool: 1 };

function weightOf(
  where: string,
  entry: Fields,
  shards: readonly ByteSource[],
  from: number,
): { stored: StoredWeight; bytes: number } {
  const name = asText(where, 'the name of a weight', entry.name);
  const at = `${where}, weight "${name}"`;
  const shape = asArray(at, 'shape', entry.shape).map((extent) => asCount(at, 'an extent', extent));
  const dtype = asText(at, 'dtype', entry.dtype);
  const quantization = entry.quantization === undefined ? undefined : quantizationOf(at, entry.quantization);
  const type = quantization?.dtype ?? dtype;
  if (!Object.hasOwn(TYPES, dtype) || !Object.hasOwn(TYPES, type)) {
    throw new FileError(`${at}: has the dtype ${show(dtype)}; known ones are ${Object.keys(TYPES).join(', ')}`);
  }
  const bytes = sizeOf(shape) * WIDTHS[type];
  const stored: StoredWeight = {
    name,
    shape,
    async read() {
      const raw = await readAcross(at, shards, from, bytes);
      const ordered = LITTLE_ENDIAN || WIDTHS[type] === 1 ? raw : swapped(raw, WIDTHS[type]);
      const values = decodeElements(at, TYPES[type], ordered);
      return quantization === undefined ? values : dequantized(values, quantization, dtype);
    },
  };
  return { stored, bytes };
}

interface Quantization {
  readonly dtype: string;
  readonly scale: number;
  readonly min: number;
}

function quantizationOf(at: string, value: unknown): Quantization {
  const fields = asFields(at, 'quantization', value);
  const dtype = asText(at, 'the dtype of the quantization', fields.dtype);
  if (dtype === 'float16') return { dtype, scale: 1, min: 0 };
  if (dtype !== 'uint8' && dtype !== 'uint16') {
    throw new FileError(`${at}: is quantized to ${show(dtype)}; known ones are uint8, uint16, float16`);
  }
  const { scale, min } = fields;
  if (typeof scale !== 'number' || typeof min !== 'number') {
    throw new FileError(`${at}: needs numbers "scale" and "min" in its quantization`);
  }
  return { dtype, scale, min };
}

function dequantized(values: TypedArray, { dtype, scale, min }: Quantization, original: string): TypedArray {
  if (dtype === 'float16') return values;
  const exact = Float32Array.from(values, (value) => value * scale + min);
  return original === 'int32' ? Int32Array.from(exact, Math.round) : exact;
}

/** Bytes of several files one behind the other. */
async function readAcross(
  where: string,
  shards: readonly ByteSource[],
  from: number,
  length: number,
): Promise<Uint8Array> {
  const total = shards.reduce((sum, { size }) => sum + size, 0);
  if (!(from + length <= total)) {
    throw new FileError(`${where}: is cut short: bytes ${from} to ${from + length} of ${total} are wanted`);
  }
  const result = new Uint8Array(length);
  let start = 0;
  for (const shard of shards) {
    const low = Math.max(from, start);
    const high = Math.min(from + length, start + shard.size);
    if (low < high) result.set(await shard.read(low - start, high - low), low - from);
    start += shard.size;
  }
  return result;
}

/** Numbers in all weights. */
export function countNumbers(weights: readonly StoredWeight[]): number {
  return weights.reduce((sum, { shape }: { shape: Shape }) => sum + sizeOf(shape), 0);
}

/**
 * Weights by name: `conv2d/kernel`, with more in front or between where models lie in models.
 *
 * @throws FileError for weights that are missing, or that no layer takes
 */
export function assignByPath(
  where: string,
  weights: readonly StoredWeight[],
  layers: readonly StoredLayer[],
): Assignment[] {
  const byName = new Map<string, StoredWeight>();
  for (const weight of weights) {
    const name = weight.name.replace(/:\d+$/, '');
    if (byName.has(name)) throw new FileError(`${where}: has two weights named "${name}"`);
    byName.set(name, weight);
  }
  const used = new Set<StoredWeight>();
  const assignments = leaves(layers).flatMap(({ name, layer }) =>
    (layer?.weights ?? []).map((target): Assignment => {
      const slash = target.name.lastIndexOf('/');
      const base = target.name.slice(slash + 1);
      // Of a layer around others, `forward_lstm` of `bidirectional`.
      const owner = target.name.slice(0, slash);
      const source =
        byName.get(`${name}/${base}`) ??
        byName.get(`${name}/${target.name}`) ??
        onlyMatch(where, byName, owner === name ? [name] : [name, owner], base);
      used.add(source);
      return [target, source];
    }),
  );
  const unused = weights.filter((weight) => !used.has(weight));
  if (unused.length > 0) {
    const names = unused.slice(0, 10).map(({ name }) => name);
    throw new FileError(
      `${where}: no layer takes ${unused.length} weights: ${names.join(', ')}${unused.length > 10 ? ', …' : ''}`,
    );
  }
  return assignments;
}

function onlyMatch(
  where: string,
  byName: ReadonlyMap<string, StoredWeight>,
  layers: readonly string[],
  base: string,
): StoredWeight {
  const within = (name: string): boolean => layers.every((layer) => `/${name}`.includes(`/${layer}/`));
  const found = [...byName].filter(([name]) => within(name) && name.endsWith(`/${base}`));
  if (found.length === 1) return found[0][1];
  throw new FileError(
    `${where}: ${found.length === 0 ? 'has no weight' : `has ${found.length} weights that could be`} "${layers.join('/')}/${base}"`,
  );
}
