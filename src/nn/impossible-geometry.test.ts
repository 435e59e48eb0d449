import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setDevice } from '../graph/device.js';
import { glu } from '../ops/activations.js';
import { conv2d } from '../ops/conv.js';
import { convTranspose1d } from '../ops/conv-transpose.js';
import { full, ones } from '../ops/create.js';
import { maxPoolWithIndices, maxUnpool } from '../ops/maxunpool.js';
import { interpolate } from '../ops/resize.js';
import { pixelShuffle } from '../ops/shuffle.js';
import { GaborError } from '../tensor/errors.js';
import type { Shape } from '../tensor/shape.js';
import { EXACT } from '../testing/devices.js';
import type { LayerConfig } from './config.js';
import { Sequential } from './layers/container.js';
import { moduleFromConfig } from './registry.js';

// Every geometry that cannot be, and word by word what is said about it.

setDevice(EXACT.make());

const conv = { inChannels: 1, outChannels: 1, kernelSize: 3 };

/** Known from the arguments alone. */
const CONSTRUCTORS: readonly (readonly [LayerConfig, string])[] = [
  [{ type: 'Conv2d', ...conv, kernelSize: 0 }, 'Conv2d: kernelSize must be an integer ≥ 1 or 2 of them, got 0'],
  [{ type: 'Conv2d', ...conv, kernelSize: 2.5 }, 'Conv2d: kernelSize must be an integer ≥ 1 or 2 of them, got 2.5'],
  [
    { type: 'Conv2d', ...conv, kernelSize: [3, 3, 3] },
    'Conv2d: kernelSize must be an integer ≥ 1 or 2 of them, got [3,3,3]',
  ],
  [{ type: 'Conv1d', ...conv, stride: 0 }, 'Conv1d: stride must be an integer ≥ 1, got 0'],
  [
    { type: 'Conv3d', ...conv, dilation: [1, 0, 1] },
    'Conv3d: dilation must be an integer ≥ 1 or 3 of them, got [1,0,1]',
  ],
  [{ type: 'Conv2d', ...conv, padding: -1 }, 'Conv2d: padding must be an integer ≥ 0 or 2 of them, got -1'],
  [
    { type: 'Conv2d', ...conv, padding: 'causal' },
    'Conv2d: padding "causal" is for one spatial axis, here are 2; give [low, high] for each',
  ],
  [
    { type: 'Conv2d', ...conv, inChannels: 6, outChannels: 4, groups: 4 },
    'Conv2d: inChannels 6 does not split into 4 groups: 6 = 1·4 + 2',
  ],
  [
    { type: 'Conv2d', ...conv, inChannels: 4, outChannels: 6, groups: 4 },
    'Conv2d: outChannels 6 does not split into 4 groups: 6 = 1·4 + 2',
  ],
  [{ type: 'Conv2d', ...conv, groups: 0 }, 'Conv2d: groups must be an integer ≥ 1, got 0'],
  [
    { type: 'Conv2d', ...conv, paddingMode: 'mirror' },
    'Conv2d: paddingMode must be one of "zeros", "constant", "reflect", "replicate", "circular", got "mirror"',
  ],
  [
    { type: 'ConvTranspose2d', ...conv, stride: 2, outputPadding: 2 },
    'ConvTranspose2d: outputPadding must be smaller than the stride or the dilation, got 2 with stride 2 and dilation 1: 2 ≥ max(2, 1)',
  ],
  [
    { type: 'ConvTranspose2d', ...conv, stride: 2, dilation: 3, outputPadding: [0, 3] },
    'ConvTranspose2d: outputPadding must be smaller than the stride or the dilation, got 3 with stride 2 and dilation 3: 3 ≥ max(2, 3)',
  ],
  [
    { type: 'ConvTranspose2d', ...conv, padding: 'same', outputPadding: 1, stride: 2 },
    'ConvTranspose2d: padding "same" makes input · stride outputs; leave out outputPadding and outputSize',
  ],
  [
    { type: 'DepthwiseConv2d', inChannels: 0, kernelSize: 3 },
    'DepthwiseConv2d: inChannels must be an integer ≥ 1, got 0',
  ],
  [
    { type: 'MaxPool2d', kernelSize: 3, padding: 2 },
    'MaxPool2d: padding 2 is more than half of the window of 3: 2 > 3 / 2; at most 1 fits',
  ],
  [
    {
      type: 'MaxPool2d',
      kernelSize: [2, 3],
      padding: [
        [0, 0],
        [0, 2],
      ],
    },
    'MaxPool2d: padding 2 is more than half of the window of 3: 2 > 3 / 2; at most 1 fits',
  ],
  [
    { type: 'MaxPool2d', kernelSize: 2, padding: 'causal' },
    'MaxPool2d: padding must be an integer ≥ 0, 2 of them, 2 pairs [low, high], "same" or "valid", got "causal"',
  ],
  [{ type: 'AvgPool3d', kernelSize: 0 }, 'AvgPool3d: kernelSize must be an integer ≥ 1 or 3 of them, got 0'],
  [{ type: 'AvgPool2d', kernelSize: 2, stride: 0 }, 'AvgPool2d: stride must be an integer ≥ 1 or 2 of them, got 0'],
  [{ type: 'LPPool2d', normType: 0, kernelSize: 2 }, 'LPPool2d: normType must be a finite number > 0, got 0'],
  [
    { type: 'MaxUnpool2d', kernelSize: 2, padding: 2 },
    'MaxUnpool2d: padding 2 is more than half of the window of 2: 2 > 2 / 2; at most 1 fits',
  ],
  [
    { type: 'AdaptiveAvgPool2d', outputSize: 0 },
    'AdaptiveAvgPool2d: outputSize must be an integer ≥ 1 or null, or 2 of them, got 0',
  ],
  [
    { type: 'AdaptiveMaxPool2d', outputSize: [1, 2, 3] },
    'AdaptiveMaxPool2d: outputSize must be an integer ≥ 1 or null, or 2 of them, got [1,2,3]',
  ],
  [
    { type: 'GroupNorm', numGroups: 4, numChannels: 6 },
    'GroupNorm: numChannels 6 does not split into 4 groups: 6 = 1·4 + 2',
  ],
  [{ type: 'GroupNorm', numGroups: 0, numChannels: 6 }, 'GroupNorm: numGroups must be an integer ≥ 1, got 0'],
  [{ type: 'LocalResponseNorm', size: 0 }, 'LocalResponseNorm: size must be an integer ≥ 1, got 0'],
  [{ type: 'PixelShuffle', upscaleFactor: 0 }, 'PixelShuffle: upscaleFactor must be an integer ≥ 1, got 0'],
  [{ type: 'ChannelShuffle', groups: 1.5 }, 'ChannelShuffle: groups must be an integer ≥ 1, got 1.5'],
  [
    { type: 'ReflectionPad2d', padding: [1, 2, 3] },
    'ReflectionPad2d: padding must be an integer or [left, right, top, bottom], got [1,2,3]',
  ],
  [{ type: 'Upsample' }, 'Upsample: needs either size or scaleFactor, got none'],
  [{ type: 'Upsample', size: 4, scaleFactor: 2 }, 'Upsample: needs either size or scaleFactor, got both'],
  [
    { type: 'Upsample', size: 4, mode: 'cubic' },
    'Upsample: mode must be one of "nearest", "nearest-exact", "linear", "bilinear", "trilinear", "bicubic", "area", got "cubic"',
  ],
  [
    { type: 'Upsample', size: 4, mode: 'nearest', alignCorners: true },
    'Upsample: alignCorners means nothing for mode "nearest"; leave it out',
  ],
];

/** Known once there is an input: the layer is `features.0` of a model. */
const CALLS: readonly (readonly [LayerConfig, Shape, string])[] = [
  [
    { type: 'Conv2d', ...conv, kernelSize: 5, padding: 1 },
    [1, 1, 2, 9],
    'Conv2d "features.0": kernel 5 does not fit: the padded input is 2 + 2·1 = 4 high',
  ],
  [
    { type: 'Conv2d', ...conv, kernelSize: 5, dilation: 3, padding: 1 },
    [1, 1, 8, 20],
    'Conv2d "features.0": kernel 5 with dilation 3 spans 13, but the padded input is 8 + 2·1 = 10 high',
  ],
  [
    { type: 'Conv1d', ...conv, padding: [[0, 1]] },
    [1, 1, 1],
    'Conv1d "features.0": kernel 3 does not fit: the padded input is 1 + 0 + 1 = 2 long',
  ],
  [{ type: 'Conv3d', ...conv }, [1, 1, 3, 3, 2], 'Conv3d "features.0": kernel 3 does not fit: the input is 2 wide'],
  [
    { type: 'Conv2d', ...conv, inChannels: 3 },
    [1, 4, 8, 8],
    'Conv2d "features.0": expected 3 channels (axis 1), got 4 in [1, 4, 8, 8]',
  ],
  [
    { type: 'Conv2d', ...conv, inChannels: 3, dataFormat: 'channels-last' },
    [1, 8, 8, 4],
    'Conv2d "features.0": expected 3 channels (axis 3), got 4 in [1, 8, 8, 4]',
  ],
  [
    { type: 'Conv2d', ...conv },
    [1, 8, 8],
    'Conv2d "features.0": expected [batch, 1, height, width], got [1, 8, 8]; put a batch axis of extent 1 in front',
  ],
  [
    { type: 'Conv2d', ...conv },
    [1, 1, 8, 8, 8],
    'Conv2d "features.0": expected [batch, 1, height, width], got [1, 1, 8, 8, 8]',
  ],
  [
    { type: 'LazyConv2d', outChannels: 4, kernelSize: 1, groups: 2 },
    [1, 3, 4, 4],
    'LazyConv2d "features.0": inChannels 3 does not split into 2 groups: 3 = 1·2 + 1',
  ],
  [
    { type: 'Conv2d', ...conv, padding: 3, paddingMode: 'reflect' },
    [1, 1, 3, 8],
    'Conv2d "features.0": reflect padding 3 must be less than the extent, but 3 ≥ 3 (axis 2 of [1, 1, 3, 8])',
  ],
  [
    { type: 'Conv2d', ...conv, padding: 4, paddingMode: 'circular' },
    [1, 1, 8, 3],
    'Conv2d "features.0": circular padding 4 must be at most the extent, but 4 > 3 (axis 3 of [1, 1, 8, 3])',
  ],
  [
    { type: 'ConvTranspose2d', ...conv, padding: 2 },
    [1, 1, 2, 9],
    'ConvTranspose2d "features.0": nothing is left of 2 positions: (2 − 1) · 1 − 2 − 2 + 3 + 0 = 0 high',
  ],
  [
    { type: 'ConvTranspose1d', ...conv },
    [1, 2, 9],
    'ConvTranspose1d "features.0": expected 1 channels (axis 1), got 2 in [1, 2, 9]',
  ],
  [
    { type: 'MaxPool2d', kernelSize: 3 },
    [1, 1, 2, 5],
    'MaxPool2d "features.0": kernel 3 does not fit: the input is 2 high',
  ],
  [
    { type: 'MaxPool2d', kernelSize: 3, dilation: 2 },
    [1, 1, 8, 4],
    'MaxPool2d "features.0": kernel 3 with dilation 2 spans 5, but the input is 4 wide',
  ],
  [
    { type: 'MaxPool1d', kernelSize: 2, stride: 1, dilation: 3, padding: 'same' },
    [1, 1, 1],
    'MaxPool1d "features.0": with padding "same" window 0 (axis 2) sees padding only: 2 taps from -1 in steps of 3 miss the input 0 … 0',
  ],
  [
    { type: 'AvgPool2d', kernelSize: 2 },
    [1, 4, 4],
    'AvgPool2d "features.0": expected [batch, channels, height, width], got [1, 4, 4]; put a batch axis of extent 1 in front',
  ],
  [
    { type: 'AvgPool1d', kernelSize: 6, padding: 1 },
    [1, 1, 3],
    'AvgPool1d "features.0": kernel 6 does not fit: the padded input is 3 + 2·1 = 5 long',
  ],
  [
    { type: 'LPPool2d', normType: 2, kernelSize: 4 },
    [1, 1, 3, 4],
    'LPPool2d "features.0": kernel 4 does not fit: the input is 3 high',
  ],
  [
    { type: 'AdaptiveAvgPool2d', outputSize: 2 },
    [1, 3, 4],
    'AdaptiveAvgPool2d "features.0": expected [batch, channels, height, width], got [1, 3, 4]; put a batch axis of extent 1 in front',
  ],
  [
    { type: 'AdaptiveMaxPool2d', outputSize: 2 },
    [1, 3, 0, 4],
    'AdaptiveMaxPool2d "features.0": nothing to pool: axis 2 of [1, 3, 0, 4] has no elements',
  ],
  [
    { type: 'GlobalAvgPool2d' },
    [1, 3, 0, 4],
    'GlobalAvgPool2d "features.0": nothing to pool: axis 2 of [1, 3, 0, 4] has no elements',
  ],
  [
    { type: 'MaxUnpool2d', kernelSize: 2 },
    [1, 1, 2, 2],
    'MaxUnpool2d "features.0": needs the indices of the max pooling to undo, forward(x, indices); maxPoolWithIndices gives them',
  ],
  [
    { type: 'AvgPool2d', kernelSize: 2, dataFormat: 'channels-last' },
    [1, 4, 1, 3],
    'AvgPool2d "features.0": kernel 2 does not fit: the input is 1 wide',
  ],
  [
    { type: 'BatchNorm2d', numFeatures: 3 },
    [1, 3, 1, 1],
    'BatchNorm2d "features.0": training needs more than one value per channel, got [1, 3, 1, 1]; use a larger batch or eval()',
  ],
  [
    { type: 'BatchNorm2d', numFeatures: 3, dataFormat: 'channels-last' },
    [1, 3, 8, 8],
    'BatchNorm2d "features.0": expected 3 channels (axis 3), got 8 in [1, 3, 8, 8]',
  ],
  [
    { type: 'BatchNorm1d', numFeatures: 3 },
    [1, 3],
    'BatchNorm1d "features.0": training needs more than one value per channel, got [1, 3]; use a larger batch or eval()',
  ],
  [
    { type: 'BatchNorm2d', numFeatures: 3 },
    [2, 4, 1, 1],
    'BatchNorm2d "features.0": expected 3 channels (axis 1), got 4 in [2, 4, 1, 1]',
  ],
  [
    { type: 'InstanceNorm2d', numFeatures: 3 },
    [2, 3, 1, 1],
    'InstanceNorm2d "features.0": needs more than one position per channel, got 1 in [2, 3, 1, 1]; one value minus its mean is always 0',
  ],
  [
    { type: 'InstanceNorm1d', numFeatures: 3 },
    [2, 4, 5],
    'InstanceNorm1d "features.0": expected 3 channels (axis 1), got 4 in [2, 4, 5]',
  ],
  [
    { type: 'GroupNorm', numGroups: 2, numChannels: 4 },
    [2, 3, 4, 4],
    'GroupNorm "features.0": expected [batch, 4, …], got [2, 3, 4, 4]',
  ],
  [
    { type: 'LayerNorm', normalizedShape: [4, 5] },
    [2, 3, 4],
    'LayerNorm "features.0": expected […, 4, 5], got [2, 3, 4]',
  ],
  [
    { type: 'LocalResponseNorm', size: 2 },
    [2, 3],
    'LocalResponseNorm "features.0": expected [batch, channels, …spatial], got [2, 3]',
  ],
  [
    { type: 'PReLU', numParameters: 3 },
    [2, 4, 5],
    'PReLU "features.0": the weight must be [1] or [channels], one for each channel (axis 1) of [2, 4, 5], got [3]',
  ],
  [
    { type: 'ReflectionPad2d', padding: 3 },
    [1, 1, 4, 3],
    'ReflectionPad2d "features.0": reflect padding 3 must be less than the extent, but 3 ≥ 3 (axis 3 of [1, 1, 4, 3])',
  ],
  [
    { type: 'CircularPad1d', padding: [5, 0] },
    [1, 1, 4],
    'CircularPad1d "features.0": circular padding 5 must be at most the extent, but 5 > 4 (axis 2 of [1, 1, 4])',
  ],
  [
    { type: 'ReplicationPad1d', padding: 1 },
    [1, 1, 0],
    'ReplicationPad1d "features.0": replicate padding needs an edge to repeat, but the extent is 0 (axis 2 of [1, 1, 0])',
  ],
  [
    { type: 'ZeroPad2d', padding: -2 },
    [1, 1, 3, 8],
    'ZeroPad2d "features.0": more is cut off than there is along axis 2 of [1, 1, 3, 8]: 3 − 2 − 2 = −1',
  ],
  [
    { type: 'ConstantPad3d', padding: 1, value: 2 },
    [1, 1, 4],
    'ConstantPad3d "features.0": expected [batch, channels, depth, height, width], got [1, 1, 4]',
  ],
  [
    { type: 'PixelShuffle', upscaleFactor: 3 },
    [1, 8, 4, 4],
    'PixelShuffle "features.0": 8 channels of [1, 8, 4, 4] do not split into groups of 3² = 9: 8 = 0·9 + 8',
  ],
  [
    { type: 'PixelUnshuffle', downscaleFactor: 2 },
    [1, 1, 4, 5],
    'PixelUnshuffle "features.0": 4×5 pixels of [1, 1, 4, 5] do not split into blocks of 2×2: 5 = 2·2 + 1',
  ],
  [
    { type: 'ChannelShuffle', groups: 3 },
    [1, 8, 4, 4],
    'ChannelShuffle "features.0": the number of channels, 8 in [1, 8, 4, 4], does not split into 3 groups: 8 = 2·3 + 2',
  ],
  [
    { type: 'GLU', dim: 1 },
    [1, 5, 4],
    'GLU "features.0": axis 1 of [1, 5, 4] has 5 elements, two equal halves are needed: 5 = 2·2 + 1',
  ],
  [
    { type: 'GatedTanh', dim: 1 },
    [1, 5, 4],
    'GatedTanh "features.0": axis 1 of [1, 5, 4] has 5 elements, two equal halves are needed: 5 = 2·2 + 1',
  ],
  [
    { type: 'Upsample', scaleFactor: 0.1 },
    [1, 1, 4, 40],
    'Upsample "features.0": axis 2 would be resized to nothing or from nothing: ⌊4 · 0.1⌋ = 0',
  ],
  [
    { type: 'Upsample', scaleFactor: [2, 2, 2] },
    [1, 1, 4, 4],
    'Upsample "features.0": scaleFactor must be a number > 0 or 2 of them, got [2,2,2]',
  ],
  [
    { type: 'Upsample', size: 4, mode: 'bilinear' },
    [1, 1, 4],
    'Upsample "features.0": mode "bilinear" needs [batch, channels, height, width], got [1, 1, 4]',
  ],
  [
    { type: 'Dropout2d', p: 0.5 },
    [1, 1, 4],
    'Dropout2d "features.0": expected [batch, channels, height, width], got [1, 1, 4]; put a batch axis of extent 1 in front',
  ],
  [
    { type: 'Linear', inFeatures: 12, outFeatures: 2 },
    [1, 3, 5],
    'Linear "features.0": expected […, 12], got [1, 3, 5]',
  ],
  [{ type: 'Flatten', startDim: 3, endDim: 1 }, [1, 3, 5], 'Flatten "features.0": [1, 3, 5] has no axes from 3 to 1'],
];

function messageOf(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    if (error instanceof GaborError) return error.message;
    return `${(error as Error).name}, which is no GaborError: ${(error as Error).message}`;
  }
  return '(no error)';
}

test('arguments that fit no input', () => {
  assert.deepEqual(
    CONSTRUCTORS.map(([config]) => [config, messageOf(() => moduleFromConfig(config))]),
    CONSTRUCTORS.map(([config, message]) => [config, message]),
  );
});

test('inputs that do not fit a layer: the message names the layer by kind and path', () => {
  const call = (config: LayerConfig, shape: Shape): string => {
    const model = new Sequential({ features: new Sequential(moduleFromConfig(config)) });
    return messageOf(() => model.forward(ones(shape)));
  };
  assert.deepEqual(
    CALLS.map(([config, shape]) => [config, shape, call(config, shape)]),
    CALLS.map(([config, shape, message]) => [config, shape, message]),
  );
});

test('functions: what layers are not told', () => {
  const { values, indices } = maxPoolWithIndices(ones([1, 1, 4, 4]), 2);
  const cases: [() => unknown, string][] = [
    [
      () => maxUnpool(values, values, 2),
      'maxUnpool: the indices must be i32[1, 1, 2, 2], as the input, got f32[1, 1, 2, 2]',
    ],
    [
      () => maxUnpool(values, full([1, 1, 2, 2], 16, 'i32'), 2),
      'maxUnpool: index 16 (element 0 of the indices) is no position of 4×4 = 16; are the indices of this pooling, is outputSize the extents of its input?',
    ],
    [
      () => maxUnpool(values, full([1, 1, 2, 3], 0, 'i32'), 2),
      'maxUnpool: the indices must be i32[1, 1, 2, 2], as the input, got i32[1, 1, 2, 3]',
    ],
    [
      () => maxUnpool(values, indices, 2, { outputSize: 7 }),
      'maxUnpool: outputSize 7 along axis 2 must lie between 3 and 5, less than the stride 2 from (2 − 1)·2 − 2·0 + 2 = 4',
    ],
    [
      () => maxUnpool(values, indices, 2, { padding: 'same' }),
      'maxUnpool: padding "same" fits several outputs; give outputSize, the pooling\'s input',
    ],
    [
      () => conv2d(ones([1, 4, 4, 4]), ones([3, 2, 1, 1]), { groups: 2 }),
      'conv2d: 3 output channels: does not split into 2 groups: 3 = 1·2 + 1',
    ],
    [
      () => convTranspose1d(ones([1, 3, 4]), ones([3, 1, 3]), { groups: 2 }),
      'convTranspose1d: 3 input channels: does not split into 2 groups: 3 = 1·2 + 1',
    ],
    [
      () => convTranspose1d(ones([1, 1, 4]), ones([1, 1, 3]), { stride: 2, outputSize: 11 }),
      'convTranspose1d: outputSize 11 (axis 2) cannot come from 4 positions: (4 − 1) · 2 − 0 − 0 + 3 = 9 to 10 can',
    ],
    [() => pixelShuffle(ones([3, 3]), 2), 'pixelShuffle: expected […, channels, height, width], got [3, 3]'],
    [() => glu(ones([2, 3])), 'glu: axis 1 of [2, 3] has 3 elements, two equal halves are needed: 3 = 2·1 + 1'],
    [
      () => interpolate(ones([1, 1, 4, 4]), { size: [0, 2] }),
      'interpolate: size must be an integer ≥ 1 or 2 of them, got [0,2]',
    ],
  ];
  assert.deepEqual(
    cases.map(([body]) => messageOf(body)),
    cases.map(([, message]) => message),
  );
});
