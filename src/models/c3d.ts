import { Conv3d, Dropout, Flatten, Linear, MaxPool3d, type Module, ReLU, Sequential } from '../nn/index.js';
import { initialized } from './blocks/initialize.js';
import { channelScale, checkWhole, modelOptions, SCALABLE_OPTIONS, type ScalableOptions } from './options.js';

/** Options of {@link c3d}. */
export interface C3dOptions extends ScalableOptions {
  /** Frames of a clip. Default 16. */
  readonly frames?: number;
  /** Before the last two linear layers. Default 0.5. */
  readonly dropout?: number;
  /** Features of the hidden linear layers. Default 4096. */
  readonly hidden?: number;
}

/** Convolutions of each stage: name and channels. */
const STAGES: readonly (readonly (readonly [name: string, channels: number])[])[] = [
  [['1', 64]],
  [['2', 128]],
  [
    ['3a', 256],
    ['3b', 256],
  ],
  [
    ['4a', 512],
    ['4b', 512],
  ],
  [
    ['5a', 512],
    ['5b', 512],
  ],
];

/**
 * C3D of Tran, Bourdev, Fergus, Torresani and Paluri, "Learning spatiotemporal features with 3D convolutional networks", ICCV 2015:
 * eight 3×3×3 convolutions. 78,409,573 parameters for the 101 classes of UCF101. Keys: `conv1`, `conv2`, `conv3a` … `fc8`.
 *
 * [n, inChannels, frames, height, width] → [n, classes]; `size` and `frames` decide the size of the first linear layer. Default 16 frames
 * of 112×112, 487 classes as in Sports-1M.
 */
export function c3d(options: C3dOptions = {}): Sequential {
  const where = 'c3d';
  const { frames = 16, dropout = 0.5, hidden = 4096 } = options;
  checkWhole(where, 'frames', frames, 16);
  checkWhole(where, 'hidden', hidden);
  const known = [...SCALABLE_OPTIONS, 'frames', 'dropout', 'hidden'];
  const defaults = { classes: 487, inChannels: 3, size: 112, least: 16 };
  const { classes, inChannels, height, width, random } = modelOptions(where, options, known, defaults);
  const scale = channelScale(where, options);
  return initialized(random, {}, () => {
    const parts: Record<string, Module> = {};
    let last = inChannels;
    for (const [i, stage] of STAGES.entries()) {
      for (const [name, channels] of stage) {
        parts[`conv${name}`] = new Conv3d(last, scale(channels), 3, { padding: 1 });
        parts[`relu${name}`] = new ReLU();
        last = scale(channels);
      }
      const size = i === 0 ? [1, 2, 2] : 2;
      // Seven rows after four poolings become four, not three.
      parts[`pool${i + 1}`] = new MaxPool3d(size, i === 4 ? { padding: [0, 1, 1] } : {});
    }
    // After four halvings, and a fifth with a margin of one.
    const side = (extent: number): number => Math.floor((Math.floor(extent / 16) + 2) / 2);
    const features = last * Math.floor(frames / 16) * side(height) * side(width);
    return new Sequential({
      ...parts,
      flatten: new Flatten(),
      fc6: new Linear(features, hidden),
      relu6: new ReLU(),
      dropout6: new Dropout(dropout, random),
      fc7: new Linear(hidden, hidden),
      relu7: new ReLU(),
      dropout7: new Dropout(dropout, random),
      fc8: new Linear(hidden, classes),
    });
  });
}
