export * from './adam.js';
export * from './clip.js';
export { Optimizer, type ParameterList } from './optimizer.js';
export * from './schedule.js';
export * from './sgd.js';
