import { type ByteSource, openFile } from '../../formats/byte-source.js';
import type { Siblings } from '../../formats/siblings.js';
import { openZip, type ZipEntry } from '../../formats/zip.js';
import { checkOptions, FileError } from '../../tensor/errors.js';
import type { FunctionalModel, Sequential } from '../model.js';
import { openHdf5 } from './hdf5.js';
import { assignByKind, assignByName, hasContainers, hasLayerNames, weightGroup } from './hdf5-weights.js';
import { isFields, parseJson } from './json.js';
import { assignChecked, CONFIG_ENTRY, formatOf, METADATA_ENTRY, weightsEntry } from './load-weights.js';
import { type ConfigReading, type ConfiguredModel, type InputShapes, modelFromConfig } from './model-config.js';
import { assignByPath, countNumbers, openTfjs } from './tfjs.js';

/** Options of {@link loadKeras}. */
export interface LoadKerasOptions {
  /**
   * The shape of one example, or shapes by the names of several inputs: where the file leaves extents free (`[null, null, 3]`), or to use a
   * network of convolutions at another size. Default: as the file says.
   */
  readonly inputShape?: InputShapes;
  /** Load models whose weights Keras constrains in training (a largest norm, no negative ones), without these constraints; default false. */
  readonly ignoreConstraints?: boolean;
  /** Makes the shards of a `model.json` available before they are opened; default: they lie beside it. */
  readonly siblings?: Siblings;
}

/** Numbers for each byte of a file that weights may take, unpacked: more would be no weights. */
const MOST_NUMBERS_PER_BYTE = 8;
const LARGEST_CONFIG = 2 ** 26;

/**
 * Loads a model of Keras or TensorFlow.js, by its content whichever it is: a `.keras` archive (Keras 3), `.h5` (Keras 2 and 3), or `model.json`
 * with its shards (TensorFlow.js layers models). It is an ordinary model of `gabor/keras`: it predicts, trains after `compile`, and its `module`
 * exports and saves as any other. The optimizer's state is not read.
 *
 * @throws FileError for files that are damaged, that are no models, or that have layers which are unknown here
 * @example const model = await loadKeras('mobilenet.keras');
 * @example const model = await loadKeras('tfjs/model.json', { inputShape: [128, 128, 3] });
 */
export async function loadKeras(path: string, options: LoadKerasOptions = {}): Promise<FunctionalModel | Sequential> {
  checkOptions('loadKeras', options, ['inputShape', 'ignoreConstraints', 'siblings']);
  const source = await openFile(path);
  try {
    const format = await formatOf(source);
    if (format === 'keras') return await loadArchive(source, options);
    if (format === 'hdf5') return await loadHdf5(source, options);
    if (format === 'tfjs') return await loadTfjs(source, options);
    throw new FileError(`${path}: is no model of Keras: known are .keras, .h5, and model.json of TensorFlow.js`);
  } finally {
    await source.close();
  }
}

function reading(where: string, version: unknown, available: number, options: LoadKerasOptions): ConfigReading {
  const { inputShape, ignoreConstraints = false } = options;
  // `tfjs-layers 4.22.0` is Keras 2.
  const major = typeof version === 'string' && /^[3-9]\./.test(version) ? 3 : 2;
  return { where, version: major, available, inputShape, ignoreConstraints };
}

/** Frees what was made where the rest fails. */
async function filled(configured: ConfiguredModel, fill: () => Promise<void>): Promise<FunctionalModel | Sequential> {
  try {
    await fill();
    return configured.model;
  } catch (error) {
    configured.model.dispose();
    throw error;
  }
}

async function loadArchive(source: ByteSource, options: LoadKerasOptions): Promise<FunctionalModel | Sequential> {
  const entries = await openZip(source);
  const { where } = source;
  const config = parseJson(`${where}, ${CONFIG_ENTRY}`, await entryText(where, entries.get(CONFIG_ENTRY)));
  const metadata = entries.has(METADATA_ENTRY)
    ? parseJson(`${where}, ${METADATA_ENTRY}`, await entryText(where, entries.get(METADATA_ENTRY)))
    : {};
  const version = isFields(metadata) ? metadata.keras_version : undefined;
  const weights = await weightsEntry(source);
  const configured = modelFromConfig(reading(where, version, numbersIn(weights.fileSize), options), config);
  return await filled(configured, () => assignChecked(weights.where, assignByKind(weights, configured.layers)));
}

async function entryText(where: string, entry: ZipEntry | undefined): Promise<string> {
  const size = entry?.size ?? 0;
  if (entry === undefined || size > LARGEST_CONFIG)
    throw new FileError(`${where}: its configuration has ${size} bytes`);
  return new TextDecoder().decode(await entry.read());
}

/** How many numbers a file of so many bytes may stand for. */
function numbersIn(bytes: number): number {
  return 2 ** 20 + bytes * MOST_NUMBERS_PER_BYTE;
}

async function loadHdf5(source: ByteSource, options: LoadKerasOptions): Promise<FunctionalModel | Sequential> {
  const { where, size } = source;
  const file = await openHdf5(source);
  const text = file.text('model_config');
  if (text === undefined) {
    const group = weightGroup(file);
    throw new FileError(
      hasLayerNames(group) || hasContainers(file)
        ? `${where}: has weights alone, no model: build it with gabor/keras, then await model.loadWeights(path)`
        : `${where}: is an HDF5 file, but no model of Keras`,
    );
  }
  const config = parseJson(`${where}, model_config`, text);
  const group = weightGroup(file);
  const version = file.text('keras_version') ?? group.text('keras_version');
  const configured = modelFromConfig(reading(where, version, numbersIn(size), options), config);
  return await filled(configured, () => assignChecked(where, assignByName(group, configured.layers, 'all')));
}

async function loadTfjs(source: ByteSource, options: LoadKerasOptions): Promise<FunctionalModel | Sequential> {
  const { where } = source;
  await using file = await openTfjs(source, options.siblings);
  if (file.config === undefined) {
    throw new FileError(
      `${where}: has weights alone, no modelTopology: build the model with gabor/keras, then await model.loadWeights(path)`,
    );
  }
  const configured = modelFromConfig(reading(where, file.version, countNumbers(file.weights), options), file.config);
  return await filled(configured, () => assignChecked(where, assignByPath(where, file.weights, configured.layers)));
}
