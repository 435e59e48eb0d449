import { type ByteSource, memorySource, openFile } from '../../formats/byte-source.js';
import { isZip, openZip } from '../../formats/zip.js';
import { checkOptions, FileError, OptionError } from '../../tensor/errors.js';
import type { Layer } from '../layer.js';
import { type H5Group, isHdf5, openHdf5 } from './hdf5.js';
import {
  assignByKind,
  assignByName,
  assignInOrder,
  hasContainers,
  hasLayerNames,
  weightGroup,
} from './hdf5-weights.js';
import { type Assignment, assign, checkShapes, type StoredLayer } from './stored-weights.js';
import { assignByPath, openTfjs } from './tfjs.js';

/** The kinds of files that Keras and TensorFlow.js write. */
export type KerasFormat = 'keras' | 'hdf5' | 'tfjs';

/** Entries of a `.keras` archive. */
export const CONFIG_ENTRY = 'config.json';
export const METADATA_ENTRY = 'metadata.json';
export const WEIGHTS_ENTRY = 'model.weights.h5';

/** How much of a file is looked at to tell a `model.json`. */
const HEAD = 4096;

/** The format of an open file by its content; undefined for others. */
export async function formatOf(source: ByteSource): Promise<KerasFormat | undefined> {
  const first = await source.read(0, Math.min(source.size, HEAD));
  if (isHdf5(first)) return 'hdf5';
  if (isZip(first)) {
    const entries = await openZip(source).catch(() => undefined);
    return entries?.has(CONFIG_ENTRY) && entries.has(WEIGHTS_ENTRY) ? 'keras' : undefined;
  }
  const text = new TextDecoder().decode(first);
  const isModel = /^\s*\{/.test(text) && /"(modelTopology|weightsManifest|format)"\s*:/.test(text);
  return isModel && /"(layers-model|graph-model|model_config|class_name|weightsManifest|node)"/.test(text)
    ? 'tfjs'
    : undefined;
}

/**
 * The format of a file by its content: `keras` (an archive of Keras 3), `hdf5`, or `tfjs` (the `model.json` of TensorFlow.js); undefined for
 * what is none of them.
 *
 * @throws FileError for a path that is no file or cannot be read
 */
export async function kerasFormat(path: string): Promise<KerasFormat | undefined> {
  const source = await openFile(path);
  try {
    return await formatOf(source);
  } finally {
    await source.close();
  }
}

/** The weights of an archive, in memory. */
export async function weightsEntry(source: ByteSource): Promise<H5Group> {
  const entry = (await openZip(source)).get(WEIGHTS_ENTRY);
  if (entry === undefined) throw new FileError(`${source.where}: has no ${WEIGHTS_ENTRY}; it is no model of Keras`);
  return openHdf5(memorySource(await entry.read(), `${source.where}, ${WEIGHTS_ENTRY}`));
}

/** Options of `loadWeights` of a model. */
export interface LoadKerasWeightsOptions {
  /**
   * Take weights by the names of layers, and leave layers as they are that the file has not; default false: by their order, which has
   * to be the same. For files of Keras 2 (`.h5`); those of Keras 3 have the kinds of layers and their order, those of TensorFlow.js always
   * names.
   */
  readonly byName?: boolean;
}

/** What weights go to. */
interface WeightOwner {
  readonly layers: readonly Layer[];
}

/** Layers of a model that was not made of a file, which names them as Keras would. */
function ownLayers({ layers }: WeightOwner): StoredLayer[] {
  return layers.map((layer) => {
    const inner = 'layers' in layer ? ownLayers(layer as Layer & WeightOwner) : undefined;
    return { name: layer.name, className: layer.className, layer: inner === undefined ? layer : undefined, inner };
  });
}

/**
 * Replaces the weights of a built model by those of a file, all or none.
 *
 * @param path of weights or a whole model, in any of Keras's formats
 * @throws FileError where they do not fit; nothing is changed then
 */
export async function loadWeightsInto(
  model: WeightOwner,
  path: string,
  options: LoadKerasWeightsOptions,
): Promise<void> {
  checkOptions('loadWeights', options, ['byName']);
  const source = await openFile(path);
  try {
    const format = await formatOf(source);
    const layers = ownLayers(model);
    const byKind = (group: H5Group): Assignment[] => {
      if (!options.byName) return assignByKind(group, layers);
      throw new OptionError(
        `loadWeights: ${path} is of Keras 3, whose files have no names of layers; leave out byName, and give the model layers of the same kinds in the same order`,
      );
    };
    if (format === 'tfjs') {
      await using file = await openTfjs(source);
      await assignChecked(source.where, assignByPath(source.where, file.weights, layers));
    } else if (format === 'keras') {
      const weights = await weightsEntry(source);
      await assignChecked(weights.where, byKind(weights));
    } else if (format === 'hdf5') {
      const file = await openHdf5(source);
      const group = weightGroup(file);
      if (hasLayerNames(group)) {
        const plan = options.byName ? assignByName(group, layers, 'common') : assignInOrder(group, layers);
        await assignChecked(file.where, plan);
      } else if (hasContainers(file)) await assignChecked(file.where, byKind(file));
      else throw new FileError(`${file.where}: is an HDF5 file, but has no weights of Keras in it`);
    } else
      throw new FileError(`${path}: has no weights of Keras: known are .h5, .keras, and model.json of TensorFlow.js`);
  } finally {
    await source.close();
  }
}

/** Compares all shapes before anything is written. */
export async function assignChecked(where: string, assignments: readonly Assignment[]): Promise<void> {
  checkShapes(where, assignments);
  await assign(assignments);
}
