/**
 * Reads HDF5 files with jsfive, which trusts them: sizes that are not there, loops that never end, a little that unpacks to very much. Here
 * is what makes it safe to use: everything that it takes from the file is counted, and a file that makes it work out of all proportion to
 * its size is refused; sizes are compared with what is there before memory is taken; whatever it throws becomes an error of ours.
 */

import type { ByteSource } from '../../formats/byte-source.js';
import { FileError, GaborError } from '../../tensor/errors.js';
import { formatShape, type Shape, sizeOf } from '../../tensor/shape.js';
import { type Jsfive, type JsfiveDataset, type JsfiveGroup, loadJsfive, withChunks } from './jsfive.js';
import { show } from './json.js';

/** The first bytes of every HDF5 file. */
export function isHdf5(first: Uint8Array): boolean {
  return [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a].every((byte, i) => first[i] === byte);
}

/** Bytes that are read from a file at a time. */
const PIECE = 2 ** 26;
/**
 * Work is a unit for every access, and for so many bytes, bytes of texts, or elements of chunks. Files of Keras need less than a tenth
 * of a unit for each of their bytes; they get one.
 */
const UNIT = 1024;
const TEXT_UNIT = 16;
const ELEMENT_UNIT = 16;
/** Deflate cannot do better. */
const BEST_RATIO = 1032;

/** The file's bytes: jsfive takes parts of them with `slice`, which counts. */
class CountedBuffer extends ArrayBuffer {
  /** Parts are ordinary. */
  static override get [Symbol.species](): ArrayBufferConstructor {
    return ArrayBuffer;
  }

  where = '';
  #left = 100_000 + this.byteLength;
  /** counted for every access */
  toll = 1;

  charge(work: number): void {
    this.#left -= work;
    if (this.#left < 0) {
      throw new FileError(
        `${this.where}: is not read to the end: far more is in it than its size allows; it is damaged`,
      );
    }
  }

  override slice(begin?: number, end?: number): ArrayBuffer {
    const part = super.slice(begin, end);
    this.charge(this.toll + part.byteLength / UNIT);
    return part;
  }
}

/**
 * Opens an HDF5 file, all of which is taken into memory.
 *
 * @throws FileError for other files, and for what is damaged
 */
export async function openHdf5(source: ByteSource): Promise<H5Group> {
  const { where, size } = source;
  if (size < 8 || !isHdf5(await source.read(0, 8))) throw new FileError(`${where}: is no HDF5 file`);
  const bytes = new CountedBuffer(size);
  bytes.where = where;
  const all = new Uint8Array(bytes);
  for (let at = 0; at < size; at += PIECE) all.set(await source.read(at, Math.min(PIECE, size - at)), at);
  const jsfive = await loadJsfive();
  return guarded(where, () => new H5Group(jsfive, bytes, '', new jsfive.File(bytes, where)));
}

/** jsfive throws texts, and whatever happens where a file is not as it should be. */
function guarded<T>(where: string, body: () => T): T {
  try {
    return body();
  } catch (error) {
    if (error instanceof GaborError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new FileError(
      `${where}: cannot be read as HDF5 (${reason}); the file is damaged, or of a kind that cannot be read`,
      {
        cause: error,
      },
    );
  }
}

/** A group of a file, with attributes, groups and arrays by name. */
export class H5Group {
  /** from the file's root; '' for itself */
  readonly path: string;
  readonly #jsfive: Jsfive;
  readonly #bytes: CountedBuffer;
  readonly #group: JsfiveGroup;
  #attributes: Readonly<Record<string, unknown>> | undefined;

  constructor(jsfive: Jsfive, bytes: CountedBuffer, path: string, group: JsfiveGroup) {
    this.#jsfive = jsfive;
    this.#bytes = bytes;
    this.path = path;
    this.#group = group;
    // Texts of attributes may all point to one long text.
    const headers = group._dataobjects;
    const original = headers._vlen_size_and_data;
    headers._vlen_size_and_data = (buffer, offset) => {
      const result = original.call(headers, buffer, offset);
      bytes.charge(1 + (result[1]?.byteLength ?? 0) / TEXT_UNIT);
      return result;
    };
  }

  get where(): string {
    return this.path === '' ? this.#bytes.where : `${this.#bytes.where}, "${this.path}"`;
  }

  get fileSize(): number {
    return this.#bytes.byteLength;
  }

  /** Names of what is in it. */
  get names(): string[] {
    return guarded(this.where, () => this.#group.keys);
  }

  has(name: string): boolean {
    return this.names.includes(name);
  }

  /** An attribute that is a text; undefined where there is none. */
  text(name: string): string | undefined {
    const value = this.#attribute(name);
    if (value === undefined || typeof value === 'string') return value;
    throw new FileError(`${this.where}: the attribute "${name}" must be a text, got ${show(value)}`);
  }

  /** An attribute that is a list of texts, which Keras splits where it is long (`name0`, `name1`, …). */
  texts(name: string): string[] | undefined {
    const whole = this.#list(name);
    if (whole !== undefined) return whole;
    const parts: string[] = [];
    for (let i = 0; ; i++) {
      const part = this.#list(`${name}${i}`);
      if (part === undefined) return i === 0 ? undefined : parts;
      parts.push(...part);
    }
  }

  #list(name: string): string[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined) return undefined;
    if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value.map(unpadded);
    // An empty list has no elements of any kind.
    if (Array.isArray(value) && value.length === 0) return [];
    throw new FileError(`${this.where}: the attribute "${name}" must be texts, got ${show(value)}`);
  }

  #attribute(name: string): unknown {
    this.#attributes ??= guarded(this.where, () => this.#group.attrs);
    const value = Object.hasOwn(this.#attributes, name) ? this.#attributes[name] : undefined;
    return typeof value === 'string' ? unpadded(value) : value;
  }

  /** What has this name in this group; undefined where there is nothing. */
  get(name: string): H5Group | H5Dataset | undefined {
    if (!this.has(name)) return undefined;
    const path = this.path === '' ? name : `${this.path}/${name}`;
    return guarded(`${this.#bytes.where}, "${path}"`, () => {
      const found = this.#group.get(name);
      if (found === null) return undefined;
      return found instanceof this.#jsfive.Dataset
        ? new H5Dataset(this.#bytes, path, found)
        : new H5Group(this.#jsfive, this.#bytes, path, found);
    });
  }

  /** A group by its name; undefined where there is none. */
  group(name: string): H5Group | undefined {
    const found = this.get(name);
    return found instanceof H5Group ? found : undefined;
  }

  /** An array by its path within this group; undefined where there is none. */
  dataset(path: string): H5Dataset | undefined {
    const parts = path.split('/').filter((part) => part !== '');
    let at: H5Group | H5Dataset | undefined = this;
    for (const part of parts) at = at instanceof H5Group ? at.get(part) : undefined;
    return at instanceof H5Dataset ? at : undefined;
  }
}

/** Texts of one length are filled up. */
function unpadded(text: string): string {
  const end = text.indexOf('\0');
  return end < 0 ? text : text.slice(0, end);
}

/** An array of numbers. */
export class H5Dataset {
  readonly path: string;
  readonly shape: Shape;
  readonly #bytes: CountedBuffer;
  readonly #dataset: JsfiveDataset;

  constructor(bytes: CountedBuffer, path: string, dataset: JsfiveDataset) {
    this.#bytes = bytes;
    this.path = path;
    this.#dataset = dataset;
    this.shape = dataset.shape;
  }

  /**
   * The elements, row-major.
   *
   * @throws FileError for what is no number, and for sizes that cannot be
   */
  read(): Float32Array {
    const where = `${this.#bytes.where}, "${this.path}"`;
    return guarded(where, () => {
      const { dtype } = this.#dataset;
      const kind = typeof dtype === 'string' ? /^[<>|]?([iuf])([1248])$/.exec(dtype) : null;
      if (kind === null) throw new FileError(`${where}: holds ${show(dtype)}; weights are numbers`);
      const count = sizeOf(this.shape);
      const values = this.#values(where, count, Number(kind[2]));
      if (values.length !== count) {
        throw new FileError(`${where}: has ${values.length} elements, ${formatShape(this.shape)} needs ${count}`);
      }
      const result = Float32Array.from(values as number[]);
      const beyond = result.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(values[i]));
      if (beyond >= 0)
        throw new FileError(`${where}, element ${beyond}: ${values[beyond]} is outside of the range of f32`);
      return result;
    });
  }

  #values(where: string, count: number, itemSize: number): ArrayLike<number> {
    const bytes = this.#bytes;
    const { chunks, filter_pipeline: filters } = this.#dataset._dataobjects;
    const most = bytes.byteLength * (filters === null ? 1 : BEST_RATIO);
    if (!(count * itemSize <= most)) {
      throw new FileError(
        `${where}: claims ${formatShape(this.shape)} elements of ${itemSize} bytes in a file of ${bytes.byteLength}`,
      );
    }
    if (chunks === null) return this.#dataset.value;
    const elements = sizeOf(chunks);
    // At the borders chunks reach beyond the array, by less than their extent along every axis.
    const padded = this.shape.reduce((size, extent, axis) => size * (extent + (chunks[axis] ?? 0)), 1);
    if (!(elements >= 1 && elements <= padded)) {
      throw new FileError(`${where}: claims chunks of ${formatShape(chunks)} in ${formatShape(this.shape)}`);
    }
    // A look at every element of every chunk: a chunk costs as much as it has elements.
    bytes.toll = 1 + elements / ELEMENT_UNIT;
    try {
      return withChunks(elements * itemSize, () => this.#dataset.value);
    } finally {
      bytes.toll = 1;
    }
  }
}
