import { assign } from '../graph/trace.js';
import { zeros } from '../ops/create.js';
import { add, cast, div, minimum, mul, sub } from '../ops/elementwise.js';
import type { HostTensor } from '../tensor/host-tensor.js';
import type { Tensor } from '../tensor/tensor.js';

/**
 * Moving averages of a model's weights over the steps of training: after step t
 *
 *     average ← d · average + (1 − d) · weight,   d = min(decay, (1 + t) / (10 + t)),
 *
 * where the second bound lets the weights of the beginning go soon (as `num_updates` of TensorFlow's `ExponentialMovingAverage`).
 * Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992; in this form as in Szegedy et al., CVPR 2016.
 */
export class WeightAverage {
  readonly names: readonly string[];
  readonly #weights: readonly Tensor[];
  readonly #averages: readonly Tensor[];
  readonly #decay: number;

  /** Begins with the weights as they are. @param weights tensors of the model by their names: what training changes. */
  constructor(weights: readonly (readonly [string, Tensor])[], decay: number) {
    this.names = weights.map(([name]) => name);
    this.#weights = weights.map(([, weight]) => weight);
    this.#averages = this.#weights.map(({ shape, dtype }) => zeros(shape, dtype));
    this.#decay = decay;
    this.reset();
  }

  /** Takes in the weights that a step has come to; inside of its program, after the update. @param step i32[], how many were made */
  update(step: Tensor): void {
    const t = cast(step, 'f32');
    const keep = minimum(div(add(t, 1), add(t, 10)), this.#decay);
    const share = sub(1, keep);
    this.#weights.forEach((weight, i) => {
      const average = this.#averages[i];
      const part = cast(share, average.dtype);
      assign(average, add(average, mul(sub(weight, average), part)));
    });
  }

  /** Begins anew with the weights as they are. */
  reset(): void {
    this.#averages.forEach((average, i) => {
      average.write(this.#weights[i].data());
    });
  }

  /** By name: the tensors themselves, not copies. */
  stateDict(): Record<string, Tensor> {
    return Object.fromEntries(this.names.map((name, i) => [name, this.#averages[i]]));
  }

  /** Copies contents into the averages. */
  load(state: Readonly<Record<string, HostTensor>>): void {
    this.names.forEach((name, i) => {
      this.#averages[i].write(state[name].data);
    });
  }

  dispose(): void {
    for (const average of this.#averages) average.dispose();
  }
}
