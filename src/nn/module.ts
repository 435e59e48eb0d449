import { currentScope, withScope } from '../graph/trace.js';
import { GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape, sameShape } from '../tensor/shape.js';
import { INSPECT, Tensor, tensorOf } from '../tensor/tensor.js';
import type { LayerConfig } from './config.js';
import type { Signature, signature } from './signature.js';

/** Contents for one entry of a state: a tensor, or what a file holds. */
export type StateEntry = Tensor | { readonly shape: Shape; readonly data: ArrayLike<number | bigint> };

export interface LoadOptions {
  /** Throw where names or shapes differ (default); otherwise load what fits and report the rest. */
  readonly strict?: boolean;
}

/** What became of the names that were given to {@link Module.loadStateDict}. */
export interface LoadReport {
  /** expected, but not given */
  readonly missing: string[];
  /** given, but not expected */
  readonly unexpected: string[];
  /** of another shape; left as they were */
  readonly mismatched: string[];
}

/** What a forward hook sees of one call of a module. */
export interface ModuleCall {
  /** path from the outermost `call`, for example `features.0` */
  readonly name: string;
  readonly module: Module;
  readonly input: Tensor;
  readonly output: Tensor;
}

const hooks: ((call: ModuleCall) => void)[] = [];

/**
 * While `body` runs, `hook` sees every call of a module through its parent, or through `call`, inner ones first. Within
 * a traced function the tensors are placeholders that the function may return: this is how feature maps are taken out.
 */
export function withForwardHook<T>(hook: (call: ModuleCall) => void, body: () => T): T {
  hooks.push(hook);
  try {
    return body();
  } finally {
    hooks.splice(hooks.lastIndexOf(hook), 1);
  }
}

// The signature is of the type only: no such property exists. (Beside the class, since `isolatedDeclarations` wants it so.)
export interface Module<S extends Signature = Signature> {
  readonly [signature]: S;
}

/**
 * Base of all layers and networks: a function of one tensor together with its parameters, buffers and children. A
 * subclass names them in its constructor or field initialisers and calls its children in `forward`. `S` says what is known of
 * its channels and rank; by default nothing is.
 *
 * @example
 * class Net extends Module {
 *   readonly type = 'Net';
 *   readonly conv = this.child('conv', new Conv2d(1, 8, 3));
 *   readonly scale = this.parameter('scale', ones([1]));
 *   forward(x: Tensor): Tensor {
 *     return mul(this.conv.call(x), this.scale);
 *   }
 * }
 */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: nobody can read a property whose key does not exist
// biome-ignore lint/correctness/noUnusedVariables: the interface uses it
export abstract class Module<S extends Signature = Signature> {
  /** The name of the layer's kind, as in its configuration. */
  abstract readonly type: string;
  /** Whether layers that differ between training and use (batch normalisation, dropout) train; see {@link train}. */
  training = true;

  /** What it takes: `i32` where that is numbers of words. Default: what its first child takes, otherwise `f32`. */
  get inputDType(): 'f32' | 'i32' {
    return this.namedChildren()[0]?.[1].inputDType ?? 'f32';
  }

  readonly #parameters = new Map<string, Tensor>();
  readonly #buffers = new Map<string, Tensor>();
  readonly #randomStates = new Map<string, Tensor>();
  readonly #children = new Map<string, Module>();
  #name = '';

  /** The layer's function. Callers inside another module use {@link call}, which names the layer in messages. */
  abstract forward(x: Tensor): Tensor;

  /** The layer as JSON-able data from which `moduleFromConfig` makes it again, without its weights. */
  config(): LayerConfig {
    throw new OptionError(`${this.type}: has no config(); override it, and registerModule('${this.type}', …)`);
  }

  /** {@link forward} under the name that the parent gave this module. */
  call(x: Tensor): Tensor {
    return withScope(this.#name, () => {
      try {
        if (!(x instanceof Tensor)) throw new OptionError(`takes a tensor; ${tensorOf(x)}`);
        const output = this.forward(x);
        if (hooks.length > 0) {
          const seen: ModuleCall = { name: currentScope(), module: this, input: x, output };
          for (const hook of [...hooks]) hook(seen);
        }
        return output;
      } catch (error) {
        if (error instanceof ShapeError || error instanceof OptionError) nameLayer(error, this.type, currentScope());
        throw error;
      }
    });
  }

  /** Declares a tensor that training changes. */
  protected parameter(name: string, tensor: Tensor): Tensor {
    this.#parameters.set(this.#checkName(name), tensor);
    return tensor;
  }

  /** Declares a tensor that is saved with the parameters but not trained, for example running statistics. */
  protected buffer(name: string, tensor: Tensor): Tensor {
    this.#buffers.set(this.#checkName(name), tensor);
    return tensor;
  }

  /** Declares the i32[2] state of a random generator that programs advance; part of checkpoints, not of models. */
  protected randomState(name: string, tensor: Tensor): Tensor {
    this.#randomStates.set(this.#checkName(name), tensor);
    return tensor;
  }

  /** Declares a module that `forward` calls. */
  protected child<M extends Module>(name: string, module: M): M {
    if (!(module instanceof Module)) throw new OptionError(`${this.type}: "${name}" is not a module`);
    this.#children.set(this.#checkName(name), module);
    module.#name = name;
    return module;
  }

  /** Throws where parameters do not exist yet; layers that make them at their first call override it. */
  protected checkInitialized(_path: string): void {}

  #checkName(name: string): string {
    if (name === '' || name.includes('.')) {
      throw new OptionError(`${this.type}: "${name}" does not name a part; names are not empty and have no dots`);
    }
    for (const parts of [this.#parameters, this.#buffers, this.#randomStates, this.#children]) {
      if (parts.has(name)) throw new OptionError(`${this.type}: there is a part named "${name}" already`);
    }
    return name;
  }

  /** Direct children, in the order of their declaration. */
  namedChildren(): [string, Module][] {
    return [...this.#children];
  }

  /** This module (named '') and everything below, parents first; a shared module appears once. */
  namedModules(): [string, Module][] {
    const seen = new Set<Module>();
    const found: [string, Module][] = [];
    const visit = (path: string, module: Module): void => {
      if (seen.has(module)) return;
      seen.add(module);
      found.push([path, module]);
      for (const [name, child] of module.#children) visit(path === '' ? name : `${path}.${name}`, child);
    };
    visit('', this);
    return found;
  }

  modules(): Module[] {
    return this.namedModules().map(([, module]) => module);
  }

  /** The module at a path such as `features.0`; '' is this one. */
  submodule(path: string): Module {
    let module: Module = this;
    for (const name of path === '' ? [] : path.split('.')) {
      const child = module.#children.get(name);
      if (child === undefined) {
        const names = [...module.#children.keys()].join(', ') || 'none';
        throw new OptionError(
          `there is no module "${path}": ${module.type} has no child "${name}"; its children: ${names}`,
        );
      }
      module = child;
    }
    return module;
  }

  /** Everything of one kind below this module, with paths; `once` leaves out what an earlier path named already. */
  #collect(pick: (module: Module) => ReadonlyMap<string, Tensor>, once: boolean): [string, Tensor][] {
    const seen = new Set<Tensor>();
    const found: [string, Tensor][] = [];
    const visit = (path: string, module: Module): void => {
      module.checkInitialized(path.slice(0, -1));
      for (const [name, tensor] of pick(module)) {
        if (once && seen.has(tensor)) continue;
        seen.add(tensor);
        found.push([path + name, tensor]);
      }
      for (const [name, child] of module.#children) visit(`${path}${name}.`, child);
    };
    visit('', this);
    return found;
  }

  /** Parameters with their paths; a shared parameter appears once, under its first path. */
  namedParameters(): [string, Tensor][] {
    return this.#collect((module) => module.#parameters, true);
  }

  parameters(): Tensor[] {
    return this.namedParameters().map(([, tensor]) => tensor);
  }

  namedBuffers(): [string, Tensor][] {
    return this.#collect((module) => module.#buffers, true);
  }

  /** States of random generators (dropout), i32[2] each: what a checkpoint needs beside {@link stateDict}. */
  namedRandomStates(): [string, Tensor][] {
    return this.#collect((module) => module.#randomStates, true);
  }

  /** Parameters and buffers (the tensors themselves, not copies) under PyTorch's keys and in its order. */
  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(this.#collect((module) => new Map([...module.#parameters, ...module.#buffers]), false));
  }

  /** Copies contents into parameters and buffers. Nothing is changed when it throws. */
  loadStateDict(state: Readonly<Record<string, StateEntry>>, options: LoadOptions = {}): LoadReport {
    return loadState(`${this.type}.loadStateDict`, this.stateDict(), state, options);
  }

  /** Copies the states of random generators from a checkpoint. */
  loadRandomStates(state: Readonly<Record<string, StateEntry>>, options: LoadOptions = {}): LoadReport {
    return loadState(`${this.type}.loadRandomStates`, Object.fromEntries(this.namedRandomStates()), state, options);
  }

  /** Puts this module and everything below into training mode (or, with false, out of it). */
  train(mode = true): this {
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Puts this module and everything below into the mode for use: `train(false)`. */
  eval(): this {
    return this.train(false);
  }

  /** Tells modes apart in `compile(…, { key: () => model.modeKey() })`: which modules are training. */
  modeKey(): string {
    const flags = this.modules().map((module) => (module.training ? 't' : 'e'));
    return flags.every((flag) => flag === flags[0]) ? flags[0] : flags.join('');
  }

  /** Frees the memory of parameters, buffers and random states. */
  dispose(): void {
    for (const module of this.modules()) {
      for (const parts of [module.#parameters, module.#buffers, module.#randomStates]) {
        for (const tensor of parts.values()) tensor.dispose();
      }
    }
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/** Errors whose message says already which layer they are of. */
const named = new WeakSet<Error>();

/** Puts `Conv2d "features.0": ` in front of an error's message, once, for the innermost layer. */
function nameLayer(error: Error, type: string, scope: string): void {
  if (scope === '' || named.has(error)) return;
  named.add(error);
  // Layers name their kind, operators the path.
  const known = [`in "${scope}": `, `${type}: `].reduce(
    (text, start) => (text.startsWith(start) ? text.slice(start.length) : text),
    error.message,
  );
  error.message = `${type} "${scope}": ${known}`;
}

/** Copies `state` into `target` by name; checks everything before it writes anything. */
export function loadState(
  where: string,
  target: Readonly<Record<string, Tensor>>,
  state: Readonly<Record<string, StateEntry>>,
  options: LoadOptions = {},
): LoadReport {
  const { strict = true } = options;
  const missing = Object.keys(target).filter((name) => !Object.hasOwn(state, name));
  const unexpected = Object.keys(state).filter((name) => !Object.hasOwn(target, name));
  const common = Object.keys(target).filter((name) => Object.hasOwn(state, name));
  const mismatched = common.filter((name) => !sameShape(target[name].shape, state[name].shape));
  if (strict && missing.length + unexpected.length + mismatched.length > 0) {
    const parts = [
      missing.length > 0 ? `missing: ${missing.join(', ')}` : '',
      unexpected.length > 0 ? `unexpected: ${unexpected.join(', ')}` : '',
      ...mismatched.map(
        (name) => `"${name}" is ${formatShape(state[name].shape)}, expected ${formatShape(target[name].shape)}`,
      ),
    ];
    throw new GaborError(`${where}: the state does not fit; ${parts.filter((part) => part !== '').join('; ')}`);
  }
  const writes = common
    .filter((name) => !mismatched.includes(name))
    .map((name): [string, ArrayLike<number | bigint>] => {
      const entry = state[name];
      const data = entry instanceof Tensor ? entry.data() : entry.data;
      if (data.length !== target[name].size) {
        throw new GaborError(
          `${where}: "${name}" holds ${data.length} elements, its shape ${formatShape(entry.shape)} has ${target[name].size}`,
        );
      }
      return [name, data];
    });
  for (const [name, data] of writes) {
    target[name].write(typeof data[0] === 'bigint' ? Array.from(data, Number) : (data as ArrayLike<number>));
  }
  return { missing, unexpected, mismatched };
}

/** The tree of a module's children, as PyTorch prints it. */
function printed(module: Module, indent = ''): string {
  const inner = module
    .namedChildren()
    .map(([name, child]) => `${indent}  (${name}): ${printed(child, `${indent}  `)}\n`);
  return inner.length === 0 ? module.type : `${module.type}(\n${inner.join('')}${indent})`;
}

Object.defineProperty(Module.prototype, INSPECT, {
  value(this: Module): string {
    return printed(this);
  },
});
