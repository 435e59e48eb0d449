import type { Json, LayerConfig } from '../../nn/config.js';
import { Module, registerModule } from '../../nn/index.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';
import { partsOfConfig } from './block.js';

/**
 * Parts one after the other, and auxiliary heads that read in between (Szegedy et al., 2015, section 5): they give the lower layers a
 * loss of their own while the network trains, and play no part in what it says. So `forward` leaves them out; {@link outputs} has them.
 */
export class Trunk extends Module {
  readonly type = 'Trunk';
  /** Names of heads, and of the parts after which they read. */
  readonly heads: Readonly<Record<string, string>>;

  constructor(parts: Readonly<Record<string, Module>>, heads: Readonly<Record<string, string>> = {}) {
    super();
    this.heads = heads;
    for (const [name, part] of Object.entries(parts)) this.child(name, part);
    for (const name of Object.entries(heads).flat()) {
      if (!Object.hasOwn(parts, name)) throw new OptionError(`Trunk: the heads name "${name}", which is no part`);
    }
  }

  forward(x: Tensor): Tensor {
    return this.#run(x, undefined);
  }

  /**
   * The result under `out`, and that of every head under its name.
   *
   * @example
   * const { out, aux1, aux2 } = model.outputs(x);
   * const loss = add(crossEntropy(out, y), mul(add(crossEntropy(aux1, y), crossEntropy(aux2, y)), 0.3));
   */
  outputs(x: Tensor): Record<string, Tensor> {
    const results: Record<string, Tensor> = {};
    const out = this.#run(x, results);
    return { out, ...results };
  }

  /** Runs the parts; where `results` are wanted (an object of {@link outputs}) the heads as well. */
  #run(x: Tensor, results: Record<string, Tensor> | undefined): Tensor {
    const children = this.namedChildren();
    const wanted = results === undefined ? [] : Object.entries(this.heads);
    let y = x;
    for (const [name, part] of children) {
      if (Object.hasOwn(this.heads, name)) continue;
      y = part.call(y);
      for (const [head, after] of wanted) {
        if (after === name) (results as Record<string, Tensor>)[head] = this.submodule(head).call(y);
      }
    }
    return y;
  }

  override config(): LayerConfig {
    const parts = Object.fromEntries(this.namedChildren().map(([name, part]) => [name, part.config()]));
    return { type: this.type, parts, heads: this.heads };
  }

  static fromConfig(this: void, config: LayerConfig, build: (config: LayerConfig) => Module): Trunk {
    checkOptions('Trunk', config, ['type', 'parts', 'heads']);
    const { heads } = config;
    const valid = typeof heads === 'object' && heads !== null && !Array.isArray(heads);
    if (!valid || !Object.values(heads).every((name: Json) => typeof name === 'string')) {
      throw new OptionError('Trunk: heads must be names of parts by the names of heads');
    }
    return new Trunk(partsOfConfig(config, build), heads as Record<string, string>);
  }
}

registerModule('Trunk', Trunk.fromConfig);
