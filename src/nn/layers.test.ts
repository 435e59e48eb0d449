import { testLayerFixtures } from '../testing/layer-fixtures.js';

// A mean of 500 leaves single precision three digits fewer of the spread.
testLayerFixtures('layers', { 'batch norm training, large mean': 50 });
