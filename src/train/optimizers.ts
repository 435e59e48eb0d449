import {
  Adam,
  AdamW,
  constantSchedule,
  cosineSchedule,
  type Optimizer,
  type ParameterList,
  type Schedule,
  SGD,
  stepSchedule,
} from '../optim/index.js';
import type { TrainingSettings } from './settings.js';

export function makeOptimizer(parameters: ParameterList, settings: TrainingSettings): Optimizer {
  const { optimizer, lr, momentum, nesterov, weightDecay } = settings;
  switch (optimizer) {
    case 'sgd':
      return new SGD(parameters, { lr, momentum, nesterov, weightDecay });
    case 'adam':
      return new Adam(parameters, { lr, weightDecay });
    case 'adamw':
      return new AdamW(parameters, { lr, weightDecay });
  }
}

/** The learning rate of every step. @param batches steps in an epoch. */
export function learningRateOf({ epochs, lr: base, schedule }: TrainingSettings, batches: number): Schedule {
  const steps = (lengthInEpochs: number): number => Math.round(lengthInEpochs * batches);
  const warmup = steps(schedule.warmup ?? 0);
  switch (schedule.type) {
    case 'constant':
      return constantSchedule({ base, warmup });
    case 'cosine':
      return cosineSchedule({ base, steps: epochs * batches, warmup, min: schedule.min ?? 0 });
    case 'step':
      return stepSchedule({
        base,
        stepSize: Math.max(1, steps(schedule.stepSize)),
        warmup,
        ...(schedule.gamma === undefined ? {} : { gamma: schedule.gamma }),
      });
  }
}
