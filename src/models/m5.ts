import {
  AdaptiveAvgPool1d,
  BatchNorm1d,
  Conv1d,
  Flatten,
  Linear,
  MaxPool1d,
  type Module,
  ReLU,
  Sequential,
} from '../nn/index.js';
import { checkOptions } from '../tensor/errors.js';
import type { Random } from '../tensor/random.js';
import { initialized } from './blocks/initialize.js';
import { channelScale, checkWhole } from './options.js';

/** Options of {@link m5}. */
export interface M5Options {
  /** Default 10, as of UrbanSound8K. */
  readonly classes?: number;
  /** Microphones. Default 1. */
  readonly inChannels?: number;
  /** Samples between the windows of the first convolution: 4 for 8 kHz as in the paper (default), 16 is quicker. */
  readonly stride?: number;
  /** All numbers of channels times this. Default 1. */
  readonly widthMult?: number;
  readonly random?: Random;
}

/**
 * M5 of Dai, Dai, Qu, Li and Das, "Very deep convolutional neural networks for raw waveforms", ICASSP 2017: a first convolution as long
 * as 10 ms, then short ones between poolings. 0.5 million parameters (table 1). Keys: `conv1`, `bn1`, … `fc1`.
 *
 * [n, inChannels, samples] → [n, classes]; at least 1100 samples with stride 4, meant for seconds.
 */
export function m5(options: M5Options = {}): Sequential {
  checkOptions('m5', options, ['classes', 'inChannels', 'stride', 'widthMult', 'random']);
  const { classes = 10, inChannels = 1, stride = 4 } = options;
  checkWhole('m5', 'classes', classes, 2);
  checkWhole('m5', 'inChannels', inChannels);
  checkWhole('m5', 'stride', stride);
  const channels = [128, 128, 256, 512].map(channelScale('m5', options));
  return initialized(options, {}, () => {
    const parts: Record<string, Module> = {};
    let last = inChannels;
    channels.forEach((out, i) => {
      parts[`conv${i + 1}`] = i === 0 ? new Conv1d(last, out, 80, { stride }) : new Conv1d(last, out, 3);
      parts[`bn${i + 1}`] = new BatchNorm1d(out);
      parts[`relu${i + 1}`] = new ReLU();
      parts[`pool${i + 1}`] = new MaxPool1d(4);
      last = out;
    });
    return new Sequential({
      ...parts,
      avgpool: new AdaptiveAvgPool1d(1),
      flatten: new Flatten(),
      fc1: new Linear(last, classes),
    });
  });
}
