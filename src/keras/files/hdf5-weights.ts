import { FileError } from '../../tensor/errors.js';
import type { Weight } from '../layer.js';
import type { H5Dataset, H5Group } from './hdf5.js';
import {
  type Assignment,
  inSequence,
  kindNames,
  leaves,
  type StoredLayer,
  type StoredWeight,
} from './stored-weights.js';

function stored(dataset: H5Dataset): StoredWeight {
  return { name: dataset.path, shape: dataset.shape, read: () => dataset.read() };
}

/**
 * Whether a group has weights as Keras wrote them before version 3, and to `.h5` still: groups of layers in the order of `layer_names`, each
 * with its weights in the order of `weight_names`.
 */
export function hasLayerNames(group: H5Group): boolean {
  return group.texts('layer_names') !== undefined;
}

/** The group of the weights in a file of weights or of a whole model. */
export function weightGroup(file: H5Group): H5Group {
  return file.group('model_weights') ?? file;
}

/** Weights of a layer or a model of layers in the order of such a file: what is trained first, then the rest. */
function inFileOrder(layer: StoredLayer): Weight[] {
  const all = leaves([layer]).flatMap((leaf) => (leaf.layer === undefined ? [] : [leaf.layer]));
  return [...all.flatMap((leaf) => leaf.trainableWeights), ...all.flatMap((leaf) => leaf.nonTrainableWeights)];
}

/** The layers of such a file that have weights. */
function storedLayers(group: H5Group): Map<string, StoredWeight[]> {
  const found = new Map<string, StoredWeight[]>();
  for (const name of group.texts('layer_names') ?? []) {
    const layer = group.group(name);
    const names = layer?.texts('weight_names');
    if (layer === undefined || names === undefined) {
      throw new FileError(
        `${group.where}: lists the layer "${name}", whose weights are not in it; the file is damaged`,
      );
    }
    const weights = names.map((weight) => {
      const dataset = layer.dataset(weight);
      if (dataset !== undefined) return stored(dataset);
      throw new FileError(`${layer.where}: the weight "${weight}" is missing; the file is damaged`);
    });
    if (weights.length === 0) continue;
    if (found.has(name)) throw new FileError(`${group.where}: has two layers named "${name}"`);
    found.set(name, weights);
  }
  return found;
}

/** Layers of the model that have weights, and weights of the file by layer. */
function both(group: H5Group, layers: readonly StoredLayer[]): [StoredLayer[], Map<string, StoredWeight[]>] {
  return [layers.filter((layer) => inFileOrder(layer).length > 0), storedLayers(group)];
}

/** By the names of the layers. `names` are those that have to be there: all of the model and all of the file, or what both have. */
export function assignByName(group: H5Group, layers: readonly StoredLayer[], names: 'all' | 'common'): Assignment[] {
  const [targets, sources] = both(group, layers);
  const unused = [...sources.keys()].filter((name) => !targets.some((target) => target.name === name));
  const missing = targets.filter(({ name }) => !sources.has(name)).map(({ name }) => name);
  if (names === 'all' && (unused.length > 0 || missing.length > 0)) {
    const parts = [
      ...(missing.length > 0 ? [`weights of ${missing.join(', ')} are missing`] : []),
      ...(unused.length > 0 ? [`no layer takes those of ${unused.join(', ')}`] : []),
    ];
    throw new FileError(`${group.where}: ${parts.join('; ')}`);
  }
  if (missing.length === targets.length && targets.length > 0) {
    throw new FileError(
      `${group.where}: has none of the layers ${missing.join(', ')}; its layers: ${[...sources.keys()].join(', ') || 'none'}`,
    );
  }
  return targets.flatMap((target) => {
    const weights = sources.get(target.name);
    return weights === undefined
      ? []
      : inSequence(`${group.where}, layer "${target.name}"`, inFileOrder(target), weights);
  });
}

/** By the order of the layers, as Keras does. */
export function assignInOrder(group: H5Group, layers: readonly StoredLayer[]): Assignment[] {
  const [targets, sources] = both(group, layers);
  const found = [...sources];
  if (found.length !== targets.length) {
    const list = (names: readonly string[]): string => `${names.length} (${names.join(', ') || 'none'})`;
    throw new FileError(
      `${group.where}: the layers with weights do not fit: the model has ${list(targets.map(({ name }) => name))}, the file ${list([...sources.keys()])}; load what both have by name with { byName: true }`,
    );
  }
  return targets.flatMap((target, i) => {
    const [name, weights] = found[i];
    return inSequence(`${group.where}, layer "${name}" for "${target.name}"`, inFileOrder(target), weights);
  });
}

/** Where Keras 3, and Keras 2.12 to 2.15 before it, put the layers of a model. */
const CONTAINERS = ['layers', '_layer_checkpoint_dependencies'];

/**
 * Weights of Keras 3: a layer's are `layers/dense_1/vars/0`, `…/1`, …, where `dense_1` is the second Dense of its model, whatever its own name.
 */
export function assignByKind(group: H5Group, layers: readonly StoredLayer[]): Assignment[] {
  const container = CONTAINERS.map((name) => group.group(name)).find((found) => found !== undefined);
  const kinds = kindNames(layers);
  return layers.flatMap((layer, i) => {
    const name = kinds[i];
    if (inFileOrder(layer).length === 0) return [];
    const own = container?.group(name);
    if (own === undefined) {
      const known = container?.names.join(', ') || 'none';
      throw new FileError(
        `${group.where}: the weights of layer "${layer.name}" (${layer.className}) should be in "${name}"; there are ${known}`,
      );
    }
    if (layer.inner !== undefined) return assignByKind(own, layer.inner);
    return (layer.layer?.storage ?? []).flatMap(({ path, weights }) => {
      const vars = path.reduce<H5Group | undefined>((group, name) => group?.group(name), own);
      const numbers = (vars?.names ?? []).filter((key) => /^\d+$/.test(key)).sort((a, b) => Number(a) - Number(b));
      const found = numbers.flatMap((key) => {
        const dataset = vars?.dataset(key);
        return dataset === undefined ? [] : [stored(dataset)];
      });
      return inSequence(`${own.where}, layer "${layer.name}" (${layer.className})`, weights, found);
    });
  });
}

/** Whether a file has weights in Keras 3's way. */
export function hasContainers(file: H5Group): boolean {
  return CONTAINERS.some((name) => file.has(name));
}
