import ort from 'onnxruntime-node';
import { packageVersion } from '../harness/peers.mjs';
import { prepareTask } from './onnxruntime.mjs';

export async function open({ threads }) {
  const options = { executionProviders: ['cpu'], graphOptimizationLevel: 'all', intraOpNumThreads: threads };
  return {
    version: packageVersion('onnxruntime-node'),
    prepare: (task) => prepareTask(ort, options, task),
  };
}
