import { gradients } from '../autodiff/gradients.js';
import { type Compiled, compile } from '../graph/compile.js';
import type { Module } from '../nn/module.js';
import { sum } from '../ops/broadcast.js';
import { cast, equal } from '../ops/elementwise.js';
import { crossEntropy } from '../ops/losses.js';
import { argmax } from '../ops/reduce.js';
import type { Optimizer } from '../optim/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { checkLogits, inMode } from './forward.js';

export interface StepResult {
  readonly [name: string]: Tensor;
  /** Mean over the batch, before the update. */
  readonly loss: Tensor;
  /** Images whose largest logit is the right one. */
  readonly correct: Tensor;
}

/**
 * One step of training as one program: forward pass in training mode, cross-entropy, gradients, optimizer update, running
 * statistics and generator states. Images and labels go in, two numbers come out.
 */
export function compileStep(
  model: Module,
  optimizer: Optimizer,
  classes: number,
  labelSmoothing: number,
): Compiled<[Tensor, Tensor], StepResult> {
  return compile(
    (x: Tensor, labels: Tensor): StepResult =>
      inMode(model, true, () => {
        const logits = model.call(x);
        checkLogits('fit', logits, x.shape[0], classes);
        const loss = crossEntropy(logits, labels, { labelSmoothing });
        const correct = sum(cast(equal(argmax(logits, 1), labels), 'f32'));
        optimizer.step(gradients(loss, optimizer.parameters));
        return { loss, correct };
      }),
  );
}
