import type { TypedArray } from '../../tensor/dtype.js';
import { FileError } from '../../tensor/errors.js';
import { formatShape, type Shape, sameShape } from '../../tensor/shape.js';
import type { Layer, Weight } from '../layer.js';

/** One weight of a file. */
export interface StoredWeight {
  /** in the file */
  readonly name: string;
  readonly shape: Shape;
  /** Takes the elements from the file; nothing of them is kept. */
  read(): Promise<TypedArray> | TypedArray;
}

/** A layer that weights go to, or a model of such, under the name that a file has for it. */
export interface StoredLayer {
  readonly name: string;
  readonly className: string;
  /** undefined for models */
  readonly layer: Layer | undefined;
  /** the layers of a model in Keras's order */
  readonly inner: readonly StoredLayer[] | undefined;
}

/** `Conv2DTranspose` is `conv2d_transpose`, `PReLU` is `p_re_lu`. */
function snakeCase(className: string): string {
  return className
    .replace(/\W+/g, '')
    .replace(/(.)([A-Z][a-z]+)/g, '$1_$2')
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .toLowerCase();
}

/** The names under which files of Keras 3 have the layers of a model: `dense_1` is the second Dense, whatever its own name. */
export function kindNames(layers: readonly { readonly className: string }[]): string[] {
  const counts = new Map<string, number>();
  return layers.map(({ className }) => {
    const kind = snakeCase(className);
    const count = counts.get(kind) ?? 0;
    counts.set(kind, count + 1);
    return count === 0 ? kind : `${kind}_${count}`;
  });
}

/** A weight and what goes into it. */
export type Assignment = readonly [target: Weight, source: StoredWeight];

/** All layers of models, without the models. */
export function leaves(layers: readonly StoredLayer[]): StoredLayer[] {
  return layers.flatMap((layer) => (layer.inner === undefined ? [layer] : leaves(layer.inner)));
}

/**
 * Weights of a layer with those of a file in the same order.
 *
 * @throws FileError where number or shapes differ
 */
export function inSequence(where: string, weights: readonly Weight[], stored: readonly StoredWeight[]): Assignment[] {
  if (weights.length !== stored.length) {
    const [needs, has] = [weights.map(({ name }) => name), stored.map(({ name }) => name)];
    throw new FileError(
      `${where}: needs ${weights.length} weights (${needs.join(', ') || 'none'}), the file has ${stored.length} (${has.join(', ') || 'none'})`,
    );
  }
  return weights.map((target, i) => [target, stored[i]] as const);
}

/** @throws FileError for weights of another shape */
export function checkShapes(where: string, assignments: readonly Assignment[]): void {
  for (const [target, source] of assignments) {
    if (sameShape(target.shape, source.shape)) continue;
    throw new FileError(
      `${where}: weight "${source.name}" is ${formatShape(source.shape)}, but "${target.name}" of the model is ${formatShape(target.shape)}`,
    );
  }
}

/** Copies weights one after the other, so that not all of a file is in memory twice. */
export async function assign(assignments: readonly Assignment[]): Promise<void> {
  for (const [target, source] of assignments) target.write(await source.read());
}
