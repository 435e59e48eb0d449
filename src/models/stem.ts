import { BatchNorm2d, Conv2d, init, MaxPool2d, type Module, ReLU } from '../nn/index.js';
import type { Random } from '../tensor/random.js';

export interface RandomSource {
  readonly random?: Random;
}

/** A convolution for a batch normalisation to follow: padded to keep the size at stride 1, no bias, He's initial weights. */
export function plainConv(
  inChannels: number,
  outChannels: number,
  kernel: number,
  stride: number,
  source: RandomSource,
): Conv2d {
  const padding = (kernel - 1) / 2;
  const conv = new Conv2d(inChannels, outChannels, kernel, { stride, padding, bias: false, ...source });
  init.kaimingNormal(conv.weight, { mode: 'fan_out', nonlinearity: 'relu', ...source });
  return conv;
}

/**
 * The first layers of a network whose stages are meant for images of about 32×32: larger ones are made smaller at once, since each
 * stage costs in proportion to the area. Sides from 48: stride 2; from 96: stride 2 and pooling by 2.
 */
export function stem(inChannels: number, channels: number, side: number, source: RandomSource): Record<string, Module> {
  const kernel = side >= 96 ? 5 : 3;
  return {
    conv: plainConv(inChannels, channels, kernel, side >= 48 ? 2 : 1, source),
    bn: new BatchNorm2d(channels),
    relu: new ReLU(),
    ...(side >= 96 ? { pool: new MaxPool2d(2) } : {}),
  };
}
