import './runtime/default-device.js';

export * from './autodiff/gradients.js';
export * from './autodiff/transform.js';
export { type Compiled, type CompileOptions, compile } from './graph/compile.js';
export { type Device, getDevice, setDevice } from './graph/device.js';
export { printGraph } from './graph/print.js';
export { assign } from './graph/trace.js';
export * from './nn/index.js';
export * from './ops/broadcast.js';
export * from './ops/concat.js';
export { type ConvOptions, conv, conv2d, linear } from './ops/conv.js';
export * from './ops/convolution.js';
export * from './ops/create.js';
export { dropout } from './ops/dropout.js';
export * from './ops/elementwise.js';
export * from './ops/losses.js';
export * from './ops/maxpool.js';
export * from './ops/normalization.js';
export {
  type AdaptiveSize,
  type AvgPoolOptions,
  adaptiveAvgPool,
  adaptiveAvgPool2d,
  avgPool,
  avgPool2d,
  type MaxPoolOptions,
  maxPool,
  maxPool2d,
} from './ops/pooling.js';
export * from './ops/random.js';
export * from './ops/reduce.js';
export * from './ops/reshape.js';
export * from './ops/slice.js';
export * from './ops/softmax.js';
export * from './ops/transpose.js';
export type { Padding, PerAxis } from './ops/window.js';
export * from './optim/index.js';
export { CpuDevice, type CpuOptions, cpuDevice } from './runtime/cpu-device.js';
export { ReferenceDevice, type ReferenceOptions } from './targets/reference/device.js';
export * from './tensor/dtype.js';
export * from './tensor/errors.js';
export { Random } from './tensor/random.js';
export * from './tensor/shape.js';
export { Tensor } from './tensor/tensor.js';
