import { BatchNorm2d, type BatchNormOptions, Conv2d, type Module, ReLU, Sequential } from '../../nn/index.js';
import type { PerAxis } from '../../ops/window.js';

export interface ConvNormOptions {
  /** default 1 */
  readonly stride?: PerAxis;
  /** default 1 */
  readonly dilation?: number;
  /** default: what keeps the size at stride 1 */
  readonly padding?: PerAxis;
  /** default 1 */
  readonly groups?: number;
  readonly norm?: BatchNormOptions;
  /** Makes the activation; null for none. Default ReLU. */
  readonly activation?: (() => Module) | null;
}

/** The layers of {@link convNorm}, activation last where there is one. */
export function convNormLayers(
  inChannels: number,
  outChannels: number,
  kernel: PerAxis,
  { stride = 1, dilation = 1, padding, groups = 1, norm = {}, activation = () => new ReLU() }: ConvNormOptions = {},
): Module[] {
  const keep = (k: number): number => ((k - 1) / 2) * dilation;
  const pad = padding ?? (typeof kernel === 'number' ? keep(kernel) : kernel.map(keep));
  return [
    new Conv2d(inChannels, outChannels, kernel, { stride, padding: pad, dilation, groups, bias: false }),
    new BatchNorm2d(outChannels, norm),
    ...(activation === null ? [] : [activation()]),
  ];
}

/** Convolution without bias, batch normalisation, activation: `0`, `1`, `2`. (torchvision: `Conv2dNormActivation`.) */
export function convNorm(
  inChannels: number,
  outChannels: number,
  kernel: PerAxis,
  options: ConvNormOptions = {},
): Sequential {
  return new Sequential(...convNormLayers(inChannels, outChannels, kernel, options));
}

/** {@link convNorm} whose parts are `conv`, `bn` and `relu`, as in the Inception networks. */
export function basicConv(
  inChannels: number,
  outChannels: number,
  kernel: PerAxis,
  options: Omit<ConvNormOptions, 'activation' | 'norm'> = {},
): Sequential {
  const [conv, bn, relu] = convNormLayers(inChannels, outChannels, kernel, { ...options, norm: { eps: 0.001 } });
  return new Sequential({ conv, bn, relu });
}
