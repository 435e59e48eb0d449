import * as ort from 'onnxruntime-web';
import { packageVersion } from '../harness/peers.mjs';
import { prepareTask } from './onnxruntime.mjs';

export async function open({ threads }) {
  ort.env.wasm.numThreads = threads;
  return {
    version: packageVersion('onnxruntime-web'),
    prepare: (task) => prepareTask(ort, { executionProviders: ['wasm'], graphOptimizationLevel: 'all' }, task),
  };
}
