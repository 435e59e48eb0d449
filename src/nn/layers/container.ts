import { concat } from '../../ops/concat.js';
import { add, div, maximum, mul } from '../../ops/elementwise.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape, sameShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Chain, ChainSignature, Checked } from '../chain.js';
import { defined, type Json, type LayerConfig } from '../config.js';
import { Module } from '../module.js';
import type { Signature } from '../signature.js';

type Build = (config: LayerConfig) => Module;

/**
 * Modules one after the other. Children are named `0`, `1`, …, or by the keys of a record. Types are not checked here, since those
 * of lists and records made by a program say little; {@link sequential} checks.
 *
 * @example new Sequential(new Conv2d(1, 8, 3), new ReLU())
 * @example new Sequential({ conv: new Conv2d(1, 8, 3), act: new ReLU() })
 */
export class Sequential<S extends Signature = Signature> extends Module<S> {
  readonly type = 'Sequential';
  readonly #named: boolean;

  constructor(...modules: readonly Module[] | readonly [Readonly<Record<string, Module>>]) {
    super();
    const [first] = modules;
    this.#named = modules.length === 1 && !(first instanceof Module);
    const entries = this.#named ? Object.entries(first as Readonly<Record<string, Module>>) : Object.entries(modules);
    for (const [name, module] of entries) {
      if (this.#named && /^\d+$/.test(name)) {
        throw new OptionError(
          `Sequential: JavaScript sorts keys that are numbers; name "${name}" otherwise or pass a list`,
        );
      }
      this.child(name, module);
    }
  }

  get length(): number {
    return this.namedChildren().length;
  }

  /** The child at a position; negative ones count from the end. */
  at(index: number): Module {
    const found = this.namedChildren().at(index);
    if (found === undefined) throw new OptionError(`Sequential: there is no child ${index}, only ${this.length}`);
    return found[1];
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.namedChildren()
      .map(([, module]) => module)
      [Symbol.iterator]();
  }

  forward(x: Tensor): Tensor {
    return this.namedChildren().reduce((y, [, module]) => module.call(y), x);
  }

  override config(): LayerConfig {
    const children = this.namedChildren();
    return defined({
      type: this.type,
      names: this.#named ? children.map(([name]) => name) : undefined,
      layers: children.map(([, module]) => module.config()),
    });
  }

  static fromConfig(this: void, config: LayerConfig, build: Build): Sequential {
    checkOptions(config.type, config, ['type', 'names', 'layers']);
    const { names, layers } = config;
    if (!Array.isArray(layers)) throw new OptionError('Sequential: layers must be a list of configurations');
    const modules = layers.map((layer) => build(layer as LayerConfig));
    if (names === undefined) return new Sequential(...modules);
    return new Sequential(namedModules('Sequential', names, modules));
  }
}

/**
 * {@link Sequential}, checked by its types: a layer whose channels or rank do not match what comes before it is an error at this
 * layer in the editor, which says what was expected. The result's type has the channels and rank of the whole. Sizes that a
 * program computes have the type `number` and match everything; they are checked when it runs, as always.
 *
 * @example sequential(new Conv2d(1, 8, 3), new BatchNorm2d(8), new ReLU(), new Conv2d(8, 16, 3))
 */
export function sequential<Layers extends readonly Module[]>(
  ...layers: Checked<Layers, Chain<Layers>>
): Sequential<ChainSignature<Chain<Layers>>> {
  return new Sequential(...(layers as readonly unknown[] as Layers));
}

/**
 * The residual block: activation(body(x) + shortcut(x)). Without a shortcut x itself is added, without an activation the
 * sum is the result. Children: `body`, `shortcut`, `activation`.
 *
 * @throws ShapeError where body and shortcut disagree in shape.
 */
export class Residual<S extends Signature = Signature> extends Module<S> {
  readonly type = 'Residual';
  readonly body: Module<S>;
  readonly shortcut: Module | undefined;
  readonly activation: Module | undefined;

  constructor(body: Module<S>, shortcut?: Module | null, activation?: Module | null) {
    super();
    this.body = this.child('body', body);
    this.shortcut = shortcut ? this.child('shortcut', shortcut) : undefined;
    this.activation = activation ? this.child('activation', activation) : undefined;
  }

  forward(x: Tensor): Tensor {
    const y = this.body.call(x);
    const skipped = this.shortcut ? this.shortcut.call(x) : x;
    if (!sameShape(y.shape, skipped.shape)) {
      const other = this.shortcut ? 'the shortcut' : 'the input';
      const advice = this.shortcut
        ? ''
        : '; give a shortcut, for example a 1×1 convolution with the stride of the body';
      throw new ShapeError(
        `Residual: the body gives ${formatShape(y.shape)}, but ${other} is ${formatShape(skipped.shape)}${advice}`,
      );
    }
    const total = add(y, skipped);
    return this.activation ? this.activation.call(total) : total;
  }

  override config(): LayerConfig {
    const { type, body, shortcut, activation } = this;
    return defined({
      type,
      body: body.config(),
      shortcut: shortcut?.config(),
      activation: activation?.config(),
    });
  }

  static fromConfig(this: void, config: LayerConfig, build: Build): Residual {
    checkOptions(config.type, config, ['type', 'body', 'shortcut', 'activation']);
    const { body, shortcut, activation } = config;
    const optional = (part: typeof body): Module | undefined =>
      part === undefined || part === null ? undefined : build(part as LayerConfig);
    return new Residual(build(body as LayerConfig), optional(shortcut), optional(activation));
  }
}

/**
 * A list of modules whose parameters belong to the module that holds the list; it has no function of its own. Children
 * are named `0`, `1`, …
 *
 * @example readonly blocks = this.child('blocks', new ModuleList([new Linear(4, 4), new Linear(4, 4)]));
 */
export class ModuleList extends Module {
  readonly type = 'ModuleList';

  constructor(modules: readonly Module[] = []) {
    super();
    for (const module of modules) this.append(module);
  }

  append(module: Module): this {
    this.child(String(this.length), module);
    return this;
  }

  get length(): number {
    return this.namedChildren().length;
  }

  /** The child at a position; negative ones count from the end. */
  at(index: number): Module {
    const found = this.namedChildren().at(index);
    if (found === undefined) throw new OptionError(`ModuleList: there is no child ${index}, only ${this.length}`);
    return found[1];
  }

  [Symbol.iterator](): Iterator<Module> {
    return this.namedChildren()
      .map(([, module]) => module)
      [Symbol.iterator]();
  }

  forward(_x: Tensor): Tensor {
    throw new OptionError('ModuleList: has no function of its own; call its modules one by one, or use Sequential');
  }

  override config(): LayerConfig {
    return { type: this.type, layers: this.namedChildren().map(([, module]) => module.config()) };
  }

  static fromConfig(this: void, config: LayerConfig, build: Build): ModuleList {
    checkOptions(config.type, config, ['type', 'layers']);
    if (!Array.isArray(config.layers)) throw new OptionError('ModuleList: layers must be a list of configurations');
    return new ModuleList(config.layers.map((layer) => build(layer as LayerConfig)));
  }
}

/** How {@link Parallel} makes one tensor of the results of its branches. */
export type Merge = 'concat' | 'sum' | 'mean' | 'product' | 'max';

const MERGES: readonly Merge[] = ['concat', 'sum', 'mean', 'product', 'max'];

/** How {@link Parallel} joins its results. */
export interface ParallelOptions {
  /** default `concat`; the others need results of one shape */
  readonly merge?: Merge;
  /** the axis that `concat` joins; default 1, the channels */
  readonly dim?: number;
}

/**
 * Several modules on the same input, their results joined. Children are named `0`, `1`, …, or by the keys of a record.
 *
 * @example new Parallel([new Conv2d(8, 4, 1), new Conv2d(8, 4, 3, { padding: 1 })])
 * @example new Parallel({ main: block, skip: new Identity() }, { merge: 'sum' })
 * @throws ShapeError where the results do not fit together.
 */
export class Parallel<In extends number = number> extends Module<Signature<In, number, number, number>> {
  readonly type = 'Parallel';
  readonly merge: Merge;
  readonly dim: number;
  readonly #named: boolean;

  constructor(
    branches: readonly Module<Signature<In>>[] | Readonly<Record<string, Module<Signature<In>>>>,
    options: ParallelOptions = {},
  ) {
    super();
    checkOptions('Parallel', options, ['merge', 'dim']);
    const { merge = 'concat', dim = 1 } = options;
    if (!MERGES.includes(merge)) {
      const known = MERGES.map((m) => `"${m}"`).join(', ');
      throw new OptionError(`Parallel: merge must be one of ${known}, got ${JSON.stringify(merge)}`);
    }
    if (!Number.isInteger(dim)) throw new OptionError(`Parallel: dim must be the number of an axis, got ${dim}`);
    if (options.dim !== undefined && merge !== 'concat') {
      throw new OptionError(`Parallel: dim belongs to merge "concat", but merge is "${merge}"`);
    }
    this.merge = merge;
    this.dim = dim;
    this.#named = !Array.isArray(branches);
    const entries = Object.entries(branches) as [string, Module][];
    if (entries.length === 0) throw new OptionError('Parallel: needs at least one branch');
    for (const [name, module] of entries) {
      if (this.#named && /^\d+$/.test(name)) {
        throw new OptionError(
          `Parallel: JavaScript sorts keys that are numbers; name "${name}" otherwise or pass a list`,
        );
      }
      this.child(name, module);
    }
  }

  forward(x: Tensor): Tensor {
    const children = this.namedChildren();
    const parts = children.map(([, module]) => module.call(x));
    if (this.merge === 'concat') return concat(parts, this.dim);
    parts.forEach((part, i) => {
      if (!sameShape(part.shape, parts[0].shape)) {
        throw new ShapeError(
          `Parallel: "${children[0][0]}" gives ${formatShape(parts[0].shape)}, but "${children[i][0]}" ${formatShape(part.shape)}; ${this.merge} needs one shape`,
        );
      }
    });
    const join = { sum: add, mean: add, product: mul, max: maximum }[this.merge];
    const joined = parts.reduce((total, part) => join(total, part));
    return this.merge === 'mean' ? div(joined, parts.length) : joined;
  }

  override config(): LayerConfig {
    const children = this.namedChildren();
    return defined({
      type: this.type,
      names: this.#named ? children.map(([name]) => name) : undefined,
      branches: children.map(([, module]) => module.config()),
      merge: this.merge,
      dim: this.merge === 'concat' ? this.dim : undefined,
    });
  }

  static fromConfig(this: void, config: LayerConfig, build: Build): Parallel {
    const { type, names, branches, ...options } = config;
    checkOptions(type, options, ['merge', 'dim']);
    if (!Array.isArray(branches)) throw new OptionError('Parallel: branches must be a list of configurations');
    const modules = branches.map((branch) => build(branch as LayerConfig));
    if (names === undefined) return new Parallel(modules, options as ParallelOptions);
    return new Parallel(namedModules('Parallel', names, modules), options as ParallelOptions);
  }
}

/** Modules under the names of a configuration. */
function namedModules(where: string, names: Json, modules: readonly Module[]): Record<string, Module> {
  const valid = Array.isArray(names) && names.length === modules.length && new Set(names).size === names.length;
  if (!valid || !names.every((name) => typeof name === 'string')) {
    throw new OptionError(`${where}: names must be ${modules.length} different strings`);
  }
  return Object.fromEntries(modules.map((module, i) => [names[i], module]));
}
