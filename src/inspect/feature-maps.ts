import { compile } from '../graph/compile.js';
import { ConvNd } from '../nn/layers/conv.js';
import { type Module, withForwardHook } from '../nn/module.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';

/** What one layer put out for one example. */
export interface FeatureMap {
  /** As in `namedModules()`. */
  readonly layer: string;
  /** [channels, …spatial] */
  readonly shape: Shape;
  /** Row-major. */
  readonly data: Float32Array;
}

/** The weights of a convolution. */
export interface Filters {
  readonly layer: string;
  /** [out, in / groups, …kernel] */
  readonly shape: Shape;
  readonly data: Float32Array;
}

/**
 * The outputs of every convolution for one example, in evaluation mode and in the order of their calls. The model runs once, as
 * one program that returns them beside its result.
 *
 * @param x f32 [1, channels, height, width], normalised
 * @param wanted which modules; default: convolutions
 */
export async function featureMaps(
  model: Module,
  x: Tensor,
  wanted: (module: Module) => boolean = (module) => module instanceof ConvNd,
): Promise<FeatureMap[]> {
  const names: string[] = [];
  const program = compile((input: Tensor): Tensor[] => {
    const found: Tensor[] = [];
    const collect = ({ name, module, output }: { name: string; module: Module; output: Tensor }): void => {
      if (!wanted(module)) return;
      names.push(name);
      found.push(output);
    };
    inMode(model, false, () => withForwardHook(collect, () => model.call(input)));
    return found;
  });
  try {
    const outputs = await program(x);
    return outputs.map((output, i) => {
      using tensor = output;
      return { layer: names[i], shape: tensor.shape.slice(1), data: Float32Array.from(tensor.data()) };
    });
  } finally {
    program.dispose();
  }
}

/** The weights of the first convolution, or undefined where there is none. */
export function firstFilters(model: Module): Filters | undefined {
  const found = model.namedModules().find(([, module]) => module instanceof ConvNd);
  if (found === undefined) return undefined;
  const { weight } = found[1] as ConvNd;
  return { layer: found[0], shape: weight.shape, data: Float32Array.from(weight.data()) };
}
