// Writes an HDF5 file in memory. A thread of its own: the library is large, and its memory is given back with the thread.

import { File, ready } from 'h5wasm';
import { serveRequests } from '../../data/worker-pool.js';
import type { Hdf5Content } from './write-hdf5.js';

const NAME = 'file.h5';
const { FS } = await ready;

serveRequests(({ groups, datasets }: Hdf5Content): Uint8Array => {
  const file = new File(NAME, 'w');
  for (const { path, attributes } of groups) {
    const group = file.create_group(path);
    for (const [name, value] of Object.entries(attributes)) group.create_attribute(name, value);
  }
  for (const { path, shape, data } of datasets) {
    const dtype = data instanceof Int32Array ? '<i4' : '<f4';
    file.create_dataset({ name: path, data, shape: [...shape], dtype });
  }
  file.close();
  const bytes = FS?.readFile(NAME) as Uint8Array;
  FS?.unlink(NAME);
  return bytes;
});
