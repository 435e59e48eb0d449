export type { HostTensor } from '../tensor/host-tensor.js';
export { Classifier, type ClassifyOptions, type Prediction } from './classifier.js';
export {
  type EvaluateOptions,
  type Evaluation,
  type EvaluationFormat,
  evaluate,
  type Mistake,
  type Scores,
} from './evaluate.js';
export type * from './events.js';
export { DivergedError, type FitOptions, type FitResult, fit, type TrainingData } from './fit.js';
export { forwardProgram, initializeLazy, inMode, releasePrograms } from './forward.js';
export type { ClassMetrics, RegionMetrics } from './metrics.js';
export {
  type LossName,
  type LossOption,
  type LossSetting,
  type MetricFunction,
  type MetricSums,
  Objective,
  type ObjectiveOptions,
  type TensorLoss,
} from './objective.js';
export { type PredictOptions, predict, predictImages } from './predict.js';
export { type Preprocessing, preprocessingOf } from './preprocessing.js';
export type { OptimizerName, ScheduleOptions, TrainingOptions, TrainingSettings } from './settings.js';
export type { TrainingProgress, TrainingState } from './state.js';
export { compileStep, type MetricTotal, type MetricTotals, type StepResult } from './step.js';
