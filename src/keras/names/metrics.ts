export {
  binaryAccuracy,
  binaryCrossentropy,
  categoricalAccuracy,
  categoricalCrossentropy,
  mae,
  mape,
  meanAbsoluteError,
  meanAbsolutePercentageError,
  meanSquaredError,
  mse,
  sparseCategoricalAccuracy,
  sparseCategoricalCrossentropy,
} from '../metrics.js';
