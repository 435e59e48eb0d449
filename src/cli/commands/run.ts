import { existsSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { LoadedModel } from '../../exchange/loaded-model.js';
import { ports } from '../../exchange/ports.js';
import { makeFolders } from '../../formats/folders.js';
import { readNpy, writeNpy } from '../../formats/npy.js';
import { readNpz } from '../../formats/npz.js';
import { tensor } from '../../ops/create.js';
import { FileError, GaborError } from '../../tensor/errors.js';
import { type HostTensor, toHost } from '../../tensor/host-tensor.js';
import { formatShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { type DeviceName, describeDevice, useDevice } from '../devices.js';
import { EXIT, UsageError } from '../failure.js';
import { readWhole } from '../files.js';
import { openModel } from '../open-model.js';
import type { Output } from '../output.js';
import { printable, table } from '../terminal.js';

export interface RunFlags {
  /** `FILE` or `NAME=FILE` */
  readonly input?: readonly string[];
  readonly output: string;
  readonly model?: string;
  readonly device: DeviceName;
  readonly threads?: number;
  readonly tune?: boolean;
}

/** Computes the outputs of a model for inputs from files. */
export async function runModel(path: string, flags: RunFlags, output: Output): Promise<number> {
  const device = useDevice(flags.device, flags.threads, flags.tune);
  const { loaded, inputs } = await open(path, flags, output);
  // Before what may take long, and not for inputs that the model does not take.
  if (loaded.problem(loaded.inputs.map(({ name }) => inputs[name])) === undefined) await makeFolders(flags.output);
  const began = performance.now();
  const results = await loaded.run(inputs);
  const arrays = toHost(results);
  const milliseconds = performance.now() - began;
  const written = [];
  const taken = new Set<string>();
  for (const name of outputNames(loaded, arrays)) {
    const array = arrays[name];
    const file = join(flags.output, `${fileName(name, taken)}.npy`);
    await writeNpy(file, array);
    written.push({ name, file, dtype: array.dtype, shape: array.shape });
  }
  output.event({ event: 'ran', model: path, device: describeDevice(device), milliseconds, outputs: written });
  if (output.json) return EXIT.ok;
  const { terminal } = output;
  const cells = written.map(({ name, dtype, shape, file }) => [
    printable(name),
    `${dtype}${formatShape(shape)}`,
    printable(file),
  ]);
  terminal.write(table([{ title: 'output' }, { title: 'type' }, { title: 'file', flexible: true }], cells, terminal));
  return EXIT.ok;
}

async function open(
  path: string,
  { model, input = [] }: RunFlags,
  output: Output,
): Promise<{ loaded: LoadedModel; inputs: Record<string, Tensor> }> {
  const named = model === undefined ? {} : { model };
  const loaded = await openModel(path, named, output);
  const inputs = await readInputs(loaded, input);
  const list = Object.values(inputs);
  if (loaded.format !== 'keras' || list.length !== 1 || loaded.problem(list) === undefined) return { loaded, inputs };
  try {
    // Keras fixes the size of what its networks of convolutions take; they are built for others as well.
    const resized = await openModel(path, { ...named, input: list[0].shape.slice(1) }, output);
    return resized.problem(list) === undefined ? { loaded: resized, inputs } : { loaded, inputs };
  } catch (error) {
    if (error instanceof GaborError) return { loaded, inputs };
    throw error;
  }
}

/** In the model's order; objects put names that are numbers first. */
function outputNames({ outputs }: LoadedModel, results: Readonly<Record<string, HostTensor>>): string[] {
  const names = outputs.map(({ name }) => name).filter((name) => Object.hasOwn(results, name));
  return [...names, ...Object.keys(results).filter((name) => !names.includes(name))];
}

/** Inputs by name: those that are named, and the others in the model's order. */
async function readInputs(loaded: LoadedModel, list: readonly string[]): Promise<Record<string, Tensor>> {
  const names = loaded.inputs.map(({ name }) => name);
  const takes = `; ${loaded.path} takes ${ports(loaded.inputs)}`;
  const found = new Map<string, HostTensor>();
  const unnamed: HostTensor[] = [];
  const put = (name: string, array: HostTensor): void => {
    if (!names.includes(name)) throw new UsageError(`there is no input "${name}"${takes}`);
    if (found.has(name)) throw new UsageError(`the input "${name}" is given twice`);
    found.set(name, array);
  };
  for (const item of list) {
    const [name, file] = split(item, names);
    if (name !== undefined && !names.includes(name)) throw new UsageError(`there is no input "${name}"${takes}`);
    if (extname(file).toLowerCase() === '.npz') {
      if (name !== undefined)
        throw new UsageError(`--input ${item}: the arrays of a .npz file have names of their own`);
      for (const [own, array] of await readNpz(file)) put(own, array);
    } else if (name === undefined) unnamed.push(await readArray(file));
    else put(name, await readArray(file));
  }
  const open = names.filter((name) => !found.has(name));
  if (unnamed.length !== open.length) {
    const given = found.size + unnamed.length;
    throw new UsageError(
      `${given} ${given === 1 ? 'input is' : 'inputs are'} given, ${names.length} ${names.length === 1 ? 'is' : 'are'} needed${takes}`,
    );
  }
  unnamed.forEach((array, i) => {
    found.set(open[i], array);
  });
  return Object.fromEntries([...found].map(([name, array]) => [name, tensor(array)]));
}

/** `NAME=FILE`; the names of inputs may hold `=` themselves, and so may those of files. */
function split(item: string, names: readonly string[]): [name: string | undefined, file: string] {
  const known = names.find((name) => item.startsWith(`${name}=`));
  if (known !== undefined) return [known, item.slice(known.length + 1)];
  if (existsSync(item)) return [undefined, item];
  const named = /^([^=/\\]+)=(.+)$/.exec(item);
  return named === null ? [undefined, item] : [named[1], named[2]];
}

async function readArray(file: string): Promise<HostTensor> {
  const ending = extname(file).toLowerCase();
  if (ending === '.npy') return readNpy(file);
  if (ending !== '.pb') {
    throw new FileError(`${file}: inputs are arrays of NumPy (.npy, .npz) or tensors of ONNX (.pb)`);
  }
  const [{ parseTensor }, { rowOf }] = await Promise.all([
    import('../../formats/onnx/tensor-proto.js'),
    import('../../formats/onnx/element-types.js'),
  ]);
  const { type, shape, data } = parseTensor(await readWhole(file), file);
  return { dtype: rowOf(type).dtype, shape, data };
}

/** Names that Windows keeps for devices, whatever the ending. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)/i;
/** Systems take 255 bytes, and a character is up to four. */
const LONGEST = 60;

/** An output's name as a file name that every system takes, and that no other output has. */
function fileName(name: string, taken: Set<string>): string {
  // macOS takes letters with accents for the same, whether composed or not.
  const clean = name
    .normalize('NFC')
    .replace(/[^\p{L}\p{N}._-]+/gu, '_')
    .replace(/^\.+/, '_')
    .replace(DEVICE, '$1_');
  const safe = [...clean].slice(0, LONGEST).join('') || 'output';
  for (let n = 1; ; n++) {
    const candidate = n === 1 ? safe : `${safe}_${n}`;
    if (taken.has(candidate.toLowerCase())) continue;
    taken.add(candidate.toLowerCase());
    return candidate;
  }
}
