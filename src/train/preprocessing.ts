import { type Background, type Fit, type ImageDataset, measureBackground } from '../data/index.js';

/** Everything that turns a picture into the input a model was trained on. Plain data: it is stored with the model. */
export interface Preprocessing {
  /** 1 = grey, 3 = colour. */
  readonly channels: 1 | 3;
  readonly height: number;
  readonly width: number;
  /** Per channel, on the scale 0 … 1: inputs are `(v / 255 − mean) / std`. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
  /** How pictures of other proportions are brought to size. Default `crop`. */
  readonly fit?: Fit;
  /** What lies around the drawings of the training images; pictures with the opposite background are inverted. */
  readonly background?: Background;
}

/** The preprocessing for pictures that a model trained on `dataset` shall classify. */
export function preprocessingOf(dataset: ImageDataset, fit?: Fit): Preprocessing {
  const { channels, height, width, mean, std, splits } = dataset;
  const { images } = splits.train.count > 0 ? splits.train : splits.test;
  return {
    channels,
    height,
    width,
    mean: [...mean],
    std: [...std],
    ...(fit === undefined ? {} : { fit }),
    ...(channels === 1 ? { background: measureBackground(images, height, width) } : {}),
  };
}
