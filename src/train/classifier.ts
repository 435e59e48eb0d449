import { type DecodedImage, decodeImage, invertImage, preprocessImage, shouldInvert } from '../data/index.js';
import type { Module } from '../nn/module.js';
import { checkOptions, OptionError, ShapeError } from '../tensor/errors.js';
import { type PredictOptions, predictImages } from './predict.js';
import type { Preprocessing } from './preprocessing.js';

/** One class that a picture may show. */
export interface Prediction {
  readonly class: string;
  /** Position of the class in the model's outputs. */
  readonly index: number;
  readonly probability: number;
}

/** Options of {@link Classifier.classify}. */
export interface ClassifyOptions {
  /** How many classes to return. Default: all. */
  top?: number;
  /** Means of the probabilities of the picture and of its mirror image, as for `predict`. Default false. */
  mirrored?: boolean;
}

/**
 * A model together with what it needs to look at pictures: its classes, and how pictures become its input.
 *
 *     const classifier = (await load('digits.safetensors')).classifier();
 *     const [best] = await classifier.classify(await readFile('seven.png'));
 *     console.log(best.class, best.probability);
 */
export class Classifier {
  readonly model: Module;
  readonly classes: readonly string[];
  readonly preprocessing: Preprocessing;
  /** Further texts stored with the model. */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    model: Module,
    classes: readonly string[],
    preprocessing: Preprocessing,
    metadata: Readonly<Record<string, string>> = {},
  ) {
    this.model = model;
    this.classes = classes;
    this.preprocessing = preprocessing;
    this.metadata = metadata;
  }

  /** A picture of any size and colour mode as the model's input, before normalisation: bytes [channels, height, width]. */
  prepare(image: Uint8Array | DecodedImage): Uint8Array {
    const { background, channels, height, width } = this.preprocessing;
    const planes = preprocessImage(
      image instanceof Uint8Array ? decodeImage(image, 'the picture') : image,
      this.preprocessing,
    );
    const inverted = channels === 1 && background !== undefined && shouldInvert(planes, height, width, background);
    return inverted ? invertImage(planes) : planes;
  }

  /**
   * What a picture shows, most probable class first.
   *
   * @param image the content of a PNG or JPEG file, or a decoded picture.
   * @throws FileError for a file that is no readable picture.
   */
  async classify(image: Uint8Array | DecodedImage, options: ClassifyOptions = {}): Promise<Prediction[]> {
    checkOptions('classify', options, ['top', 'mirrored']);
    const top = options.top ?? this.classes.length;
    if (!Number.isSafeInteger(top) || top < 1) {
      throw new OptionError(`classify: top must be a whole number of at least 1, got ${top}`);
    }
    const { mirrored = false } = options;
    const [probabilities] = await this.probabilities(this.prepare(image), { mirrored });
    return Array.from(probabilities, (probability, index) => ({ class: this.classes[index], index, probability }))
      .sort((a, b) => b.probability - a.probability || a.index - b.index)
      .slice(0, top);
  }

  /** Class probabilities of prepared pictures, bytes [n, channels, height, width]. */
  async probabilities(images: Uint8Array, options?: PredictOptions): Promise<Float32Array[]> {
    const results = await predictImages(this.model, images, this.preprocessing, options);
    const outputs = results[0]?.length ?? this.classes.length;
    if (outputs !== this.classes.length) {
      throw new ShapeError(`the model has ${outputs} outputs, but ${this.classes.length} classes are named`);
    }
    return results;
  }
}
