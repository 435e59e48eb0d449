import { gradients } from '../autodiff/gradients.js';
import { getDevice } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import { assign, trace } from '../graph/trace.js';
import type { Module } from '../nn/module.js';
import { sum } from '../ops/broadcast.js';
import { mul, sub } from '../ops/elementwise.js';
import { CpuDevice, type ProgramMemory } from '../runtime/cpu-device.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';
import { checkInput, type InputOptions } from './trace-network.js';

export interface ModelMemoryOptions extends InputOptions {
  /** Examples at once; default 1. */
  readonly batch?: number;
}

/** What the programs of a model need at their peak, parameters included. */
export interface ModelMemory {
  readonly batch: number;
  /** The output in evaluation mode. */
  readonly forward: ProgramMemory;
  /** Output, gradients of all parameters and their update by plain gradient descent; optimizers with state need that on top. */
  readonly training: ProgramMemory;
}

/**
 * The memory of a model's programs on the current device for inputs of shape `inputShape` (without the batch axis), as its plan for
 * them says. Nothing runs.
 *
 * @throws ShapeError of the layer that does not fit; GaborError where the current device is not a cpu device.
 */
export function modelMemory(model: Module, inputShape: Shape, options: ModelMemoryOptions = {}): ModelMemory {
  const { batch = 1, ...rest } = options;
  checkOptions('modelMemory', options, ['batch', 'dtype', 'dataFormat']);
  if (!(Number.isSafeInteger(batch) && batch > 0)) {
    throw new OptionError(`modelMemory: batch must be a whole number of at least 1, got ${batch}`);
  }
  const device = getDevice();
  if (!(device instanceof CpuDevice)) {
    throw new GaborError(`modelMemory: only cpu devices plan their memory, the current one is ${device.name}`);
  }
  const dtype = checkInput('modelMemory', model, inputShape, rest);
  const graphOf = (training: boolean, results: (y: Tensor) => readonly Tensor[]): Graph =>
    trace((graph) => {
      const x = Tensor.fromTraced(graph.addInput({ dtype, shape: [batch, ...inputShape] }));
      return inMode(model, training, () => results(model.call(x)));
    }).graph;
  const forward = graphOf(false, (y) => [y]);
  const training = graphOf(true, (y) => {
    const parameters = model.parameters();
    if (parameters.length === 0) return [y];
    const slopes = gradients(sum(mul(y, y)), parameters);
    parameters.forEach((parameter, i) => {
      assign(parameter, sub(parameter, mul(slopes[i], 1e-3)));
    });
    return [y];
  });
  return { batch, forward: device.memoryOf(forward), training: device.memoryOf(training) };
}
