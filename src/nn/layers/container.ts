import { add } from '../../ops/elementwise.js';
import { checkOptions, OptionError, ShapeError } from '../../tensor/errors.js';
import { formatShape, sameShape } from '../../tensor/shape.js';
import type { Tensor } from '../../tensor/tensor.js';
import { defined, type LayerConfig } from '../config.js';
import { Module } from '../module.js';

type Build = (config: LayerConfig) => Module;

/**
 * Modules one after the other. Children are named `0`, `1`, …, or by the keys of a record.
 *
 * @example new Sequential(new Conv2d(1, 8, 3), new ReLU())
 * @example new Sequential({ conv: new Conv2d(1, 8, 3), act: new ReLU() })
 */
export class Sequential extends Module {
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
    const valid = Array.isArray(names) && names.length === modules.length && new Set(names).size === names.length;
    if (!valid || !names.every((name) => typeof name === 'string')) {
      throw new OptionError(`Sequential: names must be ${modules.length} different strings`);
    }
    return new Sequential(Object.fromEntries(modules.map((module, i) => [names[i], module])));
  }
}

/**
 * The residual block: activation(body(x) + shortcut(x)). Without a shortcut x itself is added, without an activation the
 * sum is the result. Children: `body`, `shortcut`, `activation`.
 *
 * @throws ShapeError where body and shortcut disagree in shape.
 */
export class Residual extends Module {
  readonly type = 'Residual';
  readonly body: Module;
  readonly shortcut: Module | undefined;
  readonly activation: Module | undefined;

  constructor(body: Module, shortcut?: Module | null, activation?: Module | null) {
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
