import { Conv2d, Flatten, Linear, MaxPool2d, ReLU, Sequential } from '../nn/index.js';
import { OptionError } from '../tensor/errors.js';
import { type ModelOptions, modelOptions } from './options.js';

/**
 * LeNet-5 (LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 1998, section
 * II.B) in its modern form: rectifiers, maximum pooling, logits. Padding 2 stands for the original's margin of 32×32.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 12.
 */
export function lenet(options: ModelOptions = {}): Sequential {
  const { classes, inChannels, height, width, random } = modelOptions('lenet', options);
  if (Math.min(height, width) < 12) {
    throw new OptionError(
      `lenet: images of ${height}×${width} are too small: (side / 2 − 4) / 2 must be at least 1, so the side at least 12`,
    );
  }
  const after = (side: number): number => Math.floor((Math.floor(side / 2) - 4) / 2);
  return new Sequential({
    features: new Sequential({
      conv1: new Conv2d(inChannels, 6, 5, { padding: 2, ...random }),
      relu1: new ReLU(),
      pool1: new MaxPool2d(2),
      conv2: new Conv2d(6, 16, 5, random),
      relu2: new ReLU(),
      pool2: new MaxPool2d(2),
    }),
    flatten: new Flatten(),
    classifier: new Sequential({
      fc1: new Linear(16 * after(height) * after(width), 120, random),
      relu1: new ReLU(),
      fc2: new Linear(120, 84, random),
      relu2: new ReLU(),
      fc3: new Linear(84, classes, random),
    }),
  });
}
