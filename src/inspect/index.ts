export { type ModelCosts, modelCosts, withoutMemory } from './costs.js';
export { type FeatureMap, type Filters, featureMaps, firstFilters } from './feature-maps.js';
export {
  effectiveKernelSize,
  type InputRegion,
  inputRegion,
  multiplyAdds,
  outputShape,
  parameterCount,
  receptiveField,
  type TransposedSizeOptions,
  transposedOutputSize,
} from './geometry.js';
export { type ModelMemory, type ModelMemoryOptions, modelMemory } from './model-memory.js';
export { type AxisField, type ReceptiveField, receptiveFields } from './receptive-field.js';
export { collectReport, type RunFacts } from './report/collect.js';
export { type ReportData, type ReportImage, renderReport } from './report/report.js';
export { type ModelSummary, type SummaryRow, summary } from './summary.js';
export type { InputOptions, Network } from './trace-network.js';
export { type TuneOptions, tuneModel } from './tune-model.js';
