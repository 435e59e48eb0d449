import { defined, type Json, type LayerConfig } from '../../nn/config.js';
import { Module, registerModule } from '../../nn/index.js';
import { concat } from '../../ops/concat.js';
import { add, mul } from '../../ops/elementwise.js';
import { checkOptions, OptionError } from '../../tensor/errors.js';
import type { Tensor } from '../../tensor/tensor.js';

/** How the parts of a {@link Block} are connected. */
export interface Wiring {
  /** Chains of parts, each from the block's input; an empty one is the input itself. Where two begin alike, that runs once. */
  readonly branches: readonly (readonly string[])[];
  /** How the ends of the branches become one: `concat` joins channels. */
  readonly merge: 'sum' | 'product' | 'concat';
  /** Parts after that, in order. */
  readonly after?: readonly string[];
}

/** The kinds of blocks there are, under the names that papers and torchvision give them. */
const KINDS = [
  'BasicBlock',
  'Bottleneck',
  'DenseLayer',
  'Fire',
  'InceptionBlock',
  'InvertedResidual',
  'MBConv',
  'SqueezeExcitation',
  'TemporalBlock',
] as const;

/** What a block of a network computes. */
export type BlockKind = (typeof KINDS)[number];

const MERGES: Readonly<Record<Wiring['merge'], (ends: readonly Tensor[]) => Tensor>> = {
  sum: (ends) => ends.reduce((total, end) => add(total, end)),
  product: (ends) => ends.reduce((total, end) => mul(total, end)),
  concat: (ends) => concat(ends, 1),
};

/**
 * Named parts in branches that are joined: every building block of the networks here is one, so that its parts have the names (and
 * `state_dict` keys) of the original, and its configuration holds those of its parts.
 */
export class Block extends Module {
  readonly type: BlockKind;
  readonly wiring: Wiring;

  constructor(kind: BlockKind, parts: Readonly<Record<string, Module>>, wiring: Wiring) {
    super();
    this.type = kind;
    this.wiring = wiring;
    for (const [name, part] of Object.entries(parts)) this.child(name, part);
    if (!Object.hasOwn(MERGES, wiring.merge)) {
      const known = Object.keys(MERGES).join(', ');
      throw new OptionError(`${kind}: merge must be one of ${known}, got ${JSON.stringify(wiring.merge)}`);
    }
    for (const name of [...wiring.branches.flat(), ...(wiring.after ?? [])]) {
      if (!Object.hasOwn(parts, name)) throw new OptionError(`${kind}: the wiring names "${name}", which is no part`);
    }
  }

  forward(x: Tensor): Tensor {
    const parts = new Map(this.namedChildren());
    const known = new Map<string, Tensor>();
    const ends = this.wiring.branches.map((branch) => {
      let y = x;
      let path = '';
      for (const name of branch) {
        path += `/${name}`;
        y = known.get(path) ?? (parts.get(name) as Module).call(y);
        known.set(path, y);
      }
      return y;
    });
    const merged = MERGES[this.wiring.merge](ends);
    return (this.wiring.after ?? []).reduce((y, name) => (parts.get(name) as Module).call(y), merged);
  }

  override config(): LayerConfig {
    const { branches, merge, after } = this.wiring;
    const parts = Object.fromEntries(this.namedChildren().map(([name, part]) => [name, part.config()]));
    return defined({ type: this.type, parts, branches, merge, after });
  }

  static fromConfig(this: void, config: LayerConfig, build: (config: LayerConfig) => Module): Block {
    checkOptions(config.type, config, ['type', 'parts', 'branches', 'merge', 'after']);
    const { branches, merge, after } = config;
    const lists = [...(Array.isArray(branches) ? branches : [undefined]), ...(after === undefined ? [] : [after])];
    if (!lists.every((list) => Array.isArray(list) && list.every((name: Json) => typeof name === 'string'))) {
      throw new OptionError(`${config.type}: branches must be lists of names of parts, and so must "after"`);
    }
    const parts = partsOfConfig(config, build);
    return new Block(config.type as BlockKind, parts, { branches, merge, after } as unknown as Wiring);
  }
}

/** The modules under `parts` of a configuration. */
export function partsOfConfig(
  { type, parts }: LayerConfig,
  build: (config: LayerConfig) => Module,
): Record<string, Module> {
  if (typeof parts !== 'object' || parts === null || Array.isArray(parts)) {
    throw new OptionError(`${type}: parts must be configurations by name, got ${JSON.stringify(parts)}`);
  }
  return Object.fromEntries(Object.entries(parts).map(([name, part]) => [name, build(part as LayerConfig)]));
}

for (const kind of KINDS) registerModule(kind, Block.fromConfig);
