import { checkOptions, GaborError } from '../tensor/errors.js';
import { formatType } from '../tensor/shape.js';
import type { Storage } from '../tensor/storage.js';
import { Tensor, tensorOf } from '../tensor/tensor.js';
import { type Device, type Executable, getDevice } from './device.js';
import type { Graph } from './graph.js';
import { currentTrace, NESTED, trace } from './trace.js';

/** Arguments and results of compiled functions: tensors, and arrays and plain objects of them. */
export type Tree =
  | Tensor
  | number
  | string
  | boolean
  | undefined
  | null
  | readonly Tree[]
  | { readonly [key: string]: Tree };

/** A function that runs as one program. */
export interface Compiled<Args extends readonly unknown[], Result> {
  /** Runs without blocking the event loop. */
  (...args: Args): Promise<Result>;
  /** Blocks until the result is there; earlier calls that use the same tensors and were not awaited are finished first. */
  sync(...args: Args): Result;
  /** The graph that these arguments lead to, before any pass. */
  graph(...args: Args): Graph;
  /** Frees all programs; a later call compiles again. */
  dispose(): void;
}

/** Options of {@link compile}. */
export interface CompileOptions {
  /**
   * What the function reads beside its arguments and tensors, for example whether a model is in training mode: traced
   * again whenever the text differs.
   */
  readonly key?: () => string;
}

interface Program {
  readonly executable: Executable;
  /** Kept: the storage of a tensor that nobody has any more is disposed of. */
  readonly captured: readonly Tensor[];
  /** Of the captured tensors: looking at hundreds of tensors in every call takes longer than anything else that a call does. */
  readonly storages: readonly Storage[];
  readonly result: Tree;
}

/**
 * Makes one program of a function: traced once for each signature of its arguments (shapes and dtypes of tensors, values
 * of all else), differentiated where it asks, optimised and compiled; later calls only run it. Tensors with data that
 * the function uses from outside (parameters) are read at each call, and `assign` changes them in place.
 */
export function compile<Args extends readonly Tensor[], Result>(
  f: (...args: Args) => Result,
  options?: CompileOptions,
): Compiled<Args, Result>;
export function compile<Args extends readonly unknown[], Result>(
  f: (...args: Args) => Result,
  options?: CompileOptions,
): Compiled<Args, Result>;
export function compile<Args extends readonly unknown[], Result>(
  f: (...args: Args) => Result,
  options: CompileOptions = {},
): Compiled<Args, Result> {
  checkOptions('compile', options, ['key']);
  const programs = new Map<string, Program>();
  const numbers = new Map<Device, number>();

  const record = (args: Args): { graph: Graph; captured: readonly Tensor[]; result: Tree } => {
    let result: Tree;
    const recording = trace((graph) => {
      const inputs = mapTree(args as unknown as Tree, (t) => Tensor.fromTraced(graph.addInput(t.type)));
      result = f(...(inputs as unknown as Args)) as Tree;
      return leaves(result);
    });
    return { graph: recording.graph, captured: [...recording.captured.keys()], result };
  };

  const prepare = (args: Args): { program: Program; inputs: Storage[] } => {
    if (currentTrace() !== undefined) throw new GaborError(NESTED);
    const device = getDevice();
    if (!numbers.has(device)) numbers.set(device, numbers.size);
    const tensors: Tensor[] = [];
    const types = signature(args as unknown as Tree, tensors);
    const key = `${numbers.get(device)}|${JSON.stringify(options.key?.() ?? '')}|${types}`;
    let program = programs.get(key);
    if (program === undefined) {
      const { graph, captured, result } = record(args);
      const storages = captured.map(({ storage }) => storage);
      program = { executable: device.compile(graph), captured, storages, result };
      programs.set(key, program);
    }
    return { program, inputs: [...tensors.map(({ storage }) => storage), ...program.storages] };
  };

  const wrap = (program: Program, storages: readonly Storage[]): Result => {
    let next = 0;
    return mapTree(program.result, () => Tensor.fromStorage(storages[next++])) as unknown as Result;
  };

  const compiled = async (...args: Args): Promise<Result> => {
    const { program, inputs } = prepare(args);
    return wrap(program, await program.executable.run(inputs));
  };
  collected.register(compiled, programs);
  return Object.assign(compiled, {
    sync(...args: Args): Result {
      const { program, inputs } = prepare(args);
      return wrap(program, program.executable.runSync(inputs));
    },
    graph: (...args: Args): Graph => record(args).graph,
    dispose: () => disposeAll(programs),
  });
}

/** The safety net for compiled functions that nobody disposed of. */
const collected = new FinalizationRegistry<Map<string, Program>>(disposeAll);

function disposeAll(programs: Map<string, Program>): void {
  for (const program of programs.values()) program.executable.dispose();
  programs.clear();
}

/** Rebuilds a tree with every tensor replaced, in a fixed order. */
function mapTree(tree: Tree, map: (tensor: Tensor) => Tensor): Tree {
  if (tree instanceof Tensor) return map(tree);
  if (Array.isArray(tree)) return tree.map((child) => mapTree(child, map));
  if (typeof tree === 'object' && tree !== null) {
    if (Object.getPrototypeOf(tree) !== Object.prototype) throw notATree(tensorOf(tree));
    return Object.fromEntries(Object.entries(tree).map(([key, child]) => [key, mapTree(child as Tree, map)]));
  }
  if (!PLAIN.has(typeof tree) && tree !== null) throw notATree(`got a ${typeof tree}`);
  return tree;
}

const PLAIN: ReadonlySet<string> = new Set(['number', 'string', 'boolean', 'undefined']);

function notATree(got: string): GaborError {
  return new GaborError(
    `a compiled function takes and returns tensors, numbers, strings, and arrays and plain objects of them; ${got}`,
  );
}

function leaves(tree: Tree): Tensor[] {
  const found: Tensor[] = [];
  mapTree(tree, (tensor) => {
    found.push(tensor);
    return tensor;
  });
  return found;
}

/**
 * Identifies what tracing depends on; keys and strings are quoted, so that they cannot imitate anything else. The tensors
 * found go into `tensors`, in the order of `mapTree`.
 */
function signature(tree: Tree, tensors: Tensor[]): string {
  if (tree instanceof Tensor) {
    tensors.push(tree);
    return formatType(tree.type);
  }
  if (Array.isArray(tree)) return `[${tree.map((child) => signature(child, tensors)).join(',')}]`;
  if (typeof tree === 'object' && tree !== null) {
    return `{${Object.entries(tree)
      .map(([key, child]) => `${JSON.stringify(key)}:${signature(child as Tree, tensors)}`)
      .join(',')}}`;
  }
  if (Object.is(tree, -0)) return '-0';
  return typeof tree === 'string' ? JSON.stringify(tree) : String(tree);
}
