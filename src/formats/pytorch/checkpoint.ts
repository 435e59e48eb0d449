/**
 * PyTorch's checkpoints since 1.6: a zip archive with `NAME/data.pkl`, a pickle of the object that was saved, and
 * `NAME/data/KEY` with the elements of one storage each (https://github.com/pytorch/pytorch/blob/main/torch/serialization.py).
 */
import { allocateArray } from '../../tensor/dtype.js';
import { FileError } from '../../tensor/errors.js';
import type { HostTensor } from '../../tensor/host-tensor.js';
import { formatShape, sizeOf } from '../../tensor/shape.js';
import { type ByteSource, memorySource, withFile } from '../byte-source.js';
import { decodeElements, ELEMENTS, LITTLE_ENDIAN, swapped } from '../elements.js';
import type { WeightEntry, WeightSource } from '../weight-source.js';
import { isZip, openZip, type ZipEntry } from '../zip.js';
import { buildTorch, storageOf, TorchTensor, torchGlobal } from './globals.js';
import { PickleTuple, type PickleValue, readPickle } from './pickle.js';

/** What a checkpoint holds. */
export interface PytorchCheckpoint {
  /**
   * By path: the keys of nested dictionaries and the positions in lists, joined by dots, for example
   * `state_dict.layer1.0.conv1.weight`. Floats are read as f32, integers as i32, uint8 as u8, bool as bool.
   */
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** Numbers, texts and truth values beside the tensors, for example `epoch`. */
  readonly values: ReadonlyMap<string, number | string | boolean | null>;
}

/**
 * Reads a `.pt` or `.pth` file that `torch.save` of PyTorch ≥ 1.6 wrote. The pickle inside is read as data: it may make tensors,
 * dictionaries and other plain data; whatever else it wants is refused by name.
 *
 * @throws FileError that says what is wrong with the file, or what it wanted.
 */
export async function readPytorch(path: string): Promise<PytorchCheckpoint> {
  return withFile(path, readAll);
}

/** The same for bytes in memory; `where` names them in messages. */
export async function parsePytorch(bytes: Uint8Array, where = 'checkpoint'): Promise<PytorchCheckpoint> {
  return readAll(memorySource(bytes, where));
}

async function readAll(source: ByteSource): Promise<PytorchCheckpoint> {
  const { entries, values } = await open(source);
  const tensors = new Map<string, HostTensor>();
  for (const [name, entry] of entries) tensors.set(name, await entry.read());
  return { tensors, values };
}

/** Opens the tensors of a checkpoint, to be read one at a time. */
export async function openPytorch(source: ByteSource): Promise<WeightSource> {
  const { entries } = await open(source);
  return { where: source.where, metadata: {}, entries, close: () => source.close() };
}

/** Pickles hold names and shapes; the elements lie elsewhere. */
const LARGEST_PICKLE = 2 ** 28;
const PICKLE = 'data.pkl';

async function open(
  source: ByteSource,
): Promise<{ entries: Map<string, WeightEntry>; values: Map<string, number | string | boolean | null> }> {
  const { where } = source;
  await checkFormat(source);
  const files = await openZip(source);
  const pickles = [...files.keys()].filter((name) => name === PICKLE || name.endsWith(`/${PICKLE}`));
  if (pickles.length !== 1) {
    throw new FileError(
      `${where}: is a zip archive, but no checkpoint of PyTorch: it has ${pickles.length} entries "${PICKLE}"`,
    );
  }
  const folder = pickles[0].slice(0, -PICKLE.length);
  if (files.has(`${folder}constants.pkl`) || [...files.keys()].some((name) => name.startsWith(`${folder}code/`))) {
    throw new FileError(
      `${where}: is a TorchScript program, not weights; save them in PyTorch: torch.save(torch.jit.load(path).state_dict(), other)`,
    );
  }
  const pickle = files.get(pickles[0]) as ZipEntry;
  if (pickle.size > LARGEST_PICKLE) throw new FileError(`${where}: claims a pickle of ${pickle.size} bytes`);
  const root = readPickle(await pickle.read(), {
    where,
    global: (module, name) => torchGlobal(where, module, name),
    persistent: (id) => storageOf(where, id),
    build: (object, state) => buildTorch(where, object, state),
  });
  const { tensors, values } = flatten(where, root);
  const order = files.get(`${folder}byteorder`);
  const big = order !== undefined && order.size <= 16 && Buffer.from(await order.read()).toString() === 'big';
  checkAmount(where, tensors, files);
  const entries = new Map<string, WeightEntry>();
  for (const [name, tensor] of tensors) {
    const label = `${where}: tensor "${name}"`;
    const file = storageFile(label, tensor, files.get(`${folder}data/${tensor.storage.key}`));
    entries.set(name, {
      dtype: ELEMENTS[tensor.stored].dtype,
      shape: tensor.shape,
      read: () => readTensor(label, tensor, file, big === LITTLE_ENDIAN),
    });
  }
  return { entries, values };
}

/** The formats before this one: a pickle (0.4 to 1.5) and a tar archive. */
async function checkFormat(source: ByteSource): Promise<void> {
  const { where, size } = source;
  const first = await source.read(0, Math.min(size, 512));
  if (isZip(first)) return;
  const tar = Buffer.from(first.subarray(257, 262)).toString('latin1') === 'ustar';
  if (tar || (first[0] === 0x80 && first[1] <= 5)) {
    throw new FileError(
      `${where}: is in PyTorch's old format (${tar ? 'a tar archive' : 'before 1.6'}), whose reading means executing it; save it anew in PyTorch: torch.save(torch.load(path), other)`,
    );
  }
  throw new FileError(`${where}: is no checkpoint of PyTorch: it does not begin as a zip archive does`);
}

const DEEPEST = 64;
/** More parts than any checkpoint has; shared parts count each time. */
const MOST_PARTS = 2 ** 21;

/** Names everything in the saved object by its path. */
function flatten(
  where: string,
  root: PickleValue,
): { tensors: Map<string, TorchTensor>; values: Map<string, number | string | boolean | null> } {
  const tensors = new Map<string, TorchTensor>();
  const values = new Map<string, number | string | boolean | null>();
  let parts = 0;
  const visit = (value: PickleValue, path: string, depth: number): void => {
    if (++parts > MOST_PARTS) throw new FileError(`${where}: has more than ${MOST_PARTS} parts`);
    if (depth > DEEPEST)
      throw new FileError(`${where}: dictionaries and lists lie more than ${DEEPEST} deep in each other`);
    const inside = (key: PickleValue, child: PickleValue): void =>
      visit(child, path === '' ? keyText(key) : `${path}.${keyText(key)}`, depth + 1);
    if (value instanceof TorchTensor) {
      if (tensors.has(path)) throw new FileError(`${where}: two tensors are named "${path}"`);
      tensors.set(path, value);
    } else if (value instanceof Map) {
      for (const [key, child] of value) inside(key, child);
    } else if (Array.isArray(value) || value instanceof PickleTuple) {
      (Array.isArray(value) ? value : value.items).forEach((child, i) => {
        inside(i, child);
      });
    } else if (value === null || ['number', 'string', 'boolean'].includes(typeof value)) {
      values.set(path, value as number | string | boolean | null);
    }
  };
  visit(root, '', 0);
  return { tensors, values };
}

function keyText(key: PickleValue): string {
  if (typeof key === 'object' && key !== null)
    return key instanceof PickleTuple ? key.items.map(keyText).join(',') : '?';
  return String(key);
}

/** Views can name the same elements any number of times: a file of kilobytes must not ask for terabytes. */
function checkAmount(
  where: string,
  tensors: ReadonlyMap<string, TorchTensor>,
  files: ReadonlyMap<string, ZipEntry>,
): void {
  let wanted = 0;
  for (const { shape } of tensors.values()) wanted += sizeOf(shape);
  let there = 0;
  for (const { size } of files.values()) there += size;
  if (wanted > 2 ** 26 && wanted > 4 * there) {
    throw new FileError(`${where}: its tensors have ${wanted} elements in all, but lie in ${there} bytes; refused`);
  }
}

function storageFile(label: string, tensor: TorchTensor, file: ZipEntry | undefined): ZipEntry {
  const { storage, stored, offset, shape, strides } = tensor;
  const width = ELEMENTS[stored].bytes;
  if (file === undefined) throw new FileError(`${label}: the file lacks its elements, "data/${storage.key}"`);
  const bytes = storage.length * ELEMENTS[storage.stored ?? 'U8'].bytes;
  if (file.size !== bytes) {
    throw new FileError(
      `${label}: its storage of ${storage.length} elements takes ${bytes} bytes, the file has ${file.size}`,
    );
  }
  if (sizeOf(shape) === 0) return file;
  const last = shape.reduce((at, extent, axis) => at + (extent - 1) * strides[axis], offset);
  if (!(last * width + width <= file.size)) {
    throw new FileError(
      `${label}: ${formatShape(shape)} with strides ${formatShape(strides)} from element ${offset} reaches beyond its storage of ${bytes / width} elements`,
    );
  }
  return file;
}

async function readTensor(label: string, tensor: TorchTensor, file: ZipEntry, swap: boolean): Promise<HostTensor> {
  const { stored, offset, shape, strides } = tensor;
  const { bytes: width, dtype } = ELEMENTS[stored];
  const size = sizeOf(shape);
  if (size === 0) return { dtype, shape, data: allocateArray(dtype, 0) };
  const span = shape.reduce((at, extent, axis) => at + (extent - 1) * strides[axis], 1);
  const bytes = await file.read(offset * width, span * width);
  const elements = decodeElements(label, stored, swap && width > 1 ? swapped(bytes, width) : bytes);
  if (isDense(shape, strides)) return { dtype, shape, data: elements };
  const data = allocateArray(dtype, size);
  const position = new Array<number>(shape.length).fill(0);
  for (let i = 0, at = 0; i < size; i++) {
    data[i] = elements[at];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis];
      if (++position[axis] < shape[axis]) break;
      at -= strides[axis] * shape[axis];
      position[axis] = 0;
    }
  }
  return { dtype, shape, data };
}

/** Whether elements lie row-major without gaps; strides of axes of extent one mean nothing. */
function isDense(shape: readonly number[], strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis];
  }
  return true;
}
