import ort from 'onnxruntime-node';
import { packageVersion } from '../harness/peers.mjs';
import { prepareConvolution } from './onnxruntime.mjs';

export async function open({ threads }) {
  const options = { executionProviders: ['cpu'], graphOptimizationLevel: 'all', intraOpNumThreads: threads };
  return {
    version: packageVersion('onnxruntime-node'),
    prepare: (task) => prepareConvolution(ort, options, task),
  };
}
