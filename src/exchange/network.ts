import type { Module } from '../nn/module.js';
import { OptionError } from '../tensor/errors.js';
import type { Tensor } from '../tensor/tensor.js';

// Modules take one tensor and give one; imported graphs (ONNX, Keras) may take and give several.

interface Many {
  /** All outputs for all inputs, in order. */
  outputsOf(inputs: readonly Tensor[]): Tensor[];
}

/** All outputs of a network, in order; for traced functions. */
export function callNetwork(model: Module, inputs: readonly Tensor[]): Tensor[] {
  if (takesMany(model)) return model.outputsOf(inputs);
  if (inputs.length !== 1) throw new OptionError(`${model.type} takes one tensor, got ${inputs.length}`);
  return [model.call(inputs[0])];
}

function takesMany(model: Module): model is Module & Many {
  return typeof (model as Partial<Many>).outputsOf === 'function';
}
