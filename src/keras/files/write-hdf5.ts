import { WorkerPool } from '../../data/worker-pool.js';
import type { Shape } from '../../tensor/shape.js';
import type { Layer } from '../layer.js';
import { kindNames } from './stored-weights.js';

/** What an HDF5 file is to hold. Groups come before what is in them. */
export interface Hdf5Content {
  readonly groups: readonly { readonly path: string; readonly attributes: Readonly<Record<string, string>> }[];
  readonly datasets: readonly {
    readonly path: string;
    readonly shape: Shape;
    readonly data: Float32Array | Int32Array;
  }[];
}

/** The bytes of a file with this in it. */
export async function encodeHdf5(content: Hdf5Content): Promise<Uint8Array> {
  const pool = new WorkerPool<Hdf5Content, Uint8Array>('writing HDF5', new URL('./hdf5-worker.js', import.meta.url), 1);
  try {
    return await pool.run(content);
  } finally {
    await pool.close();
  }
}

/** A model or a layer that has others in it. */
interface WeightOwner extends Layer {
  readonly layers?: readonly Layer[];
}

/**
 * The weights of a model where Keras 3 keeps them: `layers/dense_1/vars/0` is the first weight of the second Dense, whatever its name; layers of
 * models are below theirs.
 */
export function weightContent(model: Layer): Hdf5Content {
  const groups: { path: string; attributes: Record<string, string> }[] = [];
  const datasets: { path: string; shape: Shape; data: Float32Array }[] = [];
  const known = new Set<string>();
  const group = (path: string, attributes: Record<string, string> = {}): void => {
    if (path === '' || known.has(path)) return;
    group(path.split('/').slice(0, -1).join('/'));
    known.add(path);
    groups.push({ path, attributes });
  };
  const visit = (owner: WeightOwner, path: string): void => {
    const below = (name: string): string => (path === '' ? name : `${path}/${name}`);
    group(below('vars'), { name: owner.name });
    if (owner.layers !== undefined) {
      group(below('layers'));
      const names = kindNames(owner.layers);
      owner.layers.forEach((layer, i) => {
        visit(layer, below(`layers/${names[i]}`));
      });
      return;
    }
    for (const part of owner.storage) {
      const vars = below(part.path.join('/'));
      group(vars);
      part.weights.forEach((weight, i) => {
        const values = weight.read();
        datasets.push({ path: `${vars}/${i}`, shape: weight.shape, data: values.data() as Float32Array });
        values.dispose();
      });
    }
  };
  visit(model, '');
  return { groups, datasets };
}
