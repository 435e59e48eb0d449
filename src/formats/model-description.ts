// Files may hold any network of the models: this makes their blocks known.
import '../models/index.js';
import { init, type LayerConfig, type Module, moduleFromConfig } from '../nn/index.js';
import { FileError, GaborError } from '../tensor/errors.js';
import { formatShape, sameShape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import type { HostTensor, Preprocessing } from '../train/index.js';

/** What a model file says about the model beside its weights. */
export interface ModelDescription {
  /** In the order of the model's outputs. */
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  /** Further texts to store, for example how the model was trained. */
  readonly extra?: Readonly<Record<string, string>>;
}

export const FORMAT = 'gabor';
export const VERSION = 1;
const RESERVED = ['format', 'version', 'kind', 'architecture', 'classes', 'preprocessing', 'training'];

/** The `__metadata__` that makes weights into a model. */
export function describeModel(
  kind: 'model' | 'checkpoint',
  model: Module,
  { classes, preprocessing, extra = {} }: ModelDescription,
): Record<string, string> {
  const taken = Object.keys(extra).find((key) => RESERVED.includes(key));
  if (taken !== undefined) throw new FileError(`the metadata "${taken}" has a meaning of its own; choose another key`);
  return {
    ...extra,
    format: FORMAT,
    version: String(VERSION),
    kind,
    architecture: JSON.stringify(model.config()),
    classes: JSON.stringify(classes),
    preprocessing: JSON.stringify(preprocessing),
  };
}

export interface DescribedModel {
  readonly kind: string;
  readonly config: LayerConfig;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  readonly extra: Readonly<Record<string, string>>;
}

/** Reads the metadata back. @throws FileError for metadata of other programs or versions, and for damaged ones. */
export function parseDescription(path: string, metadata: Readonly<Record<string, string>>): DescribedModel {
  if (metadata.format !== FORMAT || metadata.architecture === undefined) {
    throw new FileError(
      `${path}: is a safetensors file of weights without an architecture (its metadata has no format "${FORMAT}"); build the model in code and read the weights with readSafetensors and loadStateDict`,
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
    classes: checkClasses(path, json(path, metadata, 'classes')),
    preprocessing: checkPreprocessing(path, json(path, metadata, 'preprocessing')),
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
  const bad = (what: string): FileError => new FileError(`${path}: the metadata "preprocessing" ${what}`);
  if (typeof value !== 'object' || value === null) throw bad('must be an object');
  const { channels, height, width, mean, std, fit, background } = value as Partial<Preprocessing>;
  if (channels !== 1 && channels !== 3) throw bad(`has ${String(channels)} channels, expected 1 or 3`);
  for (const side of [height, width]) {
    if (!(Number.isSafeInteger(side) && (side as number) >= 1)) throw bad(`has a size of ${height}×${width}`);
  }
  for (const list of [mean, std]) {
    if (!Array.isArray(list) || list.length !== channels || !list.every(Number.isFinite)) {
      throw bad(`must have ${channels} numbers each in "mean" and "std"`);
    }
  }
  if (!std?.every((deviation) => deviation > 0)) throw bad('has a standard deviation that is not positive');
  if (fit !== undefined && !['crop', 'stretch', 'pad'].includes(fit)) throw bad(`has the unknown fit "${fit}"`);
  if (background !== undefined && !(Number.isFinite(background?.mean) && Number.isFinite(background?.deviation))) {
    throw bad('has a "background" without mean and deviation');
  }
  return value as Preprocessing;
}

type Fields = Readonly<Record<string, unknown>>;

/** How many numbers a layer has at least, by the fields of its configuration; the first rule whose fields are there. */
const WEIGHTS: readonly (readonly [fields: readonly string[], count: (layer: Fields) => number])[] = [
  [['numEmbeddings', 'embeddingDim'], (l) => product([l.numEmbeddings, l.embeddingDim])],
  [['inFeatures', 'outFeatures'], (l) => product([l.inFeatures, l.outFeatures])],
  // Separable: at least the pointwise part.
  [['inChannels', 'outChannels', 'depthMultiplier'], (l) => product([l.inChannels, l.outChannels])],
  [
    ['inChannels', 'outChannels', 'kernelSize'],
    (l) => (product([l.inChannels, l.outChannels]) * product(l.kernelSize)) / product(l.groups ?? 1),
  ],
  [['inChannels', 'kernelSize'], (l) => product([l.inChannels, l.depthMultiplier ?? 1]) * product(l.kernelSize)],
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
export function buildModel(path: string, config: LayerConfig, available: number): Module {
  checkLayerSizes(path, config, available);
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
export function numbersIn(tensors: Iterable<HostTensor>): number {
  let total = 0;
  for (const { data } of tensors) total += data.length;
  return total;
}

/** Checks tensors of a file against the ones that are to hold them, by name, shape and dtype. */
export function checkTensors(
  path: string,
  what: string,
  wanted: Readonly<Record<string, Tensor>>,
  found: Readonly<Record<string, HostTensor>>,
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
