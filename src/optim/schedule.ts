import { checkCount, checkNumber } from '../nn/config.js';
import { checkOptions } from '../tensor/errors.js';

/** The learning rate for a step; steps count from 0. */
export type Schedule = (step: number) => number;

/** Options of {@link constantSchedule}. */
export interface ConstantOptions {
  /** the learning rate */
  readonly base: number;
  /** steps over which the rate grows linearly to `base`: base · (step + 1) / warmup; default 0 */
  readonly warmup?: number;
}

/** Options of {@link cosineSchedule}. */
export interface CosineOptions extends ConstantOptions {
  /** steps altogether, warm-up included; the rate stays at `min` after them */
  readonly steps: number;
  /** default 0 */
  readonly min?: number;
}

/** Options of {@link stepSchedule}. */
export interface StepOptions extends ConstantOptions {
  /** steps between two reductions, counted from the end of the warm-up */
  readonly stepSize: number;
  /** default 0.1 */
  readonly gamma?: number;
}

function withWarmup(where: string, options: ConstantOptions, after: Schedule): Schedule {
  const { base, warmup = 0 } = options;
  checkNumber(where, 'base', base, 0);
  checkCount(where, 'warmup', warmup, 0);
  return (step) => (step < warmup ? (base * (step + 1)) / warmup : after(step - warmup));
}

/** `base`, after the warm-up. */
export function constantSchedule(options: ConstantOptions): Schedule {
  checkOptions('constantSchedule', options, ['base', 'warmup']);
  return withWarmup('constantSchedule', options, () => options.base);
}

/** From `base` to `min` along half a cosine (Loshchilov and Hutter, "SGDR", 2017, equation 5, without restarts). */
export function cosineSchedule(options: CosineOptions): Schedule {
  checkOptions('cosineSchedule', options, ['base', 'steps', 'warmup', 'min']);
  const { base, steps, warmup = 0, min = 0 } = options;
  checkCount('cosineSchedule', 'steps', steps);
  checkNumber('cosineSchedule', 'min', min, 0);
  const length = Math.max(1, steps - warmup);
  return withWarmup('cosineSchedule', options, (step) => {
    const progress = Math.min(1, step / length);
    return min + ((base - min) * (1 + Math.cos(Math.PI * progress))) / 2;
  });
}

/** `base` times `gamma` after every `stepSize` steps. */
export function stepSchedule(options: StepOptions): Schedule {
  checkOptions('stepSchedule', options, ['base', 'stepSize', 'gamma', 'warmup']);
  const { base, stepSize, gamma = 0.1 } = options;
  checkCount('stepSchedule', 'stepSize', stepSize);
  checkNumber('stepSchedule', 'gamma', gamma, 0);
  return withWarmup('stepSchedule', options, (step) => base * gamma ** Math.floor(step / stepSize));
}
