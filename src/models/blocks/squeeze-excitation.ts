import { AdaptiveAvgPool2d, Conv2d, type Module, ReLU, Sigmoid } from '../../nn/index.js';
import { Block } from './block.js';

/**
 * Every channel times a number between 0 and 1 that depends on the means of all channels (Hu, Shen and Sun, "Squeeze-and-excitation
 * networks", CVPR 2018, section 3). Parts: `avgpool`, `fc1`, `fc2`, `activation`, `scale_activation`.
 */
export function squeezeExcitation(
  channels: number,
  squeezed: number,
  activation: () => Module = () => new ReLU(),
  scaleActivation: () => Module = () => new Sigmoid(),
): Block {
  return new Block(
    'SqueezeExcitation',
    {
      avgpool: new AdaptiveAvgPool2d(1),
      fc1: new Conv2d(channels, squeezed, 1),
      fc2: new Conv2d(squeezed, channels, 1),
      activation: activation(),
      scale_activation: scaleActivation(),
    },
    { branches: [['avgpool', 'fc1', 'activation', 'fc2', 'scale_activation'], []], merge: 'product' },
  );
}
