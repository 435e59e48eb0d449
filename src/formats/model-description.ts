// Files may hold any network of the models: this makes their blocks known.
import '../models/index.js';
import { init, type LayerConfig, type Module, moduleFromConfig } from '../nn/index.js';
import { loadModuleTypes } from '../nn/registry.js';
import { DTYPES } from '../tensor/dtype.js';
import { FileError, GaborError } from '../tensor/errors.js';
import { formatShape, sameShape, sizeOf, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Preprocessing } from '../train/index.js';
import type { ModelPort } from './model-port.js';

/** What a model file says about the model beside its weights. All of it may be missing. */
export interface ModelDescription {
  /** Of a classifier, in the order of the model's outputs. */
  readonly classes?: readonly string[];
  /** How pictures become the model's input. */
  readonly preprocessing?: Preprocessing;
  readonly inputs?: readonly ModelPort[];
  readonly outputs?: readonly ModelPort[];
  /** Further texts to store, for example how the model was trained. */
  readonly extra?: Readonly<Record<string, string>>;
}

export const FORMAT = 'gabor';
export const VERSION = 1;
const RESERVED = [
  ...['format', 'version', 'kind', 'architecture', 'classes', 'preprocessing', 'inputs', 'outputs', 'training'],
];

/** The `__metadata__` that makes weights into a model. */
export function describeModel(
  kind: 'model' | 'checkpoint',
  model: Module,
  { extra = {}, ...facts }: ModelDescription,
): Record<string, string> {
  const taken = Object.keys(extra).find((key) => RESERVED.includes(key));
  if (taken !== undefined) throw new FileError(`the metadata "${taken}" has a meaning of its own; choose another key`);
  return {
    ...extra,
    format: FORMAT,
    version: String(VERSION),
    kind,
    architecture: JSON.stringify(model.config()),
    ...describeFacts(facts),
  };
}

/** What a file can say about any model. */
export type ModelFacts = Omit<ModelDescription, 'extra'>;

const FACTS: readonly (keyof ModelFacts)[] = ['classes', 'preprocessing', 'inputs', 'outputs'];

/** Facts as texts for a file's metadata; what is not known is left out. */
export function describeFacts(facts: ModelFacts, prefix = ''): Record<string, string> {
  return Object.fromEntries(
    FACTS.filter((key) => facts[key] !== undefined).map((key) => [prefix + key, JSON.stringify(facts[key])]),
  );
}

/** Reads {@link describeFacts} back. @throws FileError for texts that say no such thing */
export function parseFacts(path: string, metadata: Readonly<Record<string, string>>, prefix = ''): ModelFacts {
  const texts = Object.fromEntries(
    FACTS.filter((key) => metadata[prefix + key] !== undefined).map((key) => [key, metadata[prefix + key]]),
  );
  const read = (key: keyof ModelFacts): unknown => json(path, texts, key);
  return {
    ...(texts.classes === undefined ? {} : { classes: checkClasses(path, read('classes')) }),
    ...(texts.preprocessing === undefined ? {} : { preprocessing: checkPreprocessing(path, read('preprocessing')) }),
    ...(texts.inputs === undefined ? {} : { inputs: checkPorts(path, 'inputs', read('inputs')) }),
    ...(texts.outputs === undefined ? {} : { outputs: checkPorts(path, 'outputs', read('outputs')) }),
  };
}

export interface DescribedModel extends ModelFacts {
  readonly kind: string;
  readonly config: LayerConfig;
  readonly extra: Readonly<Record<string, string>>;
}

/** Whether the metadata of a safetensors file say what architecture its weights are of. */
export function describesModel(metadata: Readonly<Record<string, string>>): boolean {
  return metadata.format === FORMAT && metadata.architecture !== undefined;
}

/** Reads the metadata back. @throws FileError for metadata of other programs or versions, and for damaged ones. */
export function parseDescription(path: string, metadata: Readonly<Record<string, string>>): DescribedModel {
  if (!describesModel(metadata)) {
    throw new FileError(
      `${path}: holds weights without an architecture (its metadata has no format "${FORMAT}"); build the model in code and read the weights with loadWeights`,
    );
  }
  if (metadata.version !== String(VERSION)) {
    throw new FileError(
      `${path}: has version ${metadata.version} of the model format; this program reads version ${VERSION}`,
    );
  }
  const extra = Object.fromEntries(Object.entries(metadata).filter(([key]) => !RESERVED.includes(key)));
  return {
    kind: metadata.kind ?? 'model',
    config: json(path, metadata, 'architecture') as LayerConfig,
    ...parseFacts(path, metadata),
    extra,
  };
}

/** Parses one JSON text of the metadata. */
export function json(path: string, metadata: Readonly<Record<string, string>>, key: string): unknown {
  const text = metadata[key];
  if (text === undefined) throw new FileError(`${path}: the metadata "${key}" is missing`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new FileError(`${path}: the metadata "${key}" is not valid JSON (${(error as Error).message})`, {
      cause: error,
    });
  }
}

function checkClasses(path: string, value: unknown): string[] {
  if (!Array.isArray(value) || value.length < 1 || !value.every((name) => typeof name === 'string')) {
    throw new FileError(`${path}: the metadata "classes" must be a list of names`);
  }
  return value;
}

function checkPreprocessing(path: string, value: unknown): Preprocessing {
  const problem = preprocessingProblem(value);
  if (problem !== undefined) throw new FileError(`${path}: the metadata "preprocessing" ${problem}`);
  return value as Preprocessing;
}

/** Why a value is no preprocessing; undefined where it is one. */
export function preprocessingProblem(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null) return 'must be an object';
  const { channels, height, width, mean, std, fit, background } = value as Partial<Preprocessing>;
  if (channels !== 1 && channels !== 3) return `has ${String(channels)} channels, expected 1 or 3`;
  for (const side of [height, width]) {
    if (!(Number.isSafeInteger(side) && (side as number) >= 1)) return `has a size of ${height}×${width}`;
  }
  for (const list of [mean, std]) {
    if (!Array.isArray(list) || list.length !== channels || !list.every(Number.isFinite)) {
      return `must have ${channels} numbers each in "mean" and "std"`;
    }
  }
  if (!std?.every((deviation) => deviation > 0)) return 'has a standard deviation that is not positive';
  if (fit !== undefined && !['crop', 'stretch', 'pad'].includes(fit)) return `has the unknown fit "${fit}"`;
  if (background !== undefined && !(Number.isFinite(background?.mean) && Number.isFinite(background?.deviation))) {
    return 'has a "background" without mean and deviation';
  }
  return undefined;
}

function checkPorts(path: string, key: string, value: unknown): ModelPort[] {
  const bad = (what: string): FileError => new FileError(`${path}: the metadata "${key}" ${what}`);
  if (!Array.isArray(value)) throw bad('must be a list');
  const isExtent = (extent: unknown): boolean =>
    extent === null || typeof extent === 'string' || (Number.isSafeInteger(extent) && (extent as number) >= 0);
  return value.map((entry: unknown, i) => {
    const { name, dtype, shape } = (entry ?? {}) as Partial<ModelPort>;
    if (typeof name !== 'string' || name === '') throw bad(`does not name its entry ${i}`);
    if (dtype !== undefined && !Object.hasOwn(DTYPES, dtype)) throw bad(`has the unknown dtype "${dtype}"`);
    if (shape !== undefined && !(Array.isArray(shape) && shape.every(isExtent))) {
      throw bad(`has the shape ${JSON.stringify(shape)} of "${name}"; extents are whole numbers, names, or null`);
    }
    return { name, dtype, shape };
  });
}

type Fields = Readonly<Record<string, unknown>>;

/** How many numbers a layer has at least, by the fields of its configuration; the first rule whose fields are there. */
const WEIGHTS: readonly (readonly [fields: readonly string[], count: (layer: Fields) => number])[] = [
  // A weight of an OnnxModel.
  [['shape', 'trained'], (l) => product(l.shape)],
  [['numEmbeddings', 'embeddingDim'], (l) => product([l.numEmbeddings, l.embeddingDim])],
  [['inFeatures', 'outFeatures'], (l) => product([l.inFeatures, l.outFeatures])],
  // Separable: at least the pointwise part.
  [['inChannels', 'outChannels', 'depthMultiplier'], (l) => product([l.inChannels, l.outChannels])],
  [
    ['inChannels', 'outChannels', 'kernelSize'],
    (l) => (product([l.inChannels, l.outChannels]) * product(l.kernelSize)) / product(l.groups ?? 1),
  ],
  [['inChannels', 'kernelSize'], (l) => product([l.inChannels, l.depthMultiplier ?? 1]) * product(l.kernelSize)],
  // Recurrent: at least one gate.
  [
    ['inputSize', 'hiddenSize'],
    (l) => product([l.hiddenSize, l.inputSize]) + product([l.hiddenSize, l.hiddenSize, l.numLayers ?? 1]),
  ],
  [['numFeatures'], (l) => ((l.affine ?? true) || l.trackRunningStats ? product(l.numFeatures) : 0)],
  [['numGroups', 'numChannels'], (l) => ((l.affine ?? true) ? product(l.numChannels) : 0)],
  [['normalizedShape'], (l) => ((l.elementwiseAffine ?? true) ? product(l.normalizedShape) : 0)],
  [['numParameters'], (l) => product(l.numParameters)],
  [['alphaShape'], (l) => product(l.alphaShape)],
];

function weightsOf(layer: Fields): number {
  const rule = WEIGHTS.find(([fields]) => fields.every((field) => layer[field] !== undefined && layer[field] !== null));
  return rule === undefined ? 0 : rule[1](layer);
}

function product(value: unknown): number {
  return Array.isArray(value) ? value.reduce((total: number, part) => total * Number(part), 1) : Number(value);
}

/**
 * Refuses an architecture with a layer larger than all of the file before any memory is taken for it.
 *
 * @param available numbers in the file's tensors.
 */
function checkLayerSizes(path: string, config: unknown, available: number): void {
  const open: unknown[] = [config];
  while (open.length > 0) {
    const part = open.pop();
    if (typeof part !== 'object' || part === null) continue;
    const layer = part as Fields;
    const needed = typeof layer.type === 'string' ? weightsOf(layer) : 0;
    if (needed > available) {
      throw new FileError(
        `${path}: a ${layer.type} layer needs ${needed} numbers (${JSON.stringify(layer)}), but the file has ${available} in all`,
      );
    }
    open.push(...Object.values(layer));
  }
}

/**
 * Builds the architecture.
 *
 * @param available numbers in the file's tensors.
 * @throws FileError that names the unknown or impossible layer.
 */
export async function buildModel(path: string, config: LayerConfig, available: number): Promise<Module> {
  checkLayerSizes(path, config, available);
  await loadModuleTypes(config);
  try {
    // The file has the weights.
    return init.skipInit(() => moduleFromConfig(config));
  } catch (error) {
    // TypeError: arguments of other types than the layer expects. RangeError: more memory or nesting than there can be.
    if (!(error instanceof GaborError || error instanceof TypeError || error instanceof RangeError)) throw error;
    throw new FileError(`${path}: cannot build the model: ${(error as Error).message}`, { cause: error });
  }
}

/** Numbers in all tensors. */
export function numbersIn(tensors: Iterable<TensorType>): number {
  let total = 0;
  for (const { shape } of tensors) total += sizeOf(shape);
  return total;
}

/** Checks tensors of a file against the ones that are to hold them, by name, shape and dtype. */
export function checkTensors(
  path: string,
  what: string,
  wanted: Readonly<Record<string, Tensor>>,
  found: Readonly<Record<string, TensorType>>,
): void {
  const list = (names: readonly string[]): string =>
    names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '');
  const missing = Object.keys(wanted).filter((name) => !Object.hasOwn(found, name));
  const unexpected = Object.keys(found).filter((name) => !Object.hasOwn(wanted, name));
  if (missing.length > 0 || unexpected.length > 0) {
    const parts = [
      ...(missing.length > 0 ? [`${what} has ${list(missing)}, which the file lacks`] : []),
      ...(unexpected.length > 0 ? [`the file has ${list(unexpected)}, which ${what} lacks`] : []),
    ];
    throw new FileError(`${path}: ${parts.join('; ')}`);
  }
  for (const [name, { dtype, shape }] of Object.entries(found)) {
    const target = wanted[name];
    if (!sameShape(shape, target.shape) || dtype !== target.dtype) {
      throw new FileError(
        `${path}: tensor "${name}" is ${dtype}${formatShape(shape)}, but ${what} expects ${target.dtype}${formatShape(target.shape)}`,
      );
    }
  }
}
