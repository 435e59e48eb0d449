import { checkOptions, FileError } from '../tensor/errors.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { writeFileAtomic } from './atomic-write.js';
import { type ByteSource, memorySource, withFile } from './byte-source.js';
import { ELEMENTS } from './elements.js';
import { decodeNpy, NPY_HEADER_BYTES, parseNpyHeader, serializeNpy } from './npy.js';
import type { WeightEntry, WeightSource } from './weight-source.js';
import { openZip, zip } from './zip.js';

const ENDING = '.npy';

/** How `.npz` files are written. */
export interface NpzOptions {
  /** Deflate, as `numpy.savez_compressed`; default false. */
  readonly compress?: boolean;
}

/** Reads all arrays of a `.npz` file by name, converted as by `readNpy`. @throws FileError that says what is wrong with the file. */
export async function readNpz(path: string): Promise<Map<string, HostTensor>> {
  return withFile(path, readAll);
}

/** The same for bytes in memory; `where` names them in messages. */
export async function parseNpz(bytes: Uint8Array, where = 'npz'): Promise<Map<string, HostTensor>> {
  return readAll(memorySource(bytes, where));
}

async function readAll(source: ByteSource): Promise<Map<string, HostTensor>> {
  const { entries } = await openNpz(source);
  const tensors = new Map<string, HostTensor>();
  for (const [name, entry] of entries) tensors.set(name, await entry.read());
  return tensors;
}

/** Writes a `.npz` file, as a whole or not at all: what `numpy.load` opens. */
export async function writeNpz(
  path: string,
  tensors: Readonly<Record<string, HostTensor>>,
  options: NpzOptions = {},
): Promise<void> {
  await writeFileAtomic(path, serializeNpz(tensors, options));
}

/** The bytes of a `.npz` file. The same content gives the same bytes. */
export function serializeNpz(tensors: Readonly<Record<string, HostTensor>>, options: NpzOptions = {}): Uint8Array {
  checkOptions('npz', options, ['compress']);
  return zip(
    Object.entries(tensors).map(([name, tensor]) => [`${name}${ENDING}`, serializeNpy(tensor)]),
    options.compress ?? false,
  );
}

/** Opens the arrays of a `.npz` file, to be read one at a time. */
export async function openNpz(source: ByteSource): Promise<WeightSource> {
  const entries = new Map<string, WeightEntry>();
  for (const [name, entry] of await openZip(source)) {
    if (!name.endsWith(ENDING)) {
      throw new FileError(`${source.where}: has the entry "${name}", which is no array; is it a .npz file?`);
    }
    const where = `${source.where}, array "${name.slice(0, -ENDING.length)}"`;
    const first = await entry.read(0, Math.min(entry.size, NPY_HEADER_BYTES));
    const header = parseNpyHeader(first, where, entry.size);
    entries.set(name.slice(0, -ENDING.length), {
      dtype: ELEMENTS[header.stored].dtype,
      shape: header.shape,
      // All of it, so that the checksum is looked at.
      read: async () => decodeNpy(header, (await entry.read()).subarray(header.dataStart), where),
    });
  }
  return { where: source.where, metadata: {}, entries, close: () => source.close() };
}
