import { FileError } from '../../tensor/errors.js';
import { ELEMENTS, LITTLE_ENDIAN, NUMPY_TYPES, type StoredType, swapped } from '../elements.js';
import { type PickleGlobal, PickleTuple, type PickleValue } from './pickle.js';

// What a checkpoint may name: tensors and their storages, and plain data. `torch.load(…, weights_only=True)` draws the same line.

/** The flat elements that tensors are views of; they lie in a file of their own. */
export class TorchStorage {
  readonly key: string;
  /** Undefined for bytes whose type the tensors tell. */
  readonly stored: StoredType | undefined;
  /** In elements; in bytes where there is no type. */
  readonly length: number;

  constructor(key: string, stored: StoredType | undefined, length: number) {
    this.key = key;
    this.stored = stored;
    this.length = length;
  }
}

/** A view of a storage: element (i, j, …) lies at offset + i · stride[0] + j · stride[1] + …. */
export class TorchTensor {
  readonly storage: TorchStorage;
  readonly stored: StoredType;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: TorchStorage,
    stored: StoredType,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.stored = stored;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** The type of a NumPy number: training programs save them beside the weights. */
export class NumpyType {
  readonly name: string;
  bigEndian = false;

  constructor(name: string) {
    this.name = name;
  }
}

function numpyNumber(type: PickleValue, bytes: PickleValue, where: string): number {
  const stored =
    type instanceof NumpyType && Object.hasOwn(NUMPY_TYPES, type.name) ? NUMPY_TYPES[type.name] : undefined;
  if (stored === undefined || !(bytes instanceof Uint8Array) || bytes.length !== ELEMENTS[stored].bytes) {
    throw new FileError(`${where}: a NumPy number of a type that cannot be read`);
  }
  const swap = (type as NumpyType).bigEndian === LITTLE_ENDIAN;
  const { array, value } = ELEMENTS[stored];
  const [element] = new array((swap ? swapped(bytes, bytes.length) : new Uint8Array(bytes)).buffer);
  // Tensors are f32 and i32, numbers need not be.
  return value === undefined ? Number(element) : value(Number(element));
}

/** Takes over the state of what a global made: the byte order of a NumPy type, which is (version, order, …). */
export function buildTorch(where: string, object: PickleValue, state: PickleValue): void {
  if (!(object instanceof NumpyType))
    throw new FileError(`${where}: refused: the checkpoint sets the state of an object`);
  object.bigEndian = listOf(state)[1] === '>';
}

const STORAGES: Readonly<Record<string, StoredType>> = {
  FloatStorage: 'F32',
  DoubleStorage: 'F64',
  HalfStorage: 'F16',
  BFloat16Storage: 'BF16',
  LongStorage: 'I64',
  IntStorage: 'I32',
  ShortStorage: 'I16',
  CharStorage: 'I8',
  ByteStorage: 'U8',
  BoolStorage: 'BOOL',
};

/** Element types that tensors of bytes without a type are of. */
const DTYPES: Readonly<Record<string, StoredType>> = {
  float32: 'F32',
  float: 'F32',
  float64: 'F64',
  double: 'F64',
  float16: 'F16',
  half: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  long: 'I64',
  int32: 'I32',
  int: 'I32',
  int16: 'I16',
  short: 'I16',
  int8: 'I8',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
};

const UNREAD: readonly string[] = [
  'ComplexFloatStorage',
  'ComplexDoubleStorage',
  'QInt8Storage',
  'QUInt8Storage',
  'QInt32Storage',
  'QUInt4x2Storage',
  'QUInt2x4Storage',
];

/** What `module.name` of a pickle stands for. @throws FileError that names it where it is not in the tables. */
export function torchGlobal(where: string, module: string, name: string): PickleGlobal {
  const full = `${module}.${name}`;
  if (Object.hasOwn(GLOBALS, full)) return { global: full, call: (args) => GLOBALS[full](args, where) };
  if (CLASSES.includes(full)) return { global: full };
  if (module === 'torch' && (Object.hasOwn(STORAGES, name) || Object.hasOwn(DTYPES, name))) return { global: full };
  if (module === 'torch' && UNREAD.includes(name)) {
    throw new FileError(`${where}: holds a tensor of ${full}; complex and quantised tensors cannot be read`);
  }
  throw new FileError(
    `${where}: refused: the checkpoint wants ${JSON.stringify(full)}, which is no tensor or plain data; nothing in a file is executed here. Save weights alone in PyTorch: torch.save(model.state_dict(), path)`,
  );
}

/** Named, but never called. */
const CLASSES: readonly string[] = [
  'torch.storage.UntypedStorage',
  'torch.Tensor',
  'torch._tensor.Tensor',
  'torch.nn.parameter.Parameter',
  'torch.nn.parameter.Buffer',
  // Factories of `defaultdict`.
  ...['dict', 'list', 'set', 'int', 'float', 'str'].flatMap((name) => [`builtins.${name}`, `__builtin__.${name}`]),
];

type Make = (args: readonly PickleValue[], where: string) => PickleValue;

const makeMap: Make = ([items]) => {
  const map = new Map<PickleValue, PickleValue>();
  if (items instanceof Map) for (const [key, value] of items) map.set(key, value);
  for (const pair of listOf(items)) {
    const [key, value] = listOf(pair);
    map.set(key, value);
  }
  return map;
};

const makeTensor: Make = (args, where) => tensorOf(args, undefined, where);
const first: Make = ([tensor]) => tensor;

const GLOBALS: Readonly<Record<string, Make>> = {
  'collections.OrderedDict': makeMap,
  'collections.Counter': makeMap,
  // The factory for missing keys is of no use here.
  'collections.defaultdict': (args, where) => makeMap(args.slice(1), where),
  'builtins.set': ([items]) => new Set(listOf(items)),
  'builtins.frozenset': ([items]) => new Set(listOf(items)),
  '__builtin__.set': ([items]) => new Set(listOf(items)),
  '__builtin__.frozenset': ([items]) => new Set(listOf(items)),
  // How protocol 2 has bytes.
  '_codecs.encode': ([text]) => Uint8Array.from(String(text), (letter) => letter.charCodeAt(0)),
  'numpy.dtype': ([name]) => new NumpyType(String(name)),
  'numpy.core.multiarray.scalar': ([type, bytes], where) => numpyNumber(type, bytes, where),
  'numpy._core.multiarray.scalar': ([type, bytes], where) => numpyNumber(type, bytes, where),
  'torch.Size': ([sizes]) => new PickleTuple(listOf(sizes)),
  'torch.device': (args) => args.map(String).join(':'),
  'torch._utils._rebuild_tensor': makeTensor,
  'torch._utils._rebuild_tensor_v2': makeTensor,
  // (storage, offset, size, stride, requires_grad, hooks, dtype, metadata)
  'torch._utils._rebuild_tensor_v3': (args, where) => tensorOf(args, args[6], where),
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  // (function, type, arguments, state)
  'torch._tensor._rebuild_from_type_v2': ([make, , args], where) => {
    if (!isRebuild(make)) throw new FileError(`${where}: a tensor that is not made as tensors are`);
    return GLOBALS[make.global](listOf(args), where);
  },
};

function isRebuild(value: PickleValue): value is PickleGlobal {
  return (
    typeof value === 'object' &&
    value !== null &&
    'global' in value &&
    typeof value.global === 'string' &&
    /^torch\._utils\._rebuild_(tensor|tensor_v2|tensor_v3|parameter)$/.test(value.global)
  );
}

function listOf(value: PickleValue | undefined): readonly PickleValue[] {
  if (value instanceof PickleTuple) return value.items;
  return Array.isArray(value) ? value : [];
}

function tensorOf(args: readonly PickleValue[], dtype: PickleValue | undefined, where: string): TorchTensor {
  const [storage, offset, size, stride] = args;
  const bad = (what: string): FileError => new FileError(`${where}: a tensor ${what}`);
  if (!(storage instanceof TorchStorage)) throw bad('without a storage');
  const shape = counts(size);
  const strides = counts(stride);
  if (shape === undefined || strides === undefined || shape.length !== strides.length || !isCount(offset)) {
    throw bad('whose offset, size and stride are not as many whole numbers ≥ 0');
  }
  const stored = dtype === undefined ? storage.stored : dtypeOf(dtype);
  if (stored === undefined) throw bad('of an element type that cannot be read');
  return new TorchTensor(storage, stored, offset as number, shape, strides);
}

function dtypeOf(value: PickleValue): StoredType | undefined {
  const name = typeof value === 'object' && value !== null && 'global' in value ? String(value.global) : '';
  return name.startsWith('torch.') && Object.hasOwn(DTYPES, name.slice(6)) ? DTYPES[name.slice(6)] : undefined;
}

function counts(value: PickleValue): number[] | undefined {
  const list = listOf(value);
  const given = value instanceof PickleTuple || Array.isArray(value);
  return given && list.length <= 64 && list.every(isCount) ? (list as number[]) : undefined;
}

function isCount(value: PickleValue): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** ('storage', type, key, location, length): what stands for a storage in a pickle. */
export function storageOf(where: string, id: PickleValue): TorchStorage {
  const [kind, type, key, , length] = listOf(id);
  const name = typeof type === 'object' && type !== null && 'global' in type ? String(type.global) : '';
  const untyped = name === 'torch.storage.UntypedStorage';
  const stored =
    name.startsWith('torch.') && Object.hasOwn(STORAGES, name.slice(6)) ? STORAGES[name.slice(6)] : undefined;
  if (kind !== 'storage' || typeof key !== 'string' || !isCount(length) || (stored === undefined && !untyped)) {
    throw new FileError(`${where}: refers to something outside of its pickle that is no storage`);
  }
  return new TorchStorage(key, stored, length as number);
}
