import { ConvNd, ConvTransposeNd, Embedding, init, Linear, type Module } from '../../nn/index.js';
import type { Random } from '../../tensor/random.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Draws initial weights. */
export type WeightRule = (weight: Tensor, random: Random | undefined) => void;

/** How weights of each kind of layer start; layers without a rule as PyTorch's do by default. With a rule biases are zeros. */
export interface InitialWeights {
  readonly conv?: WeightRule;
  readonly linear?: WeightRule;
}

/** He et al., 2015, for the gradients: normal, 2 / fan out. What torchvision draws convolutions from. */
export const heFanOut: WeightRule = (weight, random) => {
  init.kaimingNormal(weight, { mode: 'fan_out', nonlinearity: 'relu', random });
};

/** He et al., 2015, for the activations: normal, 2 / fan in. */
export const heFanIn: WeightRule = (weight, random) => {
  init.kaimingNormal(weight, { nonlinearity: 'relu', random });
};

/** Normal with a fixed deviation. */
export function normalWeights(deviation: number): WeightRule {
  return (weight, random) => {
    init.normal(weight, 0, deviation, random);
  };
}

/** Makes a model and draws its weights by the rules, each once. */
export function initialized<M extends Module>(
  { random }: { readonly random?: Random },
  rules: InitialWeights,
  make: () => M,
): M {
  const model = init.skipInit(make);
  initialize(model, rules, random);
  return model;
}

/** Draws the weights of a module and all below. */
export function initialize(model: Module, rules: InitialWeights, random?: Random): void {
  for (const module of model.modules()) {
    if (module instanceof ConvNd || module instanceof ConvTransposeNd) draw(module, rules.conv, random);
    else if (module instanceof Linear) draw(module, rules.linear, random);
    else if (module instanceof Embedding) init.normal(module.weight, 0, 1, random);
  }
}

function draw(
  { weight, bias }: { readonly weight: Tensor; readonly bias: Tensor | undefined },
  rule: WeightRule | undefined,
  random: Random | undefined,
): void {
  if (rule === undefined) {
    init.defaultInit(weight, bias, random);
  } else {
    rule(weight, random);
    if (bias !== undefined) init.constant(bias, 0);
  }
}
