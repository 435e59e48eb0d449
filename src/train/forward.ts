import { type Compiled, compile } from '../graph/compile.js';
import { trace } from '../graph/trace.js';
import { InputSized } from '../nn/layers/lazy.js';
import type { Module } from '../nn/module.js';
import { add, exp, log, maximum, mul, sub } from '../ops/elementwise.js';
import { flip } from '../ops/flip.js';
import { logSoftmax } from '../ops/softmax.js';
import type { DType } from '../tensor/dtype.js';
import { ShapeError } from '../tensor/errors.js';
import { formatShape, type Shape } from '../tensor/shape.js';
import { Tensor } from '../tensor/tensor.js';

/** Runs `body` with every layer in training or evaluation mode, then puts back the mode each of them had. */
export function inMode<T>(model: Module, training: boolean, body: () => T): T {
  const before = model.namedModules().map(([, module]) => [module, module.training] as const);
  for (const [module] of before) module.training = training;
  try {
    return body();
  } finally {
    for (const [module, mode] of before) module.training = mode;
  }
}

/**
 * Makes the parameters of lazy layers, with the channels that they get from one input of shape `inputShape` (without the batch
 * axis). Traces the model in evaluation mode; nothing runs. Does nothing where all layers know their channels. `fit` and `summary`
 * do it by themselves; it is for what wants the parameters before: optimizers, loading, listing.
 *
 * @example
 * const model = new Sequential(new LazyConv2d(8, 3), new Flatten(), new LazyLinear(10));
 * initializeLazy(model, [3, 32, 32]);
 * @throws ShapeError of the layer that does not fit
 */
export function initializeLazy(model: Module, inputShape: Shape, dtype: DType = 'f32'): void {
  if (model.modules().every((module) => !(module instanceof InputSized) || module.initialized)) return;
  trace((graph) => {
    const x = Tensor.fromTraced(graph.addInput({ dtype, shape: [1, ...inputShape] }));
    return inMode(model, false, () => [model.call(x)]);
  });
}

/**
 * What a classifier makes of images and of their mirror images together, in evaluation mode: logits whose softmax is the mean of both
 * probabilities. Mirrored predictions are old: Krizhevsky, Sutskever and Hinton, NIPS 2012, section 4.1.
 *
 * @param x [n, channels, height, width]
 * @throws ShapeError for other inputs, and for outputs that are not [n, classes].
 */
function mirroredLogits(model: Module, x: Tensor): Tensor {
  if (x.rank !== 4) {
    throw new ShapeError(
      `mirrored: only images, [n, channels, height, width], can be mirrored; got ${formatShape(x.shape)}`,
    );
  }
  const logits = [x, flip(x, 3)].map((images) => model.call(images));
  const { shape } = logits[0];
  if (shape.length !== 2) {
    throw new ShapeError(
      `mirrored: is for models with one row of class scores for each image; this one returned ${formatShape(shape)}`,
    );
  }
  const [a, b] = logits.map((each) => logSoftmax(each, 1));
  const most = maximum(a, b);
  return add(most, log(mul(add(exp(sub(a, most)), exp(sub(b, most))), 0.5)));
}

const programs = {
  plain: new WeakMap<Module, Compiled<[Tensor], Tensor>>(),
  mirrored: new WeakMap<Module, Compiled<[Tensor], Tensor>>(),
};

/**
 * The program that computes a model's logits in evaluation mode, [n, …] → [n, classes]; made once per model and input
 * shape, however often the model is evaluated. The model's own modes stay as they are.
 *
 * @param mirrored of images and their mirror images together
 */
export function forwardProgram(model: Module, mirrored = false): Compiled<[Tensor], Tensor> {
  const made = mirrored ? programs.mirrored : programs.plain;
  let program = made.get(model);
  if (program === undefined) {
    program = compile((x: Tensor) => inMode(model, false, () => (mirrored ? mirroredLogits(model, x) : model.call(x))));
    made.set(model, program);
  }
  return program;
}

const judged = new WeakMap<Module, Map<unknown, Compiled<[Tensor, Tensor], unknown>>>();

/** The program that computes `judge` of a model's outputs and targets in evaluation mode; one per model, `key` and shapes. */
export function evaluationProgram<R>(
  model: Module,
  key: unknown,
  judge: (output: Tensor, target: Tensor) => R,
): Compiled<[Tensor, Tensor], R> {
  let ofModel = judged.get(model);
  if (ofModel === undefined) {
    ofModel = new Map();
    judged.set(model, ofModel);
  }
  let program = ofModel.get(key) as Compiled<[Tensor, Tensor], R> | undefined;
  if (program === undefined) {
    program = compile((x: Tensor, target: Tensor) => inMode(model, false, () => judge(model.call(x), target)));
    ofModel.set(key, program);
  }
  return program;
}

/** Frees the memory of a model's evaluation programs before the garbage collector does. */
export function releasePrograms(model: Module): void {
  for (const made of Object.values(programs)) {
    made.get(model)?.dispose();
    made.delete(model);
  }
  for (const program of judged.get(model)?.values() ?? []) program.dispose();
  judged.delete(model);
}

/** Throws unless `logits` is one row of class scores for each of `rows` images. */
export function checkLogits(where: string, logits: Tensor, rows: number, classes?: number): void {
  const { shape } = logits;
  if (shape.length !== 2 || shape[0] !== rows || (classes !== undefined && shape[1] !== classes)) {
    throw new ShapeError(
      `${where}: for ${rows} images${classes === undefined ? '' : ` of ${classes} classes`} the model must return one row of class scores each, ${formatShape([rows, classes ?? Number.NaN]).replace('NaN', 'classes')}; it returned ${formatShape(shape)}`,
    );
  }
}
