import type { Module } from '../nn/index.js';
import { isFloat } from '../tensor/dtype.js';
import { checkOptions, FileError } from '../tensor/errors.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import { formatType, sameShape, type TensorType } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { openFile } from './byte-source.js';
import { openNpz } from './npz.js';
import { openPytorch } from './pytorch/checkpoint.js';
import { recognise } from './recognise.js';
import { openSafetensors } from './safetensors.js';
import { fillTensors, type WeightEntry, type WeightSource } from './weight-source.js';
import { isZip } from './zip.js';

/** A path, an open file, or tensors by name. */
export type WeightInput =
  | string
  | WeightSource
  | Readonly<Record<string, HostTensor>>
  | ReadonlyMap<string, HostTensor>;

/** Options of {@link loadWeights}. */
export interface LoadWeightsOptions {
  /** Throw where a name or a shape does not fit, before anything is changed (default); otherwise load what fits. */
  readonly strict?: boolean;
  /**
   * Take what begins with this, without it, and skip the rest: `backbone.`. Default: the usual wrapping under which most names fit
   * (`state_dict.`, `model.`, `module.`, …), or none.
   */
  readonly prefix?: string;
  /** The name in the module for a name in the source (after `prefix`), or undefined to leave a tensor out. */
  readonly rename?: (name: string) => string | undefined;
}

/** A tensor of the source that does not fit the one of its name. */
export interface MismatchedWeight {
  readonly name: string;
  readonly expected: TensorType;
  readonly found: TensorType;
}

/** What became of every name. */
export interface WeightReport {
  /** names of the module that were filled */
  readonly loaded: readonly string[];
  /** names of the module that the source lacks; left as they were. Not among them: `num_batches_tracked` */
  readonly missing: readonly string[];
  /** names of the source that the module lacks */
  readonly unexpected: readonly string[];
  /** of another shape, or floats for integers; left as they were */
  readonly mismatched: readonly MismatchedWeight[];
  /** names of the source outside of the prefix, or left out by `rename` */
  readonly skipped: readonly string[];
  /** the one that was given or found */
  readonly prefix: string;
}

/** What training programs put around the names of a `state_dict`. */
const WRAPPERS: readonly string[] = [
  '',
  'state_dict.',
  'model_state_dict.',
  'model.',
  'net.',
  'network.',
  'params.',
  'weights.',
  'ema.',
];
/** What `DataParallel` and `torch.compile` put in front. */
const INNER: readonly string[] = ['', 'module.', '_orig_mod.'];

/** Counted by PyTorch since 0.4.1. Files from before, or from elsewhere, lack it; `load_state_dict` takes them for whole, too. */
const COUNTER = /(^|\.)num_batches_tracked$/;

const READS = 'weights alone are read from safetensors, PyTorch checkpoints and .npz';
/** What to do with files that hold more than weights. */
const INSTEAD = {
  onnx: `looks like an ONNX model; ${READS}. Use load or loadOnnx, which make the network with its weights`,
  keras: `looks like a file of Keras or TensorFlow.js; ${READS}. Use load or loadKeras for models; weights of Keras go to models of gabor/keras, by model.loadWeights`,
} as const;

/**
 * Opens a file of weights, whichever it is by its content: safetensors, a PyTorch checkpoint, or `.npz`. Only names and shapes are
 * read; elements when asked for.
 *
 * @throws FileError for other files.
 */
export async function openWeights(path: string): Promise<WeightSource> {
  const source = await openFile(path);
  try {
    const kind = await recognise(source);
    if (kind === 'npz') return await openNpz(source);
    if (kind === 'onnx' || kind === 'keras') throw new FileError(`${path}: ${INSTEAD[kind]}`);
    if (kind === 'pytorch' || isZip(await source.read(0, Math.min(source.size, 4)))) return await openPytorch(source);
    return await openSafetensors(source);
  } catch (error) {
    await source.close();
    throw error;
  }
}

/**
 * Loads weights into a module by PyTorch's keys, one tensor at a time, so that a large file is never in memory twice. Names and
 * shapes are compared first: in strict mode nothing is changed where they do not fit.
 *
 * @param input a safetensors file, a PyTorch checkpoint or a `.npz` file by its path, or tensors
 * @throws FileError in strict mode, with a list of what is missing, unexpected and of another shape.
 * @example await loadWeights(resnet18(), 'resnet18.pth')
 * @example await loadWeights(net, 'checkpoint.pt', { prefix: 'backbone.', strict: false })
 */
export async function loadWeights(
  module: Module,
  input: WeightInput,
  options: LoadWeightsOptions = {},
): Promise<WeightReport> {
  checkOptions('loadWeights', options, ['strict', 'prefix', 'rename']);
  const source = await sourceOf(input);
  try {
    const targets = module.stateDict();
    const { report, plan } = match(source, targets, options);
    const problem = problemOf(report);
    if (problem !== undefined && (options.strict ?? true)) {
      throw new FileError(
        `${source.where}: the weights do not fit ${module.type}; ${problem}. Load what fits with { strict: false }`,
      );
    }
    await fillTensors(plan.map(([name, entry]) => [targets[name], entry]));
    return report;
  } finally {
    if (typeof input === 'string') await source.close();
  }
}

async function sourceOf(input: WeightInput): Promise<WeightSource> {
  if (typeof input === 'string') return openWeights(input);
  if ('entries' in input && typeof (input as WeightSource).close === 'function') return input as WeightSource;
  const tensors = input instanceof Map ? [...input] : Object.entries(input as Readonly<Record<string, HostTensor>>);
  return {
    where: 'loadWeights',
    metadata: {},
    entries: new Map(tensors.map(([name, t]) => [name, { dtype: t.dtype, shape: t.shape, read: async () => t }])),
    close: async () => undefined,
  };
}

function match(
  source: WeightSource,
  targets: Readonly<Record<string, Tensor>>,
  options: LoadWeightsOptions,
): { report: WeightReport; plan: [string, WeightEntry][] } {
  const rename = options.rename ?? ((name: string) => name);
  const prefix = options.prefix ?? findPrefix(source, targets, rename);
  const plan = new Map<string, WeightEntry>();
  const [unexpected, skipped]: [string[], string[]] = [[], []];
  const mismatched: MismatchedWeight[] = [];
  for (const [full, entry] of source.entries) {
    const name = full.startsWith(prefix) ? rename(full.slice(prefix.length)) : undefined;
    if (name === undefined) skipped.push(full);
    else if (!Object.hasOwn(targets, name)) unexpected.push(full);
    else if (plan.has(name)) throw new FileError(`${source.where}: two tensors go to "${name}", one of them "${full}"`);
    else if (fits(entry, targets[name].type)) plan.set(name, entry);
    else {
      const found = { dtype: entry.dtype, shape: entry.shape };
      mismatched.push({ name, expected: targets[name].type, found });
    }
  }
  const odd = new Set(mismatched.map(({ name }) => name));
  const missing = Object.keys(targets).filter((name) => !plan.has(name) && !odd.has(name) && !COUNTER.test(name));
  return { report: { loaded: [...plan.keys()], missing, unexpected, mismatched, skipped, prefix }, plan: [...plan] };
}

function fits(found: TensorType, expected: TensorType): boolean {
  return sameShape(found.shape, expected.shape) && (isFloat(expected.dtype) || !isFloat(found.dtype));
}

function findPrefix(
  source: WeightSource,
  targets: Readonly<Record<string, Tensor>>,
  rename: (name: string) => string | undefined,
): string {
  let best = '';
  let most = 0;
  for (const wrapper of WRAPPERS) {
    for (const inner of INNER) {
      const prefix = wrapper + inner;
      let hits = 0;
      for (const full of source.entries.keys()) {
        const name = full.startsWith(prefix) ? rename(full.slice(prefix.length)) : undefined;
        if (name !== undefined && Object.hasOwn(targets, name)) hits++;
      }
      if (hits > most) [best, most] = [prefix, hits];
    }
  }
  return best;
}

/** What is missing, unexpected and of another shape; undefined where all fits. */
export function problemOf({ missing, unexpected, mismatched }: WeightReport): string | undefined {
  if (missing.length + unexpected.length + mismatched.length === 0) return undefined;
  const list = (names: readonly string[]): string =>
    names.slice(0, 10).join(', ') + (names.length > 10 ? ` and ${names.length - 10} more` : '');
  const shapes = mismatched.map(
    ({ name, expected, found }) => `${name} is ${formatType(found)}, expected ${formatType(expected)}`,
  );
  const parts = [
    ...(missing.length > 0 ? [`missing: ${list(missing)}`] : []),
    ...(unexpected.length > 0 ? [`unexpected: ${list(unexpected)}`] : []),
    ...(shapes.length > 0 ? [`of another shape: ${list(shapes)}`] : []),
  ];
  return parts.join('; ');
}
