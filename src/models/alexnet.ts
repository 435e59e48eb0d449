import { AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU, Sequential } from '../nn/index.js';
import { initialized } from './blocks/initialize.js';
import { channelScale, checkWhole, IMAGENET, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link alexnet}. */
export interface AlexnetOptions extends ScalableOptions {
  /** Before the first two linear layers. Default 0.5. */
  readonly dropout?: number;
  /** Features of the hidden linear layers. Default 4096. */
  readonly hidden?: number;
}

/**
 * AlexNet in the form for one processor (Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014), the
 * successor of Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", NIPS 2012.
 * As `torchvision.models.alexnet`: 61,100,840 parameters.
 *
 * [n, inChannels, height, width] → [n, classes]; sides of at least 63, meant for 224.
 */
export function alexnet(options: AlexnetOptions = {}): Sequential {
  const known = [...SCALABLE_OPTIONS, 'dropout', 'hidden'];
  const { classes, inChannels, random } = modelOptions('alexnet', options, known, { ...IMAGENET, least: 63 });
  const { dropout = 0.5, hidden = 4096 } = options;
  checkWhole('alexnet', 'hidden', hidden);
  const [c1, c2, c3, c4] = [64, 192, 384, 256].map(channelScale('alexnet', options));
  return initialized(
    random,
    {},
    () =>
      new Sequential({
        features: new Sequential(
          new Conv2d(inChannels, c1, 11, { stride: 4, padding: 2 }),
          new ReLU(),
          new MaxPool2d(3, { stride: 2 }),
          new Conv2d(c1, c2, 5, { padding: 2 }),
          new ReLU(),
          new MaxPool2d(3, { stride: 2 }),
          new Conv2d(c2, c3, 3, { padding: 1 }),
          new ReLU(),
          new Conv2d(c3, c4, 3, { padding: 1 }),
          new ReLU(),
          new Conv2d(c4, c4, 3, { padding: 1 }),
          new ReLU(),
          new MaxPool2d(3, { stride: 2 }),
        ),
        avgpool: new AdaptiveAvgPool2d(6),
        flatten: new Flatten(),
        classifier: new Sequential(
          new Dropout(dropout, random),
          new Linear(c4 * 36, hidden),
          new ReLU(),
          new Dropout(dropout, random),
          new Linear(hidden, hidden),
          new ReLU(),
          new Linear(hidden, classes),
        ),
      }),
  );
}
