import { gradients } from '../autodiff/gradients.js';
import type { Graph } from '../graph/graph.js';
import { assign, trace } from '../graph/trace.js';
import type { Module } from '../nn/module.js';
import { sum } from '../ops/broadcast.js';
import { mul, sub } from '../ops/elementwise.js';
import type { Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';
import { inMode } from '../train/forward.js';

/** The whole input of a model's program. */
export interface ProgramInput {
  readonly dtype: 'f32' | 'i32';
  /** Batch included. */
  readonly shape: Shape;
}

/** The output in evaluation mode. */
export function forwardGraph(model: Module, input: ProgramInput): Graph {
  return graphOf(model, input, false, (y) => [y]);
}

/** Output, gradients of all parameters and their update by plain gradient descent. */
export function trainingGraph(model: Module, input: ProgramInput): Graph {
  return graphOf(model, input, true, (y) => {
    const parameters = model.parameters();
    if (parameters.length === 0) return [y];
    const slopes = gradients(sum(mul(y, y)), parameters);
    parameters.forEach((parameter, i) => {
      assign(parameter, sub(parameter, mul(slopes[i], 1e-3)));
    });
    return [y];
  });
}

function graphOf(
  model: Module,
  { dtype, shape }: ProgramInput,
  training: boolean,
  results: (y: Tensor) => readonly Tensor[],
): Graph {
  return trace((graph) => {
    const x = Tensor.fromTraced(graph.addInput({ dtype, shape }));
    return inMode(model, training, () => results(model.call(x)));
  }).graph;
}
