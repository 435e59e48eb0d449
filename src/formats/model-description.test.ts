import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LayerConfig } from '../nn/index.js';
import { FileError } from '../tensor/errors.js';
import { buildModel } from './model-description.js';

test('every layer with weights is refused before memory is taken when the file cannot hold them', async () => {
  const huge = 2 ** 30;
  const layers: LayerConfig[] = [
    { type: 'Conv1d', inChannels: huge, outChannels: 4, kernelSize: [3] },
    { type: 'Conv3d', inChannels: 4, outChannels: 4, kernelSize: [huge, 1, 1], groups: 2 },
    { type: 'ConvTranspose2d', inChannels: 4, outChannels: huge, kernelSize: [3, 3] },
    { type: 'DepthwiseConv2d', inChannels: huge, kernelSize: [3, 3] },
    { type: 'SeparableConv2d', inChannels: 4, outChannels: huge, kernelSize: [3, 3], depthMultiplier: 1 },
    { type: 'BatchNorm3d', numFeatures: huge },
    { type: 'InstanceNorm2d', numFeatures: huge, affine: true, trackRunningStats: false },
    { type: 'GroupNorm', numGroups: 1, numChannels: huge },
    { type: 'LayerNorm', normalizedShape: [huge, 2] },
    { type: 'Linear', inFeatures: huge, outFeatures: huge },
    { type: 'PReLU', numParameters: huge },
    { type: 'OnnxModel', weights: [{ name: 'w', type: 'float', shape: [huge, 2], trained: true }] },
  ];
  for (const layer of layers) {
    await assert.rejects(
      buildModel('some.safetensors', { type: 'Sequential', children: [layer] } as unknown as LayerConfig, 1000),
      (error: unknown) => error instanceof FileError && /needs \d+ numbers/.test(error.message),
      layer.type,
    );
  }
});

test('layers without weights may have any size', async () => {
  const layer = { type: 'InstanceNorm2d', numFeatures: 4096, affine: false, trackRunningStats: false };
  assert.equal((await buildModel('some.safetensors', layer, 10)).type, 'InstanceNorm2d');
  assert.equal((await buildModel('some.safetensors', { ...layer, type: 'BatchNorm2d' }, 10)).type, 'BatchNorm2d');
});
