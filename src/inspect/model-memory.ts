import { getDevice } from '../graph/device.js';
import type { Graph } from '../graph/graph.js';
import type { Module } from '../nn/module.js';
import { CpuDevice, type ProgramMemory } from '../runtime/cpu-device.js';
import { checkOptions, GaborError, OptionError, ShapeError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { forwardGraph, type ProgramInput, trainingGraph } from './program-graphs.js';
import { checkInput, type InputOptions } from './trace-network.js';

/** Options of {@link modelMemory}. */
export interface ModelMemoryOptions extends InputOptions {
  /** Examples at once; default 1. */
  readonly batch?: number;
}

/** What the programs of a model need at their peak, parameters included. */
export interface ModelMemory {
  readonly batch: number;
  /** The output in evaluation mode. */
  readonly forward: ProgramMemory;
  /**
   * Output, gradients of all parameters and their update by plain gradient descent; optimizers with state need that on top. Undefined where
   * so few examples cannot be trained on (batch normalisation of one value per channel).
   */
  readonly training: ProgramMemory | undefined;
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
  const input = { dtype: checkInput('modelMemory', model, inputShape, rest), shape: [batch, ...inputShape] };
  const forward = device.memoryOf(forwardGraph(model, input));
  const training = trainingGraphOf(model, input);
  return { batch, forward, training: training && device.memoryOf(training) };
}

/** Undefined where so few examples cannot be trained on. */
function trainingGraphOf(model: Module, input: ProgramInput): Graph | undefined {
  try {
    return trainingGraph(model, input);
  } catch (error) {
    if (error instanceof ShapeError) return undefined;
    throw error;
  }
}
