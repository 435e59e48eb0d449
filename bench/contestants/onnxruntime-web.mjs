import * as ort from 'onnxruntime-web';
import { packageVersion } from '../harness/peers.mjs';
import { prepareConvolution } from './onnxruntime.mjs';

export async function open({ threads }) {
  ort.env.wasm.numThreads = threads;
  return {
    version: packageVersion('onnxruntime-web'),
    prepare: (task) => prepareConvolution(ort, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' }, task),
  };
}
