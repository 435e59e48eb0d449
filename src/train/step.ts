import { gradients } from '../autodiff/gradients.js';
import { type Compiled, compile } from '../graph/compile.js';
import type { Module } from '../nn/module.js';
import type { Optimizer } from '../optim/index.js';
import type { Tensor } from '../tensor/tensor.js';
import { inMode } from './forward.js';
import type { MetricSums, Objective } from './objective.js';
import type { WeightAverage } from './weight-average.js';

/** What a training step tells. */
export type StepResult = {
  /** Before the update: one number, as a rule the mean over the batch. */
  readonly loss: Tensor;
  readonly metrics: Readonly<Record<string, MetricSums>>;
};

/**
 * One step of training as one program: forward pass in training mode, loss, gradients, optimizer update, running statistics and
 * generator states. Inputs and targets go in, a few numbers come out.
 *
 *     const step = compileStep(model, new Adam(model.namedParameters()), new Objective({ loss: 'mse' }));
 *     const { loss } = await step(x, y);
 *
 * @param check looks at the model's output while the program is made, and throws where it does not fit.
 * @param average takes in what the weights have come to.
 */
export function compileStep(
  model: Module,
  optimizer: Optimizer,
  objective: Objective,
  check?: (output: Tensor, input: Tensor) => void,
  average?: WeightAverage,
): Compiled<[Tensor, Tensor], StepResult> {
  return compile(
    (x: Tensor, target: Tensor): StepResult =>
      inMode(model, true, () => {
        const output = model.call(x);
        check?.(output, x);
        const loss = objective.loss(output, target);
        const metrics = objective.metrics(output, target);
        optimizer.step(gradients(loss, optimizer.parameters));
        average?.update(optimizer.stepCount);
        return { loss, metrics };
      }),
  );
}

/** The numbers of a step's result, whose tensors are freed. */
export function readStep({ loss, metrics }: StepResult): { loss: number; metrics: Record<string, MetricTotal> } {
  const item = (value: Tensor | number): number => {
    if (typeof value === 'number') return value;
    using tensor = value;
    return tensor.item();
  };
  const totals = Object.entries(metrics).map(([name, { total, weight }]): [string, MetricTotal] => [
    name,
    { total: item(total), weight: item(weight) },
  ]);
  return { loss: item(loss), metrics: Object.fromEntries(totals) };
}

/** {@link MetricSums} as numbers. */
export interface MetricTotal {
  readonly total: number;
  readonly weight: number;
}

/** By the names of the metrics. */
export type MetricTotals = Readonly<Record<string, MetricTotal>>;

export function addTotals(a: MetricTotals, b: MetricTotals): MetricTotals {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return Object.fromEntries(
    [...names].map((name) => {
      const [x, y] = [a[name] ?? NOTHING, b[name] ?? NOTHING];
      return [name, { total: x.total + y.total, weight: x.weight + y.weight }];
    }),
  );
}

const NOTHING: MetricTotal = { total: 0, weight: 0 };

/** NaN for a metric that nothing counted for. */
export function meansOf(totals: MetricTotals): Record<string, number> {
  return Object.fromEntries(Object.entries(totals).map(([name, { total, weight }]) => [name, total / weight]));
}
