import { getDevice } from '../graph/device.js';
import type { Module } from '../nn/module.js';
import { CpuDevice } from '../runtime/cpu-device.js';
import type { TunedContraction } from '../runtime/tuner.js';
import { checkOptions, GaborError, OptionError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { forwardGraph, trainingGraph } from './program-graphs.js';
import { checkInput, type InputOptions } from './trace-network.js';

/** Options of {@link tuneModel}. */
export interface TuneOptions extends InputOptions {
  /** Examples at once; default 1. Every batch size is measured by itself. */
  readonly batch?: number;
  /** Contractions of a training step instead of evaluation; default false. */
  readonly training?: boolean;
}

/**
 * Measures on the current device which schedules are fastest for the contractions of a model, for inputs of shape `inputShape` (without the
 * batch axis), and keeps the result in the cache. Contractions come in the order of the program; what is too small to be measured is not among them.
 *
 * @throws ShapeError of the layer that does not fit; GaborError where the current device is not a cpu device with `tune: true`.
 */
export function tuneModel(model: Module, inputShape: Shape, options: TuneOptions = {}): TunedContraction[] {
  const { batch = 1, training = false, ...rest } = options;
  checkOptions('tuneModel', options, ['batch', 'training', 'dtype', 'dataFormat']);
  if (!(Number.isSafeInteger(batch) && batch > 0)) {
    throw new OptionError(`tuneModel: batch must be a whole number of at least 1, got ${batch}`);
  }
  const device = getDevice();
  if (!(device instanceof CpuDevice)) {
    throw new GaborError(`tuneModel: only cpu devices can be tuned, the current one is ${device.name}`);
  }
  const input = { dtype: checkInput('tuneModel', model, inputShape, rest), shape: [batch, ...inputShape] };
  return device.tune(training ? trainingGraph(model, input) : forwardGraph(model, input));
}
