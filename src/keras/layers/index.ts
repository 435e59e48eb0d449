import { InputLayer, type LayerOptions } from '../layer.js';

export { input, Layer } from '../layer.js';
export * from './conv.js';
export * from './core.js';
export * from './merge.js';
export * from './normalization.js';
export * from './pooling.js';
export * from './recurrent.js';
export * from './shape.js';

/** The first layer of a sequential model, without weights: `inputLayer({ inputShape: [28, 28, 1] })`. */
export function inputLayer(options: LayerOptions): InputLayer {
  return new InputLayer(options);
}
