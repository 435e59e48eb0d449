import { sizeOf, uniform } from '../harness/arrays.mjs';

const conv = (inChannels, out, kernel, options = {}) => ({ type: 'conv', in: inChannels, out, kernel, ...options });
const linear = (inFeatures, out) => ({ type: 'linear', in: inFeatures, out });
const relu = { type: 'relu' };
const maxPool = { type: 'maxPool', kernel: 2 };
const flatten = { type: 'flatten' };

function basicBlock(inChannels, channels, stride) {
  const same = { padding: 1, bias: false };
  const norm = { type: 'batchNorm', channels };
  return {
    type: 'residual',
    body: [conv(inChannels, channels, 3, { ...same, stride }), norm, relu, conv(channels, channels, 3, same), norm],
    shortcut:
      stride === 1 && inChannels === channels ? [] : [conv(inChannels, channels, 1, { stride, bias: false }), norm],
  };
}

/**
 * The networks that `train` trains; `optimizer` has PyTorch's options, `input` is [channels, height, width], `tolerance` is how far
 * the losses of the first three steps may be from Gabor's, relatively (batch normalisation magnifies rounding).
 */
export const NETWORKS = {
  lenet: {
    title: 'LeNet: 28×28×1, conv 5×5×6, pool, conv 5×5×16, pool, 120, 84, 10; batch 64, SGD',
    input: [1, 28, 28],
    batch: 64,
    optimizer: { type: 'sgd', lr: 0.05 },
    tolerance: 1e-5,
    layers: [
      conv(1, 6, 5),
      relu,
      maxPool,
      conv(6, 16, 5),
      relu,
      maxPool,
      flatten,
      linear(256, 120),
      relu,
      linear(120, 84),
      relu,
      linear(84, 10),
    ],
  },
  vgg: {
    title: 'VGG-like: 28×28×1, conv 3×3×32, conv 3×3×64, pool, 128, 10; batch 64, Adam',
    input: [1, 28, 28],
    batch: 64,
    optimizer: { type: 'adam', lr: 0.001 },
    tolerance: 1e-5,
    layers: [conv(1, 32, 3), relu, conv(32, 64, 3), relu, maxPool, flatten, linear(9216, 128), relu, linear(128, 10)],
  },
  resnet18: {
    title: 'ResNet-18 for 32×32×3 with a 3×3 stem; batch 32, SGD with momentum 0.9',
    input: [3, 32, 32],
    batch: 32,
    optimizer: { type: 'sgd', lr: 0.01, momentum: 0.9 },
    tolerance: 1e-3,
    layers: [
      conv(3, 64, 3, { padding: 1, bias: false }),
      { type: 'batchNorm', channels: 64 },
      relu,
      ...[64, 128, 256, 512].flatMap((channels, i) => [
        basicBlock(i === 0 ? 64 : channels / 2, channels, i === 0 ? 1 : 2),
        basicBlock(channels, channels, 1),
      ]),
      { type: 'averagePool' },
      flatten,
      linear(512, 10),
    ],
  },
};

/** The parameters of a list of layers in PyTorch's order and shapes: [{shape, fanIn}]; without `fanIn` they are `value`. */
export function parameterShapes(layers) {
  return layers.flatMap((layer) => {
    switch (layer.type) {
      case 'conv': {
        const shape = [layer.out, layer.in, layer.kernel, layer.kernel];
        const fanIn = sizeOf(shape) / layer.out;
        return layer.bias === false
          ? [{ shape, fanIn }]
          : [
              { shape, fanIn },
              { shape: [layer.out], fanIn },
            ];
      }
      case 'linear':
        return [
          { shape: [layer.out, layer.in], fanIn: layer.in },
          { shape: [layer.out], fanIn: layer.in },
        ];
      case 'batchNorm':
        return [
          { shape: [layer.channels], value: 1 },
          { shape: [layer.channels], value: 0 },
        ];
      case 'residual':
        return [...parameterShapes(layer.body), ...parameterShapes(layer.shortcut)];
      default:
        return [];
    }
  });
}

/** Initial values, one array per parameter: uniform within ±1 / √fan-in, PyTorch's default. */
export function initialParameters(layers) {
  return parameterShapes(layers).map(({ shape, fanIn, value }, i) =>
    fanIn === undefined
      ? new Float32Array(sizeOf(shape)).fill(value)
      : uniform(sizeOf(shape), 100 + i, 1 / Math.sqrt(fanIn)),
  );
}

/** Initial values out of the file that the parent wrote: [{shape, data}]. */
export function splitParameters(layers, data) {
  let at = 0;
  return parameterShapes(layers).map(({ shape }) => ({ shape, data: data.subarray(at, (at += sizeOf(shape))) }));
}
