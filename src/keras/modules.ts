import { assign, withScope } from '../graph/trace.js';
import { checkCount, type Json, type LayerConfig } from '../nn/config.js';
import { defaultRandom } from '../nn/init.js';
import { Module } from '../nn/module.js';
import { registerModule } from '../nn/registry.js';
import { iota, ones, tensor, zeros } from '../ops/create.js';
import { fromChannelsFirst, toChannelsFirst } from '../ops/data-format.js';
import { add, cos, div, log, maximum, mul, neg, relu, sqrt, sub } from '../ops/elementwise.js';
import { batchNorm, batchNormInference } from '../ops/normalization.js';
import { uniform } from '../ops/random.js';
import { transpose } from '../ops/transpose.js';
import { checkOptions, OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import { applyOperation, checkOperation } from './operations.js';
import { KerasBidirectional, KerasTimeDistributed, type MergeMode, recurrentFromConfig } from './recurrent-modules.js';

// What Keras has and `nn/` has not: modules of several inputs, and layers that differ from PyTorch's.

/** A module of any number of tensors. */
export abstract class ManyModule extends Module {
  /** All outputs, in order. */
  abstract outputsOf(inputs: readonly Tensor[]): Tensor[];

  forward(x: Tensor): Tensor {
    const outputs = this.outputsOf([x]);
    if (outputs.length !== 1) {
      throw new OptionError(`${this.type}: has ${outputs.length} outputs; call outputsOf([x]), which returns them all`);
    }
    return outputs[0];
  }
}

/** Calls a module with as many tensors as it takes; `name` is the one in messages. */
export function callModule(name: string, module: Module, inputs: readonly Tensor[]): Tensor[] {
  if (module instanceof ManyModule && inputs.length !== 1) return withScope(name, () => module.outputsOf(inputs));
  if (inputs.length !== 1) {
    throw new OptionError(`layer "${name}" (${module.type}) takes one tensor, got ${inputs.length}`);
  }
  if (module instanceof KerasGraph) return withScope(name, () => module.outputsOf(inputs));
  return [module.call(inputs[0])];
}

/** A layer that knows [batch, channels, …spatial] alone, on [batch, …spatial, channels]. */
export class ChannelsLast extends Module {
  readonly type = 'ChannelsLast';
  readonly layer: Module;

  constructor(layer: Module) {
    super();
    this.layer = this.child('layer', layer);
  }

  forward(x: Tensor): Tensor {
    return fromChannelsFirst(this.layer.call(toChannelsFirst(x, 'channels-last')), 'channels-last');
  }

  override config(): LayerConfig {
    return { type: this.type, layer: this.layer.config() };
  }
}

/** A function without parameters, by its name in `operations.ts`. */
export class Operation extends ManyModule {
  readonly type = 'KerasOperation';
  readonly operation: string;
  readonly options: Readonly<Record<string, Json>>;

  constructor(operation: string, options: Readonly<Record<string, Json>> = {}) {
    super();
    checkOperation(operation);
    this.operation = operation;
    this.options = options;
  }

  outputsOf(inputs: readonly Tensor[]): Tensor[] {
    return [applyOperation(this.operation, inputs, this.options)];
  }

  override config(): LayerConfig {
    return { type: this.type, operation: this.operation, options: this.options };
  }
}

/**
 * Batch normalisation along any axis, with Keras's running statistics: momentum is the weight of the old ones, and the running
 * variance is the biased one of the batches (PyTorch's is unbiased).
 */
export class KerasBatchNormalization extends Module {
  readonly type = 'KerasBatchNormalization';
  readonly numFeatures: number;
  readonly axis: number;
  readonly momentum: number;
  readonly epsilon: number;
  /** Use the running statistics in training, too, as Keras does where a layer is not trainable. */
  frozen = false;
  readonly gamma: Tensor;
  readonly beta: Tensor;
  readonly movingMean: Tensor;
  readonly movingVariance: Tensor;

  constructor(numFeatures: number, axis: number, momentum: number, epsilon: number) {
    super();
    checkCount('BatchNormalization', 'features', numFeatures);
    checkCount('BatchNormalization', 'axis', axis);
    this.numFeatures = numFeatures;
    this.axis = axis;
    this.momentum = momentum;
    this.epsilon = epsilon;
    this.gamma = this.parameter('gamma', ones([numFeatures]));
    this.beta = this.parameter('beta', zeros([numFeatures]));
    this.movingMean = this.buffer('moving_mean', zeros([numFeatures]));
    this.movingVariance = this.buffer('moving_variance', ones([numFeatures]));
  }

  forward(x: Tensor): Tensor {
    const order = x.shape.map((_, axis) => axis).filter((axis) => axis !== this.axis);
    order.splice(1, 0, this.axis);
    const back = order.map((_, axis) => order.indexOf(axis));
    return transpose(this.#normalize(transpose(x, order)), back);
  }

  #normalize(x: Tensor): Tensor {
    const { gamma: weight, beta: bias, movingMean, movingVariance, momentum, epsilon: eps, type } = this;
    if (!this.training || this.frozen) {
      return batchNormInference(x, { mean: movingMean, variance: movingVariance }, { weight, bias }, { eps }, type);
    }
    const { y, mean, variance } = batchNorm(x, { weight, bias }, { eps }, type);
    assign(movingMean, add(mul(movingMean, momentum), mul(mean, 1 - momentum)));
    assign(movingVariance, add(mul(movingVariance, momentum), mul(variance, 1 - momentum)));
    return y;
  }

  override config(): LayerConfig {
    const { type, numFeatures, axis, momentum, epsilon } = this;
    return { type, numFeatures, axis, momentum, epsilon };
  }
}

/** (x − mean) / deviation with statistics of the data along some axes, which are not trained; or the way back. */
export class KerasNormalization extends Module {
  readonly type = 'KerasNormalization';
  /** of the statistics, with an extent of one for every axis that they do not depend on */
  readonly statisticsShape: Shape;
  readonly invert: boolean;
  readonly mean: Tensor;
  readonly variance: Tensor;
  /** How many examples the statistics are of; nothing depends on it. */
  readonly count: Tensor;

  constructor(statisticsShape: Shape, invert: boolean) {
    super();
    this.statisticsShape = [...statisticsShape];
    this.invert = invert;
    this.mean = this.buffer('mean', zeros(statisticsShape));
    this.variance = this.buffer('variance', ones(statisticsShape));
    this.count = this.buffer('count', zeros([], 'i32'));
  }

  forward(x: Tensor): Tensor {
    // As Keras, which keeps the deviation away from zero rather than adding to the variance.
    const deviation = maximum(sqrt(this.variance), 1e-7);
    return this.invert ? add(mul(x, deviation), this.mean) : div(sub(x, this.mean), deviation);
  }

  override config(): LayerConfig {
    return { type: this.type, statisticsShape: this.statisticsShape, invert: this.invert };
  }
}

/** x where positive, alpha · x elsewhere, with a trained alpha for every element, or shared along axes of extent one. */
export class KerasPReLU extends Module {
  readonly type = 'KerasPReLU';
  readonly alphaShape: Shape;
  readonly alpha: Tensor;

  constructor(alphaShape: Shape) {
    super();
    this.alphaShape = [...alphaShape];
    this.alpha = this.parameter('alpha', zeros(alphaShape));
  }

  forward(x: Tensor): Tensor {
    return sub(relu(x), mul(relu(neg(x)), this.alpha));
  }

  override config(): LayerConfig {
    return { type: this.type, alphaShape: this.alphaShape };
  }
}

/** Adds normal noise in training (Box and Muller, 1958); like dropout it counts steps in a state of its own. */
export class KerasGaussianNoise extends Module {
  readonly type = 'KerasGaussianNoise';
  readonly stddev: number;
  /** i32[2]: key and step */
  readonly state: Tensor;

  constructor(stddev: number) {
    super();
    this.stddev = stddev;
    const random = defaultRandom();
    const key = (random.integer(2 ** 16) << 16) | random.integer(2 ** 16);
    this.state = this.randomState('state', tensor(Int32Array.of(key, 0)));
  }

  forward(x: Tensor): Tensor {
    if (!this.training || this.stddev === 0) return x;
    const radius = sqrt(mul(log(sub(1, uniform(this.state, x.shape))), -2));
    const second = add(this.state, tensor(Int32Array.of(1, 0)));
    const angle = mul(uniform(second, x.shape), 2 * Math.PI);
    assign(this.state, add(this.state, iota([2])));
    return add(x, mul(mul(radius, cos(angle)), this.stddev));
  }

  override config(): LayerConfig {
    return { type: this.type, stddev: this.stddev };
  }
}

/** One call of a layer in a {@link KerasGraph}; tensors are numbered. */
export interface GraphStep {
  readonly layer: string;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** the mode of the layer in this call; default: that of the graph */
  readonly training?: boolean;
}

/** What a {@link KerasGraph} consists of: layers by name, their calls in order, and which tensors come in and go out. */
export interface GraphPlan {
  readonly layers: Readonly<Record<string, Module>>;
  readonly steps: readonly GraphStep[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** A directed graph of layers: what Keras's functional interface describes. Its children have the names of the layers. */
export class KerasGraph extends ManyModule {
  readonly type = 'KerasGraph';
  readonly plan: GraphPlan;

  constructor(plan: GraphPlan) {
    super();
    this.plan = plan;
    for (const [name, module] of Object.entries(plan.layers)) this.child(name, module);
    const known = new Set(plan.inputs);
    for (const { layer, inputs, outputs } of plan.steps) {
      if (!Object.hasOwn(plan.layers, layer) || !inputs.every((id) => known.has(id))) {
        throw new OptionError(`KerasGraph: the call of "${layer}" uses a layer or a tensor that is not there`);
      }
      for (const id of outputs) known.add(id);
    }
    if (!plan.outputs.every((id) => known.has(id))) throw new OptionError('KerasGraph: an output is never computed');
  }

  outputsOf(inputs: readonly Tensor[]): Tensor[] {
    const { plan } = this;
    if (inputs.length !== plan.inputs.length) {
      throw new OptionError(`KerasGraph: takes ${plan.inputs.length} tensors, got ${inputs.length}`);
    }
    const values = new Map<number, Tensor>(plan.inputs.map((id, i) => [id, inputs[i]]));
    for (const step of plan.steps) {
      const module = plan.layers[step.layer];
      const given = step.inputs.map((id) => values.get(id) as Tensor);
      const call = (): Tensor[] => callModule(step.layer, module, given);
      const results = step.training === undefined ? call() : inMode(module, step.training, call);
      step.outputs.forEach((id, i) => {
        values.set(id, results[i]);
      });
    }
    return plan.outputs.map((id) => values.get(id) as Tensor);
  }

  override config(): LayerConfig {
    const { layers, steps, inputs, outputs } = this.plan;
    return {
      type: this.type,
      layers: Object.fromEntries(Object.entries(layers).map(([name, module]) => [name, module.config()])),
      steps: steps.map((step) => ({ ...step })),
      inputs,
      outputs,
    };
  }
}

function register(type: string, known: readonly string[], make: (config: LayerConfig, build: Build) => Module): void {
  registerModule(type, (config, build) => {
    checkOptions(type, config, ['type', ...known]);
    return make(config, build);
  });
}

type Build = (config: LayerConfig) => Module;

register('ChannelsLast', ['layer'], (c, build) => new ChannelsLast(build(c.layer as LayerConfig)));
register('KerasOperation', ['operation', 'options'], (c) => {
  return new Operation(c.operation as string, c.options as Readonly<Record<string, Json>>);
});
register('KerasBatchNormalization', ['numFeatures', 'axis', 'momentum', 'epsilon'], (c) => {
  return new KerasBatchNormalization(
    ...([c.numFeatures, c.axis, c.momentum, c.epsilon] as [number, number, number, number]),
  );
});
register('KerasNormalization', ['statisticsShape', 'invert'], (c) => {
  return new KerasNormalization(c.statisticsShape as Shape, c.invert as boolean);
});
register('KerasPReLU', ['alphaShape'], (c) => new KerasPReLU(c.alphaShape as Shape));
register('KerasGaussianNoise', ['stddev'], (c) => new KerasGaussianNoise(c.stddev as number));
registerModule('KerasRecurrent', recurrentFromConfig);
register('KerasBidirectional', ['mergeMode', 'forward', 'backward'], (c, build) => {
  const [forward, backward] = [c.forward, c.backward].map((part) => build(part as LayerConfig));
  return new KerasBidirectional(forward, backward, c.mergeMode as MergeMode);
});
register('KerasTimeDistributed', ['layer'], (c, build) => new KerasTimeDistributed(build(c.layer as LayerConfig)));
register('KerasGraph', ['layers', 'steps', 'inputs', 'outputs'], (c, build) => {
  const layers = Object.entries(c.layers as Record<string, LayerConfig>);
  return new KerasGraph({
    layers: Object.fromEntries(layers.map(([name, layer]) => [name, build(layer)])),
    steps: c.steps as unknown as GraphStep[],
    inputs: c.inputs as number[],
    outputs: c.outputs as number[],
  });
});
